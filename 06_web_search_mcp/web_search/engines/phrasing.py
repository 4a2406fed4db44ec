"""Words as they may go to an engine. Pure.

A bang (`!g words`, `w! words`, `\\words`) has DuckDuckGo, Brave and SearXNG send whoever asks to
another site: that looks like a wall, and one caller could have an engine rest for all others.
Source: https://duckduckgo.com/bangs
"""

import re

_BANG = re.compile(r"[!\\]\S*|[A-Za-z0-9.]+!")


def without_bangs(words: str) -> str:
    """The same words, each that would lead elsewhere in quotation marks."""
    return " ".join(
        '"' + each.replace('"', "").replace("\\", "") + '"' if _BANG.fullmatch(each) else each
        for each in words.split()
    )
