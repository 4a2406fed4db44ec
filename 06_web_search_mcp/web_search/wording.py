"""Words of strangers as a result may show them: plain, on one line, cut. Pure."""

import re

from flotilla.sizes import strip_invisible

MAX_TITLE_CHARS = 200
MAX_SNIPPET_CHARS = 400

_NO_TEXT = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff\ufff9-\ufffb]+"
)


def plain(text: str, max_chars: int) -> str:
    """One line without control characters and what nobody sees.

    What is longer ends at a word, with an ellipsis, within `max_chars`.
    """
    # A text that would fill a book is not worth reading for its first lines.
    start = text[: 20 * max_chars]
    line = " ".join(_NO_TEXT.sub(" ", strip_invisible(start)).split())
    if len(line) <= max_chars:
        return line
    head = line[: max_chars - 1]
    at_word, _, rest = head.rpartition(" ")
    # Languages without blanks are cut where they are.
    return f"{at_word if at_word and len(rest) <= 40 else head}…"
