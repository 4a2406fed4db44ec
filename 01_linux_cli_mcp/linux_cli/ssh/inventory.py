"""`config/hosts.yaml`: the hosts by alias, and how each is reached."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from flotilla import Misconfigured
from flotilla.credentials import secret_named

LOCAL = "local"
DEFAULT_PORT = 22
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ADDRESS = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.:%-]{0,254}")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}\$?")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_TARGET = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}):(?P<port>\d{1,5})"
)


def _matching(pattern: re.Pattern[str], meant: str) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(f"{value!r} is not {meant}")
        return value

    return AfterValidator(check)


def _key_place(value: str) -> str:
    if secret_named(value) or value.startswith("/"):
        return value
    raise ValueError("give secret:<name of a stored secret> or the absolute path of a key file")


def _only_secret(value: str) -> str:
    if secret_named(value):
        return value
    raise ValueError("give secret:<name of a stored secret>; a passphrase never stands here")


def target_of(value: str) -> tuple[str, int]:
    """Host and port of `db.internal:5432` or `[::1]:80`; ValueError for anything else."""
    found = _TARGET.fullmatch(value)
    port = int(found["port"]) if found else 0
    if found is None or not 1 <= port <= 65_535:
        raise ValueError(f"{value!r} is not host:port")
    return found["host"].strip("[]"), port


def _tunnel_target(value: str) -> str:
    target_of(value)
    return value


class SshEntry(BaseModel):
    """A host as the inventory has it; `key` is `secret:<name>` or the path of a key file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    address: Annotated[str, _matching(_ADDRESS, "a host name or an IP address")]
    port: int = Field(default=DEFAULT_PORT, ge=1, le=65_535)
    user: Annotated[str, _matching(_USER, "the name of a user")]
    key: Annotated[str, AfterValidator(_key_place)]
    passphrase: Annotated[str, AfterValidator(_only_secret)] | None = None
    certificate: Annotated[str, AfterValidator(_key_place)] | None = None
    """A certificate of the key, signed by an authority that the host trusts."""
    jump: str | None = None
    """The alias of the host through which this one is reached."""
    tags: tuple[Annotated[str, _matching(_ALIAS, "a tag")], ...] = ()
    known_hosts: Literal["strict"] = "strict"
    """Host keys are always checked; the key is there to say so, and takes no other value."""
    host_key: Annotated[str, _matching(_FINGERPRINT, "SHA256:<fingerprint>")] | None = None
    """The fingerprint of the host's key; without it, that which `flotilla hosts trust` pinned."""
    keepalive_s: float = Field(default=15, ge=1, le=3600)
    """A connection over which nothing came for three times this long is given up."""
    max_sessions: int = Field(default=10, ge=2, le=100)
    """Sessions at once on the connection, one of them for files; sshd's MaxSessions is 10."""
    tunnels: tuple[Annotated[str, AfterValidator(_tunnel_target)], ...] = ()
    """What openTunnel may reach from the host, as host:port."""

    def secrets(self) -> tuple[str, ...]:
        """The names of the stored secrets that it needs."""
        given = (self.key, self.passphrase, self.certificate)
        return tuple(name for place in given if place and (name := secret_named(place)))

    def key_files(self) -> tuple[Path, ...]:
        """The files that it needs."""
        given = (self.key, self.certificate)
        return tuple(Path(place) for place in given if place and not secret_named(place))


class LocalEntry(BaseModel):
    """What may be said of the machine that the spoke runs on."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    tags: tuple[Annotated[str, _matching(_ALIAS, "a tag")], ...] = ()


class Inventory:
    """The hosts by alias; `local` is always there and never over SSH."""

    def __init__(self, hosts: Mapping[str, SshEntry], local: LocalEntry | None = None) -> None:
        self._hosts = dict(hosts)
        self.local = local or LocalEntry()

    @classmethod
    def load(cls, file: Path) -> "Inventory":
        """Read the file; Misconfigured names the file and the key that is wrong."""
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Misconfigured(f"cannot read {file}: {error}") from None
        try:
            parsed: Any = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise Misconfigured(
                f"{file} is not valid YAML: {' '.join(str(error).split())}"
            ) from None
        try:
            return cls(*_read(parsed))
        except Misconfigured as error:
            raise Misconfigured(f"{file}: {error}") from None

    def __iter__(self) -> Iterator[tuple[str, SshEntry]]:
        return iter(self._hosts.items())

    def get(self, alias: str) -> SshEntry | None:
        return self._hosts.get(alias)

    def needs(self) -> tuple[str, ...]:
        """The stored secrets that the hosts need."""
        return tuple(dict.fromkeys(name for _, entry in self for name in entry.secrets()))

    def key_files(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(path for _, entry in self for path in entry.key_files()))


def _read(parsed: Any) -> tuple[dict[str, SshEntry], LocalEntry]:
    if not isinstance(parsed, dict) or set(cast("dict[Any, Any]", parsed)) - {"hosts"}:
        raise Misconfigured("it must be a map with the one key `hosts`")
    listed: Any = cast("dict[str, Any]", parsed).get("hosts") or {}
    if not isinstance(listed, dict):
        raise Misconfigured("hosts: must be a map of alias to host")
    local, found = LocalEntry(), dict[str, SshEntry]()
    for alias, value in cast("dict[Any, Any]", listed).items():
        if not isinstance(alias, str) or not _ALIAS.fullmatch(alias):
            raise Misconfigured(f"hosts.{alias}: an alias is letters, digits and `._-`")
        try:
            if alias == LOCAL:
                local = LocalEntry.model_validate(value or {})
            else:
                found[alias] = SshEntry.model_validate(value)
        except ValidationError as error:
            raise Misconfigured(_told(alias, error)) from None
    _check_jumps(found)
    return found, local


def _check_jumps(hosts: Mapping[str, SshEntry]) -> None:
    for alias in hosts:
        way = [alias]
        while (jump := hosts[way[-1]].jump) is not None:
            if jump not in hosts:
                raise Misconfigured(f"hosts.{way[-1]}.jump: there is no host {jump!r}")
            if jump in way:
                raise Misconfigured(f"hosts.{alias}.jump: goes in a circle: {' -> '.join(way)}")
            way.append(jump)


def _told(alias: str, error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(('hosts', alias, *(str(part) for part in mistake['loc'])))}: {mistake['msg']}"
        for mistake in error.errors(include_url=False, include_input=False, include_context=False)
    )
