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
    profiles_config: Path | None = None
    """The file of the profiles; `profiles.yaml` in the configuration folder by default."""
    redis_url: str | None = Field(default=None, repr=False)
    """Where hubs share limits, circuits and cached results, `redis://host:port/0`; a hub without
    one keeps them in its process."""
    database_url: str | None = Field(default=None, repr=False)
    """A PostgreSQL in which hubs share what must last, `postgresql://user@host/name`; a hub without
    one keeps files in the data folder."""
    workers: int = Field(default=1, ge=1, le=64)
    """Processes of this hub on its one port; more than one need Redis."""
    advertise: str | None = Field(default=None, pattern=r"^http://[^\s/?#]+:[0-9]{1,5}$")
    """Where hubs on other machines reach the first process of this one, `http://host:port`; each
    further process has the next port. Without it, sessions are found on this machine alone."""
    key_days: float = Field(default=1.0, ge=0)
    """How long the key signs by which services know the hub, in days; 0: for ever. Hubs with
    `advertise` share a key that their platform gives them, and change none."""
    public_url: str | None = Field(default=None, pattern=r"^https?://[^\s/?#]+/?$")
    """What clients call this hub where it stands behind a proxy, `https://hub.example.org`."""
    timezone: str = "UTC"
    """In which rules of the policy read the clock, as `Europe/Berlin`."""
    services: str | None = None
    """The services that are started (`00,01` or names), by default all of services.yaml."""

    @property
    def key_s(self) -> float | None:
        """How long a signing key is used, in seconds; None: it is not changed."""
        return self.key_days * 86_400 if self.key_days and self.advertise is None else None
