"""Settings of the runner, beside those that every service of the fleet reads."""

from pydantic import Field

from flotilla import ServiceSettings


class Settings(ServiceSettings, env_prefix="FLOTILLA_RUNNER_"):
    """Read from `FLOTILLA_RUNNER_PORT` and its like."""

    port: int = Field(default=8020, ge=1, le=65_535)
    max_programs: int = Field(default=64, ge=1)
    """So many run at once; one more is refused."""
