"""What is known of secrets beside their values: none of it is secret."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from sqlalchemy import RowMapping, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla import Model
from secret_store.backend import Kept
from secret_store.generation import Recipe
from secret_store.rules import Rules
from secret_store.stamps import Time
from secret_store.tables import card

Description = Annotated[
    str,
    Field(max_length=1000, description="What it is for; everybody may read it, so no secret."),
]
Tag = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:-]+$")]
Tags = Annotated[list[Tag], Field(max_length=32)]


class Card(Model):
    """What the spoke itself keeps of a secret, whatever the backend."""

    description: str = ""
    tags: list[str] = Field(default_factory=list[str])
    rules: Rules = Rules()
    recipe: Recipe | None = None
    public_key: str | None = None
    expires_at: Time | None = None
    last_used_at: Time | None = None


class SecretInfo(Model):
    """A secret without its value; version is the newest, versions how many can be read."""

    path: str
    description: str
    tags: list[str]
    version: int
    versions: int
    created_at: Time
    updated_at: Time
    expires_at: Time | None = None
    last_used_at: Time | None = None
    generated: str | None = None
    """The kind of value that was generated; missing where somebody wrote it."""
    public_key: str | None = None
    usable_by: Rules
    """Set by a person with `python3 -m flotilla secrets allow`; where empty, nobody uses it."""


async def card_of(connection: AsyncConnection, path: str) -> Card:
    """The card of a secret; an empty one, which allows nothing, where there is none."""
    return (await cards_of(connection, [path])).get(path) or Card()


async def cards_of(connection: AsyncConnection, paths: Sequence[str]) -> dict[str, Card]:
    rows = await connection.execute(select(card).where(card.c.path.in_(paths)))
    return {str(row["path"]): _card_of(row) for row in rows.mappings()}


async def keep_card(transaction: AsyncConnection, path: str, kept: Card) -> None:
    values = {**kept.model_dump(mode="json", by_alias=False), "path": path}
    changed = await transaction.execute(update(card).where(card.c.path == path).values(**values))
    if changed.rowcount == 0:
        await transaction.execute(insert(card), [values])


async def mark_used(transaction: AsyncConnection, paths: Sequence[str], at: str) -> None:
    await transaction.execute(update(card).where(card.c.path.in_(paths)).values(last_used_at=at))


async def drop_card(transaction: AsyncConnection, path: str) -> None:
    await transaction.execute(delete(card).where(card.c.path == path))


def shown(kept: Kept, known: Card) -> SecretInfo:
    return SecretInfo(
        path=kept.path,
        description=known.description,
        tags=known.tags,
        version=kept.version,
        versions=kept.versions,
        created_at=kept.created_at,
        updated_at=kept.updated_at,
        expires_at=known.expires_at,
        last_used_at=known.last_used_at,
        generated=known.recipe.kind if known.recipe else None,
        public_key=known.public_key,
        usable_by=known.rules,
    )


def _card_of(row: RowMapping) -> Card:
    # What was written by a newer version of the spoke may hold more than this one knows.
    members = {name: row[name] for name in Card.model_fields}
    return Card.model_validate(members, by_name=True)
