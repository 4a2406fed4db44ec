"""Settings of the audit."""

from pydantic import Field

from flotilla import ServiceSettings


class AuditSettings(ServiceSettings, env_prefix="FLOTILLA_AUDIT_"):
    """Read from `FLOTILLA_AUDIT_RETENTION_DAYS` and its like."""

    retention_days: float = Field(default=365.0, gt=0)
    """Rows older than this are removed, and what is left still proves that nothing else was."""
    away_s: float = Field(default=30.0, ge=0)
    """How long calls that only read go on while rows cannot be written; then they are refused too.
    Calls that write are refused at once."""
    max_waiting: int = Field(default=20_000, ge=100)
    """How many rows may wait to be written before calls are refused."""
    readers: tuple[str, ...] = ("admin", "approver")
    """The roles that may read everybody's rows by master.audit.query; others read their own."""
    key: str | None = Field(default=None, repr=False)
    """The Ed25519 key, as PEM, that signs what tells of the newest row; by default one is made in
    the data folder. It is never changed, and hubs that share a database share it."""
