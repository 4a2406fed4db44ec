"""HTTP+SSE of 2024-11-05: one stream for all that the server says, POSTs for what it is told."""

import asyncio
from collections.abc import Mapping
from contextlib import closing
from urllib.parse import urljoin, urlsplit

from flotilla import UpstreamError
from master.streaming.events import StreamingEvents
from master.upstream.authority import Authority
from master.upstream.handshake.transport import Ears
from master.upstream.http import Http
from master.upstream.incoming import EVENT_STREAM, HOLD_BYTES, events_of
from master.upstream.pool import ConnectionPool
from master.upstream.transport.client import Response

SEND_S = 30.0


class SseSession:
    """`http` is where the stream is; the server says itself where its messages are posted."""

    frail = True

    def __init__(self, http: Http, authority: Authority, pool: ConnectionPool) -> None:
        self._http = http
        self._authority = authority
        self._pool = pool
        self._post: Http | None = None
        self._opened = asyncio.Event()

    async def run(self, ears: Ears) -> None:
        headers = {"accept": "text/event-stream", **self._authority.of_hub()}
        with closing(await self._http.request(b"", headers, None, method="GET")) as response:
            if response.content_type != EVENT_STREAM:
                raise UpstreamError(f"{self._http.service} has no event stream at this address")
            await self._read(response, ears)

    async def opened(self) -> None:
        await self._opened.wait()

    def initialized(self, version: str) -> None:
        del version

    async def send(
        self, message: bytes, request: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        del request
        assert self._post is not None, "messages are sent once the session is open"
        sent = {"content-type": "application/json", **(headers or {}), **self._authority.of_hub()}
        (await self._post.request(message, sent, None, silence_s=SEND_S)).close()

    def drop(self, request: int) -> None:
        del request

    def drop_idle(self) -> None:
        self._http.drop_idle()

    async def knock(self, timeout_s: float) -> None:
        await self._http.knock(self._authority.of_hub(), timeout_s)

    async def _read(self, response: Response, ears: Ears) -> None:
        """Events until the stream ends; the first names the address for messages."""
        reader = StreamingEvents(HOLD_BYTES)
        async for event, message in events_of(response, reader, self._http.scrub, shared=True):
            if event.event == "endpoint":
                self._post = self._address(event.data.decode(errors="replace"))
                self._opened.set()
            elif message is not None:
                await ears.heard(message, None)

    def _address(self, told: str) -> Http:
        """Where to post; another origin than the stream's would be given the credentials."""
        url = urljoin(self._http.url, told.strip())
        if urlsplit(url)[:2] != urlsplit(self._http.url)[:2]:
            raise UpstreamError(f"{self._http.service} wants its messages sent to another host")
        return Http(self._http.service, url, self._pool)
