"""Rows that are chained by hashes: how they are hashed, walked, and told to be wrong. Pure.

What is hashed of a row is the JSON array `[number,"hash of the row before","row"]` without spaces,
as UTF-8, where the row is the JSON object that is stored, byte for byte: whoever checks a chain
need not know how the row was written. The first row follows `GENESIS`. Numbers have no holes.

A chain alone does not show that its last rows are missing, nor that somebody wrote all of it anew.
So the newest row is told in a `Head`, which is signed and kept in more than one place.
"""

import base64
import hashlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from flotilla.json_text import from_json

GENESIS = "0" * 64
"""What the first row of all follows."""
BROKEN = "audit.broken"
"""The tool of a row by which a hub tells that rows are missing which it had written."""
COLUMNS: Mapping[str, str] = {
    "at": "at",
    "kind": "kind",
    "principal": "principal",
    "tool": "tool",
    "outcome": "outcome",
    "correlationId": "correlation_id",
}
"""The members of a row that are columns of its table too, and how the table calls them."""
NEAR = 200
"""How many rows after a wrong one are looked at to tell what is wrong."""
_SHIFTED = 1000
"""How far a row may have been moved to be recognised."""

Wrong = Literal[
    "changed",
    "removed",
    "inserted",
    "reordered",
    "replaced",
    "tail_cut",
    "unsigned",
    "rewritten",
    "head_forged",
    "head_missing",
    "anchor_forged",
    "broken_before",
]
"""
changed        the row is not what was hashed, or its columns do not say what it says
removed        rows before it are missing
inserted       it was not there when those after it were written
reordered      it stood elsewhere
replaced       it is whole, but the row after it followed another one
tail_cut       rows after the last one are missing
unsigned       it and what follows hold together, but stand behind the newest signed row
rewritten      the chain holds together, but the row that a signed head tells of is another
head_forged    what tells of the newest row has no good signature
head_missing   no known key has signed which row is the newest
anchor_forged  what tells of the rows that retention removed has no good signature
broken_before  a hub found rows missing that it had written, and went on; this row says which
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """The first wrong thing in a chain."""

    number: int
    wrong: Wrong
    meaning: str


@dataclass(frozen=True, slots=True)
class Link:
    """A row as it is stored; `columns` are what is stored of it beside, by the body's names."""

    number: int
    previous: str
    body: str
    hash: str
    columns: Mapping[str, str | None]


