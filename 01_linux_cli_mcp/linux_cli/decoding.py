"""What a part of a file says, as text where it is text. Pure."""

import base64
import codecs
from typing import Literal

from linux_cli.host import Part

Encoding = Literal["utf-8", "utf-16-le", "utf-16-be", "latin-1", "base64"]

_MARKS: tuple[tuple[bytes, Encoding], ...] = (
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_TEXT_CONTROLS = frozenset(b"\t\n\v\f\r\b\x1b")


def decoded(part: Part, *, raw: bool) -> tuple[str, Encoding, int]:
    """The text of a part, how it was decoded, and how many bytes it covers.

    The last bytes are left for the next part when they are the start of a character; a part that
    starts within one has it replaced. With `raw`, always base64.
    """
    data = part.data
    if raw:
        return _base64(data)
    for mark, encoding in _MARKS:
        # A UTF-32 mark starts like one of UTF-16.
        if part.first.startswith(mark) and part.first != codecs.BOM_UTF32_LE:
            return _utf16(part, encoding, mark)
    if b"\0" in data:
        return _base64(data)
    text, used = _utf8(data, part)
    if text is not None:
        return text, "utf-8", used
    if all(byte >= 0xA0 or 0x20 <= byte < 0x7F or byte in _TEXT_CONTROLS for byte in data):
        return data.decode("latin-1"), "latin-1", len(data)
    return _base64(data)


def _base64(data: bytes) -> tuple[str, Encoding, int]:
    return base64.b64encode(data).decode(), "base64", len(data)


def _utf8(data: bytes, part: Part) -> tuple[str | None, int]:
    skip = 0
    if part.offset:
        while skip < min(3, len(data)) and data[skip] & 0xC0 == 0x80:
            skip += 1
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(data[skip:], final=part.at_end)
    except UnicodeDecodeError:
        return None, 0
    waiting = len(decoder.getstate()[0])
    # A part too small for one character would never get on.
    if waiting and waiting == len(data):
        return None, 0
    return "\N{REPLACEMENT CHARACTER}" * skip + text, len(data) - waiting


def _utf16(part: Part, encoding: Encoding, mark: bytes) -> tuple[str, Encoding, int]:
    data = part.data
    if part.offset % 2 or (len(data) < 4 and not part.at_end):
        return _base64(data)
    try:
        decoder = codecs.getincrementaldecoder(encoding)()
        text = decoder.decode(data, final=part.at_end)
    except UnicodeDecodeError:
        return _base64(data)
    waiting = len(decoder.getstate()[0])
    return text.removeprefix(mark.decode(encoding)), encoding, len(data) - waiting
