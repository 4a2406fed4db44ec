"""What a stored call is told while it runs: there is no client any more that could hear it."""

from collections.abc import AsyncIterator, Mapping

from flotilla import UpstreamError
from flotilla.json_text import to_json
from flotilla.sizes import MAX_TEXT_BYTES
from master.approvals.brief import NOTE
from master.result import Result
from master.streaming.splitter import Begin, Chunk, Member, Piece


class Unheard:
    """Hears for nobody; of an answer that comes in pieces it keeps the beginning."""

    __slots__ = ("_begun", "_bytes", "_is_error", "_poured", "_start")

    def __init__(self) -> None:
        self._poured = False
        self._is_error = False
        self._begun = ""
        self._start = bytearray()
        self._bytes = 0

    @property
    def told(self) -> bool:
        return False

    async def notify(self, method: str, params: Mapping[str, str]) -> None:
        del method, params

    async def report(self, progress: float, total: float | None, said: str | None) -> None:
        del progress, total, said

    async def pause(self) -> None:
        """Nobody waits on a stream that could be closed."""

    async def pour(self, pieces: AsyncIterator[Piece]) -> bool:
        self._poured = True
        async for piece in pieces:
            match piece:
                case Member("result", "isError", text):
                    self._is_error = text == b"true"
                case Member("result", "content", text):
                    self._keep("content", text)
                case Begin("result", name):
                    self._begun = name
                case Chunk(data):
                    self._keep(self._begun, data)
                case Member("", "error", text):
                    raise UpstreamError(
                        f"the server refused: {text[:500].decode(errors='replace')}"
                    )
                case _:
                    pass
        return self._is_error

    def result(self, result: Result) -> Result:
        """The result, or what was kept of one that came in pieces."""
        if not self._poured:
            return result
        text = self._start.decode(errors="ignore")
        note = f"The result came in pieces, {self._bytes} bytes; this is its beginning as JSON."
        told = {
            "content": [{"type": "text", "text": text}],
            "isError": self._is_error,
            NOTE: note,
        }
        return Result({name: to_json(value).decode() for name, value in told.items()})

    def _keep(self, name: str, data: bytes) -> None:
        self._bytes += len(data)
        room = MAX_TEXT_BYTES // 2 - len(self._start)
        if name == "content" and room > 0:
            self._start += data[:room]
