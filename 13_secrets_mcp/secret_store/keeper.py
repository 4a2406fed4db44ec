"""Secrets as people and tools handle them: written, generated, rotated, ruled, deleted, shown.

Whatever is done is done together with its entry in the trail, in one transaction.
"""

from dataclasses import dataclass
from typing import TypeVar

from anyio import to_thread

from flotilla import (
    Conflict,
    InvalidArgument,
    NotFound,
    Page,
    TooLarge,
    decode_cursor,
    encode_cursor,
)
from flotilla.database.database import Database
from flotilla.redaction import Redactor
from secret_store.actor import Actor
from secret_store.backend import MAX_VALUE_BYTES, Backend, Kept, VersionKept
from secret_store.cards import (
    Card,
    SecretInfo,
    card_of,
    cards_of,
    drop_card,
    keep_card,
    shown,
)
from secret_store.generation import Recipe, generated
from secret_store.lease_rows import revoke_leases_of
from secret_store.paths import MAX_PATH, check_path
from secret_store.rules import Rules
from secret_store.stamps import Clock, read_time
from secret_store.trail import Act, Trail

_T = TypeVar("_T")
_STEP = 500
_STEPS_A_PAGE = 10
"""How far a page that is filtered by tags looks before it says: go on from here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What is written down beside a value; None leaves what is there."""

    description: str | None = None
    tags: list[str] | None = None
    expires_at: str | None = None
    rules: Rules | None = None


