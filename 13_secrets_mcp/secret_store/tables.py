"""The tables as queries see them; `migrations/` makes them, and a test compares the two."""

from sqlalchemy import (
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from flotilla.database.columns import DOCUMENT, ORDERED, SERIAL

metadata = MetaData()

master_key = Table(
    "master_key",
    metadata,
    Column("id", String(16), primary_key=True),
    # Where it is derived from a passphrase: with what.
    Column("salt", LargeBinary),
    Column("iterations", Integer),
    Column("lanes", Integer),
    Column("memory_kib", Integer),
    Column("created_at", ORDERED, nullable=False),
)

data_key = Table(
    "data_key",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("purpose", String(16), nullable=False),
    Column("master_id", String(16), ForeignKey("master_key.id"), nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_at", ORDERED, nullable=False),
)

secret = Table(
    "secret",
    metadata,
    Column("path", ORDERED, primary_key=True),
    # Of all that ever were: a number is never given twice, also not after a deletion.
    Column("last_version", Integer, nullable=False),
    Column("created_at", ORDERED, nullable=False),
    Column("updated_at", ORDERED, nullable=False),
    Column("deleted_at", ORDERED),
)

version = Table(
    "version",
    metadata,
    Column("path", ORDERED, ForeignKey("secret.path"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("data_key_id", Integer, ForeignKey("data_key.id"), nullable=False, index=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", ORDERED, nullable=False),
)

card = Table(
    "card",
    metadata,
    Column("path", ORDERED, primary_key=True),
    Column("description", Text, nullable=False),
    Column("tags", DOCUMENT, nullable=False),
    Column("rules", DOCUMENT, nullable=False),
    # How it was generated, and what of it may be shown.
    Column("recipe", DOCUMENT),
    Column("public_key", Text),
    Column("expires_at", ORDERED),
    Column("last_used_at", ORDERED),
)

lease = Table(
    "lease",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("handle_digest", String(64), nullable=False, unique=True),
    Column("path", ORDERED, nullable=False, index=True),
    Column("version", Integer),
    Column("principal", Text, nullable=False, index=True),
    Column("roles", DOCUMENT, nullable=False),
    Column("tool", Text, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("uses_left", Integer, nullable=False),
    Column("created_at", ORDERED, nullable=False),
    Column("expires_at", ORDERED, nullable=False, index=True),
    Column("resolved_at", ORDERED),
    Column("revoked_at", ORDERED),
)

trail = Table(
    "trail",
    metadata,
    Column("seq", SERIAL, primary_key=True),
    Column("at", ORDERED, nullable=False, index=True),
    Column("act", String(32), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("reason", Text),
    Column("path", ORDERED, index=True),
    Column("version", Integer),
    Column("principal", Text, nullable=False),
    Column("tool", Text, nullable=False),
    Column("given_to", Text),
    Column("lease_id", String(32)),
    Column("correlation_id", Text, nullable=False),
    Column("link", String(64), nullable=False),
)
