"""The hub's tables. Times are ISO 8601 texts in UTC, so that both databases tell the same ones."""

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

tokens = sa.Table(
    "hub_tokens",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("principal", sa.Text, nullable=False),
    # The SHA-256 of the token in hexadecimal; the token itself is never kept.
    sa.Column("digest", sa.Text, nullable=False, unique=True),
    sa.Column("roles", sa.Text, nullable=False),
    sa.Column("profiles", sa.Text),
    sa.Column("interactive", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.Text, nullable=False),
    sa.Column("expires_at", sa.Text),
    sa.Column("revoked_at", sa.Text),
)

approvals = sa.Table(
    "hub_approvals",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    # What it is bound to: the SHA-256 over tool, arguments, target and principal.
    sa.Column("digest", sa.Text, nullable=False, index=True),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("tool", sa.Text, nullable=False),
    sa.Column("principal", sa.Text, nullable=False, index=True),
    sa.Column("asked_at", sa.Text, nullable=False, index=True),
    sa.Column("expires_at", sa.Text, nullable=False),
    sa.Column("decided_at", sa.Text),
    sa.Column("decided_by", sa.Text),
    # Until when this exact call may be made again, where the person allowed that.
    sa.Column("allowed_until", sa.Text),
    # The rest of it as JSON: the call, what the person is shown, reason and way of the decision.
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("result", sa.Text),
    sa.Column("finished_at", sa.Text),
)

audit = sa.Table(
    "hub_audit",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Text, nullable=False, index=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("principal", sa.Text, nullable=False, index=True),
    sa.Column("tool", sa.Text, index=True),
    sa.Column("outcome", sa.Text),
    sa.Column("correlation_id", sa.Text, index=True),
    # The row whole, as the JSON text that was hashed.
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("previous", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
)

grants = sa.Table(
    "hub_grants",
    metadata,
    sa.Column("principal", sa.Text, primary_key=True),
    sa.Column("server", sa.Text, primary_key=True),
    # Encrypted: tokens that a person granted for a server of somebody else.
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("changed_at", sa.Text, nullable=False),
)
