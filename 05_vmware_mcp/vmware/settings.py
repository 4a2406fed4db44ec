"""Settings of the vmware spoke."""

from pathlib import Path

from pydantic import Field

from flotilla import ServiceSettings


class Settings(ServiceSettings, env_prefix="VMWARE_"):
    """Where its vcenters are said, and how hard each may be worked."""

    config: Path | None = None
    """By default vmware.yaml in the fleet's configuration folder."""
    calls_at_once: int = Field(default=8, ge=1, le=64)
    """Calls to one vCenter at the same time; each has a thread and a connection."""
    request_timeout_s: float = Field(default=30, gt=0, le=600)
    """The longest that one call works at a vCenter, where its own deadline is later."""
    idle_logout_s: float = Field(default=600, gt=0, le=1500)
    """A session that nothing uses for so long is logged out; vCenter itself waits 30 minutes."""
