"""Classes, items, relations, history and reconciliation plans, with the indices that serve them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

ORDERED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")
# Attributes that people look items up by. PostgreSQL has one index for all of them.
SQLITE_INDEXED = ("ip", "fqdn", "owner", "environment", "serial_number", "status", "os")


def upgrade() -> None:
    _tables()
    _indices()
    if op.get_bind().dialect.name == "postgresql":
        _postgresql_search()
    else:
        _sqlite_search()


def _tables() -> None:
    op.create_table(
        "ci_class",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("parent", sa.String(64), sa.ForeignKey("ci_class.name")),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("abstract", sa.Boolean, nullable=False),
        sa.Column("attribute_schema", DOCUMENT, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False, index=True),
    )
    op.create_table(
        "item",
        sa.Column("seq", SERIAL, primary_key=True),
        sa.Column("id", ORDERED, nullable=False, unique=True),
        sa.Column("ci_class", sa.String(64), sa.ForeignKey("ci_class.name"), nullable=False),
        sa.Column("name", ORDERED, nullable=False),
        sa.Column("attributes", DOCUMENT, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("search_text", sa.Text, nullable=False),
        sa.Column("created_at", ORDERED, nullable=False),
        sa.Column("updated_at", ORDERED, nullable=False),
        sa.Column("retired_at", ORDERED),
    )
    op.create_table(
        "relation",
        sa.Column("id", ORDERED, primary_key=True),
        sa.Column("source_id", ORDERED, sa.ForeignKey("item.id"), nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("target_id", ORDERED, sa.ForeignKey("item.id"), nullable=False),
        sa.Column("dependent_id", ORDERED),
        sa.Column("provider_id", ORDERED),
        sa.Column("created_at", ORDERED, nullable=False),
        sa.Column("ended_at", ORDERED),
    )
    op.create_table(
        "change",
        sa.Column("seq", SERIAL, primary_key=True),
        sa.Column("item_id", ORDERED, sa.ForeignKey("item.id"), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("changes", DOCUMENT, nullable=False),
        sa.Column("at", ORDERED, nullable=False),
        sa.Column("principal", sa.Text, nullable=False),
        sa.Column("correlation_id", sa.Text, nullable=False),
        sa.Column("tool", sa.Text, nullable=False),
    )
    op.create_table(
        "plan",
        sa.Column("id", ORDERED, primary_key=True),
        sa.Column("principal", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("content", DOCUMENT, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("created_at", ORDERED, nullable=False),
        sa.Column("expires_at", ORDERED, nullable=False),
        sa.Column("applied_at", ORDERED),
    )


def _indices() -> None:
    live = "retired_at IS NULL"
    for statement in (
        f"CREATE UNIQUE INDEX item_live_name ON item (ci_class, name) WHERE {live}",
        f"CREATE INDEX item_by_name ON item (name, id) WHERE {live}",
        f"CREATE INDEX item_by_class ON item (ci_class, id) WHERE {live}",
        f"CREATE INDEX item_by_update ON item (updated_at, id) WHERE {live}",
        "CREATE UNIQUE INDEX relation_live ON relation (source_id, type, target_id) "
        "WHERE ended_at IS NULL",
        "CREATE INDEX relation_by_target ON relation (target_id, source_id) WHERE ended_at IS NULL",
        "CREATE INDEX relation_upstream ON relation (dependent_id, provider_id) "
        "WHERE ended_at IS NULL",
        "CREATE INDEX relation_downstream ON relation (provider_id, dependent_id) "
        "WHERE ended_at IS NULL",
        "CREATE INDEX change_of_item ON change (item_id, seq)",
        "CREATE INDEX plan_by_expiry ON plan (expires_at)",
    ):
        op.execute(statement)


def _postgresql_search() -> None:
    # array_to_tsvector takes the words as they are: they were cut by us, for both databases alike.
    op.execute(
        "ALTER TABLE item ADD COLUMN search_words tsvector GENERATED ALWAYS AS "
        "(array_to_tsvector(string_to_array(search_text, ' '))) STORED"
    )
    op.execute("CREATE INDEX item_words ON item USING gin (search_words)")
    op.execute("CREATE INDEX item_attributes ON item USING gin (attributes jsonb_path_ops)")


def _sqlite_search() -> None:
    for name in SQLITE_INDEXED:
        op.execute(
            f"CREATE INDEX item_attribute_{name} ON item "
            f"(json_extract(attributes, '$.\"{name}\"'), id) WHERE retired_at IS NULL"
        )
    op.execute(
        "CREATE VIRTUAL TABLE item_words USING fts5("
        "search_text, content='item', content_rowid='seq', prefix='2 3')"
    )
    forget = (
        "INSERT INTO item_words (item_words, rowid, search_text) "
        "VALUES ('delete', old.seq, old.search_text);"
    )
    learn = "INSERT INTO item_words (rowid, search_text) VALUES (new.seq, new.search_text);"
    op.execute(f"CREATE TRIGGER item_learnt AFTER INSERT ON item BEGIN {learn} END")
    op.execute(f"CREATE TRIGGER item_forgotten AFTER DELETE ON item BEGIN {forget} END")
    op.execute(
        "CREATE TRIGGER item_relearnt AFTER UPDATE OF search_text ON item "
        f"WHEN old.search_text <> new.search_text BEGIN {forget} {learn} END"
    )
