"""Settings of the vmware spoke."""

from pathlib import Path

from flotilla import ServiceSettings


class Settings(ServiceSettings, env_prefix="VMWARE_"):
    """Where its vcenters are said."""

    config: Path | None = None
    """By default vmware.yaml in the fleet's configuration folder."""
