"""Known secrets taken out of a JSON text that passes in pieces. Pure."""

import json
import re
from asyncio import sleep
from bisect import bisect_right
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter

from flotilla.known_values import Known
from flotilla.redaction import REDACTED

WINDOW_BYTES = 16 * 1024
"""How much is looked at before other work gets its turn, where that takes long."""

_BUSY_S = 0.001
_PAIR = rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_UNIT = rb"\\u[0-9a-fA-F]{4}"
_PAIR_BYTES = 12
_ESCAPE_BYTES = 6
"""Of the longest way to write a byte."""
_NOT_UTF8 = b"\xff"
_ESCAPE = re.compile(_PAIR + rb"|" + _UNIT + rb"|\\.", re.DOTALL)
_UNITS = re.compile(rb"(?:" + _UNIT + rb")+")
_CONTENT = re.compile(rb'[^"\\]*+(?>(?:\\(?:u[0-9a-fA-F]{4}|[^u])[^"\\]*+)*)', re.DOTALL)
_SHORT = {
    b'\\"': b'"', b"\\/": b"/", b"\\n": b"\n", b"\\t": b"\t", b"\\r": b"\r", b"\\b": b"\b",
    b"\\f": b"\f",
}  # fmt: skip
_DIGITS = b"0123456789"
_FILLERS = [b"%d" % digit for digit in range(1, 10)]


class Scrubber:
    """Replaces known secrets in a JSON text by `[redacted]`: `feed` its bytes, then `finish`.

    A secret is found in each form of `flotilla.known_values`; each character of it may be escaped
    in whatever way JSON allows. It is found within strings, names of members included; what is a
    number as well is found among the numbers, where other digits take its place. So the text stays
    JSON. Whatever may be the beginning of a secret is held back until it is known not to be one.
    """

    def __init__(self, secrets: Iterable[str] | Known = ()) -> None:
        """What is given as `Known` is not made ready anew."""
        self._known = secrets if isinstance(secrets, Known) else Known(secrets)
        self.longest_bytes = self._known.longest_bytes * _ESCAPE_BYTES
        """How long a secret may be as it is written; an escape more is the most that is held."""
        self._rest = b""
        self._inside = False
        """Whether the rest begins within a string."""

    @property
    def held_bytes(self) -> int:
        return len(self._rest)

    def feed(self, chunk: bytes) -> bytes:
        """What may go on of all that came so far."""
        if not self._known:
            return chunk
        text = self._rest + chunk
        return self._pass(text, len(text) - self.longest_bytes + 1)

    def finish(self) -> bytes:
        """What was held back."""
        return self._pass(self._rest, len(self._rest))

    def _pass(self, text: bytes, until: int) -> bytes:
        """The text up to `until` or so, where no secret begins that has not wholly come."""
        if until <= 0:
            self._rest = text
            return b""
        plain = _unescaped(text) if b"\\" in text else text
        written, at = bytearray(), 0
        if self._known.may_be_in_bytes(plain):
            for span in self._found(text):
                if span.start >= until:
                    break
                written += text[at : span.start] + span.instead
                at = span.end
        cut = max(at, _before_escape(text, until))
        written += text[at:cut]
        self._inside ^= _count_quotes(text[:cut]) % 2 == 1
        self._rest = text[cut:]
        return bytes(written)

    def _found(self, text: bytes) -> Iterator["_Span"]:
        at, inside = 0, self._inside
        while at < len(text):
            if inside:
                content = _CONTENT.match(text, at)
                end = at if content is None else content.end()
                yield from self._found_in_string(text, at, end)
                if end < len(text) and text[end : end + 1] != b'"':
                    # Half an escape, at the end of what has come.
                    return
            else:
                quote = text.find(b'"', at)
                end = len(text) if quote < 0 else quote
                if self._known.numbers is not None:
                    for found in self._known.numbers.finditer(text, at, end):
                        yield _Span(found.start(), found.end(), self._other_digits(found[0]))
            at, inside = end + 1, not inside

    def _found_in_string(self, text: bytes, start: int, end: int) -> Iterator["_Span"]:
        content = text[start:end]
        if b"\\" not in content:
            if self._known.may_be_in_bytes(content):
                for begin, stop in self._known.spans(content):
                    yield _Span(start + begin, start + stop, REDACTED.encode())
            return
        plain, spelling = _spelled(content)
        for begin, stop in self._known.spans(plain):
            first, _ = spelling.of(begin)
            _, last = spelling.of(stop - 1)
            yield _Span(start + first, start + last, REDACTED.encode())

    def _other_digits(self, number: bytes) -> bytes:
        """A number as long that is no secret either, so of the same kind to whoever reads it."""
        others = (number.translate(bytes.maketrans(_DIGITS, each * 10)) for each in _FILLERS)
        return next((each for each in others if not self._known.spans(each)), b"0")


