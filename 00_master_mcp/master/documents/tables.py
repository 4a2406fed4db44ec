"""The hub's tables in PostgreSQL."""

import sqlalchemy as sa

metadata = sa.MetaData()

documents = sa.Table(
    "hub_documents",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    # JSON as text: jsonb takes no NUL character, which a stranger's tool may have in its texts.
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
)
