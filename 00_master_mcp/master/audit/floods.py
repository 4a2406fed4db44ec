"""Requests that are turned away, of which a client can make thousands a second: rows with a count.

The first of a kind is written as it is. What comes of the same kind within a second of it is told
in one row by its count, so that each kind takes two rows a second at most.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic
from typing import Protocol

from master.audit.seam import Row

WINDOW_S = 1.0
MAX_KINDS = 2000
"""Kinds of one window; what is of no kind of these is counted as one more."""

_Kind = tuple[str, str | None, str]
_OTHERS: _Kind = ("(several)", None, "(several)")


class Handle(Protocol):
    def cancel(self) -> None: ...


def _later(delay_s: float, do: Callable[[], None]) -> Handle:
    return asyncio.get_running_loop().call_later(delay_s, do)


@dataclass(slots=True)
class _Seen:
    row: Row
    more: int = 0


class Floods:
    """Counts by principal, tool and outcome, and notes rows; `clock` is monotonic, in seconds."""

    def __init__(
        self,
        note: Callable[[Row], None],
        clock: Callable[[], float] = monotonic,
        later: Callable[[float, Callable[[], None]], Handle | None] = _later,
    ) -> None:
        self._note = note
        self._clock = clock
        self._later = later
        self._seen: dict[_Kind, _Seen] = {}
        self._since = 0.0
        self._closing: Handle | None = None

    def count(self, row: Row) -> None:
        """Note the row, or count it with those that were like it."""
        if self._clock() - self._since >= WINDOW_S:
            self.close()
            self._since = self._clock()
        kind: _Kind = (row.principal, row.tool, row.outcome)
        seen = self._seen.get(kind)
        if seen is None and len(self._seen) >= MAX_KINDS:
            kind = _OTHERS
            seen = self._seen.get(kind)
        if seen is not None:
            seen.more += 1
            return
        if kind == _OTHERS:
            row = replace(row, principal=kind[0], roles=(), tool=None, outcome=kind[2], details={})
        self._seen[kind] = _Seen(row)
        self._note(row)
        if self._closing is None:
            self._closing = self._later(WINDOW_S, self.close)

    def close(self) -> None:
        """Write the counts of this window; the next begins with the next row."""
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        seen, self._seen = self._seen, {}
        for each in seen.values():
            if each.more:
                row = replace(each.row, arguments=None, took_ms=None, correlation_id=None)
                details = {**each.row.details, "more": each.more, "withinS": WINDOW_S}
                self._note(replace(row, details=details))
