"""One connection of a visitor, from its first byte to its end."""

import asyncio
import base64
import binascii
import hmac
import re
from dataclasses import dataclass
from typing import Final

import h11

from web_browsing.gate.counting import Kept, Ledger
from web_browsing.gate.exchange import SAFE, Asked, Gone, answer, ask, join, switch
from web_browsing.gate.looking import Looking
from web_browsing.gate.refusing import (
    Answer,
    Refused,
    malformed,
    nothing_new,
    refusing,
    who_are_you,
)
from web_browsing.gate.rules import DEFAULT_PORT, Place, Rules
from web_browsing.gate.spelling import Host, Misspelled, read_authority
from web_browsing.gate.talk import Talk, passed_on
from web_browsing.gate.tls import TlsPipe
from web_browsing.gate.upstream import Times, Upstream
from web_browsing.gate.wire import Pipe, Wire

_ABSOLUTE: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://([^/?#]*)([^#]*)")
_TLS_HANDSHAKE: Final = 0x16


@dataclass(frozen=True, slots=True)
class Gate:
    """What all visits share."""

    rules: Rules
    upstream: Upstream
    looking: Looking
    times: Times


@dataclass(frozen=True, slots=True)
class Inside:
    """Where the tunnel leads that the requests come through."""

    scheme: str
    host: Host
    port: int

    @property
    def origin(self) -> str:
        return Place(self.scheme, self.host, self.port, exempt=False).origin


@dataclass(slots=True)
class Line:
    """A connection to a server, kept for the next request to the same place."""

    place: Place
    wire: Wire
    talk: Talk

    @property
    def is_free(self) -> bool:
        """Open, and the server has said nothing that it was not asked for."""
        return self.wire.is_quiet and not self.talk.http.trailing_data[0]


