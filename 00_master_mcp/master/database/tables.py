"""The hub's tables. Times are ISO 8601 texts in UTC, so that both databases tell the same ones."""

import sqlalchemy as sa

metadata = sa.MetaData()

# SQLite's own row number, which needs no index beside the table, is spelled INTEGER.
_COUNTED = sa.BigInteger().with_variant(sa.Integer, "sqlite")

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

seen = sa.Table(
    "hub_seen",
    metadata,
    # One of an OpenID provider's, who was here with a good token.
    sa.Column("principal", sa.Text, primary_key=True),
    sa.Column("roles", sa.Text, nullable=False),
    sa.Column("seen_at", sa.Text, nullable=False, index=True),
)

approvals = sa.Table(
    "hub_approvals",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    # What it is bound to: the SHA-256 over tool, arguments, target and principal.
    sa.Column("digest", sa.Text, nullable=False, index=True),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("tool", sa.Text, nullable=False),
    sa.Column("service", sa.Text, nullable=False),
    sa.Column("principal", sa.Text, nullable=False, index=True),
    sa.Column("four_eyes", sa.Boolean, nullable=False),
    # The asker's own client is one where a person sits.
    sa.Column("interactive", sa.Boolean, nullable=False),
    sa.Column("asked_at", sa.Text, nullable=False, index=True),
    # Until when it must be decided, then until when it must be used.
    sa.Column("expires_at", sa.Text, nullable=False),
    sa.Column("decided_at", sa.Text),
    sa.Column("decided_by", sa.Text),
    sa.Column("way", sa.Text),
    sa.Column("reason", sa.Text),
    # Until when this exact call may be made again, where the person allowed that.
    sa.Column("allowed_until", sa.Text),
    # The hub process that runs the call, which says again and again that it lives.
    sa.Column("runner", sa.Text),
    sa.Column("lease_until", sa.Text),
    # The correlation ID of a stored call that ran.
    sa.Column("run_id", sa.Text),
    # JSON: roles, arguments without secrets, what the person is shown, the correlation ID.
    sa.Column("body", sa.Text, nullable=False),
    # The call itself, encrypted; gone once it can run no more.
    sa.Column("sealed", sa.Text),
    sa.Column("sealed_chars", sa.BigInteger, nullable=False),
    # JSON, encrypted.
    sa.Column("result", sa.Text),
    sa.Column("finished_at", sa.Text),
)

# What the audit is still to be told: written with the change itself, so that neither is lost.
approval_news = sa.Table(
    "hub_approval_news",
    metadata,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    # The hub process that tells it; another takes over where that one is gone.
    sa.Column("hub", sa.Text, nullable=False, index=True),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)

audit = sa.Table(
    "hub_audit",
    metadata,
    sa.Column("number", _COUNTED, primary_key=True, autoincrement=False),
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

# What is signed about the rows: the newest one that each hub wrote (`head:<key>`), and the last
# one that retention removed (`anchor`).
audit_marks = sa.Table(
    "hub_audit_marks",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("number", _COUNTED, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("signature", sa.Text, nullable=False),
)

grants = sa.Table(
    "hub_grants",
    metadata,
    sa.Column("principal", sa.Text, primary_key=True),
    sa.Column("server", sa.Text, primary_key=True),
    # Encrypted: tokens that a person granted for a server of somebody else.
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("changed_at", sa.Text, nullable=False),
    # Whoever renews it, and until when nobody else may: a refresh token is good once.
    sa.Column("renewing_by", sa.Text),
    sa.Column("renewing_until", sa.Text),
)

grant_steps = sa.Table(
    "hub_grant_steps",
    metadata,
    # The SHA-256 of a link or of a state, of which each is good once.
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("principal", sa.Text, nullable=False),
    sa.Column("server", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("until", sa.Text, nullable=False, index=True),
)

# The hub as authorization servers have registered it.
oauth_clients = sa.Table(
    "hub_oauth_clients",
    metadata,
    sa.Column("server", sa.Text, primary_key=True),
    sa.Column("issuer", sa.Text, primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("changed_at", sa.Text, nullable=False),
)

used_tickets = sa.Table(
    "hub_used_tickets",
    metadata,
    # Of a requestState that continued an approved call: it is good once.
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("until", sa.Text, nullable=False, index=True),
)
