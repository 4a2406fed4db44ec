"""What testConnection tells of each step."""

from flotilla import Model


class Step(Model):
    """One step; `detail` says what was found, or why it failed."""

    name: str
    ok: bool
    duration_ms: float
    detail: str | None
