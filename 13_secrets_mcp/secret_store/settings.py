"""What an operator may set for this spoke; every key starts with `SECRETS_`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field

from flotilla import Misconfigured, ServiceSettings
from secret_store.program_list import check_programs

SqlName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]
Switch = Literal["on", "off"]


class Settings(ServiceSettings, env_prefix="SECRETS_"):
    """Where the secrets are kept, under which key, and what may be done with them."""

    database_url: str | None = Field(default=None, repr=False)
    """postgresql://... or sqlite:///...; without it FLOTILLA_DATABASE_URL, else a file of ours."""
    database_schema: SqlName = "secrets"
    """The PostgreSQL schema that holds the tables, so that services can share a database."""
    master_key: str | None = Field(default=None, repr=False)
    """32 bytes in base64 or hexadecimal; without it or a passphrase, a file made at first start."""
    passphrase: str | None = Field(default=None, repr=False, min_length=12)
    """From which the master key is derived instead (Argon2id)."""
    previous_master_key: str | None = Field(default=None, repr=False)
    """What the store is still sealed with, until `python3 -m flotilla secrets rewrap`."""
    previous_passphrase: str | None = Field(default=None, repr=False)
    """As previous_master_key, where it was a passphrase."""
    versions_kept: int = Field(default=20, ge=1, le=1000)
    """Of each secret; older ones are destroyed."""
    write_from_chat: Switch = "off"
    """on: writeSecret takes a value that stands in the conversation."""
    reveal: Switch = "off"
    """on: there is a tool revealSecret, which puts a value into the conversation."""
    programs: tuple[Path, ...] = ()
    """What runWithSecret may run, by absolute paths."""
    program_confinement: Literal["required", "off"] = "required"
    """required: the kernel (Landlock) keeps these programs from the data folder and processes."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Self:
        """The settings of `env`; the fleet's database where the spoke was given none of its own."""
        given = os.environ if env is None else env
        own = super().from_env(given)
        if own.master_key is not None and own.passphrase is not None:
            raise Misconfigured("SECRETS_MASTER_KEY and SECRETS_PASSPHRASE are both set; keep one")
        check_programs(own.programs)
        if own.database_url is not None:
            return own
        return own.model_copy(update={"database_url": _Fleet.from_env(given).database_url})


class _Fleet(ServiceSettings, env_prefix="FLOTILLA_"):
    database_url: str | None = Field(default=None, repr=False)
