"""Settings of the approvals."""

from pydantic import Field

from flotilla import ServiceSettings

MAX_STANDING_MINUTES = 480.0


class ApprovalSettings(ServiceSettings, env_prefix="FLOTILLA_APPROVALS_"):
    """Read from `FLOTILLA_APPROVALS_DECIDE_S` and its like."""

    decide_s: float = Field(default=900.0, gt=0, le=86_400)
    """How long a person may take to decide, in seconds."""
    client_wait_s: float = Field(default=45.0, gt=0, le=600)
    """How long the person at a client is asked there before the call waits elsewhere, in seconds;
    most clients wait for an answer for a minute themselves."""
    use_s: float = Field(default=600.0, gt=0, le=86_400)
    """How long after it was approved a call may still be made, in seconds."""
    max_pending: int = Field(default=200, ge=1, le=10_000)
    """Calls that may wait for a person at the same time, whoever asked."""
    max_pending_each: int = Field(default=20, ge=1, le=10_000)
    """The same of one principal."""
    max_asked_per_minute: int = Field(default=30, ge=1, le=10_000)
    """How many approvals one principal may ask for in a minute."""
    max_standing_minutes: float = Field(default=MAX_STANDING_MINUTES, gt=0, le=MAX_STANDING_MINUTES)
    """For how long a person may allow an exact call to be made again, at most."""
    result_retention_s: float = Field(default=86_400.0, gt=0)
    """How long the result of an approved call is kept, in seconds."""
    retention_days: float = Field(default=30.0, gt=0)
    """How long an approval is kept after its end; the audit keeps its rows for longer."""
