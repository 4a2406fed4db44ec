"""Settings of the hub."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from flotilla import ServiceSettings


class Settings(ServiceSettings, env_prefix="FLOTILLA_"):
    """Read from `FLOTILLA_APPROVALS` and its like."""

    approvals: Literal["on", "off"] = "on"
    """`off` lets calls that wait for a person run unasked: for test machines alone."""
    mcp_config: Path | None = None
    """The file of the external servers; `mcp.json` in the configuration folder by default."""
    external_runner: str | None = Field(default=None, pattern=r"^http://[^\s/?#]+/?$")
    """Where the runner is that starts the programs of external servers, `http://host:port`; they
    run beside the hub without one."""
    stale_tools_s: float = Field(default=86_400.0, gt=0)
    """How long what a server offered stays listed, marked stale, while the server is away."""
    services: str | None = None
    """The services that are started (`00,01` or names), by default all of services.yaml."""
