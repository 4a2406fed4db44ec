"""Calls that wait for a person, and what was decided."""

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
        sa.Column("principal", sa.Text, nullable=False, index=True),
        sa.Column("asked_at", sa.Text, nullable=False, index=True),
        sa.Column("expires_at", sa.Text, nullable=False),
        sa.Column("decided_at", sa.Text),
        sa.Column("decided_by", sa.Text),
        sa.Column("allowed_until", sa.Text),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("result", sa.Text),
        sa.Column("finished_at", sa.Text),
    )
