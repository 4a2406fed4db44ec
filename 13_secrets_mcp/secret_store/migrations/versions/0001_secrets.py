"""Keys, secrets and their versions, what is known of them, leases, and the trail of all acts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

ORDERED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    _keys()
    _secrets()
    _leases()
    _trail()


def _keys() -> None:
    op.create_table(
        "master_key",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("salt", sa.LargeBinary),
        sa.Column("iterations", sa.Integer),
        sa.Column("lanes", sa.Integer),
        sa.Column("memory_kib", sa.Integer),
        sa.Column("created_at", ORDERED, nullable=False),
    )
    op.create_table(
        "data_key",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("master_id", sa.String(16), sa.ForeignKey("master_key.id"), nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
        sa.Column("created_at", ORDERED, nullable=False),
    )


def _secrets() -> None:
    op.create_table(
        "secret",
        sa.Column("path", ORDERED, primary_key=True),
        sa.Column("last_version", sa.Integer, nullable=False),
        sa.Column("created_at", ORDERED, nullable=False),
        sa.Column("updated_at", ORDERED, nullable=False),
        sa.Column("deleted_at", ORDERED),
    )
    op.create_table(
        "version",
        sa.Column("path", ORDERED, sa.ForeignKey("secret.path"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column(
            "data_key_id", sa.Integer, sa.ForeignKey("data_key.id"), nullable=False, index=True
        ),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("created_at", ORDERED, nullable=False),
    )
    op.create_table(
        "card",
        sa.Column("path", ORDERED, primary_key=True),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("tags", DOCUMENT, nullable=False),
        sa.Column("rules", DOCUMENT, nullable=False),
        sa.Column("recipe", DOCUMENT),
        sa.Column("public_key", sa.Text),
        sa.Column("expires_at", ORDERED),
        sa.Column("last_used_at", ORDERED),
    )


def _leases() -> None:
    op.create_table(
        "lease",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("handle_digest", sa.String(64), nullable=False, unique=True),
        sa.Column("path", ORDERED, nullable=False, index=True),
        sa.Column("version", sa.Integer),
        sa.Column("principal", sa.Text, nullable=False, index=True),
        sa.Column("roles", DOCUMENT, nullable=False),
        sa.Column("tool", sa.Text, nullable=False),
        sa.Column("uses", sa.Integer, nullable=False),
        sa.Column("uses_left", sa.Integer, nullable=False),
        sa.Column("created_at", ORDERED, nullable=False),
        sa.Column("expires_at", ORDERED, nullable=False, index=True),
        sa.Column("resolved_at", ORDERED),
        sa.Column("revoked_at", ORDERED),
    )


def _trail() -> None:
    op.create_table(
        "trail",
        sa.Column("seq", SERIAL, primary_key=True),
        sa.Column("at", ORDERED, nullable=False, index=True),
        sa.Column("act", sa.String(32), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("path", ORDERED, index=True),
        sa.Column("version", sa.Integer),
        sa.Column("principal", sa.Text, nullable=False),
        sa.Column("tool", sa.Text, nullable=False),
        sa.Column("given_to", sa.Text),
        sa.Column("lease_id", sa.String(32)),
        sa.Column("correlation_id", sa.Text, nullable=False),
        sa.Column("link", sa.String(64), nullable=False),
    )
