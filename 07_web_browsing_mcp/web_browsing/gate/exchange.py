"""One exchange: a request that was let through goes out, its answer comes back as it comes."""

import asyncio
from dataclasses import dataclass, replace
from typing import Final

import h11

from web_browsing.gate.counting import Ledger
from web_browsing.gate.refusing import REFUSED_HEADER, Refused
from web_browsing.gate.rules import Place
from web_browsing.gate.talk import Headers, Talk, passed_on
from web_browsing.gate.upstream import Times
from web_browsing.gate.visitor import Outgoing
from web_browsing.gate.wire import Pipe

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_PROXY_AUTHENTICATION: Final = 407
_MAX_INFORMATIONAL: Final = 16
_METHOD_OVERRIDES: Final = frozenset(
    {b"x-http-method-override", b"x-http-method", b"x-method-override"}
)
_BODILESS: Final = frozenset({204, 304})
_NOT_BACK: Final = (
    b"alt-svc",  # leads to QUIC, which does not go through here
    REFUSED_HEADER.encode(),  # is ours to say
)


class Gone(Exception):
    """The visitor does not take the answer any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it was understood, whole."""

    place: Place
    method: str
    path: bytes
    """With the query."""
    headers: Headers
    """Those that go on, but for Host and what frames the body."""
    body: bytes
    upgrade: str | None = None

    @property
    def url(self) -> str:
        return self.place.origin + self.path.decode("ascii")

    @property
    def plays_another(self) -> bool:
        """It asks the server to take it for a request of another method, as some frameworks do."""
        return any(name.lower() in _METHOD_OVERRIDES for name, _ in self.headers)

    @property
    def is_safe(self) -> bool:
        return self.method in SAFE and self.upgrade is None

    def outgoing(self) -> Outgoing:
        shown = [(b"host", self.place.authority.encode()), *self.headers]
        return Outgoing(
            method=self.method,
            url=self.url,
            headers=tuple(
                (name.lower().decode(), value.decode("latin-1")) for name, value in shown
            ),
            body=self.body,
            upgrade=self.upgrade,
        )

    def told_as(self, other: Outgoing) -> "Asked":
        """The same with what another request says; raises ValueError where it goes elsewhere."""
        if (other.method, other.url, other.upgrade) != (self.method, self.url, self.upgrade):
            raise ValueError("another request")
        headers = [
            (name.encode(), value.encode("latin-1"))
            for name, value in other.headers
            if name != "host"
        ]
        return replace(self, headers=headers, body=other.body)

    def request(self) -> h11.Request:
        """As it goes out."""
        headers: Headers = [(b"Host", self.place.authority.encode()), *self.headers]
        if self.body or self.method not in SAFE:
            headers.append((b"Content-Length", str(len(self.body)).encode()))
        if self.upgrade is not None:
            headers += [(b"Connection", b"Upgrade"), (b"Upgrade", self.upgrade.encode())]
        return h11.Request(method=self.method, target=self.path, headers=headers)


async def ask(server: Talk, asked: Asked, times: Times) -> h11.Response | h11.InformationalResponse:
    """Send it, and answer the head of what comes back: the only informational one is a 101.

    Raises OSError, TimeoutError, h11.RemoteProtocolError where no answer comes that is one.
    """
    async with asyncio.timeout(times.first_byte_s):
        await server.say(asked.request())
        if asked.body:
            await server.say(h11.Data(asked.body))
        await server.say(h11.EndOfMessage())
        for _ in range(_MAX_INFORMATIONAL):
            head = await server.next()
            if isinstance(head, h11.Response):
                return head
            if not isinstance(head, h11.InformationalResponse):
                break
            if asked.upgrade is not None and head.status_code == 101:
                return head
    raise h11.RemoteProtocolError("no answer")


async def answer(
    client: Talk, server: Talk, head: h11.Response, ledger: Ledger, times: Times, *, method: str
) -> None:
    """Pass an answer on as it comes; raises Refused, Gone, and what reading it raises."""
    if head.status_code == _PROXY_AUTHENTICATION:
        # Only a proxy may ask that; it would be taken for us.
        raise Refused("unreachable", "The server plays a proxy that wants a password.")
    framings = {name for name, _ in head.headers}
    chunked = b"transfer-encoding" in framings
    if method != "HEAD" and not chunked and head.status_code not in _BODILESS:
        ledger.fits(_length(head))
    headers = passed_on(head, *_NOT_BACK, *((b"content-length",) if chunked else ()))
    await _tell(
        client,
        h11.Response(status_code=head.status_code, reason=head.reason, headers=headers),
        times,
    )
    size = 0
    while True:
        async with asyncio.timeout(times.idle_s):
            event = await server.next()
        if isinstance(event, h11.Data):
            size += len(event.data)
            ledger.fits(size)
            await _tell(client, event, times)
        elif isinstance(event, h11.EndOfMessage):
            # Trailers end here, as they may: no browser shows them to a page.
            return await _tell(client, h11.EndOfMessage(), times)
        else:
            raise h11.RemoteProtocolError("the answer broke off")


async def _tell(client: Talk, event: h11.Event, times: Times) -> None:
    try:
        async with asyncio.timeout(times.idle_s):
            await client.say(event)
    except (OSError, TimeoutError):
        raise Gone from None


async def switch(
    client: Talk, server: Talk, head: h11.InformationalResponse, ledger: Ledger, times: Times
) -> None:
    """Pass on that the protocol is another from now on, and then bytes."""
    headers = passed_on(head, *_NOT_BACK)
    headers += [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
    await client.say(
        h11.InformationalResponse(status_code=101, headers=headers, reason=head.reason)
    )
    early, late = client.http.trailing_data[0], server.http.trailing_data[0]
    if early:
        await server.pipe.write(early)
    if late:
        await client.pipe.write(late)
    await join(client.pipe, server.pipe, ledger, times, bounded=False)


async def join(client: Pipe, server: Pipe, ledger: Ledger, times: Times, *, bounded: bool) -> None:
    """Bytes both ways until one side ends; `bounded`: what comes back counts as one answer.

    Raises Refused, OSError, and TimeoutError where nothing passes for too long.
    """
    loop = asyncio.get_running_loop()
    size = 0

    async def out() -> None:
        while data := await client.read():
            idle.reschedule(loop.time() + times.tunnel_idle_s)
            ledger.went(len(data))
            await server.write(data)

    async def back() -> None:
        nonlocal size
        while data := await server.read():
            idle.reschedule(loop.time() + times.tunnel_idle_s)
            size += len(data)
            ledger.came(len(data))
            if bounded:
                ledger.fits(size)
            await client.write(data)

    async with asyncio.timeout(times.tunnel_idle_s) as idle:
        ways = [asyncio.create_task(out()), asyncio.create_task(back())]
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        finally:
            for each in ways:
                each.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


def _length(head: h11.Response) -> int:
    return next((int(value) for name, value in head.headers if name == b"content-length"), 0)
