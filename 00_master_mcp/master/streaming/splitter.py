"""One JSON-RPC message of any size, cut into its members while it comes. Pure.

The members of the message and those of its `result` come out in the order in which they stand,
small ones whole and large ones in parts, each with its bytes as they were written.
"""

import codecs
import json
from asyncio import sleep
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from time import perf_counter

from master.streaming import grammar
from master.streaming.values import ValueScanner, malformed, skip_space

HOLD_BYTES = 64 * 1024
"""A member up to this size comes out whole."""
MAX_NAME_BYTES = 1024
MAX_MEMBERS = 1000
"""Of the message and the object inside it together; ours have ten."""
WINDOW_BYTES = 16 * 1024
"""How much is read at a time: what it costs to read is lost to all other calls."""

_BUSY_S = 0.001


@dataclass(frozen=True, slots=True)
class Member:
    """A member whose text fits; `path` is "" or the name of the object inside."""

    path: str
    name: str
    text: bytes


@dataclass(frozen=True, slots=True)
class Begin:
    """A larger member begins; its text follows in one or more Chunks, then an End."""

    path: str
    name: str


@dataclass(frozen=True, slots=True)
class Chunk:
    data: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The member that began last is whole and well-formed."""


@dataclass(frozen=True, slots=True)
class Enter:
    """The object inside begins: what follows is its members, until Leave."""

    name: str


@dataclass(frozen=True, slots=True)
class Leave:
    """The object inside is whole."""


Piece = Member | Begin | Chunk | End | Enter | Leave

# What stands next between the members; plain integers like those of the scanner.
_START, _FIRST_NAME, _NAME, _COLON, _BEFORE_VALUE, _VALUE, _AFTER, _END = range(8)


class Splitter:
    """Reads one message: `feed` its bytes as they come, then `finish`.

    Holds at most `hold` bytes and what one token may take. UpstreamError for what is no JSON
    object, nests too deeply, has no end or more than one `inside`.
    """

    def __init__(self, hold: int = HOLD_BYTES, inside: str = "result") -> None:
        self._hold_bytes = hold
        self._inside = inside
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._rest = b""
        """A token of which the end has not come."""
        self._held = bytearray()
        """The beginning of a member that may still be a small one."""
        self._begun = False
        self._next = _START
        self._path = ""
        self._name = ""
        self._members = 0
        self._descended = False
        self._scanner = ValueScanner()

    @property
    def held_bytes(self) -> int:
        return len(self._rest) + len(self._held)

    @property
    def complete(self) -> bool:
        """Whether the message has ended; nothing but spaces may follow."""
        return self._next == _END

    def feed(self, chunk: bytes) -> list[Piece]:
        """The pieces that `chunk` completes."""
        pieces: list[Piece] = []
        for start in range(0, len(chunk), WINDOW_BYTES):
            self._read(chunk[start : start + WINDOW_BYTES], pieces)
        return pieces

    def finish(self) -> None:
        """Say that nothing more comes: UpstreamError unless the message is whole."""
        if not self.complete:
            raise malformed("it ends too early" if self._next != _START else "it is empty")

    def _read(self, window: bytes, pieces: list[Piece]) -> None:
        self._check_text(window)
        data = self._rest + window if self._rest else window
        at, end = 0, len(data)
        while True:
            if self._next == _VALUE:
                at = self._value(data, at, pieces)
                if self._next == _VALUE:
                    break
            at = skip_space(data, at)
            if at == end:
                break
            before, state = at, self._next
            at = self._token(data, at, pieces)
            if at == before and self._next == state:
                break
        self._rest = data[at:]

    def _check_text(self, window: bytes) -> None:
        # Most windows are ASCII, and to see that costs a fraction of decoding them.
        if window.isascii() and not self._utf8.getstate()[0]:
            return
        try:
            self._utf8.decode(window)
        except UnicodeDecodeError:
            raise malformed("it is not UTF-8") from None

    def _token(self, data: bytes, at: int, pieces: list[Piece]) -> int:
        """Past one token between the values; the same position when it is not whole yet."""
        byte, state = data[at : at + 1], self._next
        if state == _BEFORE_VALUE:
            return self._begin(byte, at, pieces)
        if state in (_FIRST_NAME, _NAME) and byte == b'"':
            return self._member_name(data, at)
        if byte == b"}" and state in (_FIRST_NAME, _AFTER):
            self._close(pieces)
        elif byte == b"{" and state == _START:
            self._next = _FIRST_NAME
        elif byte == b":" and state == _COLON:
            self._next = _BEFORE_VALUE
        elif byte == b"," and state == _AFTER:
            self._next = _NAME
        elif state == _END:
            raise malformed("there is something behind the object")
        else:
            raise malformed("it is not an object" if state == _START else "a member is broken")
        return at + 1

    def _begin(self, byte: bytes, at: int, pieces: list[Piece]) -> int:
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise malformed(f"it has more than {MAX_MEMBERS} members")
        if self._path == "" and self._name == self._inside:
            # Which of the two counts would be up to each reader: so none may have two.
            if self._descended:
                raise malformed(f"it has two members {self._inside!r}")
            self._descended = True
            if byte == b"{":
                self._path, self._next = self._inside, _FIRST_NAME
                pieces.append(Enter(self._inside))
                return at + 1
        self._scanner, self._begun, self._next = ValueScanner(), False, _VALUE
        return at

    def _close(self, pieces: list[Piece]) -> None:
        if self._path:
            self._path, self._next = "", _AFTER
            pieces.append(Leave())
        else:
            self._next = _END

    def _member_name(self, data: bytes, at: int) -> int:
        whole = grammar.STRING.match(data, at)
        if (len(data) if whole is None else whole.end()) - at > MAX_NAME_BYTES:
            raise malformed("the name of a member is too long or broken")
        if whole is None:
            return at
        text = whole[0]
        self._name = json.loads(text) if b"\\" in text else text[1:-1].decode()
        self._next = _COLON
        return whole.end()

    def _value(self, data: bytes, at: int, pieces: list[Piece]) -> int:
        scanner = self._scanner
        until = scanner.scan(data, at)
        passed = data[at:until]
        if not self._begun and len(self._held) + len(passed) > self._hold_bytes:
            self._begun = True
            pieces.append(Begin(self._path, self._name))
            if self._held:
                pieces.append(Chunk(bytes(self._held)))
                self._held.clear()
        if not self._begun:
            self._held += passed
        elif passed:
            pieces.append(Chunk(passed))
        if scanner.done:
            if self._begun:
                pieces.append(End())
            else:
                pieces.append(Member(self._path, self._name, bytes(self._held)))
                self._held.clear()
            self._next = _AFTER
        return until


async def split(
    chunks: AsyncIterable[bytes], hold: int = HOLD_BYTES, inside: str = "result"
) -> AsyncIterator[Piece]:
    """The pieces of the message whose bytes these are; UpstreamError like the Splitter.

    A message that is costly to read gives way to other work every millisecond or so.
    """
    splitter, window = Splitter(hold, inside), WINDOW_BYTES
    async for chunk in chunks:
        at = 0
        while at < len(chunk):
            began_s = perf_counter()
            pieces = splitter.feed(chunk[at : at + window])
            busy = perf_counter() - began_s > _BUSY_S
            at += window
            window = WINDOW_BYTES // 8 if busy else WINDOW_BYTES
            for piece in pieces:
                yield piece
            if busy:
                await sleep(0)
    splitter.finish()
