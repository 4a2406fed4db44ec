"""How ServiceNow reads an encoded query, so that what slips into one really gives other records.

Written from its documentation and apart from the code under test: a condition that cannot be read,
or whose field is unknown, is left out (glide.invalid_query.returns_no_rows is false by default), a
value that begins with `javascript:` is run, and text is compared without regard to case.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Read = Callable[[str], str | None]
"""The value of a field of one record, dot-walked or not; None where there is no such field."""

_OPERATORS = (
    "ISNOTEMPTY",
    "INSTANCEOF",
    "STARTSWITH",
    "EMPTYSTRING",
    "ANYTHING",
    "NOT LIKE",
    "ENDSWITH",
    "ISEMPTY",
    "NOT IN",
    "NOTLIKE",
    "BETWEEN",
    "SAMEAS",
    "LIKE",
    "IN",
    "!=",
    ">=",
    "<=",
    "=",
    ">",
    "<",
)
_TERM = re.compile(rf"([a-z0-9_.]+)({'|'.join(map(re.escape, _OPERATORS))})(.*)", re.DOTALL)
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_ESCAPED = "\x00"


@dataclass(frozen=True)
class Term:
    field: str
    operator: str
    value: str

    def holds(self, read: Read) -> bool:
        held = read(self.field)
        if held is None:
            return True
        if self.value.startswith("javascript:"):
            return True
        return _OPERATIONS[self.operator](held.casefold(), self.value.casefold())


def _ordered(compare: Callable[[float | str, float | str], bool]) -> Callable[[str, str], bool]:
    def check(held: str, value: str) -> bool:
        if not held:
            return False
        # A sys_id may look like a number, and is none.
        if len(held) < 20 and _NUMBER.fullmatch(held) and _NUMBER.fullmatch(value):
            return compare(float(held), float(value))
        return compare(held, value)

    return check


def _equal(held: str, value: str) -> bool:
    return not held if value in ("", "null") else held == value


_OPERATIONS: dict[str, Callable[[str, str], bool]] = {
    "=": _equal,
    "!=": lambda held, value: not _equal(held, value),
    "LIKE": lambda held, value: value in held,
    "NOT LIKE": lambda held, value: value not in held,
    "NOTLIKE": lambda held, value: value not in held,
    "STARTSWITH": lambda held, value: held.startswith(value),
    "ENDSWITH": lambda held, value: held.endswith(value),
    "IN": lambda held, value: held in value.split(","),
    "NOT IN": lambda held, value: held not in value.split(","),
    "ISEMPTY": lambda held, _: not held,
    "ISNOTEMPTY": lambda held, _: bool(held),
    "EMPTYSTRING": lambda held, _: not held,
    "ANYTHING": lambda _held, _value: True,
    "INSTANCEOF": lambda _held, _value: True,
    "SAMEAS": lambda _held, _value: True,
    "BETWEEN": lambda _held, _value: True,
    ">": _ordered(lambda a, b: a > b),  # type: ignore[operator]
    ">=": _ordered(lambda a, b: a >= b),  # type: ignore[operator]
    "<": _ordered(lambda a, b: a < b),  # type: ignore[operator]
    "<=": _ordered(lambda a, b: a <= b),  # type: ignore[operator]
}


@dataclass(frozen=True)
class Query:
    """Alternatives of conditions of which each is one of several terms; and the order."""

    groups: list[list[list[Term]]]
    order: list[tuple[str, bool]]

    def holds(self, read: Read) -> bool:
        return any(all(any(t.holds(read) for t in either) for either in g) for g in self.groups)


def parsed(text: str, is_field: Callable[[str], bool]) -> Query:
    groups: list[list[list[Term]]] = [[]]
    order: list[tuple[str, bool]] = []
    for part in text.replace("^^", _ESCAPED).split("^"):
        if part.startswith("ORDERBYDESC"):
            order.append((part.removeprefix("ORDERBYDESC"), True))
            continue
        if part.startswith("ORDERBY"):
            order.append((part.removeprefix("ORDERBY"), False))
            continue
        if part in ("", "EQ"):
            continue
        if part.startswith("NQ"):
            groups.append([])
            part = part.removeprefix("NQ")
        beside = part.startswith("OR")
        term = _term(part.removeprefix("OR") if beside else part, is_field)
        if term is None:
            continue
        if beside and groups[-1]:
            groups[-1][-1].append(term)
        else:
            groups[-1].append([term])
    return Query(groups, order)


def _term(text: str, is_field: Callable[[str], bool]) -> Term | None:
    found = _TERM.fullmatch(text)
    if found is None or not is_field(found[1]):
        return None
    return Term(found[1], found[2], found[3].replace(_ESCAPED, "^"))


def put_in_order(
    rows: Sequence[str], order: Sequence[tuple[str, bool]], read: Callable[[str, str], str]
) -> list[str]:
    """The sys_ids in the query's order; without one, by sys_id."""
    found = sorted(rows)
    for field, descending in reversed(order):
        found.sort(key=lambda row: read(row, field).casefold(), reverse=descending)
    return found
