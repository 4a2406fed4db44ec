"""Finds out which era and transport a server speaks, at each connection anew."""

from collections.abc import Mapping

import structlog

from flotilla import FlotillaError, Unavailable
from master import rpc
from master.call import Call
from master.result import Result
from master.upstream.link import Speaker, Told
from master.upstream.modern import Modern

log = structlog.get_logger(__name__)

PROBE_S = 10.0
_OLDER = (400, 404, 405)
"""What a server answers to a POST of a transport that it does not have (2025-11-25, Transports)."""


class Probing:
    """Tries 2026-07-28 first, then the handshake, then `last` (HTTP+SSE) where there is one."""

    def __init__(
        self, service: str, modern: Modern, handshake: Speaker, last: Speaker | None
    ) -> None:
        self._service = service
        self._modern = modern
        self._handshake = handshake
        self._last = last
        self._spoken: Speaker | None = None
        self._watched: frozenset[str] = frozenset()
        self._level: str | None = None

    async def hold(self, told: Told) -> None:
        try:
            for speaker in await self._candidates():
                self._spoken = speaker
                speaker.watch(self._watched)
                if self._level is not None:
                    await speaker.log_level(self._level)
                try:
                    await speaker.hold(told)
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

    def _now(self) -> Speaker:
        if self._spoken is None:
            raise Unavailable(
                f"{self._service} cannot be reached",
                hint="It is being reconnected; call again soon.",
            )
        return self._spoken
