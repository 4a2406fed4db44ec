"""What comes from the outside world: marked as such, and without what only a model would see.

Every result of an external server passes here, whichever way it speaks. What the fleet marks its
own results by is taken out, `io.flotilla/untrusted` is put in, and characters that no person can
see are stripped from the texts. A result that is too large to be held gets the marks alone.
"""

import re
from collections.abc import AsyncIterator
from functools import cache

from typing_extensions import override

from flotilla import meta
from flotilla.json_text import from_json, to_json
from flotilla.sizes import strip_invisible
from master.call import Relay
from master.result import OURS, Result
from master.streaming.splitter import Leave, Member, Piece

_VERBATIM = frozenset(("_meta", "inputRequests", "requestState", "resultType"))
"""The members that are the protocol's or that must come back to the server as they were."""


def untrusted(result: Result) -> Result:
    """A stranger's result as the fleet passes it on."""
    texts = {
        name: text if name in _VERBATIM else visible(text) for name, text in result.texts.items()
    }
    marks = result.texts.get("_meta")
    if result.asks:
        if marks is not None and _may_be_ours(marks):
            texts["_meta"] = to_json(_theirs(marks)).decode()
        return Result(texts)
    return Result({**texts, "_meta": marked_untrusted(marks)}, result.poured)


def marked_untrusted(text: str | None) -> str:
    """The JSON text of a stranger's `_meta` with our mark, and with nothing else of ours."""
    theirs = {} if text is None else _theirs(text)
    return to_json({**theirs, meta.UNTRUSTED: True}).decode()


def visible(text: str) -> str:
    """A JSON text without invisible characters in its strings; the rest stays as it was written."""
    if "\\u" in text:
        text = _hidden_escapes().sub(_unless_invisible, text)
    return strip_invisible(text)


class FromOutside(Relay):
    """Hears a stranger's answer for a client: one that comes in pieces is marked on its way."""

    @override
    async def pour(self, pieces: AsyncIterator[Piece]) -> bool:
        return await self.hearer.pour(_marked(pieces))


async def _marked(pieces: AsyncIterator[Piece]) -> AsyncIterator[Piece]:
    marked = False
    async for piece in pieces:
        if isinstance(piece, Member) and (piece.path, piece.name) == ("result", "_meta"):
            marked = True
            yield Member("result", "_meta", marked_untrusted(piece.text.decode()).encode())
            continue
        if isinstance(piece, Leave) and not marked:
            yield Member("result", "_meta", marked_untrusted(None).encode())
        yield piece


def _may_be_ours(text: str) -> bool:
    # An escape may hide what is looked for.
    return OURS in text or "\\" in text


def _theirs(text: str) -> dict[str, object]:
    given = meta.members(from_json(text.encode()))
    return {key: value for key, value in given.items() if not key.startswith(OURS)}


@cache
def _hidden_escapes() -> re.Pattern[str]:
    """The escapes of what may be invisible: few of those that a text has, so that most are cheap.

    Of characters beyond 16 bits only the upper planes are looked at, which hold tags. A half of a
    pair stays: with its other half it is a character that is seen.
    """
    whole = (*range(0xD800), *range(0xE000, 0x10000))
    hidden = [code for code in whole if not strip_invisible(chr(code))]
    codes = "|".join(f"{code:04x}" for code in hidden)
    return re.compile(rf"\\u(?i:{codes}|db[0-9a-f]{{2}}\\ud[c-f][0-9a-f]{{2}})")


def _unless_invisible(escape: re.Match[str]) -> str:
    written, text, before = escape[0], escape.string, escape.start()
    while before and text[before - 1] == "\\":
        before -= 1
    if (escape.start() - before) % 2:
        # The backslash is itself escaped: a person sees what is written there.
        return written
    if len(written) == len("\\u0000"):
        return ""
    character = bytes.fromhex(written.replace("\\u", "")).decode("utf-16-be")
    return strip_invisible(character) and written