class Visit:
    """Serves one connection."""

    def __init__(self, gate: Gate, ledger: Ledger, wire: Wire) -> None:
        self._gate, self._ledger, self._wire = gate, ledger, wire
        self._line: Line | None = None

    async def run(self) -> None:
        """Returns at the end of the connection; what it held is closed."""
        talk = Talk(self._wire, h11.SERVER, _uncounted)
        try:
            async with self._ledger.slot() as free:
                await self._serve(talk, free=free)
        finally:
            self._wire.when_ended = None
            self._hang_up()
            self._wire.abort()

    async def _serve(self, talk: Talk, *, free: bool) -> None:
        try:
            while (request := await talk.next_request(self._gate.times.idle_s)) is not None:
                if not self._is_known(request):
                    return await self._last_words(talk, who_are_you())
                if not free:
                    many = Refused("too_many_connections", "Too many connections are open.")
                    return await self._refuse(talk, many, request)
                if request.method == b"CONNECT":
                    return await self._connect(talk, request)
                if not await self._exchange(talk, request, None):
                    break
            await self._finish(talk)
        except h11.RemoteProtocolError as error:
            await self._last_words(talk, malformed(error.error_status_hint))

    def _is_known(self, request: h11.Request) -> bool:
        token = self._ledger.visitor.token
        if token is None:
            return True
        said = next((v for name, v in request.headers if name == b"proxy-authorization"), b"")
        kind, _, coded = said.partition(b" ")
        try:
            password = base64.b64decode(coded, validate=True).partition(b":")[2]
        except binascii.Error:
            return False
        return kind.lower() == b"basic" and hmac.compare_digest(password, token.encode())

    async def _connect(self, talk: Talk, request: h11.Request) -> None:
        """A tunnel. Source: RFC 9110 §9.3.6."""
        try:
            host, port = read_authority(request.target.decode("ascii"))
        except Misspelled as wrong:
            return await self._refuse(talk, Refused("bad_host", f"{wrong}."), request)
        if self._ledger.visitor.judge is not None:
            return await self._look_into(talk, host, port)
        try:
            self._ledger.asks()
            place = self._gate.rules.place("https", host, port)
            server = await self._gate.upstream.connect(place, self._ledger.turns)
        except Refused as refused:
            return await self._refuse(talk, refused, request)
        try:
            early = await self._begin_tunnel(talk)
            self._wire.when_ended = None
            if early:
                self._ledger.went(len(early))
                await server.write(early)
            times = self._gate.times
            await join(self._wire, server, self._ledger, times, bounded=True)
            await server.finish(times.finish_s)
            return await self._wire.finish(times.finish_s)
        except Refused as refused:
            return self._ledger.refuse(refused, "CONNECT", place.origin)
        except (OSError, TimeoutError):
            return None
        finally:
            server.abort()

    async def _begin_tunnel(self, talk: Talk) -> bytes:
        """Say yes; returns what was said without waiting for it."""
        await talk.body(self._gate.times.idle_s, _uncounted)
        await talk.say(h11.Response(status_code=200, headers=[], reason=b"Connection established"))
        return talk.http.trailing_data[0]

    async def _look_into(self, outer: Talk, host: Host, port: int) -> None:
        """Be the server that the tunnel leads to; each request in it is judged by itself."""
        times = self._gate.times
        inner: Pipe = self._wire
        scheme = "http"
        try:
            async with asyncio.timeout(times.idle_s):
                first = await self._begin_tunnel(outer) or await self._wire.read()
                if first[:1] == bytes([_TLS_HANDSHAKE]):
                    context = self._gate.looking.context(host)
                    inner = await TlsPipe.server(self._wire, context, first)
                    first, scheme = b"", "https"
        except (OSError, TimeoutError):
            return
        talk = Talk(inner, h11.SERVER, _uncounted)
        try:
            if first:
                talk.http.receive_data(first)
            while (request := await talk.next_request(times.idle_s)) is not None:
                if not await self._exchange(talk, request, Inside(scheme, host, port)):
                    break
            await self._finish(talk)
        except h11.RemoteProtocolError as error:
            await self._last_words(talk, malformed(error.error_status_hint))

    async def _exchange(self, talk: Talk, request: h11.Request, inside: Inside | None) -> bool:
        """One request and its answer; whether another may follow. Raises RemoteProtocolError where
        the visitor does not speak HTTP."""
        url = _told_url(request, inside)
        method = request.method.decode("ascii")
        try:
            with Kept(self._ledger) as kept:
                asked = await self._understood(talk, request, inside, kept)
                url = asked.url
                ruled = await self._judge(asked)
                if ruled is None:
                    return await self._say(talk, nothing_new())
                return await self._pass(talk, ruled)
        except Refused as refused:
            self._ledger.refuse(refused, method, url)
            if talk.http.our_state is not h11.SEND_RESPONSE:
                # It is cut in the middle, so that nobody takes it for the whole.
                self._wire.abort()
                return False
            last = talk.http.their_state in (h11.SEND_BODY, h11.ERROR)
            return await self._say(talk, refusing(refused, last=last))
        except (Gone, OSError, TimeoutError):
            self._wire.abort()
            return False

    async def _understood(
        self, talk: Talk, request: h11.Request, inside: Inside | None, kept: Kept
    ) -> Asked:
        """The whole request, to a place that may be tried; raises Refused."""
        body = await talk.body(self._gate.times.idle_s, kept.take)
        self._ledger.asks()
        method = request.method.decode("ascii")
        target = request.target.decode("ascii")
        if inside is None:
            scheme, host, port, path = absolute(target)
            if scheme != "http":
                told = "Only http and https are let through, https in a tunnel."
                raise Refused("bad_scheme", told)
        elif method != "CONNECT" and (target[0] == "/" or (target, method) == ("*", "OPTIONS")):
            scheme, host, port, path = inside.scheme, inside.host, inside.port, target
        else:
            raise Refused("bad_scheme", "A tunnel leads to one server alone.")
        upgrade = next((v for name, v in request.headers if name == b"upgrade"), b"").lower()
        judged = self._ledger.visitor.judge is not None
        return Asked(
            place=self._gate.rules.place(scheme, host, port),
            method=method,
            path=path.encode("ascii"),
            headers=passed_on(request, b"host", b"content-length", b"expect"),
            body=body,
            # No other protocol is spoken here; a server may go on in the one that it was asked in.
            upgrade="websocket" if upgrade == b"websocket" and judged else None,
        )

    async def _judge(self, asked: Asked) -> Asked | None:
        """What goes out; None where nothing does, and the browser stays where it is."""
        judge = self._ledger.visitor.judge
        if judge is None:
            return asked
        if asked.method in SAFE and asked.body:
            raise Refused("sending", f"A {asked.method} with a body sends something.")
        if asked.is_safe and not asked.plays_another:
            return asked
        # Nobody is asked to allow what is refused afterwards. It is judged anew when it goes out,
        # for that may be minutes later.
        await self._gate.upstream.judge(asked.place, self._ledger.turns)
        ruling = await judge(asked.outgoing())
        if ruling.reason is not None:
            raise Refused(ruling.reason, ruling.told)
        if ruling.later:
            return None
        return asked if ruling.instead is None else asked.told_as(ruling.instead)

    async def _pass(self, talk: Talk, asked: Asked) -> bool:
        """Let it out, and its answer in; whether the visitor may go on."""
        try:
            line, head = await self._ask(asked)
            self._ledger.went(len(asked.path) + len(asked.body))
            if isinstance(head, h11.InformationalResponse):
                await switch(talk, line.talk, head, self._ledger, self._gate.times)
                return False
            await answer(talk, line.talk, head, self._ledger, self._gate.times, method=asked.method)
        except Refused:
            # What is left of the answer is nobody's.
            self._hang_up()
            raise
        except h11.ProtocolError:
            told = f"What {asked.place.authority} answers is not HTTP as it should be."
        except TimeoutError:
            told = f"{asked.place.authority} did not answer in time."
        except OSError:
            told = f"{asked.place.authority} broke off."
        else:
            if not line.talk.next_cycle():
                self._hang_up()
            return talk.next_cycle()
        self._hang_up()
        raise Refused("unreachable", told)

    async def _ask(self, asked: Asked) -> tuple[Line, h11.Response | h11.InformationalResponse]:
        line = self._line
        # What changes something goes out on a new connection: there a failure to send it is one,
        # and never the end of a connection that had been idle for too long.
        if line is not None and line.is_free and line.place == asked.place and asked.is_safe:
            try:
                return line, await ask(line.talk, asked, self._gate.times)
            except (OSError, h11.RemoteProtocolError):
                pass
        self._hang_up()
        wire, pipe = await self._gate.upstream.open(asked.place, self._ledger.turns)
        self._line = line = Line(asked.place, wire, Talk(pipe, h11.CLIENT, self._ledger.came))
        return line, await ask(line.talk, asked, self._gate.times)

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.wire.abort()
            self._line = None

    async def _refuse(self, talk: Talk, refused: Refused, request: h11.Request) -> None:
        self._ledger.refuse(refused, request.method.decode("ascii"), _told_url(request, None))
        await self._last_words(talk, refusing(refused, last=True))

    async def _last_words(self, talk: Talk, said: Answer) -> None:
        if talk.http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await self._say(talk, said)
        await self._finish(talk)

    async def _say(self, talk: Talk, said: Answer) -> bool:
        """Answer it ourselves; whether the visitor may go on."""
        try:
            async with asyncio.timeout(self._gate.times.idle_s):
                await talk.answer(*said)
        except (OSError, TimeoutError):
            return False
        return talk.next_cycle()

    async def _finish(self, talk: Talk) -> None:
        self._wire.when_ended = None
        await talk.pipe.finish(self._gate.times.finish_s)


def absolute(target: str) -> tuple[str, Host, int, str]:
    """The parts of an absolute URL of http or https; raises Refused."""
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        raise Refused("bad_scheme", "A proxy is asked for whole URLs.")
    scheme = found[1].lower()
    if scheme not in DEFAULT_PORT:
        raise Refused("bad_scheme", "Only http and https are let through.")
    try:
        host, port = read_authority(found[2], DEFAULT_PORT[scheme])
    except Misspelled as wrong:
        raise Refused("bad_host", f"{wrong}.") from None
    path = found[3]
    return scheme, host, port, path if path.startswith("/") else f"/{path}"


def _told_url(request: h11.Request, inside: Inside | None) -> str:
    """Where a request wants to go, in its own words."""
    target = request.target.decode("ascii")
    if request.method == b"CONNECT":
        return f"https://{target}"
    return target if inside is None else inside.origin + target


def _uncounted(size: int) -> None:
    del size
