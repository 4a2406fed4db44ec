"""The seam over aiohttp, for `https://` and whatever else a plain request cannot do."""

import asyncio
import io
import ssl
from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import contextmanager
from time import monotonic

import aiohttp
from yarl import URL

from master.upstream.transport.client import (
    CONNECT_S,
    KEEP_ALIVE_S,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    broke_http,
    too_late,
    too_silent,
    unreachable,
    went_away,
)
from master.upstream.transport.head import request_head
from master.upstream.transport.target import Target

MAX_BYTES_AT_ONCE = 1024 * 1024


class AiohttpResponse:
    def __init__(
        self,
        response: aiohttp.ClientResponse,
        lane: "_Lane",
        target: Target,
        silence_s: float | None,
    ) -> None:
        self._response = response
        self._lane: _Lane | None = lane
        self._target = target
        self._silence_s = silence_s
        self.status = response.status
        self.headers: Mapping[str, str] = _joined(response)

    @property
    def content_type(self) -> str:
        # aiohttp's own says application/octet-stream where the server said nothing.
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def ended(self) -> bool:
        return self._response.content.at_eof()

    async def begin(self, most_bytes: int) -> bytes:
        begin = bytearray()
        while len(begin) <= most_bytes and (chunk := await self.chunk()):
            begin += chunk
        return bytes(begin)

    async def chunk(self) -> bytes:
        try:
            with _translated(self._target, self._silence_s):
                return await self._response.content.readany()
        except asyncio.CancelledError:
            self._response.close()
            raise

    async def chunks(self) -> AsyncIterator[bytes]:
        while chunk := await self.chunk():
            yield chunk

    def close(self) -> None:
        if self.ended:
            self._response.release()
        else:
            self._response.close()
        lane, self._lane = self._lane, None
        if lane is not None:
            lane.done()


class _Lane:
    """The session for one host. Once retired, it closes when nobody uses it any more."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self._in_use = 0
        self._retired = False
        self._closing: asyncio.Task[None] | None = None

    def use(self) -> None:
        self._in_use += 1

    def done(self) -> None:
        self._in_use -= 1
        self._close_if_unused()

    def retire(self) -> None:
        self._retired = True
        self._close_if_unused()

    async def close(self) -> None:
        """Close it with all that it carries."""
        if self._closing is not None:
            await self._closing
        await self.session.close()

    def _close_if_unused(self) -> None:
        if self._retired and self._in_use == 0 and self._closing is None:
            self._closing = asyncio.create_task(self.session.close())


class AiohttpClient:
    """Made inside the loop that it serves; each host's session is opened by its first request."""

    def __init__(
        self,
        keep_alive_s: float = KEEP_ALIVE_S,
        connect_s: float = CONNECT_S,
        tls: Mapping[str, ssl.SSLContext] | None = None,
    ) -> None:
        """`tls` is by `host:port`; other hosts are checked against the system's authorities."""
        self._tls = tls or {}
        self._keep_alive_s = keep_alive_s
        self._connect_s = connect_s
        self._lanes: dict[str, _Lane] = {}
        self._retired: set[_Lane] = set()

    async def request(
        self,
        method: str,
        target: Target,
        headers: Mapping[str, str],
        body: bytes = b"",
        due_at: float | None = None,
        silence_s: float | None = None,
    ) -> AiohttpResponse:
        request_head(method, target, headers, len(body))  # the same headers are refused
        if due_at is not None and due_at <= monotonic():
            raise too_late(target)
        limits = aiohttp.ClientTimeout(
            total=None if due_at is None else due_at - monotonic(),
            connect=self._connect_s,
            sock_read=silence_s,
        )
        lane = self._lane(target)
        lane.use()
        try:
            with _translated(target, silence_s):
                response = await lane.session.request(
                    method,
                    # Written as it is: a path that is quoted anew may name something else.
                    URL(target.url, encoded=target.simple),
                    # It warns of larger bytes, and writes this in pieces instead.
                    data=io.BytesIO(body) if len(body) > MAX_BYTES_AT_ONCE else body or None,
                    headers={**headers, "accept-encoding": "identity"},
                    timeout=limits,
                    ssl=self._tls.get(_host(target), True),
                    # A redirect would take the token to somebody else.
                    allow_redirects=False,
                )
        except BaseException:
            lane.done()
            raise
        answered = AiohttpResponse(response, lane, target, silence_s)
        if response.status < 200:
            answered.close()
            raise broke_http(target, f"nobody asked for a status of {response.status}")
        return answered

    def drop_idle(self, target: Target) -> None:
        # aiohttp closes a host's idle connections only with all the others of their session.
        lane = self._lanes.pop(_host(target), None)
        if lane is not None:
            self._retired = {each for each in self._retired if not each.session.closed}
            self._retired.add(lane)
            lane.retire()

    async def close(self) -> None:
        for lane in (*self._lanes.values(), *self._retired):
            await lane.close()

    def _lane(self, target: Target) -> _Lane:
        lane = self._lanes.get(_host(target))
        if lane is None:
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=self._keep_alive_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                max_line_size=MAX_HEAD_BYTES,
                max_field_size=MAX_HEAD_BYTES,
                max_headers=MAX_HEADERS,
            )
            lane = self._lanes[_host(target)] = _Lane(session)
        return lane


def _host(target: Target) -> str:
    return f"{target.host}:{target.port}"


def _joined(response: aiohttp.ClientResponse) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in response.headers.items():
        key = name.lower()
        joined[key] = f"{joined[key]}, {value}" if key in joined else value
    return joined


@contextmanager
def _translated(target: Target, silence_s: float | None) -> Generator[None]:
    try:
        yield
    except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError):
        raise unreachable(target.name) from None
    except aiohttp.SocketTimeoutError:
        raise too_silent(target, silence_s or 0.0) from None
    except TimeoutError:
        raise too_late(target) from None
    except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, ConnectionError):
        raise went_away(target.name) from None
    except aiohttp.ClientError as error:
        raise broke_http(target, type(error).__name__) from None
