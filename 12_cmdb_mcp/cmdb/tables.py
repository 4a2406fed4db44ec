"""The tables as queries see them; `migrations/` makes them, and a test compares the two."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

from flotilla.database.columns import DOCUMENT, ORDERED, SERIAL

metadata = MetaData()

ci_class = Table(
    "ci_class",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("parent", String(64), ForeignKey("ci_class.name")),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("abstract", Boolean, nullable=False),
    Column("attribute_schema", DOCUMENT, nullable=False),
    Column("revision", BigInteger, nullable=False, index=True),
)

item = Table(
    "item",
    metadata,
    # SQLite's full-text index needs an integer that VACUUM keeps.
    Column("seq", SERIAL, primary_key=True),
    Column("id", ORDERED, nullable=False, unique=True),
    Column("ci_class", String(64), ForeignKey("ci_class.name"), nullable=False),
    Column("name", ORDERED, nullable=False),
    Column("attributes", DOCUMENT, nullable=False),
    Column("version", Integer, nullable=False),
    Column("search_text", Text, nullable=False),
    Column("created_at", ORDERED, nullable=False),
    Column("updated_at", ORDERED, nullable=False),
    Column("retired_at", ORDERED),
)

relation = Table(
    "relation",
    metadata,
    Column("id", ORDERED, primary_key=True),
    Column("source_id", ORDERED, ForeignKey("item.id"), nullable=False),
    Column("type", String(32), nullable=False),
    Column("target_id", ORDERED, ForeignKey("item.id"), nullable=False),
    # Which end rests on which, from the type: impact then walks one index in one direction.
    Column("dependent_id", ORDERED),
    Column("provider_id", ORDERED),
    Column("created_at", ORDERED, nullable=False),
    Column("ended_at", ORDERED),
)

change = Table(
    "change",
    metadata,
    Column("seq", SERIAL, primary_key=True),
    Column("item_id", ORDERED, ForeignKey("item.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("action", String(32), nullable=False),
    Column("changes", DOCUMENT, nullable=False),
    Column("at", ORDERED, nullable=False),
    Column("principal", Text, nullable=False),
    Column("correlation_id", Text, nullable=False),
    Column("tool", Text, nullable=False),
)

plan = Table(
    "plan",
    metadata,
    Column("id", ORDERED, primary_key=True),
    Column("principal", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("content", DOCUMENT, nullable=False),
    Column("hash", Text, nullable=False),
    Column("created_at", ORDERED, nullable=False),
    Column("expires_at", ORDERED, nullable=False),
    Column("applied_at", ORDERED),
)

gathering = Table(
    "gathering",
    metadata,
    Column("id", ORDERED, primary_key=True),
    Column("principal", Text, nullable=False),
    Column("source", Text, nullable=False),
    # JSON that is only ever read whole.
    Column("covers", Text, nullable=False),
    Column("items", Integer, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("expires_at", ORDERED, nullable=False),
)

gathered_page = Table(
    "gathered_page",
    metadata,
    Column("gathering_id", ORDERED, ForeignKey("gathering.id"), primary_key=True),
    Column("page", Integer, primary_key=True, autoincrement=False),
    Column("content", Text, nullable=False),
)
