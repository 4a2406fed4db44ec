"""Settings of the cmdb spoke."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field

from flotilla import ServiceSettings

SqlName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]


class Settings(ServiceSettings, env_prefix="CMDB_"):
    """Where the items are kept, and how long the spoke waits for that place."""

    database_url: str | None = Field(default=None, repr=False)
    """postgresql://... or sqlite:///...; without it FLOTILLA_DATABASE_URL, else a file of ours."""
    database_schema: SqlName = "cmdb"
    """The PostgreSQL schema that holds the tables, so that services can share a database."""
    pool_size: int = Field(default=5, ge=1, le=50)
    """Reads at the same time; writes queue behind one another."""
    connect_timeout_s: float = Field(default=5.0, gt=0, le=60)
    lock_timeout_s: float = Field(default=15.0, gt=0, le=300)
    """How long a write waits for another process's write."""
    plan_ttl_s: int = Field(default=3600, ge=60, le=7 * 24 * 3600)
    """How long a previewed reconciliation may still be applied."""
    servicenow_config: Path | None = None
    """The instances of ServiceNow; by default servicenow.yaml in the configuration folder."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Self:
        """The settings of `env`; the fleet's database where the spoke was given none of its own."""
        given = os.environ if env is None else env
        own = super().from_env(given)
        if own.database_url is not None:
            return own
        return own.model_copy(update={"database_url": _Fleet.from_env(given).database_url})


class _Fleet(ServiceSettings, env_prefix="FLOTILLA_"):
    database_url: str | None = Field(default=None, repr=False)
