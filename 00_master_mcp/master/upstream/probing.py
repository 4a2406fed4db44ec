"""Finds out which era and transport a server speaks, at each connection anew."""

from collections.abc import Mapping

import structlog

from flotilla import FlotillaError, Unavailable
from master import rpc
from master.upstream.chosen import Chosen
from master.upstream.link import Remote, Speaker, Standing, Told
from master.upstream.modern import Modern

log = structlog.get_logger(__name__)

PROBE_S = 10.0
_OLDER = (400, 404, 405)
"""What a server answers to a POST of a transport that it does not have (2025-11-25, Transports)."""


class Probing(Chosen):
    """Tries 2026-07-28 first, then the handshake, then `last` (HTTP+SSE) where there is one."""

    def __init__(
        self, service: str, modern: Modern, handshake: Speaker, last: Speaker | None
    ) -> None:
        super().__init__(service)
        self._modern = modern
        self._handshake = handshake
        self._last = last

    async def hold(self, told: Told) -> None:
        try:
            for speaker in await self._candidates():
                try:
                    await self._speak(speaker, told)
                except (FlotillaError, rpc.RpcError) as error:
                    if not (self._last is not None and speaker is self._handshake):
                        raise
                    if getattr(error, "status", None) not in _OLDER:
                        raise
                    log.info("trying_http_sse", upstream=self._service, reason=str(error))
                else:
                    return
        finally:
            self._spoken = None

    async def knock(self, timeout_s: float) -> None:
        await self._modern.knock(timeout_s)

    async def look(self, timeout_s: float) -> Standing:
        speaker = self._now()
        if isinstance(speaker, Remote):
            return await speaker.look(timeout_s)
        await speaker.probe(timeout_s)
        return "whole"

    async def _candidates(self) -> tuple[Speaker, ...]:
        """What to try, in order. Whatever is no modern answer is taken for an older server."""
        try:
            found: Mapping[str, object] = await self._modern.ask("server/discover", {}, PROBE_S)
        except rpc.RpcError as error:
            log.info("server_is_older", upstream=self._service, reason=str(error))
        except Unavailable:
            raise
        except FlotillaError as error:
            log.info("server_is_older", upstream=self._service, reason=error.message)
        else:
            versions = found.get("supportedVersions")
            if isinstance(versions, list) and "2026-07-28" in versions:
                return (self._modern,)
        return (self._handshake,) if self._last is None else (self._handshake, self._last)
