"""Standard streams: a JSON-RPC message a line, to and from a program that we started."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

import structlog

from flotilla import UpstreamError
from master.upstream.handshake.transport import Ears
from master.upstream.incoming import Scrub, read

log = structlog.get_logger(__name__)


class Lines(Protocol):
    """The standard streams of a running program."""

    def lines(self) -> AsyncIterator[bytes]: ...

    async def write(self, line: bytes) -> None:
        """Send a line; its line break is added there."""
        ...


class StdioSession:
    """One session with a program; it ends when the program closes its output."""

    def __init__(self, child: Lines, scrub: Scrub | None = None) -> None:
        self._child = child
        self._scrub = scrub

    async def run(self, ears: Ears) -> None:
        async for line in self._child.lines():
            if not line.strip():
                continue
            try:
                message = read(line, self._scrub)
            except UpstreamError:
                # Many programs print a greeting there; it belongs on standard error.
                log.info("external_stdout", line=line[:500].decode(errors="replace"))
                continue
            await ears.heard(message, None)

    async def opened(self) -> None:
        return

    def initialized(self, version: str) -> None:
        del version

    async def send(
        self, message: bytes, request: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        del request, headers
        # A message read from HTTP may be indented; here a line break would end it.
        await self._child.write(message.replace(b"\n", b" ").replace(b"\r", b" "))

    def drop(self, request: int) -> None:
        del request
