"""Answers and what comes before them, without the values of stored secrets."""

from collections.abc import AsyncIterator, Mapping

from typing_extensions import override

from flotilla.json_text import from_json
from flotilla.known_values import Known
from flotilla.redaction import REDACTED
from master.call import Hearer, Relay
from master.handles.hidden_text import hidden_text, hidden_texts
from master.handles.released import Released
from master.result import Result
from master.rpc import RpcError, text_of
from master.streaming.scrub import Scrubber
from master.streaming.splitter import Begin, Chunk, End, Member, Piece


def hidden_result(result: Result, known: Known) -> Result:
    return Result(hidden_texts(result.texts, known), result.poured)


def hidden_error(error: RpcError, known: Known) -> RpcError:
    """What a server refused with, for the client."""
    data = error.data
    if data is not None:
        data = from_json(hidden_text(text_of(data), known).encode())
    message = known.hidden(error.message, REDACTED)
    return RpcError(error.code, message, data, status=error.status)


class Hiding(Relay):
    """Hears a server's answer for a client, and tells it without what is released by then."""

    __slots__ = ("_released",)

    def __init__(self, hearer: Hearer, released: Released) -> None:
        super().__init__(hearer)
        self._released = released

    @override
    async def notify(self, method: str, params: Mapping[str, str]) -> None:
        if known := self._released.known:
            params = hidden_texts(params, known)
        await self.hearer.notify(method, params)

    @override
    async def report(self, progress: float, total: float | None, said: str | None) -> None:
        if said is not None and (known := self._released.known):
            said = known.hidden(said, REDACTED)
        await self.hearer.report(progress, total, said)

    @override
    async def pour(self, pieces: AsyncIterator[Piece]) -> bool:
        known = self._released.known
        return await self.hearer.pour(hidden_pieces(pieces, known) if known else pieces)


async def hidden_pieces(pieces: AsyncIterator[Piece], known: Known) -> AsyncIterator[Piece]:
    """An answer in pieces without the values, each of its members as a text of its own."""
    scrubber = Scrubber(known)
    async for piece in pieces:
        match piece:
            case Member(path, name, text):
                whole = Scrubber(known)
                yield Member(path, name, whole.feed(text) + whole.finish())
            case Begin():
                scrubber = Scrubber(known)
                yield piece
            case Chunk(data):
                if clean := scrubber.feed(data):
                    yield Chunk(clean)
            case End():
                if rest := scrubber.finish():
                    yield Chunk(rest)
                yield piece
            case _:
                yield piece
