"""Settings of the hub."""

from typing import Literal

from flotilla import ServiceSettings


class Settings(ServiceSettings, env_prefix="FLOTILLA_"):
    """Read from `FLOTILLA_APPROVALS` and `FLOTILLA_SERVICES`."""

    approvals: Literal["on", "off"] = "on"
    """`off` lets calls that wait for a person run unasked: for test machines alone."""
    services: str | None = None
    """The services that are started (`00,01` or names), by default all of services.yaml."""
