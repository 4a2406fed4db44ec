"""Foreign text as a person is to read it: nothing hidden, nothing forged, nothing endless. Pure.

Who writes arguments may want to be misread: by characters that nobody sees or that turn the order
of others (Unicode TR 36, "Trojan Source"), by line breaks that begin a sentence of ours, by marks
that a client renders. So every line that is not ours stands behind a bar, and characters that do
not show as what they are stand there by their numbers.
"""

import hashlib
import re
import unicodedata

BAR = "| "
MAX_CHARS = 1500
MAX_LINES = 40
MAX_WIDTH = 400
"""Characters of one line; a longer one goes on in the next, behind its bar."""
_MAX_MARKS = 2
"""Combining marks on one letter; more of them grow over the lines around."""
_SEEN = re.compile(r"[ -~]*")
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and symbols by their category, and blank to the eye."""
_NAMES = {"\t": "⟨TAB⟩", "\r": "⟨CR⟩", "\n": "⟨LF⟩"}
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"))


def visible(text: str) -> str:
    """The text on one line, with everything that does not show as itself by its number."""
    if _SEEN.fullmatch(text):
        return text
    out: list[str] = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks > _MAX_MARKS or _is_hidden(character):
            out.append(_NAMES.get(character) or f"⟨U+{ord(character):04X}⟩")
        else:
            out.append(character)
    return "".join(out)


def short(text: str, most: int = 100) -> str:
    """A name in a line of ours."""
    shown = visible(text[: most + 1])
    return shown if len(text) <= most else f"{visible(text[:most])}…"


def in_quotes(text: str, most: int = 100) -> str:
    """A short text in quotes, which it cannot end: its own are single ones."""
    return '"{}"'.format(short(text, most).replace('"', "'"))


def quoted(text: str, *, max_chars: int = MAX_CHARS, max_lines: int = MAX_LINES) -> list[str]:
    """The lines of a text, each behind a bar; of a long one its start, its size and its hash."""
    shown = text[:max_chars]
    lines = [
        line[at : at + MAX_WIDTH]
        for line in map(visible, shown.split("\n"))
        for at in range(0, max(len(line), 1), MAX_WIDTH)
    ]
    was_cut = len(shown) < len(text) or len(lines) > max_lines
    told = [f"{BAR}{line}" for line in lines[:max_lines]]
    return [*told, cut_off(text)] if was_cut else told


def cut_off(text: str) -> str:
    """The line that says that a text goes on."""
    raw = text.encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(raw).hexdigest()[:16]
    return f"(cut: {len(raw)} bytes in all, SHA-256 {digest}…)"


def _is_hidden(character: str) -> bool:
    if character == " ":
        return False
    return (
        unicodedata.category(character) in _HIDDEN
        or character in _FILLERS
        or "\ufe00" <= character <= "\ufe0f"
        or "\U000e0000" <= character <= "\U000e0fff"
    )
