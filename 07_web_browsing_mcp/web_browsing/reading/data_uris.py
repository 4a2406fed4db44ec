"""Files that stand inside a page as data URIs: told by their kind and size. Pure."""

import re

# RFC 2397. Shorter ones are as readable as any other word.
_DATA = re.compile(r"data:([\w.+-]{1,40}/[\w.+-]{1,40})?[^\s\"'<>)]{60,}")


def cut_data(text: str) -> str:
    """The text with its data URIs cut to their kind and size."""
    return (
        _DATA.sub(lambda found: _name(found[1], len(found[0])), text) if "data:" in text else text
    )


def _name(kind: str | None, length: int) -> str:
    size = f"{length} bytes" if length < 1024 else f"{length // 1024} KB"
    return f"data:{kind or 'text/plain'};… ({size} cut)"
