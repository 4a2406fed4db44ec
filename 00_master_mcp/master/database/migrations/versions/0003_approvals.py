"""Calls that wait for a person, what was decided, and what the audit is still to be told of it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "hub_approvals",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False, index=True),
        sa.Column("state", sa.Text, nullable=False, index=True),
        sa.Column("tool", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("principal", sa.Text, nullable=False, index=True),
        sa.Column("four_eyes", sa.Boolean, nullable=False),
        sa.Column("interactive", sa.Boolean, nullable=False),
        sa.Column("asked_at", sa.Text, nullable=False, index=True),
        sa.Column("expires_at", sa.Text, nullable=False),
        sa.Column("decided_at", sa.Text),
        sa.Column("decided_by", sa.Text),
        sa.Column("way", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("allowed_until", sa.Text),
        sa.Column("runner", sa.Text),
        sa.Column("lease_until", sa.Text),
        sa.Column("run_id", sa.Text),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("sealed", sa.Text),
        sa.Column("sealed_chars", sa.BigInteger, nullable=False),
        sa.Column("result", sa.Text),
        sa.Column("finished_at", sa.Text),
    )
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "hub_approval_news",
        sa.Column("number", number, primary_key=True),
        sa.Column("hub", sa.Text, nullable=False, index=True),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
