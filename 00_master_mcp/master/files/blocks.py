"""The files in a result's content, found in its JSON text while it passes in pieces. Pure.

One reading serves results of every size: it keeps nothing of a text but which containers are open,
the name of the member in each, and of one block at most `hold_bytes`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from flotilla import FlotillaError
from flotilla.json_text import to_json
from master.files.rule import BLOB, TEXT, File, Rule
from master.streaming import grammar

HOLD_BYTES = 4 * 1024 * 1024
"""The most of a block that is held until it is known whether it may go on. What is larger goes on
as it comes, and when it turns out not to be allowed the answer ends there, visibly unfinished."""

Role = Literal["type", "mime", "base64", "text"]
Path = tuple[str | None, ...]
ITEM = None
"""In a path: any item of a list. No text, since a member may have any name."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Where in a member of a result its blocks are, and their files in them."""

    block: Path
    roles: Mapping[Path, Role]
    marks: tuple[bytes, ...]
    """One of these is in each block with a file; an escape may hide the others."""
    replaced: bool = True
    """Whether a text may stand in the place of a block; else the whole result is refused."""


def _block(at: Path) -> Shape:
    resource = (*at, "resource")
    return Shape(
        at,
        {
            (*at, "type"): "type",
            (*at, "mimeType"): "mime",
            (*at, "data"): "base64",
            (*resource, "mimeType"): "mime",
            (*resource, "blob"): "base64",
            (*resource, "text"): "text",
        },
        marks=(b"data", b"resource", b"\\u"),
    )


SHAPES: Mapping[str, Shape] = {
    "content": _block((ITEM,)),
    "messages": _block((ITEM, "content")),
    "contents": Shape(
        (ITEM,),
        {(ITEM, "mimeType"): "mime", (ITEM, "blob"): "base64", (ITEM, "text"): "text"},
        marks=(b"blob", b"text", b"\\u"),
        replaced=False,
    ),
}
"""The members of the results of tools, prompts and resources that carry files."""

_MARK = re.compile(rb'["{}\[\],]')
_ESCAPE = re.compile(rb"\\(?:u[0-9a-fA-F]{4}|.)", re.DOTALL)
_QUOTE, _OPEN_OBJECT, _OPEN_LIST, _COMMA = b'"{[,'
_MAX_TOLD = 256
"""Bytes of a name or type that are looked at; none that counts is longer."""


@dataclass(slots=True)
class _Block:
    """The block that is being read."""

    depth: int
    held: bytearray = field(default_factory=bytearray)
    passing: bool = False
    """Its beginning has been passed on."""
    objection: FlotillaError | None = None
    is_file: bool = False
    is_text: bool = False
    is_plain: bool = False
    size_bytes: int = 0
    types: list[str] = field(default_factory=list[str])

    def file(self, growing_bytes: int = 0, *, whole: bool) -> File:
        types = self.types
        if whole and not types:
            types = [TEXT if self.is_text else BLOB]
        return File(max(self.size_bytes, growing_bytes), types, whole)


