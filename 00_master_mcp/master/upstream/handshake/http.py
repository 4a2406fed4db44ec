"""Streamable HTTP of the handshake revisions (2025-03-26 and later).

A POST a message, each request answered on its own stream, and a GET stream for what the server
tells by itself.

A stream that breaks off after an event with an ID is taken up again from there.
"""

import asyncio
from collections.abc import Mapping
from contextlib import closing

from flotilla import FlotillaError
from master import rpc
from master.streaming.events import StreamingEvents
from master.upstream.authority import Authority
from master.upstream.handshake.transport import Ears, SessionLost
from master.upstream.http import Http, Refused
from master.upstream.incoming import EVENT_STREAM, HOLD_BYTES, Large, events_of, messages_of
from master.upstream.transport.client import Response, WentAway

SESSION = "mcp-session-id"
VERSION = "mcp-protocol-version"
_POST = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
_GET = {"accept": "text/event-stream"}
MAX_RESUMES = 50
"""How often one stream is taken up again without an answer."""
RETRY_S = 1.0
"""How long to wait before that, where the server does not say."""
MAX_RETRY_S = 30.0
BYE_S = 0.2
"""What the end of a session may cost the next one, where the server does not answer."""


class _Place:
    """How far a stream was read, over all the responses that carried it."""

    def __init__(self) -> None:
        self.last_id = ""
        self.retry_s = RETRY_S
        self.answered = False

    def read(self, reader: StreamingEvents) -> None:
        self.last_id = reader.last_id or self.last_id
        if reader.retry_ms is not None:
            self.retry_s = min(reader.retry_ms / 1000, MAX_RETRY_S)


class HttpSession:
    """One session with one server."""

    frail = False

    def __init__(self, http: Http, authority: Authority) -> None:
        self._http = http
        self._authority = authority
        self._session: str | None = None
        self._version: str | None = None
        self._ears: Ears | None = None
        self._reading: dict[int, asyncio.Task[None]] = {}
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ready = asyncio.Event()

    async def run(self, ears: Ears) -> None:
        self._ears = ears
        try:
            # Nothing has to be connected before the first message.
            await self._ready.wait()
            listening = asyncio.create_task(self._listened(ears))
            try:
                await asyncio.wait({listening, self._lost}, return_when=asyncio.FIRST_COMPLETED)
                if listening.done():
                    await listening
                await self._lost
            finally:
                listening.cancel()
                await asyncio.wait({listening})
        finally:
            for task in self._reading.values():
                task.cancel()
            if self._reading:
                await asyncio.wait(set(self._reading.values()))
            if self._session is not None and not self._lost.done():
                await self._ended()
            if self._lost.done() and not self._lost.cancelled():
                self._lost.exception()

    async def opened(self) -> None:
        return

    def initialized(self, version: str) -> None:
        self._version = version
        self._ready.set()

    async def send(
        self, message: bytes, request: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        sent = self._headers({**_POST, **(headers or {})})
        if request is None:
            (await self._http.request(message, sent, None, silence_s=RETRY_S * 10)).close()
            return
        task = asyncio.create_task(self._answered(message, sent, request))
        self._reading[request] = task
        task.add_done_callback(lambda _: self._reading.pop(request, None))

    def drop(self, request: int) -> None:
        task = self._reading.get(request)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def drop_idle(self) -> None:
        self._http.drop_idle()

    async def knock(self, timeout_s: float) -> None:
        await self._http.knock(self._authority.of_hub(), timeout_s)

    async def _answered(self, message: bytes, headers: dict[str, str], request: int) -> None:
        """Read what answers a request, to its end, however often the stream breaks off."""
        ears = self._ears
        assert ears is not None, "messages are sent while `run` runs"
        place = _Place()
        try:
            with closing(await self._http.request(message, headers, None)) as response:
                if self._session is None:
                    self._session = response.headers.get(SESSION)
                if response.content_type == EVENT_STREAM:
                    await self._read(response, ears, request, place)
                else:
                    async for each in messages_of(response, self._http.scrub):
                        place.answered = True
                        await ears.heard(each, request)
        except (rpc.RpcError, FlotillaError) as error:
            ears.failed(request, self._meant(error))
            return
        try:
            await self._taken_up(ears, request, place)
        except (rpc.RpcError, FlotillaError) as error:
            # Whatever it is, it is no answer to the request, which the server has had long since.
            self._meant(error)
        if not place.answered:
            ears.failed(request, self._http.broke_off())

    async def _taken_up(self, ears: Ears, request: int, place: _Place) -> None:
        """Read on where the stream of a request broke off, until it brings the answer."""
        for _ in range(MAX_RESUMES):
            if place.answered or not place.last_id:
                return
            await ears.paused(request)
            await asyncio.sleep(place.retry_s)
            await self._resumed(ears, request, place)

    async def _resumed(self, ears: Ears, request: int | None, place: _Place) -> None:
        headers = self._headers({**_GET, **_after(place)})
        with closing(await self._http.request(b"", headers, None, method="GET")) as response:
            await self._read(response, ears, request, place)

    async def _read(
        self, response: Response, ears: Ears, request: int | None, place: _Place
    ) -> None:
        """Read one stream to its end; one that broke off and can be taken up again ended too."""
        reader = StreamingEvents(HOLD_BYTES)
        shared = request is None
        try:
            async for _, message in events_of(response, reader, self._http.scrub, shared=shared):
                place.read(reader)
                if message is None:
                    continue
                if request is not None and (isinstance(message, Large) or message.is_response):
                    place.answered = True
                await ears.heard(message, request)
        except WentAway:
            place.read(reader)
            if not place.last_id:
                raise
        finally:
            place.read(reader)

    async def _listened(self, ears: Ears) -> None:
        """Hold the GET stream; returns where the server has none."""
        place = _Place()
        while True:
            try:
                await self._resumed(ears, None, place)
            except Refused as error:
                meant = self._meant(error)
                if meant is not error:
                    raise meant from None
                if error.status in (400, 405, 501):
                    return
                raise
            except rpc.RpcError as error:
                if error.status == 404 and self._session is not None:
                    raise self._gone() from None
                return
            await asyncio.sleep(place.retry_s)

    def _headers(self, headers: dict[str, str]) -> dict[str, str]:
        headers |= self._authority.of_hub()
        if self._session is not None:
            headers[SESSION] = self._session
        if self._version is not None:
            headers[VERSION] = self._version
        return headers

    def _meant(self, error: FlotillaError | rpc.RpcError) -> FlotillaError | rpc.RpcError:
        """An error with status 404 on a session says that the session is gone (§ Sessions)."""
        if isinstance(error, Refused) and error.status == 404 and self._session is not None:
            return self._gone()
        if (
            isinstance(error, rpc.RpcError)
            and error.status == 404
            and self._version is not None
            and error.code != rpc.METHOD_NOT_FOUND
        ):
            return self._gone()
        return error

    def _gone(self) -> SessionLost:
        lost = SessionLost(f"{self._http.service} has forgotten the session")
        if not self._lost.done():
            self._lost.set_exception(lost)
        return lost

    async def _ended(self) -> None:
        """Tell the server, briefly, that the session is over."""
        try:
            async with asyncio.timeout(BYE_S):
                (await self._http.request(b"", self._headers({}), None, method="DELETE")).close()
        except (FlotillaError, rpc.RpcError, TimeoutError):
            return  # it will expire by itself


def _after(place: _Place) -> dict[str, str]:
    return {"last-event-id": place.last_id} if place.last_id else {}
