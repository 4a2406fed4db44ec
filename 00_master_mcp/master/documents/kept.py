"""One document as this hub knows it: read when others changed it, changed with their changes in."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from flotilla import Conflict, Misconfigured, Unavailable
from flotilla.backoff import delay_s
from master.documents.seam import Document, Documents
from master.state.seam import News

MAX_TRIES = 30
"""Of one change. Each time that one loses, another hub's has won."""
_AGAIN_S, _AGAIN_CAP_S = 0.002, 0.25

_T = TypeVar("_T")


class Kept(Generic[_T]):
    """A document read by `read` and written by `write`, both pure; the others hear of `topic`.

    `read` turns `{}` into what there is before anything was saved, and raises Misconfigured for
    what is none of ours. The constructor does too, where the document is at hand.
    """

    def __init__(
        self,
        documents: Documents,
        name: str,
        *,
        read: Callable[[Mapping[str, Any]], _T],
        write: Callable[[_T], Mapping[str, Any]],
        news: News | None,
        topic: str,
    ) -> None:
        self._documents = documents
        self._name = name
        self._read = read
        self._write = write
        self._news = news
        self._topic = topic
        self._turn = asyncio.Lock()
        self._version: str | None = None
        self.value: _T = read({})
        self.known = False
        """Whether it was ever read; `value` is empty until then."""
        self.away: str | None = None
        """Why the store did not answer when it was asked last."""
        found = documents.at_hand(name)
        if found is not None:
            self._take(found)

    async def refresh(self) -> None:
        """Read what others saved; Unavailable, or Misconfigured, leaves what was known."""
        async with self._turn:
            await self._newest()

    async def change(self, apply: Callable[[_T], _T]) -> _T:
        """Apply a change to what is newest, and keep it; tells the new value.

        `apply` is pure, may be called several times, and gives back its very argument where there
        is nothing to change; what it raises is passed on. Unavailable when it cannot be kept.
        """
        async with self._turn:
            try:
                changed = await self._changed(apply)
            except Misconfigured as error:
                raise Unavailable(f"no change can be kept: {error}") from error
        if changed and self._news is not None:
            await self._news.tell(self._topic, self._version or "")
        return self.value

    async def _changed(self, apply: Callable[[_T], _T]) -> bool:
        for attempt in range(MAX_TRIES):
            if attempt:
                # Whoever lost goes on in its own time, so that all do not meet again.
                await asyncio.sleep(delay_s(attempt, _AGAIN_S, _AGAIN_CAP_S))
            await self._newest()
            value = apply(self.value)
            if value is self.value:
                return False
            try:
                body = self._write(value)
                self._version = await self._documents.save(self._name, body, self._version)
            except Conflict:
                continue
            except Unavailable as error:
                self.away = error.message
                raise
            self.value = value
            return True
        raise Unavailable(f"others keep changing {self._documents.where(self._name)}")

    async def _newest(self) -> None:
        try:
            if not self.known or await self._documents.version(self._name) != self._version:
                self._take(await self._documents.load(self._name))
        except Unavailable as error:
            self.away = error.message
            raise
        except Misconfigured as error:
            self.away = str(error)
            raise
        self.away = None

    def _take(self, found: Document) -> None:
        self.value, self._version, self.known = self._read(found.body), found.version, True