@dataclass(frozen=True, slots=True)
class _Span:
    """Where a secret stands in the text, and what takes its place."""

    start: int
    end: int
    instead: bytes


class _Spelling:
    """Where each byte of a string's value stands in the string as it is written."""

    def __init__(self) -> None:
        self._values: list[int] = [0]
        self._written: list[int] = [0]
        self._escaped_bytes: list[int] = [0]
        """How long the escape is that stands there, 0 for plain text."""

    def add(self, value: int, written: int, escape_bytes: int) -> None:
        self._values.append(value)
        self._written.append(written)
        self._escaped_bytes.append(escape_bytes)

    def of(self, value: int) -> tuple[int, int]:
        """From where to where the character is written whose value has its byte at `value`."""
        place = bisect_right(self._values, value) - 1
        begin = self._written[place]
        if self._escaped_bytes[place]:
            return begin, begin + self._escaped_bytes[place]
        begin += value - self._values[place]
        return begin, begin + 1


async def fed(scrubber: Scrubber, chunk: bytes) -> bytes:
    """What may go on of all that came so far.

    A text full of secrets is costly to write anew, a second for eight mebibytes of nothing else:
    it gives way to other work every few milliseconds.
    """
    if not scrubber.longest_bytes:
        return chunk
    clean = bytearray()
    for start in range(0, len(chunk), WINDOW_BYTES):
        began_s = perf_counter()
        clean += scrubber.feed(chunk[start : start + WINDOW_BYTES])
        if perf_counter() - began_s > _BUSY_S:
            await sleep(0)
    return bytes(clean)


async def scrubbed(chunks: AsyncIterable[bytes], secrets: Iterable[str]) -> AsyncIterator[bytes]:
    """The chunks of one JSON text without the secrets."""
    scrubber = Scrubber(secrets)
    async for chunk in chunks:
        if clean := await fed(scrubber, chunk):
            yield clean
    if rest := scrubber.finish():
        yield rest


def _spelled(content: bytes) -> tuple[bytes, _Spelling]:
    plain, spelling, at = bytearray(), _Spelling(), 0
    for escape in _ESCAPE.finditer(content):
        plain += content[at : escape.start()]
        spelling.add(len(plain), escape.start(), len(escape[0]))
        plain += _known_value_of(escape[0])
        at = escape.end()
        spelling.add(len(plain), at, 0)
    plain += content[at:]
    return bytes(plain), spelling


def _unescaped(text: bytes) -> bytes:
    """The text with every escape replaced by what it stands for; text outside strings as it is."""
    # Pairs of backslashes first: no other escape is then preceded by a backslash that is not its.
    text = text.replace(b"\\\\", _NOT_UTF8)
    for escape, value in _SHORT.items():
        text = text.replace(escape, value)
    if b"\\u" in text:
        text = _UNITS.sub(_value_of_match, text)
    return text.replace(_NOT_UTF8, b"\\")


def _value_of_match(escapes: re.Match[bytes]) -> bytes:
    written = escapes[0]
    return _known_value_of(written) if len(written) <= _PAIR_BYTES else _value_of(written)


def _value_of(escapes: bytes) -> bytes:
    try:
        return json.loads(b'"' + escapes + b'"').encode("utf-8", "surrogatepass")
    except ValueError:
        # No escape that JSON knows: whoever checks the text says so.
        return escapes


# A text uses few characters, and the dash of a long one comes a thousand times.
_known_value_of = lru_cache(maxsize=4096)(_value_of)


def _count_quotes(text: bytes) -> int:
    """How many quotes begin or end a string."""
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    return text.count(b'"')


def _before_escape(text: bytes, at: int) -> int:
    """`at`, or where the escape begins in whose middle that is."""
    last = text.rfind(b"\\", max(0, at - 5), at)
    if last < 0:
        return at
    run = last + 1 - len(text[: last + 1].rstrip(b"\\"))
    if run % 2 == 0:
        return at
    ends = last + (6 if text[last + 1 : last + 2] == b"u" else 2)
    return last if ends > at else at