def digest_of(number: int, previous: str, body: str) -> str:
    """The hash of a row, in hexadecimal."""
    return hashlib.sha256(f'[{number},"{previous}",{body}]'.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Head:
    """Row `number` had this hash: said, by the holder of a key, of the newest row or of the last
    one that retention removed."""

    name: str
    """`head`, or `anchor`: the one is no proof of the other."""
    number: int
    hash: str
    at: str
    key: str
    """The ID of the key, as `key_id` tells it."""
    signature: str

    @classmethod
    def signed(
        cls, key: Ed25519PrivateKey, name: str, number: int, row_hash: str, at: str
    ) -> "Head":
        signature = base64.b64encode(key.sign(_statement(name, number, row_hash, at))).decode()
        return cls(name, number, row_hash, at, key_id(key.public_key()), signature)

    @classmethod
    def read(cls, text: str) -> "Head":
        """What `text` wrote; ValueError for anything else."""
        told: Any = orjson.loads(text)
        try:
            texts = (str(told[name]) for name in ("hash", "at", "key", "signature"))
            return cls(str(told["name"]), int(told["number"]), *texts)
        except (TypeError, KeyError):
            raise ValueError("not a head") from None

    def text(self) -> str:
        """As JSON, on one line."""
        return orjson.dumps(self).decode()

    def is_of(self, key: Ed25519PublicKey) -> bool:
        """Whether the holder of that key said so."""
        said = _statement(self.name, self.number, self.hash, self.at)
        try:
            key.verify(base64.b64decode(self.signature, validate=True), said)
        except (InvalidSignature, ValueError):
            return False
        return self.key == key_id(key)


def key_id(key: Ed25519PublicKey) -> str:
    """16 hexadecimal digits of the SHA-256 of the raw key."""
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def _statement(name: str, number: int, row_hash: str, at: str) -> bytes:
    return orjson.dumps(["flotilla audit", name, number, row_hash, at])


class Walk:
    """Goes along a chain, row after row, in order of their numbers; keeps only where it is."""

    def __init__(self, number: int = 0, row_hash: str = GENESIS) -> None:
        """Begins after the row of that number and hash."""
        self.number = number
        self.hash = row_hash
        self._before: str | None = None
        """The hash of the row before that one."""

    def pass_by(self, rows: Sequence[Link]) -> int | None:
        """The index of the first wrong row, where the walk then stands; None: all are right."""
        number, last, before = self.number, self.hash, self._before
        found = None
        for index, row in enumerate(rows):
            if (
                row.number != number + 1
                or row.previous != last
                or digest_of(row.number, row.previous, row.body) != row.hash
                or not _columns_are_true(row)
            ):
                found = index
                break
            number, before, last = row.number, last, row.hash
        self.number, self.hash, self._before = number, last, before
        return found

    def what_is_wrong(self, rows: Sequence[Link]) -> Fault:
        """With the wrong row where the walk stands, and up to `NEAR` that follow it."""
        row, expected = rows[0], self.number + 1
        if row.number > expected:
            return Fault(expected, "removed", f"rows {expected} to {row.number - 1} are missing")
        was = _number_when_hashed(row)
        if was is None:
            return Fault(row.number, "changed", "the row is not what was hashed")
        if was > row.number:
            if any(_number_when_hashed(other) == row.number for other in rows[1:]):
                return Fault(row.number, "reordered", f"the row stood at {was}")
            meaning = f"{was - row.number} rows are missing before it, and it was renumbered"
            return Fault(row.number, "removed", meaning)
        if was < row.number:
            return Fault(was, "inserted", "rows after it were renumbered to make room for it")
        if row.previous == self.hash:
            return Fault(row.number, "changed", "its columns do not say what the row says")
        if row.previous == self._before:
            return Fault(self.number, "inserted", "the row after it followed the one before it")
        return Fault(self.number, "replaced", "the row after it followed another one")


def _number_when_hashed(row: Link) -> int | None:
    if digest_of(row.number, row.previous, row.body) == row.hash:
        return row.number
    for away in range(1, _SHIFTED + 1):
        for number in (row.number + away, row.number - away):
            if digest_of(number, row.previous, row.body) == row.hash:
                return number
    return None


def _columns_are_true(row: Link) -> bool:
    told = read_row(row.body)
    return all(told.get(name) == value for name, value in row.columns.items())


def read_row(body: str) -> Mapping[str, Any]:
    """The members of a row's body; none of one that is no JSON object."""
    try:
        told: Any = orjson.loads(body)
    except ValueError:
        try:
            told = from_json(body.encode())
        except ValueError:
            return {}
    return told if isinstance(told, dict) else {}  # pyright: ignore[reportUnknownVariableType]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The next rows after that number, in order, at most so many; fewer where there are no more."""

    after: int
    many: int


@dataclass(frozen=True, slots=True)
class Checked:
    """Rows `first` to `last` were walked; `fault` is the first wrong thing, if there is one."""

    first: int
    last: int
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Signed:
    """What is signed about a chain, and the number of its newest row at that moment."""

    anchor: Head | None
    heads: Sequence[Head]
    last: int


def checking(
    signed: Signed, keys: Sequence[Ed25519PublicKey], many: int = 1000
) -> Generator[Wanted, Sequence[Link], Checked]:
    """Walk all rows up to the newest one: yields what it wants to see, and is sent it.

    `keys` are those whose holders are believed. Heads of other keys count too, but one of a known
    key must tell of the newest row, as whoever writes rows can make keys.
    """
    anchor, heads = signed.anchor, signed.heads
    start = anchor.number if anchor is not None else 0
    if anchor is not None and not any(anchor.is_of(key) for key in keys):
        meaning = "no known key signed that the rows up to it were removed because they were old"
        return Checked(start + 1, start, Fault(anchor.number, "anchor_forged", meaning))
    forged = next((head for head in heads if _is_forged(head, keys)), None)
    if forged is not None:
        meaning = "the signature of what tells of the newest row is wrong"
        return Checked(start + 1, start, Fault(forged.number, "head_forged", meaning))
    walk = Walk() if anchor is None else Walk(anchor.number, anchor.hash)
    told = {head.number: head.hash for head in heads}
    broken: int | None = None
    while walk.number < signed.last:
        rows = yield Wanted(walk.number, min(many, signed.last - walk.number))
        if not rows:
            break
        wrong = walk.pass_by(rows)
        for row in rows[:wrong]:
            if broken is None and row.columns.get("tool") == BROKEN:
                broken = row.number
            # Behind such a row, heads of before tell of the rows that are missing.
            if broken is None and told.get(row.number, row.hash) != row.hash:
                meaning = "a signed head tells of another row of this number"
                return Checked(start + 1, row.number, Fault(row.number, "rewritten", meaning))
        if wrong is not None:
            following = yield Wanted(rows[wrong].number - 1, NEAR)
            return Checked(start + 1, walk.number, walk.what_is_wrong(following))
    fault = _at_the_end(walk.number, heads, keys)
    if fault is None and broken is not None:
        meaning = "a hub found rows missing that it had written; the row tells which"
        fault = Fault(broken, "broken_before", meaning)
    return Checked(start + 1, walk.number, fault)


def _is_forged(head: Head, keys: Sequence[Ed25519PublicKey]) -> bool:
    return any(head.key == key_id(key) and not head.is_of(key) for key in keys)


def _at_the_end(last: int, heads: Sequence[Head], keys: Sequence[Ed25519PublicKey]) -> Fault | None:
    newest = max((head.number for head in heads), default=0)
    if newest > last:
        return Fault(last + 1, "tail_cut", f"rows {last + 1} to {newest} are missing")
    if 0 < newest < last:
        return Fault(newest + 1, "unsigned", f"rows {newest + 1} to {last} were added by no hub")
    if last > 0 and not any(
        head.number == last and head.is_of(key) for head in heads for key in keys
    ):
        return Fault(last, "head_missing", "no known key signed which row is the newest")
    return None
