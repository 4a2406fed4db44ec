"""The backend in Vault: versions of Vault are ours, and a deleted secret is one whose versions are
all destroyed. Its metadata stays, so that no number comes twice.
"""

import asyncio
import hmac
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla import (
    Conflict,
    FlotillaError,
    InvalidArgument,
    TooLarge,
    Unavailable,
    UpstreamError,
)
from secret_store.backend import Found, Kept, Value, VersionKept, Wanted
from secret_store.embedded import moved
from secret_store.paths import check_path
from secret_store.vault.kv import Held, Kv, LostRace, VersionHeld
from secret_store.vault.speaking import CONNECTIONS, NoAnswer, Speaker
from secret_store.vault.tickets import Tickets
from secret_store.vault.walk import walk

log = structlog.get_logger(__name__)

RACES = 5
"""Tries of a write that says no version, against others who write there too."""
MOST_LOOKED_AT = 20_000
"""Folders and secrets for one page, the deleted ones among them."""
AFTERWARDS_S = 1.0
_AT_ONCE = 64
_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(slots=True)
class _Write:
    is_asked: bool = False
    """Whether Vault was asked for it, and may do it or have done it."""


class Vault:
    """`write_s` bounds a whole write, for which other writes of the spoke wait."""

    def __init__(
        self, speaker: Speaker, tickets: Tickets, kv: Kv, *, versions_kept: int, write_s: float
    ) -> None:
        self._speaker = speaker
        self._tickets = tickets
        self._kv = kv
        self._versions_kept = versions_kept
        self._write_s = write_s

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        async with self._speaker.opened(), self._tickets.opened():
            yield

    async def ready(self) -> str | None:
        try:
            reason = await self._speaker.health()
            if reason is None:
                await self._kv.check()
        except FlotillaError as error:
            return error.message
        return reason

    async def get(self, wanted: Sequence[Wanted]) -> Sequence[Found]:
        async def one(each: Wanted) -> Found:
            # To Vault, version 0 is the newest.
            if each.version is not None and each.version < 1:
                return None
            return await self._kv.value(each.path, each.version)

        asked = list(dict.fromkeys(wanted))
        found = dict(zip(asked, await _at_once(one, asked), strict=True))
        return [found[each] for each in wanted]

    async def put(
        self, path: str, value: str, *, expected: int | None, transaction: AsyncConnection
    ) -> Kept:
        del transaction
        async with self._bounded(path) as write:
            for _ in range(RACES):
                held = await self._kv.held(path)
                newest = 0 if held is None else held.newest
                if expected is not None and expected != newest:
                    raise moved(path, newest)
                if held is None:
                    await self._kv.bound(path, self._versions_kept)
                write.is_asked = True
                try:
                    added = await self._written(path, value, 0 if held is None else held.current)
                    break
                except LostRace:
                    write.is_asked = False
            else:
                raise Conflict(f"others write {path} all the time", hint="Try it again later.")
        return await self._kept_after(path, held, added)

    async def delete(self, path: str, *, transaction: AsyncConnection) -> None:
        del transaction
        async with self._bounded(path) as write:
            held = await self._kv.held(path)
            # Deleted ones of Vault can be brought back there: they are destroyed too.
            numbers = [each.number for each in held.versions if not each.destroyed] if held else []
            if numbers:
                write.is_asked = True
                await self._kv.destroy(path, numbers)

    async def metadata(self, path: str) -> Kept | None:
        held = await self._kv.held(path)
        return None if held is None else _kept(path, held)

    async def versions(self, path: str) -> Sequence[VersionKept]:
        held = await self._kv.held(path)
        return [VersionKept(each.number, each.created_at) for each in held.readable] if held else []

    async def list(self, prefix: str, after: str, limit: int) -> Sequence[Kept]:
        found: list[Kept] = []
        looked = 0
        # A page needs at least one look for each of its secrets.
        async with aclosing(self._paths(prefix, after, min(limit, _AT_ONCE))) as paths:
            async for some in paths:
                known = await _at_once(self.metadata, some)
                found.extend(kept for kept in known if kept is not None)
                looked += len(some)
                if len(found) >= limit:
                    break
                if looked > MOST_LOOKED_AT:
                    raise _too_many()
        return found[:limit]

    async def _paths(self, prefix: str, after: str, at_once: int) -> AsyncGenerator[Sequence[str]]:
        """The paths in their order, some at a time; what no secret of ours can be called is not
        among them.
        """
        folders = 0

        async def keys(folder: str) -> Sequence[str]:
            nonlocal folders
            folders += 1
            if folders > MOST_LOOKED_AT:
                raise _too_many()
            return [key for key in await self._kv.keys(folder) if _is_ours(f"{folder}{key}")]

        some: list[str] = []
        async with aclosing(walk(keys, prefix, after)) as paths:
            async for path in paths:
                some.append(path)
                if len(some) == at_once:
                    yield some
                    some = []
        if some:
            yield some

    async def _written(self, path: str, value: str, current: int) -> VersionHeld:
        try:
            return await self._kv.write(path, value, current)
        except NoAnswer as lost:
            added = await self._found_all_the_same(path, value, current + 1)
            if added is None:
                raise _unknown(path) from lost
            return added

    async def _found_all_the_same(self, path: str, value: str, number: int) -> VersionHeld | None:
        """The version of which no answer told, where it can be seen that it was written."""
        try:
            found = await self._kv.value(path, number)
            held = await self._kv.held(path)
        except FlotillaError:
            return None
        if held is None or not isinstance(found, Value) or not _same(found.text, value):
            return None
        return next((each for each in held.versions if each.number == number), None)

    async def _kept_after(self, path: str, held: Held | None, added: VersionHeld) -> Kept:
        """What is there after a write. The oldest are destroyed where Vault did not do it.

        Nothing fails here any more: it is written. What stays is destroyed after the next write.
        """
        before = [each.number for each in held.readable] if held else []
        bound = added.number - self._versions_kept
        past = [number for number in before if number <= bound]
        bounded_to = held.max_versions if held else self._versions_kept
        if 0 < bounded_to <= self._versions_kept and not any(number < bound for number in past):
            bound = added.number - bounded_to
        else:
            try:
                async with asyncio.timeout(AFTERWARDS_S):
                    if past:
                        await self._kv.destroy(path, past)
                    kept = await self.metadata(path)
                if kept is not None and kept.version == added.number:
                    return kept
            except (FlotillaError, TimeoutError) as error:
                log.warning("vault_keeps_old_versions", path=path, reason=str(error))
        versions = 1 + sum(1 for number in before if number > bound)
        created_at = held.created_at if held else added.created_at
        return Kept(path, added.number, versions, created_at, added.created_at)

    @asynccontextmanager
    async def _bounded(self, path: str) -> AsyncGenerator[_Write]:
        write = _Write()
        try:
            async with asyncio.timeout(self._write_s):
                yield write
        except TimeoutError:
            raise (_unknown(path) if write.is_asked else _hangs()) from None


