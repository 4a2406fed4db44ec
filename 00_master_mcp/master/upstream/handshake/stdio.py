"""Standard streams: a JSON-RPC message a line, to and from a program that we started."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

import structlog

from flotilla import TooLarge, UpstreamError
from master.external.lines import TooLong
from master.streaming.splitter import Member, Splitter
from master.upstream.handshake.transport import Ears
from master.upstream.incoming import Scrub, read

log = structlog.get_logger(__name__)

_LAST_ID = re.compile(rb'(?<!\\)"id"\s*:\s*(\d{1,18})\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?}\s*$')
_ASKS = frozenset({"method", "params"})


class Lines(Protocol):
    """The standard streams of a running program."""

    too_long: Callable[[TooLong], None] | None
    """Hears of lines that are left out because they are longer than any that is read."""

    def lines(self) -> AsyncIterator[bytes]: ...

    async def write(self, line: bytes) -> None:
        """Send a line; its line break is added there."""
        ...


class StdioSession:
    """One session with a program; it ends when the program closes its output."""

    frail = False

    def __init__(self, child: Lines, scrub: Scrub | None = None) -> None:
        self._child = child
        self._scrub = scrub

    async def run(self, ears: Ears) -> None:
        def too_long(line: TooLong) -> None:
            number = answered_by(line)
            if number is not None:
                said = (
                    f"the server answered with {line.length} bytes, more than is read of one line"
                )
                ears.failed(number, TooLarge(said, hint="Ask for less."))

        self._child.too_long = too_long
        async for line in self._child.lines():
            if not line.strip():
                continue
            try:
                message = await read(line, self._scrub)
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

    def drop_idle(self) -> None:
        """A program has one pair of streams, and no other."""

    async def knock(self, timeout_s: float) -> None:
        """A program that runs is there."""
        del timeout_s


def answered_by(line: TooLong) -> int | None:
    """The request that an over-long line answers, if its beginning or its end says so."""
    try:
        pieces = Splitter().feed(line.beginning)
    except UpstreamError:
        return None
    if {getattr(piece, "name", "") for piece in pieces} & _ASKS:
        return None
    first = [each.text for each in pieces if isinstance(each, Member) and each.name == "id"]
    if first:
        return int(first[0]) if first[0].isdigit() else None
    last = _LAST_ID.search(line.ending)
    return None if last is None else int(last[1])