@dataclass(slots=True)
class _String:
    """The string that is being read."""

    role: Role | None
    is_name: bool
    told: bytearray = field(default_factory=bytearray)
    size: int = 0
    """Bytes of a text, characters of what is base64."""
    tail: bytes = b""

    def take(self, text: bytes) -> None:
        if self.is_name or self.role in ("type", "mime"):
            self.told += text[: _MAX_TOLD - len(self.told)]
        elif self.role == "base64":
            self.size += len(text) - (_surplus_of_base64(text) if b"\\" in text else 0)
            self.tail = (self.tail + text)[-2:]
        elif self.role == "text":
            self.size += _bytes_of(text) if b"\\" in text else len(text)

    def size_bytes(self, *, whole: bool) -> int:
        """Decoded; of one that has not ended what it has at least."""
        if self.role == "text":
            return self.size
        if self.role != "base64":
            return 0
        return max(0, self.size * 3 // 4 - (self.tail.count(b"=") if whole else 2))

    def read(self) -> str:
        try:
            return str(json.loads(b'"' + bytes(self.told) + b'"'))
        except ValueError:
            return self.told.decode(errors="replace")


class Blocks:
    """Passes a member of a result on but for the blocks that the rule refuses.

    usage: blocks = Blocks(SHAPES["content"], rule, HOLD_BYTES)
           out = blocks.feed(text) + ... + blocks.finish()

    The text is JSON, in parts that may end anywhere but within an escape of a string (or, in a
    string, anywhere). In the place of a refused block stands a text block that says what it was.
    Raises TooLarge or NotAllowed where that cannot be: the shape does not allow it, or the block
    was too large to be held and its beginning has been passed on.
    """

    def __init__(self, shape: Shape, rule: Rule, hold_bytes: int = HOLD_BYTES) -> None:
        self._shape = shape
        self._rule = rule
        self._hold_bytes = hold_bytes
        self.withheld = 0
        self._path: list[str | None] = []
        """Of each open container the name of the member that is being read, or ITEM."""
        self._naming = False
        """The next string is the name of a member."""
        self._block: _Block | None = None
        self._string: _String | None = None
        self._rest = b""
        """An escape of which the end has not come."""

    @property
    def held_bytes(self) -> int:
        return len(self._rest) + (0 if self._block is None else len(self._block.held))

    def feed(self, data: bytes) -> bytes:
        """What may go on of all that came so far."""
        data, self._rest = self._rest + data, b""
        out = bytearray()
        at, end, kept = 0, len(data), 0
        while at < end:
            if self._string is not None:
                until = self._in_string(data, at, self._string)
                if until == at:
                    self._rest, end = data[at:], at
                at = until
                continue
            mark = _MARK.search(data, at)
            if mark is None:
                break
            at = mark.start()
            byte = data[at]
            if byte == _QUOTE:
                self._begin_string()
            elif byte == _COMMA:
                self._naming = bool(self._path) and self._path[-1] is not ITEM
            elif byte == _OPEN_OBJECT and self._begins_block():
                if (beyond := self._beyond_harmless(data, at)) is not None:
                    at = beyond
                    continue
                out += data[kept:at]
                kept, self._block = at, _Block(len(self._path))
                self._open("")
            elif byte in (_OPEN_OBJECT, _OPEN_LIST):
                self._open("" if byte == _OPEN_OBJECT else ITEM)
            elif (block := self._close()) is not None:
                self._take(data[kept : at + 1], out, block)
                self._end_block(block, out)
                kept = at + 1
            at += 1
        if self._block is None:
            out += data[kept:end]
        else:
            self._take(data[kept:end], out, self._block)
        return bytes(out)

    def finish(self) -> bytes:
        """What was held back of a text that ended in the middle of a block."""
        rest, self._rest = self._rest, b""
        block, self._block = self._block, None
        return rest if block is None or block.objection else bytes(block.held) + rest

    def _begins_block(self) -> bool:
        path = self._path
        return (
            self._block is None
            and len(path) == len(self._shape.block)
            and tuple(path) == self._shape.block
        )

    def _beyond_harmless(self, data: bytes, at: int) -> int | None:
        """Past a block that the rule cannot refuse, told at a look: most are small texts."""
        whole = grammar.VALUE.match(data, at)
        if whole is None:
            return None
        block = whole[0]
        if len(block) > self._rule.free_chars and any(each in block for each in self._shape.marks):
            return None
        return whole.end()

    def _open(self, name: str | None) -> None:
        self._path.append(name)
        self._naming = name is not ITEM

    def _close(self) -> _Block | None:
        """Close the innermost container; the block, where it is that."""
        if self._path:
            self._path.pop()
        self._naming = False
        block = self._block
        return block if block is not None and len(self._path) == block.depth else None

    def _begin_string(self) -> None:
        if self._naming:
            self._string = _String(None, is_name=True)
            return
        role = None
        if self._block is not None and len(self._path) <= self._block.depth + 2:
            role = self._shape.roles.get(tuple(self._path))
        self._string = _String(role, is_name=False)
        if role in ("base64", "text") and self._block is not None:
            self._block.is_file = True
            self._block.is_text = self._block.is_text or role == "text"

    def _in_string(self, data: bytes, at: int, string: _String) -> int:
        """Past what has come of the string; the same position before half an escape."""
        quote = data.find(b'"', at)
        stop = len(data) if quote < 0 else quote
        if data.find(b"\\", at, stop) >= 0:
            # What is measured is no name: most large strings have no escape, or are not measured.
            inside = grammar.INSIDE.match(data, at)
            stop = at if inside is None else inside.end()
        if stop > at:
            string.take(data[at:stop])
        if stop == len(data):
            return stop
        if data[stop] != _QUOTE:
            return stop
        self._end_string(string)
        return stop + 1

    def _end_string(self, string: _String) -> None:
        self._string = None
        if string.is_name:
            if self._path:
                self._path[-1] = string.read()
            self._naming = False
            return
        block = self._block
        if block is None or string.role is None:
            return
        if string.role == "mime":
            block.types.append(string.read())
        elif string.role == "type":
            # Not worth holding: a text becomes no file but by breaking the protocol.
            block.is_plain = block.is_plain or string.read() == "text"
        else:
            block.size_bytes = max(block.size_bytes, string.size_bytes(whole=True))

    def _take(self, part: bytes, out: bytearray, block: _Block) -> None:
        """More of the block: held, passed on or, once it is refused, dropped."""
        if block.objection is None:
            growing = 0 if self._string is None else self._string.size_bytes(whole=False)
            self._judge(block, block.file(growing, whole=False))
        if block.objection is not None:
            block.held.clear()
            return
        if not block.passing:
            block.held += part
            block.passing = block.is_plain or len(block.held) > self._hold_bytes
            part = b""
        if block.passing:
            out += block.held
            out += part
            block.held.clear()

    def _end_block(self, block: _Block, out: bytearray) -> None:
        self._block = None
        self._judge(block, block.file(whole=True))
        if block.objection is None:
            out += block.held
            return
        self.withheld += 1
        out += notice(block.objection)

    def _judge(self, block: _Block, file: File) -> None:
        """Settle on an objection; raise it where no text can take the place of the block."""
        if not block.is_file:
            return
        objection = self._rule.objection(file)
        if objection is None:
            return
        if block.passing or not self._shape.replaced:
            raise objection
        block.objection = objection


def notice(objection: FlotillaError) -> bytes:
    """The block that stands in the place of a refused one."""
    text = f"Withheld: {objection.message}. {objection.hint}"
    return to_json({"type": "text", "text": text})


def _surplus_of_base64(text: bytes) -> int:
    """How many bytes of an escaped text are no characters of base64."""
    escapes: list[bytes] = _ESCAPE.findall(text)
    return sum(len(each) - (each[1:2] in b"/u") for each in escapes)


def _bytes_of(text: bytes) -> int:
    """The UTF-8 bytes that a text as JSON writes it stands for."""
    escapes: list[bytes] = _ESCAPE.findall(text)
    return len(text) - sum(len(each) - _width(each) for each in escapes)


def _width(escape: bytes) -> int:
    if escape[1:2] != b"u":
        return 1
    code = int(escape[2:], 16)
    if 0xD800 <= code < 0xE000:
        # Half of a character of four bytes.
        return 2
    return 1 if code < 0x80 else 2 if code < 0x800 else 3
