"""What a visitor has taken so far, held against what they may take."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

import structlog

from web_browsing.gate.refusing import Refused
from web_browsing.gate.resolving import TURNS
from web_browsing.gate.visitor import MAX_REMEMBERED, Refusal, Visitor

MAX_URL_CHARS: Final = 2000
MAX_METHOD_CHARS: Final = 32
BODIES_AT_ONCE: Final = 4
"""So many of the largest bodies are kept at the same time, while they are judged."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


class Ledger:
    """Of one visitor, while they are served."""

    def __init__(self, visitor: Visitor, slot_s: float, now: Callable[[], datetime] = _now) -> None:
        self.visitor = visitor
        self.kept_bytes = 0
        self._slot_s, self._now = slot_s, now
        self._slots = asyncio.Semaphore(visitor.allowance.connections)
        self.turns = asyncio.Semaphore(TURNS)
        """For look-ups."""

    def came(self, size: int) -> None:
        """Count bytes from the web; raises Refused beyond what the visitor may take in all."""
        self.visitor.bytes_in += size
        if self.visitor.bytes_in > self.visitor.allowance.bytes_in:
            raise Refused("too_many_bytes", "This session has taken all the bytes that it may.")

    def went(self, size: int) -> None:
        self.visitor.bytes_out += size

    def asks(self) -> None:
        """Count a request; raises Refused beyond what the visitor may ask."""
        self.visitor.requests += 1
        if self.visitor.requests > self.visitor.allowance.requests:
            raise Refused("too_many_requests", "This session has made all its requests.")
        self.came(0)

    def fits(self, size: int) -> None:
        """Raises Refused where a single answer is, or says that it is, larger than may be."""
        most = self.visitor.allowance.bytes_each
        if size > most:
            raise Refused("too_many_bytes", f"An answer may have {most:,} bytes; this has more.")

    @asynccontextmanager
    async def slot(self) -> AsyncGenerator[bool]:
        """One of the visitor's connections; False where none becomes free in time."""
        try:
            async with asyncio.timeout(self._slot_s):
                await self._slots.acquire()
        except TimeoutError:
            yield False
            return
        self.visitor.connections += 1
        try:
            yield True
        finally:
            self.visitor.connections -= 1
            self._slots.release()

    def refuse(self, refused: Refused, method: str, url: str) -> None:
        """Remember and log it; the log has no more of the URL than where it leads."""
        method = method[:MAX_METHOD_CHARS]
        self.visitor.refusals.append(
            Refusal(
                at=self._now(),
                reason=refused.reason,
                method=method,
                url=url[:MAX_URL_CHARS],
                told=refused.told,
            )
        )
        # A page that provokes thousands of refusals fills no log with them.
        few = len(self.visitor.refusals) < MAX_REMEMBERED
        (_log.info if few else _log.debug)(
            "gate_refused",
            visitor=self.visitor.name,
            reason=refused.reason,
            method=method,
            to=_origin(url),
        )


class Kept:
    """The bytes of one body that is kept while it is judged; given back at the end."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ledger.kept_bytes -= self._bytes

    def take(self, size: int) -> None:
        """Raises Refused where the body, or all of the visitor's together, become too large."""
        self._bytes += size
        self._ledger.kept_bytes += size
        most = self._ledger.visitor.allowance.sent_each
        if self._bytes > most or self._ledger.kept_bytes > BODIES_AT_ONCE * most:
            raise Refused("too_many_bytes", f"A request may send {most:,} bytes; this has more.")


def _origin(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{re.split('[/?#]', rest, maxsplit=1)[0].rpartition('@')[2]}"[:300]
