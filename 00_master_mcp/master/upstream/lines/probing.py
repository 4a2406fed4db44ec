"""Finds out which era a program speaks, and remembers it for its next start.

2026-07-28 is tried first, on the stream that a handshake then follows on: a server of the handshake
revisions refuses the first request, or ignores it. Some die of it; their next life begins with the
handshake at once.
"""

from collections.abc import Callable
from typing import Literal

import structlog

from flotilla import Unavailable
from master import rpc
from master.call import Call
from master.offer import Offer
from master.result import Result
from master.upstream.handshake.speaker import Handshake
from master.upstream.handshake.transport import Transport
from master.upstream.lines.speaker import Ended, ModernLines, OtherEra
from master.upstream.link import Speaker, Told

log = structlog.get_logger(__name__)

PROBE_S = 5.0
"""How long the first request is waited for. A server that takes longer to start finds the handshake
behind it, and one that then refuses that one speaks 2026-07-28 after all."""

Era = Literal["modern", "handshake"]


class LinesProbing:
    """One program over all its lives; `connect` makes the transport of the life that it has now."""

    def __init__(
        self,
        service: str,
        connect: Callable[[], Transport],
        *,
        roots: tuple[str, ...] = (),
        probe_s: float = PROBE_S,
    ) -> None:
        self._service = service
        self._modern = ModernLines(service, connect, discover_s=probe_s)
        self._handshake = Handshake(service, connect, roots=roots)
        self._spoken: Speaker | None = None
        self._watched: frozenset[str] = frozenset()
        self._level: str | None = None
        self.first: Era = "modern"
        """What is tried first when it starts the next time."""

    async def hold(self, told: Told) -> None:
        try:
            if self.first == "modern":
                try:
                    await self._speak(self._modern, told)
                except OtherEra as error:
                    log.info("server_is_older", upstream=self._service, reason=error.message)
                except Ended as error:
                    # Whether the request killed it, its next life tells; how it ended, its exit.
                    self.first = "handshake"
                    log.info("server_ended_at_probe", upstream=self._service, reason=error.message)
                    return
                else:
                    return
            await self._shake_hands(told)
        finally:
            self._spoken = None

    async def send(self, call: Call) -> Result:
        return await self._now().send(call)

    async def probe(self, timeout_s: float) -> str | None:
        return await self._now().probe(timeout_s)

    def watch(self, uris: frozenset[str]) -> None:
        self._watched = uris
        if self._spoken is not None:
            self._spoken.watch(uris)

    async def watched(self) -> None:
        if self._spoken is not None:
            await self._spoken.watched()

    async def log_level(self, level: str) -> None:
        self._level = level
        if self._spoken is not None:
            await self._spoken.log_level(level)

    async def _shake_hands(self, told: Told) -> None:
        opened = _Opened(told)
        try:
            await self._speak(self._handshake, opened)
        except rpc.RpcError as error:
            if opened.opened or error.code != rpc.UNSUPPORTED_VERSION:
                raise
            # It had taken up the first request, late; such a server refuses a handshake.
            self.first = "modern"
            log.info("server_is_modern", upstream=self._service, reason=error.message)
            await self._speak(self._modern, told)
        finally:
            self.first = "handshake" if opened.opened else "modern"

    async def _speak(self, speaker: Speaker, told: Told) -> None:
        self._spoken = speaker
        speaker.watch(self._watched)
        if self._level is not None:
            await speaker.log_level(self._level)
        await speaker.hold(told)

    def _now(self) -> Speaker:
        if self._spoken is None:
            raise Unavailable(
                f"{self._service} cannot be reached",
                hint="It is being reconnected; call again soon.",
            )
        return self._spoken


class _Opened:
    """Passes on what is told, and knows whether the server was there."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self.opened = False

    def offered(self, offer: Offer) -> None:
        self.opened = True
        self._told.offered(offer)

    def updated(self, uri: str, params: rpc.Texts) -> None:
        self._told.updated(uri, params)

    def said(self, method: str, params: rpc.Texts) -> None:
        self._told.said(method, params)
