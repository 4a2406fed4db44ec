"""Who did what: rows that are chained by hashes, and that the database itself does not change.

Rows are removed by retention alone: it first moves the anchor, and what is behind the anchor may
go. Who owns the database can drop the triggers; they are against mistakes, the chain is against
the rest.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_SQLITE = (
    """
    CREATE TRIGGER hub_audit_is_not_changed BEFORE UPDATE ON hub_audit
    BEGIN SELECT RAISE(ABORT, 'rows of the audit are not changed'); END
    """,
    """
    CREATE TRIGGER hub_audit_is_not_removed BEFORE DELETE ON hub_audit
    WHEN OLD.number > coalesce(
        (SELECT number FROM hub_audit_marks WHERE name = 'anchor'), 0)
    BEGIN SELECT RAISE(ABORT, 'rows of the audit are removed by retention alone'); END
    """,
    # INSERT OR REPLACE would remove a row without asking the trigger above.
    """
    CREATE TRIGGER hub_audit_is_added_to BEFORE INSERT ON hub_audit
    WHEN NEW.number <= (SELECT max(number) FROM hub_audit)
    BEGIN SELECT RAISE(ABORT, 'rows of the audit are only added at the end'); END
    """,
)
_POSTGRESQL = (
    """
    CREATE FUNCTION hub_audit_guard() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' AND OLD.number <= coalesce(
            (SELECT number FROM hub_audit_marks WHERE name = 'anchor'), 0)
        THEN
            RETURN OLD;
        END IF;
        RAISE EXCEPTION 'rows of the audit are only added, and removed by retention alone';
    END $$
    """,
    """
    CREATE TRIGGER hub_audit_is_only_added_to BEFORE UPDATE OR DELETE ON hub_audit
    FOR EACH ROW EXECUTE FUNCTION hub_audit_guard()
    """,
    """
    CREATE TRIGGER hub_audit_is_not_emptied BEFORE TRUNCATE ON hub_audit
    FOR EACH STATEMENT EXECUTE FUNCTION hub_audit_guard()
    """,
)


def upgrade() -> None:
    counted = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "hub_audit",
        sa.Column("number", counted, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Text, nullable=False, index=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("principal", sa.Text, nullable=False, index=True),
        sa.Column("tool", sa.Text, index=True),
        sa.Column("outcome", sa.Text),
        sa.Column("correlation_id", sa.Text, index=True),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("previous", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
    )
    op.create_table(
        "hub_audit_marks",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("number", counted, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("signature", sa.Text, nullable=False),
    )
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    for trigger in _SQLITE if on_sqlite else _POSTGRESQL:
        op.execute(trigger)
