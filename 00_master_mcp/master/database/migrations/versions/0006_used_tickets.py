"""Tickets of approved calls whose servers asked something, once they were used."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "hub_used_tickets",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("until", sa.Text, nullable=False, index=True),
    )
