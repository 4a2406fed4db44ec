"""One request on a handshake session: what was heard of it, and what its server asks meanwhile."""

import asyncio
from dataclasses import dataclass

from flotilla import FlotillaError
from master import rpc
from master.call import Call, Hearer
from master.result import Result


@dataclass(frozen=True, slots=True)
class Question:
    """A request of the server to the client: `elicitation/create`, say."""

    id: rpc.Id
    method: str
    params: str
    """The JSON text of its params."""


class Pending:
    """Waits for an answer. While nobody listens (its questions are being answered), it keeps it."""

    def __init__(self, number: int, call: Call | None) -> None:
        self.number = number
        self.call = call
        self.questions: dict[str, Question] = {}
        """Those that are open, by the keys under which the client answers them."""
        self._told = 0
        self._hearer: Hearer | None = None if call is None else call.hearer
        self._muted = False
        self._attached = asyncio.Event()
        self._attached.set()
        self._changed = asyncio.Event()
        self._answer: Result | FlotillaError | rpc.RpcError | None = None

    @property
    def answered(self) -> bool:
        return self._answer is not None

    @property
    def suspended(self) -> bool:
        """Whether its client was asked, and has not come back yet."""
        return not self._attached.is_set()

    def answer(self, answer: Result | FlotillaError | rpc.RpcError) -> None:
        """The last word; a second one counts for nothing."""
        if self._answer is None:
            self._answer = answer
            self._changed.set()

    def ask(self, question: Question) -> None:
        self._told += 1
        self.questions[f"{self.number}-{self._told}"] = question
        self._changed.set()

    async def next(self) -> Result | None:
        """The answer, or None when there are questions; raises what it failed with."""
        while self._answer is None and not self.questions:
            self._changed.clear()
            await self._changed.wait()
        if self._answer is None:
            return None
        if isinstance(self._answer, Result):
            return self._answer
        raise self._answer

    def detach(self) -> None:
        """The client was asked: until it comes back, nobody listens."""
        self._hearer = None
        self._attached.clear()

    def attach(self, call: Call) -> None:
        self.call = call
        self._hearer = call.hearer
        self._attached.set()

    async def hearer(self) -> Hearer | None:
        """Who listens, waited for."""
        await self._attached.wait()
        return self._hearer

    def mute(self) -> None:
        """Tell the client nothing more until the answer."""
        self._muted = True

    async def notify(self, method: str, params: rpc.Texts) -> None:
        if self._hearer is not None and not self._muted:
            await self._hearer.notify(method, params)

    async def pause(self) -> None:
        if self._hearer is not None:
            await self._hearer.pause()
