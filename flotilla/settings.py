"""Settings, read once at start from the environment, secret files and nothing else.

Each service declares a frozen class with a prefix; `<PREFIX><FIELD>` sets a field, and
`<PREFIX><FIELD>_FILE` names a file that holds it (a mounted secret). A wrong value stops the start
with a sentence that names its key.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

MAX_SECRET_FILE_BYTES = 64 * 1024


class Misconfigured(Exception):
    """The configuration cannot work; the message names the key and says what to do."""


class _FromMapping(PydanticBaseSettingsSource):
    """Reads `<PREFIX><FIELD>` and `<PREFIX><FIELD>_FILE` from a given mapping."""

    def __init__(self, settings: type[BaseSettings], env: Mapping[str, str]) -> None:
        super().__init__(settings)
        self._env = env
        self._prefix = settings.model_config.get("env_prefix", "")

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        key = key_of(self._prefix, field_name)
        value, file = self._env.get(key) or None, self._env.get(f"{key}_FILE") or None
        if value is not None and file is not None:
            raise Misconfigured(f"{key} and {key}_FILE are both set; keep one of them")
        if file is not None:
            value = read_secret(Path(file), f"{key}_FILE")
        return value, field_name, self.field_is_complex(field)

    def __call__(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, field in self.settings_cls.model_fields.items():
            value, _, is_complex = self.get_field_value(field, name)
            if value is not None:
                found[name] = self._decoded(name, field, value) if is_complex else value
        return found

    def _decoded(self, name: str, field: FieldInfo, value: str) -> Any:
        if value.lstrip().startswith(("[", "{")):
            try:
                return self.decode_complex_value(name, field, value)
            except ValueError as error:
                raise Misconfigured(f"{key_of(self._prefix, name)}: not valid JSON") from error
        return [part.strip() for part in value.split(",") if part.strip()]


class ServiceSettings(BaseSettings):
    """Base of every service's settings: `class Settings(ServiceSettings, env_prefix="CMDB_")`.

    A list is given as `a,b,c` or as JSON.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Self:
        """Read the settings from `env` (the process's own by default); Misconfigured when wrong."""
        values = _FromMapping(cls, os.environ if env is None else env)()
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise Misconfigured(_told(error, cls.model_config.get("env_prefix", ""))) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is passed in is all there is: the environment is read in `from_env` alone."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


def key_of(prefix: str, field_name: str) -> str:
    """The environment's key of a field: `("CMDB_", "page_size")` -> `CMDB_PAGE_SIZE`."""
    return f"{prefix}{field_name}".upper()


def read_secret(path: Path, key: str) -> str:
    """The text of a secret file without its last line break; Misconfigured names `key`."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise Misconfigured(f"{key}: cannot read {path}: {error.strerror}") from None
    if len(raw) > MAX_SECRET_FILE_BYTES:
        raise Misconfigured(f"{key}: {path} has {len(raw)} bytes; a secret has at most 64 KiB")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Misconfigured(f"{key}: {path} is not UTF-8 text") from None
    if not text.strip():
        raise Misconfigured(f"{key}: {path} is empty")
    return text.rstrip("\r\n")


def _told(error: ValidationError, prefix: str) -> str:
    return "; ".join(
        f"{key_of(prefix, str(mistake['loc'][0])) if mistake['loc'] else prefix}: {mistake['msg']}"
        for mistake in error.errors(include_url=False, include_input=False, include_context=False)
    )


class CommonSettings(ServiceSettings, env_prefix="FLOTILLA_"):
    """What every service of the fleet reads, whatever its domain; keys start with `FLOTILLA_`."""

    data_dir: Path = Path("data")
    config_dir: Path = Path("config")
    bind: str = "127.0.0.1"
    """The address that the services listen on."""
    log_level: str = "INFO"
    hub_public_key: Path | None = None
    """The PEM file of the hub's public key, which the hub writes and spokes read; by default in the
    data folder."""
    tls_dir: Path | None = None
    """The folder of this service's certificates, with which hub and spokes speak TLS and prove to
    each other who they are; without it they speak plain HTTP."""
    metrics_token: str | None = Field(default=None, repr=False)
    """The scrape token of /metrics; without it only loopback may read them."""
    allowed_hosts: list[str] = []
    """Further values of the Host header that are served (names without a port)."""
    allowed_origins: list[str] = []
    """Further values of the Origin header that are served (whole origins)."""
    shutdown_grace_s: float = 20.0
    """How long running calls may still end after a stop was asked for."""

    def secret_values(self) -> tuple[str, ...]:
        """What must never be read outside."""
        return (self.metrics_token,) if self.metrics_token else ()

    @property
    def hub_public_key_path(self) -> Path:
        return self.hub_public_key or self.data_dir / "hub" / "public_key.pem"

    def service_data_dir(self, service: str) -> Path:
        """The folder that this service alone writes; made with mode 0700 when missing."""
        folder = self.data_dir / service
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder
