"""What the hub brings of a source, page by page, until a call has made a plan of it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

ORDERED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "gathering",
        sa.Column("id", ORDERED, primary_key=True),
        sa.Column("principal", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("covers", sa.Text, nullable=False),
        sa.Column("items", sa.Integer, nullable=False),
        sa.Column("complete", sa.Boolean, nullable=False),
        sa.Column("expires_at", ORDERED, nullable=False),
    )
    op.create_table(
        "gathered_page",
        sa.Column("gathering_id", ORDERED, sa.ForeignKey("gathering.id"), primary_key=True),
        sa.Column("page", sa.Integer, primary_key=True),
        sa.Column("content", sa.Text, nullable=False),
    )
