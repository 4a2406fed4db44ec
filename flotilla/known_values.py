"""Finds values that are known to be secret, however they are written. Pure.

A value is found as it is, URL-encoded, in base64 (at each of the three alignments), in hexadecimal
and as JSON escapes it; each of these also where white space stands between its characters, as it
does in base64 of 76 characters a line or in what a terminal wrapped, and in JSON that is the text
of a string in JSON, at any depth (there backslashes count as little as white space: of a value that
begins or ends with one, that one may stay).
"""

import base64
import json
import re
from bisect import bisect_right
from collections.abc import Collection, Iterable
from urllib.parse import quote, quote_plus

from pydantic_core import SchemaValidator, core_schema

MIN_LENGTH = 8
"""Characters; shorter values would redact ordinary words."""

_ANCHOR_CHARS = 24
"""Of a form that are looked for first: enough to tell it from all else."""
_LINE_CHARS = 32
_NUMBER = re.compile(rb"[0-9.eE+-]+")
_BLANK = b" \t\r\n\x0b\x0c"
_ESCAPED_BLANKS = (b"\\n", b"\\r", b"\\t")
_GAP = re.compile(rb"(?:[ \t\r\n\x0b\x0c]|\\+[nrt]?)+")
_PERCENT = re.compile("%[0-9A-F]{2}")


def forms_of(secret: str) -> Iterable[str]:
    """How a known value may be written, but for gaps; nothing for short ones.

    A form may come more than once.
    """
    if len(secret) < MIN_LENGTH:
        return
    yield secret
    for line in secret.splitlines():
        # Who reads a key in parts reads whole lines of it.
        if len(line) >= _LINE_CHARS and not any(map(str.isspace, line)):
            yield line
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    for encoded in (quote(secret, errors="replace"), _all_quoted(secret), _plus_quoted(secret)):
        yield encoded
        # The hexadecimal digits of an escape are as often in lower case.
        yield _PERCENT.sub(lambda escape: escape[0].lower(), encoded)
    raw = secret.encode(errors="replace")
    yield raw.hex()
    yield raw.hex().upper()
    for before in range(3):
        # Inside a longer text the bytes before shift the alignment; the characters that mix with
        # neighbours are cut off, the rest is the same whatever stands around.
        encoded = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        start = (before * 8 + 5) // 6
        whole = (before + len(raw)) * 8 // 6
        core = encoded[start:whole]
        if len(core) >= MIN_LENGTH:
            yield core
            yield core.translate(str.maketrans("+/", "-_"))


def _all_quoted(secret: str) -> str:
    return quote(secret, safe="", errors="replace")


def _plus_quoted(secret: str) -> str:
    return quote_plus(secret, errors="replace")


class Known:
    """Certain values; immutable. Looking for them costs about 3 µs a KB, however many they are."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self.secrets = frozenset(secrets)
        forms = {form.encode(errors="replace") for each in self.secrets for form in forms_of(each)}
        closed = {form: _closed(form) for form in forms}
        self._whole = tuple(forms)
        self._closed = tuple({each for each in closed.values() if len(each) >= MIN_LENGTH})
        # Closed up they would be found in ordinary words that stand side by side.
        self._full_of_blanks = any(len(each) < MIN_LENGTH for each in closed.values())
        numbers = sorted(filter(_NUMBER.fullmatch, forms), key=len, reverse=True)
        self.numbers = re.compile(b"|".join(map(re.escape, numbers))) if numbers else None
        """Finds those that may stand in JSON without quotes."""
        self.longest_bytes = max(map(len, forms), default=0)
        # The standard library tries every alternative at every place: three hundred forms take it
        # 0.5 ms a KB. The engine of pydantic-core looks for all of them at once.
        self._hinted = _finder({*self._whole, *self._closed})

    def __bool__(self) -> bool:
        return bool(self._whole)

    def may_be_in(self, text: str) -> bool:
        """Whether it is worth looking; false only where none of the values is."""
        if not self._whole:
            return False
        return self.may_be_in_bytes(text.encode(errors="replace"))

    def may_be_in_bytes(self, raw: bytes) -> bool:
        """The same of UTF-8, which may be cut anywhere."""
        if not self._whole:
            return False
        # Most of what is found as it is is found closed up too.
        whole = self._full_of_blanks or b"\\" in raw
        if whole and self._hinted.isinstance_python(raw.decode(errors="replace")):
            return True
        return self._hinted.isinstance_python(_closed(raw).decode(errors="replace"))

    def spans(self, raw: bytes) -> list[tuple[int, int]]:
        """From where to where the values stand in UTF-8, in order, none over another."""
        found = [(at, at + len(form)) for form in self._whole for at in _places(raw, form)]
        text, begins, offsets = _closed_up(raw)

        def place(at: int) -> int:
            run = bisect_right(begins, at) - 1
            return offsets[run] + at - begins[run]

        for form in self._closed:
            ends = len(form) - 1
            for at in _places(text, form):
                start, end = place(at), place(at + ends) + 1
                if form.startswith(b'"'):
                    # What escapes it is nothing without it.
                    start -= len(raw[:start]) - len(raw[:start].rstrip(b"\\"))
                found.append((start, end))
        return _merged(found)

    def hidden(self, text: str, instead: str) -> str:
        """The text with `instead` in the place of the values."""
        raw = text.encode(errors="surrogatepass")
        spans = self.spans(raw)
        if not spans:
            return text
        parts: list[str] = []
        at = 0
        for start, end in spans:
            parts.append(raw[at:start].decode(errors="surrogatepass"))
            at = end
        parts.append(raw[at:].decode(errors="surrogatepass"))
        return instead.join(parts)


def _finder(forms: Collection[bytes]) -> SchemaValidator:
    anchors = {form.decode(errors="replace")[:_ANCHOR_CHARS] for form in forms}
    pattern = "|".join(map(re.escape, sorted(anchors)))
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))


def _closed(raw: bytes) -> bytes:
    """The text without white space, written or escaped, and without what escapes."""
    raw = raw.translate(None, _BLANK)
    if b"\\" not in raw:
        return raw
    while b"\\\\" in raw:
        raw = raw.replace(b"\\\\", b"\\")
    for blank in _ESCAPED_BLANKS:
        raw = raw.replace(blank, b"")
    return raw.replace(b"\\", b"")


def _closed_up(raw: bytes) -> tuple[bytes, list[int], list[int]]:
    """The same, and where each of its runs begins in it and in the text."""
    runs: list[bytes] = []
    begins: list[int] = []
    offsets: list[int] = []
    at = length = 0
    for gap in (*_GAP.finditer(raw), None):
        end = len(raw) if gap is None else gap.start()
        if end > at:
            runs.append(raw[at:end])
            begins.append(length)
            offsets.append(at)
            length += end - at
        at = end if gap is None else gap.end()
    return b"".join(runs), begins, offsets


def _places(text: bytes, form: bytes) -> Iterable[int]:
    """Where the form begins, also within itself."""
    at = text.find(form)
    while at >= 0:
        yield at
        at = text.find(form, at + 1)


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
