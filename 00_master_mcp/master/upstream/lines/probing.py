"""Finds out which era a program speaks, and remembers it for its next start.

2026-07-28 is tried first, on the stream that a handshake then follows on: a server of the handshake
revisions refuses the first request, or ignores it. Some die of it; their next life begins with the
handshake at once.
"""

from collections.abc import Callable
from typing import Literal

import structlog

from master import rpc
from master.offer import Offer
from master.upstream.chosen import Chosen
from master.upstream.handshake.speaker import Handshake
from master.upstream.handshake.transport import Transport
from master.upstream.lines.speaker import Ended, ModernLines, OtherEra
from master.upstream.link import Told

log = structlog.get_logger(__name__)

PROBE_S = 5.0
"""How long the first request is waited for. A server that takes longer to start finds the handshake
behind it, and one that then refuses that one speaks 2026-07-28 after all."""

Era = Literal["modern", "handshake"]


class LinesProbing(Chosen):
    """One program over all its lives; `connect` makes the transport of the life that it has now."""

    def __init__(
        self,
        service: str,
        connect: Callable[[], Transport],
        *,
        roots: tuple[str, ...] = (),
        probe_s: float = PROBE_S,
    ) -> None:
        super().__init__(service)
        self._modern = ModernLines(service, connect, discover_s=probe_s)
        self._handshake = Handshake(service, connect, roots=roots)
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

    def working(self) -> bool:
        return self._modern.busy or self._handshake.busy

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
