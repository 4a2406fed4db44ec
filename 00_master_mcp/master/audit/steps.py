"""What is asked of the database to add rows and to remove old ones, whichever database it is. Pure.

Each is a generator within one transaction of the only writer: it yields statements and is sent
their rows. Statements have named parameters, which both databases' drivers know.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from flotilla.chain import BROKEN, COLUMNS, GENESIS, Head, digest_of, key_id
from flotilla.redaction import Redactor
from master.audit.lines import Line, instant, line_of
from master.audit.seam import Row

ANCHOR = "anchor"
HEAD = "head"
REMOVED_AT_ONCE = 1000
"""Rows that one transaction of retention removes: others that write wait for it."""

_T = TypeVar("_T")
Found = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Statement:
    sql: str
    values: Mapping[str, Any] | Sequence[Mapping[str, Any]] = field(default_factory=dict[str, Any])


Steps = Generator[Statement, Found, _T]


@dataclass(frozen=True, slots=True)
class Spot:
    """A row by its number and hash; before the first one there is (0, GENESIS)."""

    number: int = 0
    hash: str = GENESIS


@dataclass(slots=True)
class Attempt:
    """One try to add lines; `reached` is the last row of them, known before it is stored."""

    lines: Sequence[Line]
    reached: Spot | None = None


_LAST = Statement("SELECT number, hash FROM hub_audit ORDER BY number DESC LIMIT 1")
_AT = "SELECT hash FROM hub_audit WHERE number = :number"
_MARK = "SELECT number, hash, at, key, signature FROM hub_audit_marks WHERE name = :name"
_SET_MARK = """
    INSERT INTO hub_audit_marks (name, number, hash, at, key, signature)
    VALUES (:name, :number, :hash, :at, :key, :signature)
    ON CONFLICT (name) DO UPDATE SET number = excluded.number, hash = excluded.hash,
        at = excluded.at, key = excluded.key, signature = excluded.signature
"""
_ADD = """
    INSERT INTO hub_audit
        (number, at, kind, principal, tool, outcome, correlation_id, body, previous, hash)
    VALUES
        (:number, :at, :kind, :principal, :tool, :outcome, :correlationId, :body, :previous, :hash)
"""
_OLDEST = """
    SELECT number, at, hash FROM hub_audit WHERE number > :after ORDER BY number LIMIT :many
"""
_REMOVE = "DELETE FROM hub_audit WHERE number <= :number"


def head_name(key: Ed25519PrivateKey) -> str:
    """Each hub with a key of its own says for itself what it wrote last."""
    return f"{HEAD}:{key_id(key.public_key())}"


def adding(
    attempt: Attempt, known: Spot | None, key: Ed25519PrivateKey, at: datetime
) -> Steps[Head]:
    """Add the lines behind the last row; the head that is kept beside.

    `known` is a row that this hub wrote, by default the last one that it signed in the database:
    where it is no more, a row says so before all others.
    """
    if known is None:
        own = yield from _mark(head_name(key))
        known = _spot(own) if own is not None and own.is_of(key.public_key()) else None
    anchor = yield from _mark(ANCHOR)
    last = yield _LAST
    tail = _spot(anchor) if not last else Spot(*last[0])
    lines = attempt.lines
    if known is not None and known != tail:
        held = yield Statement(_AT, {"number": known.number})
        removed = anchor is not None and anchor.number >= known.number
        if known.number > 0 and not removed and (not held or held[0][0] != known.hash):
            lines = (_broken(known, tail, at), *lines)
    rows: list[dict[str, Any]] = []
    number, previous = tail.number, tail.hash
    for line in lines:
        number += 1
        row_hash = digest_of(number, previous, line.body)
        rows.append(
            {
                "number": number,
                **dict(zip(COLUMNS, line.columns, strict=True)),
                "body": line.body,
                "previous": previous,
                "hash": row_hash,
            }
        )
        previous = row_hash
    attempt.reached = Spot(number, previous)
    yield Statement(_ADD, rows)
    head = Head.signed(key, HEAD, number, previous, instant(at))
    yield Statement(_SET_MARK, _values(head, head_name(key)))
    return head


def is_there(spot: Spot) -> Steps[bool]:
    """Whether the row is stored."""
    held = yield Statement(_AT, {"number": spot.number})
    return bool(held) and held[0][0] == spot.hash


def removing(before: str, key: Ed25519PrivateKey, at: datetime) -> Steps[Spot | None]:
    """Remove the first rows, as far as they are all older than `before`, at most so many at once.

    The last one that went, None where none did. The newest row always stays.
    """
    anchor = yield from _mark(ANCHOR)
    start = _spot(anchor)
    rows = yield Statement(_OLDEST, {"after": start.number, "many": REMOVED_AT_ONCE + 1})
    end: Spot | None = None
    for number, written_at, row_hash in rows[:-1]:
        if written_at >= before:
            break
        end = Spot(number, row_hash)
    if end is None:
        return None
    moved = Head.signed(key, ANCHOR, end.number, end.hash, instant(at))
    yield Statement(_SET_MARK, _values(moved, ANCHOR))
    yield Statement(_REMOVE, {"number": end.number})
    return end


def _mark(name: str) -> Steps[Head | None]:
    rows = yield Statement(_MARK, {"name": name})
    if not rows:
        return None
    return Head(name.partition(":")[0], *rows[0])


def _spot(head: Head | None) -> Spot:
    return Spot() if head is None else Spot(head.number, head.hash)


def _values(head: Head, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "number": head.number,
        "hash": head.hash,
        "at": head.at,
        "key": head.key,
        "signature": head.signature,
    }


def _broken(known: Spot, tail: Spot, at: datetime) -> Line:
    details = {
        "missing": {"number": known.number, "hash": known.hash},
        "last": {"number": tail.number, "hash": tail.hash},
    }
    row = Row(
        kind="audit",
        principal="hub",
        tool=BROKEN,
        outcome="broken_before",
        details=details,
        at=at,
    )
    return line_of(row, Redactor())
