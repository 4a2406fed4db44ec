"""The content codings that are offered, undone piece by piece within a bound. Pure.

Only what ACCEPT_ENCODING names is taken, once: a coding within a coding is how bombs are stacked.
Source: RFC 9110, section 8.4; RFC 1950 to 1952.
"""

import zlib
from typing import Protocol

from flotilla import TooLarge, UpstreamError

ACCEPT_ENCODING = "gzip, deflate"
MAX_RATIO = 250
"""Of decoded to encoded bytes; pages have 3 to 20, deflate's most is 1032."""
RATIO_FROM_BYTES = 2 * 1024 * 1024
"""Decoded bytes up to which the ratio does not matter."""
_STEP_BYTES = 1024 * 1024
_GZIP_MAGIC = b"\x1f\x8b"


class _Inflating(Protocol):
    """What zlib.decompressobj makes, which has no public name."""

    @property
    def eof(self) -> bool: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class Decoder:
    """Of one body: `feed` the bytes as they come, `finish` at their end.

    Raises TooLarge beyond `max_bytes` decoded (with `cut` it is `full` then, and takes no more) or
    beyond MAX_RATIO, having made a step more at most; UpstreamError for a coding that was not
    offered and for bytes that are none.
    """

    def __init__(self, content_encoding: str, max_bytes: int, *, cut: bool = False) -> None:
        coding = content_encoding.strip().lower()
        if coding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise UpstreamError(
                "the page is compressed in a way that was not offered",
                details={"reason": "bad_encoding"},
            )
        self._coding = {"": "identity", "x-gzip": "gzip"}.get(coding, coding)
        self._max_bytes = max_bytes
        self._cut = cut
        self._inflating: _Inflating | None = None
        self._waiting = b""
        self._encoded = self._decoded = 0
        self._members = 0
        self._over = False

    @property
    def full(self) -> bool:
        return self._cut and self._decoded >= self._max_bytes

    def feed(self, data: bytes) -> bytes:
        self._encoded += len(data)
        if self._coding == "identity":
            return self._counted(data)
        try:
            return self._inflated(data)
        except zlib.error as error:
            raise UpstreamError(
                f"the page says that it is {self._coding} and is not",
                details={"reason": "bad_encoding"},
            ) from error

    def finish(self) -> bool:
        """Whether the body was whole: a compressed one may end in the middle."""
        if self._coding == "identity" or not self._encoded or self._over:
            return True
        return self._inflating is None and not self._waiting

    def _inflated(self, data: bytes) -> bytes:
        made: list[bytes] = []
        data = self._waiting + data
        self._waiting = b""
        while data and not self._over and not self.full:
            if self._inflating is None:
                if len(data) < len(_GZIP_MAGIC):
                    self._waiting = data
                    break
                self._begin(data)
                continue
            made.append(self._counted(self._inflating.decompress(data, _STEP_BYTES)))
            data = self._inflating.unconsumed_tail
            if self._inflating.eof:
                data = self._inflating.unused_data
                self._inflating = None
                self._members += 1
        return b"".join(made)

    def _begin(self, data: bytes) -> None:
        """Choose how to read what comes: a first or further member, or what browsers ignore too."""
        if self._coding == "gzip":
            if self._members and not data.startswith(_GZIP_MAGIC):
                self._over = True
                return
            wbits = 16 + zlib.MAX_WBITS
        else:
            if self._members:
                self._over = True
                return
            # Servers say deflate both for zlib's format, as they should, and for bare deflate.
            is_zlib = data[0] & 0x0F == 8 and int.from_bytes(data[:2]) % 31 == 0
            wbits = zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS
        self._inflating = zlib.decompressobj(wbits)

    def _counted(self, made: bytes) -> bytes:
        if self._cut:
            made = made[: self._max_bytes - self._decoded]
        self._decoded += len(made)
        if self._decoded > self._max_bytes:
            raise too_large(self._max_bytes)
        if self._decoded > max(RATIO_FROM_BYTES, MAX_RATIO * self._encoded):
            raise TooLarge(
                f"the page unpacks to more than {MAX_RATIO} times its size, as bombs do",
                details={"reason": "bomb"},
            )
        return made


def too_large(max_bytes: int, size: int | None = None) -> TooLarge:
    """The refusal of a body of `size`, where that is known."""
    said = "more" if size is None else str(size)
    return TooLarge(
        f"the page has {said} bytes; {max_bytes} are read",
        hint="Ask for a smaller page; an operator sets WEB_BROWSING_MAX_FETCH_BYTES.",
        details={"reason": "too_many_bytes"},
    )
