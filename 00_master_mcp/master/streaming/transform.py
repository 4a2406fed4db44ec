"""The client's response made from the pieces of a service's, while they come. Pure."""

import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import Any

from flotilla import UpstreamError
from flotilla.json_text import to_json
from master.streaming.splitter import Begin, Chunk, End, Enter, Leave, Member, Piece

SEND_BYTES = 32 * 1024
"""What is written is gathered up to this size: each send costs the same, small or large."""

_BOTH = "the service's answer has a result and something else"

Marks = Callable[[str | None], str]
"""The JSON text of the client's `_meta`, from that of the service's or None where it has none."""


class Outgoing:
    """Writes the response to a client: its ID, the members of the result, `_meta` last.

    usage: outgoing = Outgoing(pieces, request_id=b"7", drop=(), add_first={}, marks=...)
           if await outgoing.begin() is None: async for data in outgoing: ...

    `pieces` are those of `splitter.split` with `inside="result"`. UpstreamError for a message that
    is no response, and for `_meta` or `error` that are too large to be held.
    """

    def __init__(
        self,
        pieces: AsyncIterator[Piece],
        *,
        request_id: bytes,
        drop: Collection[str],
        add_first: Mapping[str, str],
        marks: Marks,
    ) -> None:
        self._pieces = pieces
        self._request_id = request_id
        self._dropped = frozenset((*drop, "_meta", *add_first))
        self._add_first = add_first
        self._marks = marks
        self.is_error = False
        """Whether the result says `isError`; known once all of it has come."""
        self.error: Mapping[str, Any] | None = None
        """The error object, where the service answered with one."""
        self._meta: str | None = None
        self._passing = False
        """Whether the chunks that come are passed on."""
        self._parts: list[bytes] = []
        self._size = 0
        self._first = True

    async def begin(self) -> Mapping[str, Any] | None:
        """Read up to the result; the error object when there is an error instead.

        Nothing is written before, so that an error may still be answered in some other way.
        """
        async for piece in self._pieces:
            match piece:
                case Enter() if self.error is None:
                    self._open()
                    return None
                case Enter():
                    raise UpstreamError(_BOTH)
                case Member("", "error", text):
                    self.error = _error(text)
                case Member("", "result") | Begin("", "result"):
                    raise UpstreamError("the service's answer has a result that is no object")
                case Begin("", "error"):
                    raise UpstreamError("the service answered with an error that is too large")
                case Member("", "method") | Begin("", "method"):
                    raise UpstreamError("the service sent a request where its answer should be")
                case _:
                    # Other members of the envelope belong to the hop behind us.
                    pass
        if self.error is None:
            raise UpstreamError("the service's answer has neither a result nor an error")
        return self.error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The client's message, after `begin`; the end comes only when the service's has come."""
        async for piece in self._pieces:
            match piece:
                case Chunk(data):
                    if self._passing:
                        self._write(data)
                case Member("result", name, text):
                    self._member(name, text)
                case Begin("result", "_meta"):
                    raise UpstreamError("the service's answer has a `_meta` that is too large")
                case Member("", "error" | "method") | Begin("", "error" | "method"):
                    raise UpstreamError(_BOTH)
                case Begin(path, name):
                    self._passing = path == "result" and name not in self._dropped
                    if self._passing:
                        self._name(name)
                case End():
                    self._passing = False
                case Member() | Enter() | Leave():
                    pass
            if self._size >= SEND_BYTES:
                yield self._gathered()
        self._name("_meta")
        self._write(self._marks(self._meta).encode() + b"}}")
        yield self._gathered()

    def _open(self) -> None:
        self._write(b'{"jsonrpc":"2.0","id":' + self._request_id + b',"result":{')
        for name, text in self._add_first.items():
            self._name(name)
            self._write(text.encode())

    def _member(self, name: str, text: bytes) -> None:
        if name == "_meta":
            self._meta = text.decode()
        elif name not in self._dropped:
            self._name(name)
            self._write(text)
        if name == "isError":
            self.is_error = text == b"true"

    def _name(self, name: str) -> None:
        self._write((b"" if self._first else b",") + to_json(name) + b":")
        self._first = False

    def _write(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)

    def _gathered(self) -> bytes:
        data = b"".join(self._parts)
        self._parts, self._size = [], 0
        return data


def _error(text: bytes) -> Mapping[str, Any]:
    try:
        error = json.loads(text)
    except (ValueError, RecursionError):
        error = None
    if not isinstance(error, dict):
        raise UpstreamError("the service answered with an error that is no object")
    return error  # pyright: ignore[reportUnknownVariableType]
