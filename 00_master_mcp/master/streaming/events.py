"""Server-sent events, small ones whole and large ones in parts, however the bytes come. Pure.

Source: the HTML standard, "Server-sent events": lines end with LF, CR or CRLF; several `data`
lines are joined with LF; an event ends with an empty line, and is nothing when it never ends. A
`retry` of ten digits or more is ignored.
"""

from dataclasses import dataclass

from flotilla import UpstreamError
from master.streaming.splitter import HOLD_BYTES

MAX_FIELD_BYTES = 8 * 1024
"""The longest `id`, `event` or `retry`."""

_BOM = b"\xef\xbb\xbf"
_LINE_ENDS = b"\r\n"
_RETRY_DIGITS = 10
_LONGEST_NAME = len("event:")


@dataclass(frozen=True, slots=True)
class Event:
    """An event whose data fits; `id` and `retry` (ms) where this event itself has them."""

    data: bytes
    id: str | None = None
    event: str = "message"
    retry: int | None = None


@dataclass(frozen=True, slots=True)
class Opening:
    """A larger event begins: its data follows in one or more Data, then a Closing.

    The fields are those that came before the data grew large; Closing has them all.
    """

    id: str | None
    event: str


@dataclass(frozen=True, slots=True)
class Data:
    data: bytes


@dataclass(frozen=True, slots=True)
class Closing:
    """The event that was opened last is whole."""

    id: str | None
    event: str
    retry: int | None


Part = Event | Opening | Data | Closing


class StreamingEvents:
    """Reads a stream of events: `feed` its bytes as they come, then `finish`.

    Holds at most `hold` bytes of data and MAX_FIELD_BYTES of each other field. UpstreamError for a
    field beyond that, and at the end of a stream that breaks off inside a large event.
    """

    def __init__(self, hold: int = HOLD_BYTES) -> None:
        self._hold_bytes = hold
        self._parts: list[Part] = []
        self.last_id = ""
        """The ID with which a reader that lost the stream asks for what came after."""
        self.retry_ms: int | None = None
        """How long the service wishes such a reader to wait."""
        self._bom = b""
        """The beginning of the stream, while it may be that of a byte order mark."""
        self._starting = True
        self._after_cr = False
        self._line = bytearray()
        """The line so far, where it is no data: its name, and for most fields its value."""
        self._in_data = False
        self._before_space = False
        self._ignoring = False
        self._data = bytearray()
        self._has_data = False
        self._opened = False
        self._id: str | None = None
        self._event = ""
        self._retry: int | None = None

    @property
    def held_bytes(self) -> int:
        return len(self._data) + len(self._line)

    def feed(self, chunk: bytes) -> list[Part]:
        """What `chunk` completes: whole small events, and the parts of large ones."""
        if self._starting:
            chunk = self._without_bom(chunk)
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        for line in chunk.splitlines(keepends=True):
            ends = line[-1] in _LINE_ENDS
            text = line.rstrip(_LINE_ENDS) if ends else line
            if text:
                self._read(text)
            if ends:
                self._end_line()
        self._after_cr = self._after_cr or chunk.endswith(b"\r")
        if self._opened and self._data:
            self._parts.append(Data(bytes(self._data)))
            self._data.clear()
        parts, self._parts = self._parts, []
        return parts

    def finish(self) -> None:
        """Say that nothing more comes: UpstreamError where a large event has not ended."""
        if self._opened:
            raise UpstreamError("the service broke off inside an event")

    def _without_bom(self, chunk: bytes) -> bytes:
        begun = self._bom + chunk
        if len(begun) < len(_BOM) and _BOM.startswith(begun):
            self._bom = begun
            return b""
        self._starting, self._bom = False, b""
        return begun.removeprefix(_BOM)

    def _read(self, text: bytes) -> None:
        """More of the line, without what ends it."""
        if self._ignoring:
            return
        if self._in_data:
            self._take(text)
        elif not self._line and text.startswith(b"data:"):
            self._begin_data()
            self._take(text[len(b"data:") :])
        else:
            self._line += text[: MAX_FIELD_BYTES + 1]
            self._look_at_name()

    def _look_at_name(self) -> None:
        name, colon, rest = bytes(self._line).partition(b":")
        if not colon and len(name) < _LONGEST_NAME:
            return
        if colon and name == b"data":
            self._line.clear()
            self._begin_data()
            self._take(rest)
        elif name not in (b"id", b"event", b"retry"):
            # A comment or a field that the standard does not know may be of any length.
            self._line.clear()
            self._ignoring = True
        elif len(self._line) > MAX_FIELD_BYTES:
            raise UpstreamError(f"the service sent an event's {name.decode()} that is too long")

    def _begin_data(self) -> None:
        if self._has_data:
            self._data += b"\n"
        self._has_data = self._in_data = self._before_space = True

    def _take(self, text: bytes) -> None:
        if self._before_space and text:
            self._before_space = False
            text = text.removeprefix(b" ")
        self._data += text
        if not self._opened and len(self._data) > self._hold_bytes:
            self._opened = True
            self._parts.append(Opening(self._id, self._event or "message"))

    def _end_line(self) -> None:
        if self._in_data or self._ignoring:
            self._in_data = self._before_space = self._ignoring = False
        elif self._line:
            name, _, value = bytes(self._line).partition(b":")
            self._line.clear()
            self._field(name, value.removeprefix(b" "))
        else:
            self._dispatch()

    def _field(self, name: bytes, value: bytes) -> None:
        match name:
            case b"data":
                self._begin_data()
                self._take(b"")
                self._in_data = False
            case b"id" if b"\0" not in value:
                self._id = value.decode(errors="replace")
            case b"event":
                self._event = value.decode(errors="replace")
            case b"retry" if value.isdigit() and len(value) < _RETRY_DIGITS:
                self._retry = self.retry_ms = int(value)
            case _:
                pass

    def _dispatch(self) -> None:
        if self._id is not None:
            self.last_id = self._id
        event = self._event or "message"
        if self._opened:
            if self._data:
                self._parts.append(Data(bytes(self._data)))
            self._parts.append(Closing(self._id, event, self._retry))
        elif self._has_data:
            self._parts.append(Event(bytes(self._data), self._id, event, self._retry))
        self._data.clear()
        self._has_data = self._opened = False
        self._id, self._event, self._retry = None, "", None
