"""What a service foresees of a call, in lines that none of its values can forge. Pure.

The service is ours; the names and values that it speaks of are not: whoever may name a machine
might name it after a line of ours. So each stands in quotes or behind a bar, and none is endless.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flotilla.preview import Change, Foreseen
from master.approvals.asking.plain import BAR, cut_off, in_quotes, quoted, visible

MAX_FACTS_BYTES = 8000
"""Of everything but the diff."""
MAX_DIFF_BYTES = 12_000
MAX_DIFF_CHARS = 16 * 1024
MAX_DIFF_LINES = 400
MAX_SENTENCE = 500
MAX_VALUE = 300
MAX_FACTS = 40
"""Fields of the state, changes or warnings that are told; of more it is said how many."""
_NAMED = 80


def foretold(foreseen: Foreseen, redact: Callable[[str], str]) -> Iterator[str]:
    """What happens and to what, its state, the changes, the price, what to mind, the diff.

    `redact` takes secrets out of a text.
    """
    told = _Told(redact)
    yield from _bounded(told.facts(foreseen))
    if foreseen.diff:
        yield "Diff:"
        yield from told.diff(foreseen.diff)


class _Told:
    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact

    def facts(self, foreseen: Foreseen) -> Iterator[str]:
        # The warnings come early, since a long list of changes may be cut.
        yield f"What happens: {self._text(foreseen.action, MAX_SENTENCE)}"
        yield f"Target: {self._text(foreseen.target, MAX_SENTENCE)}"
        yield from self._each(foreseen.warnings, self._warning, "warnings")
        if (cost := foreseen.monthly_cost) is not None:
            currency = self._text(cost.currency, 10)
            basis = self._text(cost.basis, MAX_SENTENCE)
            yield f"Monthly cost: about {cost.amount:,.2f} {currency}: {basis}"
        if foreseen.changes:
            yield "Changes:"
            yield from self._each(foreseen.changes, self._change, "changes")
        if foreseen.state:
            yield "Now:"
            yield from self._each(foreseen.state.items(), self._field, "fields")

    def diff(self, diff: str) -> Iterator[str]:
        text = self._redact(diff)
        size = 0
        for line in quoted(text, max_chars=MAX_DIFF_CHARS, max_lines=MAX_DIFF_LINES):
            size += len(line.encode(errors="replace"))
            if size > MAX_DIFF_BYTES and line.startswith(BAR):
                yield cut_off(text)
                return
            yield line

    def _each(
        self, values: Iterable[Any], line: Callable[[Any], str], called: str
    ) -> Iterator[str]:
        given = list(values)
        yield from map(line, given[:MAX_FACTS])
        if len(given) > MAX_FACTS:
            yield f"    (and {len(given) - MAX_FACTS} more {called})"

    def _warning(self, text: str) -> str:
        return f"Warning: {self._text(text, MAX_SENTENCE)}"

    def _change(self, change: Change) -> str:
        name = self._text(change.field, _NAMED)
        return f"    {name}: {self._value(change.before)} -> {self._value(change.after)}"

    def _field(self, field: tuple[str, Any]) -> str:
        return f"    {self._text(field[0], _NAMED)}: {self._value(field[1])}"

    def _text(self, text: str, most: int) -> str:
        return in_quotes(self._redact(text), most)

    def _value(self, value: Any) -> str:
        if value is None:
            return "(none)"
        if isinstance(value, str):
            shown, text = self._text(value, MAX_VALUE), self._redact(value)
        else:
            text = self._redact(json.dumps(value, ensure_ascii=False))
            shown = visible(text[:MAX_VALUE])
        # Two long values may differ where neither is shown.
        return shown if len(text) <= MAX_VALUE else f"{shown} {cut_off(text)}"


def _bounded(lines: Iterable[str]) -> Iterator[str]:
    size = 0
    for line in lines:
        size += len(line.encode(errors="replace"))
        if size > MAX_FACTS_BYTES:
            yield "(there is more than is told here)"
            return
        yield line