class Keeper:
    def __init__(self, database: Database, backend: Backend, trail: Trail, clock: Clock) -> None:
        self._database = database
        self._backend = backend
        self._trail = trail
        self._clock = clock

    async def write(
        self, actor: Actor, path: str, value: str, notes: Notes, *, expected: int | None = None
    ) -> SecretInfo:
        """Add a version; Conflict unless the newest is `expected` (0: a new secret)."""
        card = Card()
        return await self._put(actor, "written", path, value, notes, card, expected)

    async def generate(self, actor: Actor, path: str, recipe: Recipe, notes: Notes) -> SecretInfo:
        """Make a secret whose value nobody has seen; Conflict where the path is taken."""
        check_path(path)
        made = await to_thread.run_sync(generated, recipe)
        card = Card(recipe=recipe, public_key=made.public_key)
        try:
            return await self._put(actor, "generated", path, made.value, notes, card, 0)
        except Conflict as taken:
            taken.hint = "Choose another path, or rotateSecret to give this one a new value."
            raise

    async def rotate(
        self, actor: Actor, path: str, recipe: Recipe | None, *, expected: int | None = None
    ) -> SecretInfo:
        """Give a secret a new generated value, by its own recipe unless another is given."""
        info = await self.info(path)
        if recipe is None:
            recipe = (await self._card(path)).recipe
        if recipe is None:
            raise InvalidArgument(
                f"{path} was written and not generated, so nobody knows how to make another",
                hint="Say which kind of value it takes.",
            )
        made = await to_thread.run_sync(generated, recipe)
        card = Card(recipe=recipe, public_key=made.public_key)
        newest = info.version if expected is None else expected
        return await self._put(actor, "rotated", path, made.value, Notes(), card, newest)

    async def allow(
        self, actor: Actor, path: str, more: Rules, less: Rules, *, expires_at: str | None = None
    ) -> SecretInfo:
        """Let more tools, principals, roles and services use the secret, and others no more."""
        check_path(path)
        until = None if expires_at is None else read_time(expires_at, "expiresAt")
        async with self._trail.act() as transaction:
            # Nobody deletes it meanwhile: rules would wait there for a later secret of that path.
            kept = await self._kept(path)
            card = await card_of(transaction, path)
            rules = card.rules.with_more(more).without(less)
            changed = {"rules": rules, "expires_at": until or card.expires_at}
            card = card.model_copy(update=changed)
            await keep_card(transaction, path, card)
            await self._trail.add(transaction, actor, "allowed", path=path)
        return shown(kept, card)

    async def delete(self, actor: Actor, path: str, *, expected: int | None = None) -> Kept:
        """Destroy all versions of a secret and revoke its leases; tells what was there."""
        check_path(path)
        async with self._trail.act() as transaction:
            kept = await self._kept(path)
            if expected is not None and expected != kept.version:
                raise Conflict(
                    f"{path} is at version {kept.version}, not {expected}",
                    details={"currentVersion": kept.version},
                )
            await self._backend.delete(path, transaction=transaction)
            await drop_card(transaction, path)
            await revoke_leases_of(transaction, path, self._clock.now())
            await self._trail.add(transaction, actor, "deleted", path=path, version=kept.version)
        return kept

    async def info(self, path: str) -> SecretInfo:
        kept = await self._kept(path)
        return shown(kept, await self._card(path))

    async def kept(self, path: str) -> Kept | None:
        """What the backend knows of a secret, if it is there."""
        check_path(path)
        return await self._backend.metadata(path)

    async def versions(self, path: str) -> list[VersionKept]:
        await self._kept(path)
        return list(await self._backend.versions(path))

    async def page(
        self, *, prefix: str, tag: str | None, limit: int, cursor: str | None
    ) -> Page[SecretInfo]:
        """Secrets in the order of their paths; a page may be short where a tag is asked for."""
        after = "" if cursor is None else _position(cursor)
        found: list[SecretInfo] = []
        more = True
        for _ in range(_STEPS_A_PAGE):
            step = limit - len(found) + 1 if tag is None else _STEP
            some = await self._backend.list(prefix, after, step)
            async with self._database.read() as connection:
                cards = await cards_of(connection, [kept.path for kept in some])
            for kept in some:
                card = cards.get(kept.path) or Card()
                if len(found) == limit:
                    break
                after = kept.path
                if tag is None or tag in card.tags:
                    found.append(shown(kept, card))
            else:
                more = len(some) == step
            if not more or len(found) == limit:
                break
        return Page[SecretInfo](
            items=found,
            returned=len(found),
            next_cursor=encode_cursor("secrets", after) if more else None,
            truncated=more,
        )

    async def _put(
        self,
        actor: Actor,
        act: Act,
        path: str,
        value: str,
        notes: Notes,
        made: Card,
        expected: int | None,
    ) -> SecretInfo:
        check_path(path)
        check_value(value)
        _check_notes(path, value, notes)
        until = None if notes.expires_at is None else read_time(notes.expires_at, "expiresAt")
        async with self._trail.act() as transaction:
            held = await card_of(transaction, path)
            kept = await self._backend.put(path, value, expected=expected, transaction=transaction)
            # Nothing of a deleted secret's rules comes back: its card went with it.
            card = made.model_copy(
                update={
                    "description": _given(notes.description, held.description),
                    "tags": _given(notes.tags, held.tags),
                    "rules": _given(notes.rules, held.rules),
                    "expires_at": until,
                    "last_used_at": held.last_used_at,
                }
            )
            await keep_card(transaction, path, card)
            await self._trail.add(transaction, actor, act, path=path, version=kept.version)
        return shown(kept, card)

    async def _kept(self, path: str) -> Kept:
        kept = await self.kept(path)
        if kept is None:
            raise no_secret(path)
        return kept

    async def _card(self, path: str) -> Card:
        async with self._database.read() as connection:
            return await card_of(connection, path)


def no_secret(path: str) -> NotFound:
    return NotFound(f"there is no secret {path}", hint="listSecrets shows those that there are.")


def check_value(value: str) -> None:
    """Raise InvalidArgument or TooLarge for what cannot be a secret's value."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidArgument("the value has half of a surrogate pair, which is no text") from None
    if size == 0:
        raise InvalidArgument("the value is empty")
    if size > MAX_VALUE_BYTES:
        raise TooLarge(f"the value has {size} bytes; {MAX_VALUE_BYTES} fit")


def _check_notes(path: str, value: str, notes: Notes) -> None:
    beside = " ".join((path, notes.description or "", *(notes.tags or ())))
    if value in beside or Redactor([value]).text(beside) != beside:
        raise InvalidArgument(
            "the value stands in the path, the description or a tag, which everybody may read"
        )


def _given(new: _T | None, held: _T) -> _T:
    return held if new is None else new


def _position(cursor: str) -> str:
    path = decode_cursor("secrets", cursor)
    if not isinstance(path, str) or len(path) > MAX_PATH or "\0" in path:
        raise InvalidArgument("cursor is not one that this tool gave out")
    return path
