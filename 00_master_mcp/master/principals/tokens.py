"""The table of tokens: what each is good for, and the SHA-256 by which it is known."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from flotilla import Conflict, Model, NotFound
from flotilla.database.database import Database
from master.database.tables import tokens
from master.principals.names import ID_PREFIX

MAX_LIVE = 1000
MAX_DEAD = 1000
"""Revoked and expired ones that are still told of; the oldest go first."""
DEAD_KEPT = timedelta(days=90)


class Token(Model):
    """One token as people are told of it; the token itself is shown once, when it is made."""

    id: str
    principal: str
    roles: tuple[str, ...]
    profiles: tuple[str, ...] | None = None
    """The only profiles that it may use; None: all."""
    interactive: bool = True
    """A person sits at its client."""
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def state(self, now: datetime) -> str:
        """`live`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "live"


@dataclass(frozen=True, slots=True)
class Kept:
    """A token and its digest, 64 hexadecimal digits."""

    token: Token
    digest: str


def new_id() -> str:
    return f"{ID_PREFIX}{secrets.token_hex(6)}"


class Tokens:
    """Reads and writes the table, of which `most` are live; Unavailable while it is away."""

    def __init__(self, database: Database, *, most: int = MAX_LIVE) -> None:
        self._database = database
        self._most = most

    async def version(self) -> object:
        """Another value for another content of the table."""
        asked = sa.select(
            sa.func.count(), sa.func.max(tokens.c.created_at), sa.func.max(tokens.c.revoked_at)
        ).select_from(tokens)
        async with self._database.read() as connection:
            return tuple((await connection.execute(asked)).one())

    async def all(self) -> list[Kept]:
        """Every token, the oldest first, those that are dead too."""
        asked = sa.select(tokens).order_by(tokens.c.created_at, tokens.c.id)
        async with self._database.read() as connection:
            return [_kept(row) for row in (await connection.execute(asked)).all()]

    async def add(self, kept: Kept) -> None:
        """Keep a new one for good; Conflict where there are as many as there may be."""
        now = kept.token.created_at
        async with self._database.write() as connection:
            rows = (await connection.execute(sa.select(tokens))).all()
            known = [_kept(row).token for row in rows]
            if sum(token.state(now) == "live" for token in known) >= self._most:
                raise Conflict(f"{self._most} tokens are live", hint="Revoke what nobody uses.")
            if gone := _forgettable(known, now):
                await connection.execute(sa.delete(tokens).where(tokens.c.id.in_(gone)))
            await connection.execute(sa.insert(tokens).values(_row(kept)))

    async def revoke(self, which: str, at: datetime) -> list[Token]:
        """Revoke the live token of that ID, or all of that principal; tells which.

        NotFound where there is none that is live.
        """
        named = tokens.c.id == which if which.startswith(ID_PREFIX) else tokens.c.principal == which
        live = sa.and_(named, tokens.c.revoked_at.is_(None))
        async with self._database.write() as connection:
            rows = (await connection.execute(sa.select(tokens).where(live))).all()
            found = [_kept(row).token for row in rows]
            if not any(token.state(at) == "live" for token in found):
                raise NotFound(
                    f"no live token has the ID or the name {which[:80]!r}",
                    hint="`python3 -m flotilla tokens list` shows them.",
                )
            await connection.execute(sa.update(tokens).where(live).values(revoked_at=text_of(at)))
        return [token.model_copy(update={"revoked_at": at}) for token in found]


def text_of(moment: datetime) -> str:
    """A moment in UTC, so that texts sort as the moments do."""
    return moment.isoformat(timespec="microseconds")


def _forgettable(known: list[Token], now: datetime) -> list[str]:
    """The IDs of the dead that are too old, or too many."""
    ended = sorted(
        ((token.revoked_at or token.expires_at or now), token.id)
        for token in known
        if token.state(now) != "live"
    )
    spare = max(0, len(ended) - MAX_DEAD + 1)
    return [
        name for number, (at, name) in enumerate(ended) if number < spare or at < now - DEAD_KEPT
    ]


def _row(kept: Kept) -> dict[str, Any]:
    token = kept.token
    return {
        "id": token.id,
        "principal": token.principal,
        "digest": kept.digest,
        "roles": " ".join(token.roles),
        "profiles": None if token.profiles is None else " ".join(token.profiles),
        "interactive": token.interactive,
        "created_at": text_of(token.created_at),
        "expires_at": None if token.expires_at is None else text_of(token.expires_at),
        "revoked_at": None if token.revoked_at is None else text_of(token.revoked_at),
    }


def _kept(row: Any) -> Kept:
    token = Token(
        id=row.id,
        principal=row.principal,
        roles=tuple(row.roles.split()),
        profiles=None if row.profiles is None else tuple(row.profiles.split()),
        interactive=bool(row.interactive),
        created_at=datetime.fromisoformat(row.created_at),
        expires_at=_moment(row.expires_at),
        revoked_at=_moment(row.revoked_at),
    )
    return Kept(token, row.digest)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