async def _at_once(
    work: Callable[[_In], Coroutine[Any, Any, _Out]], each: Iterable[_In]
) -> list[_Out]:
    """The results in order, some at a time; the first error ends the others."""
    places = asyncio.Semaphore(CONNECTIONS)

    async def placed(one: _In) -> _Out:
        async with places:
            return await work(one)

    tasks = [asyncio.create_task(placed(one)) for one in each]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _kept(path: str, held: Held) -> Kept | None:
    readable = held.readable
    if not readable:
        return None
    return Kept(path, held.current, len(readable), held.created_at, readable[0].created_at)


def _is_ours(place: str) -> bool:
    """Whether it can be called by a path of ours, or be the folder of one."""
    try:
        check_path(place.removesuffix("/"))
    except InvalidArgument:
        return False
    return True


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _unknown(path: str) -> UpstreamError:
    return UpstreamError(
        f"Vault did not say whether it did what was asked of it with {path}",
        hint="Look with getMetadata before you try it again.",
        details={"reason": "outcome_unknown"},
    )


def _hangs() -> Unavailable:
    return Unavailable("Vault does not answer in time", details={"reason": "vault_hangs"})


def _too_many() -> TooLarge:
    return TooLarge(
        f"Vault has more than {MOST_LOOKED_AT} folders and deleted secrets there",
        hint="Ask for a longer prefix; remove deleted ones with `vault kv metadata delete`.",
    )
