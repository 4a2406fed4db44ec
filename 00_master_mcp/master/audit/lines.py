"""A row as it is stored: one JSON object, redacted and of bounded size. Pure.

Its members, those that say nothing left out: `at`, `kind`, `principal`, `roles`, `tool`, `service`,
`arguments`, `outcome`, `rules`, `approval`, `correlationId`, `tookMs`, `details`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from flotilla.chain import COLUMNS, read_row
from flotilla.json_text import to_json
from flotilla.redaction import REDACTED, Redactor
from master.audit.seam import Row

MAX_BYTES = 4096
"""What arguments and details may have each; longer ones are cut."""
MAX_NAME = 200
MAX_STRING = 256
"""The beginning that is kept of a text that is cut."""
_LOOKED_AT = 64 * 1024
"""How much of a long text is redacted before its beginning is taken: no secret is longer, so none
is kept in part."""
_MAX_NAMES = 40
_BOUNDED = ("arguments", "details")
_FAST = '{"at":"'
"""How a row begins that was written by the fast writer; the other one, which takes what JSON has no
words for, leaves spaces."""


@dataclass(frozen=True, slots=True)
class Line:
    """The JSON text of a row, and its values for `COLUMNS`."""

    columns: tuple[str | None, ...]
    body: str


def line_of(row: Row, redactor: Redactor) -> Line:
    """Never raises: what cannot be written is replaced by a mark that says so."""
    members: dict[str, Any] = {
        "at": instant(row.at),
        "kind": row.kind,
        "principal": _name(row.principal, redactor),
    }
    if row.roles:
        members["roles"] = row.roles
    if row.tool is not None:
        members["tool"] = _name(row.tool, redactor)
    if row.service is not None:
        members["service"] = _name(row.service, redactor)
    if row.arguments:
        members["arguments"] = row.arguments
    members["outcome"] = _name(row.outcome, redactor)
    if row.rules:
        members["rules"] = row.rules
    if row.approval is not None:
        members["approval"] = _name(row.approval, redactor)
    if row.correlation_id is not None:
        members["correlationId"] = _name(row.correlation_id, redactor)
    if row.took_ms is not None:
        members["tookMs"] = round(row.took_ms, 2)
    if row.details:
        members["details"] = row.details
    try:
        for name in _BOUNDED:
            if name in members:
                members[name] = bounded(members[name], redactor)
        body = redactor.json(members)
        if not body.startswith(_FAST):
            body = to_json(_plain(json.loads(body, parse_constant=_nothing))).decode()
    except (ValueError, TypeError, RecursionError):
        members |= {name: {"unwritable": True} for name in _BOUNDED if name in members}
        body = redactor.json(members)
    # What redaction has changed is read back, so that the columns never show more than the row.
    told = read_row(body) if REDACTED in body else members
    return Line(tuple(map(told.get, COLUMNS)), body)


def instant(at: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, so that texts sort as times do."""
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    return at.isoformat(timespec="milliseconds")[:23] + "Z"


def bounded(value: Mapping[str, Any], redactor: Redactor) -> Mapping[str, Any]:
    """`value`, or where it has over `MAX_BYTES`, what can be told of it.

    Long texts are told by their beginning, size and SHA-256; where that is still too long, so is
    the whole.
    """
    if _weight(dict(value), MAX_BYTES) >= 0:
        return value
    shorter = _shortened(dict(value), redactor)
    if _weight(shorter, MAX_BYTES) >= 0:
        return cast("Mapping[str, Any]", shorter)
    try:
        written = to_json(value)
    except (ValueError, TypeError):
        return {"unwritable": True}
    told = [_name(str(name), redactor)[:64] for name in list(value)[:_MAX_NAMES]]
    return {"cut": True, "members": told, **_measured(written)}


def _weight(value: Any, left: int) -> int:
    """What is left of so many bytes after writing `value`, about; stops below zero."""
    if isinstance(value, str):
        return left - len(value) - 2
    if isinstance(value, dict):
        for name, inner in cast("dict[str, Any]", value).items():
            left = _weight(inner, left - len(name) - 4)
            if left < 0:
                return left
        return left
    if isinstance(value, list | tuple):
        for inner in cast("list[Any]", value):
            left = _weight(inner, left - 2)
            if left < 0:
                return left
        return left
    return left - (8 if not isinstance(value, int) else 1 + value.bit_length() // 3)


def _shortened(value: Any, redactor: Redactor) -> Any:
    if isinstance(value, str):
        if len(value) <= 2 * MAX_STRING:
            return value
        beginning = redactor.text(value[:_LOOKED_AT])[:MAX_STRING]
        written = value.encode("utf-8", "surrogatepass")
        return {"cut": True, "beginning": beginning, **_measured(written)}
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value).items()
        return {name: _shortened(inner, redactor) for name, inner in members}
    if isinstance(value, list | tuple):
        return [_shortened(inner, redactor) for inner in cast("list[Any]", value)]
    return value


def _plain(value: Any) -> Any:
    """What every reader of JSON takes: no half surrogate pairs, no numbers beyond 64 bits."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value).items()
        return {_plain(name): _plain(inner) for name, inner in members}
    if isinstance(value, list):
        return [_plain(inner) for inner in cast("list[Any]", value)]
    return str(value) if isinstance(value, int) and abs(value) >= 2**63 else value


def _nothing(_constant: str) -> None:
    """Infinity and NaN are no JSON."""


def _measured(written: bytes) -> dict[str, Any]:
    return {"bytes": len(written), "sha256": hashlib.sha256(written).hexdigest()}


def _name(text: str, redactor: Redactor) -> str:
    """Short and printable: strangers choose names of tools, and terminals obey control codes."""
    if len(text) > MAX_NAME:
        # Before it is cut, as a part of a secret is not recognised.
        text = f"{redactor.text(text[:_LOOKED_AT])[: MAX_NAME - 1]}…"
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
