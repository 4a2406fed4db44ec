"""`config/services.yaml`: the fleet's services, where they listen, and what keeps each going."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flotilla.names import EXTERNAL, BadName, check_namespace
from flotilla.resilience import RATES, Count, Resilience, Seconds
from flotilla.settings import Misconfigured

HUB = "master"

Port = Annotated[int, Field(ge=1, le=65_535)]


ANY = "*"
"""In `external`: every external server."""


class ServiceEntry(Resilience):
    """One service: `number` is that of its folder."""

    number: int = Field(ge=0, le=99)
    port: Port
    namespaces: tuple[str, ...] = Field(min_length=1)
    url: str | None = None
    """Where the hub reaches it; by default FLOTILLA_SPOKE_URL with its name and port."""
    isolated: bool = False
    """It never shares a process with another service: what it holds is not for their code."""

    @property
    def label(self) -> str:
        return f"{self.number:02}"


class HubLimits(BaseModel):
    """What the hub itself takes before it turns calls away."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    calls: Count = 2000
    """Calls in the hub at once."""
    lag_s: Seconds = 1.0
    """How late the hub's own clock may be before it takes no more calls for a while."""
    cache_mb: Count = 64


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    hub: HubLimits = HubLimits()
    services: dict[str, ServiceEntry]
    external: dict[str, Resilience] = Field(default_factory=dict[str, Resilience])


class FleetConfig:
    """The services by name, with the ports that the environment moved."""

    def __init__(
        self,
        services: Mapping[str, ServiceEntry],
        env: Mapping[str, str],
        *,
        hub: HubLimits | None = None,
        external: Mapping[str, Resilience] | None = None,
    ) -> None:
        self.services = dict(services)
        self.hub = hub or HubLimits()
        self._external = {ANY: Resilience(), **(external or {})}
        self._ports = {name: _port(name, entry, env) for name, entry in services.items()}
        self._spoke_url = env.get("FLOTILLA_SPOKE_URL") or "http://127.0.0.1:{port}"
        _check(self.services, self._ports)
        for name, resilience in self._external.items():
            if name != ANY:
                _check_cache(f"external.{name}", resilience, (f"{EXTERNAL}.{name}",))

    @classmethod
    def load(cls, file: Path, env: Mapping[str, str] | None = None) -> "FleetConfig":
        """Read the file; Misconfigured names the file and the key that is wrong."""
        try:
            parsed: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise Misconfigured(f"cannot read {file}: {error.strerror}") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            where = " ".join(str(error).split())
            raise Misconfigured(f"{file} is not valid YAML: {where}") from None
        try:
            read = _File.model_validate(_with_defaults(parsed))
            return cls(
                read.services,
                os.environ if env is None else env,
                hub=read.hub,
                external=read.external,
            )
        except ValidationError as error:
            raise Misconfigured(f"{file}: {_told(error)}") from None
        except Misconfigured as error:
            raise Misconfigured(f"{file}: {error}") from None

    def service(self, name: str) -> ServiceEntry:
        entry = self.services.get(name)
        if entry is None:
            known = ", ".join(self.services)
            raise Misconfigured(f"services.yaml has no service {name!r}; it has {known}")
        return entry

    def resilience(self, name: str) -> Resilience:
        """That of a service of the fleet, or of an external server."""
        return self.services.get(name) or self._external.get(name) or self._external[ANY]

    def port(self, name: str) -> int:
        self.service(name)
        return self._ports[name]

    def folder(self, name: str) -> str:
        """The name of a service's folder: `linux_cli` -> `01_linux_cli_mcp`."""
        return f"{self.service(name).label}_{name}_mcp"

    def url(self, name: str) -> str:
        """The base URL of a service, without a path: `http://127.0.0.1:8001`."""
        given = self.service(name).url
        if given is not None:
            return given.rstrip("/")
        return self._spoke_url.format(name=name.replace("_", "-"), port=self.port(name))

    def chosen(self, wanted: str | None) -> list[str]:
        """The names of the services that `wanted` lists: `00,01` or `master,linux_cli`, or all.

        In the file's order; Misconfigured for one that the file does not have.
        """
        if not wanted:
            return list(self.services)
        by_label = {entry.label: name for name, entry in self.services.items()}
        asked = [part.strip() for part in wanted.split(",") if part.strip()]
        names = {by_label.get(part, part) for part in asked}
        for name in names:
            self.service(name)
        return [name for name in self.services if name in names]


def _with_defaults(parsed: Any) -> Any:
    """The file with what `defaults` and `external.*` say written out at each entry."""
    if not isinstance(parsed, dict):
        return parsed
    told = cast("dict[str, Any]", parsed)
    defaults: Any = told.get("defaults") or {}
    if not isinstance(defaults, dict):
        raise Misconfigured("defaults: must be a mapping")
    rest = {key: value for key, value in told.items() if key != "defaults"}
    services = rest.get("services")
    external: Any = rest.get("external") or {}
    if isinstance(services, dict):
        known = {name: {"rate_limit": rate.model_dump()} for name, rate in RATES.items()}
        rest["services"] = {
            name: _over(_over(defaults, known.get(name, {})), entry)
            for name, entry in cast("dict[str, Any]", services).items()
        }
    if isinstance(external, dict):
        every = _over(defaults, cast("dict[str, Any]", external).get(ANY, {}))
        rest["external"] = {
            ANY: every,
            **{
                name: _over(every, entry)
                for name, entry in cast("dict[str, Any]", external).items()
                if name != ANY
            },
        }
    return rest


def _over(below: Any, above: Any) -> Any:
    """`above`, with the members that only `below` has, at every depth."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    under, over = cast("dict[str, Any]", below), cast("dict[str, Any]", above)
    return {**under, **{key: _over(under.get(key), value) for key, value in over.items()}}


def _port(name: str, entry: ServiceEntry, env: Mapping[str, str]) -> int:
    own_key = f"MCP_PORT_{name.upper()}"
    if own := env.get(own_key):
        return _number(own_key, own)
    if base := env.get("MCP_PORT_BASE"):
        port = _number("MCP_PORT_BASE", base) + entry.number
        if port > 65_535:
            raise Misconfigured(f"MCP_PORT_BASE: {base} puts {name} on port {port}; 65535 is last")
        return port
    return entry.port


def _number(key: str, value: str) -> int:
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= 65_535:
        raise Misconfigured(f"{key}: {value!r} is not a port number")
    return int(value)


def _check(services: Mapping[str, ServiceEntry], ports: Mapping[str, int]) -> None:
    owners: dict[str, str] = {}
    at: dict[int, str] = {}
    numbers: dict[int, str] = {}
    for name, entry in services.items():
        for namespace in entry.namespaces:
            try:
                check_namespace(namespace)
            except BadName as error:
                raise Misconfigured(f"services.{name}.namespaces: {error}") from None
            if (other := owners.setdefault(namespace, name)) != name:
                raise Misconfigured(f"namespace {namespace} belongs to {other} and to {name}")
        _check_cache(f"services.{name}", entry, entry.namespaces)
        if (other := at.setdefault(ports[name], name)) != name:
            raise Misconfigured(f"port {ports[name]} is that of {other} and of {name}")
        if (other := numbers.setdefault(entry.number, name)) != name:
            raise Misconfigured(f"number {entry.number} is that of {other} and of {name}")


def _check_cache(where: str, entry: Resilience, namespaces: Collection[str]) -> None:
    """Misconfigured for a tool that cannot be the service's: its setting would do nothing."""
    for tool in entry.cache:
        if not any(tool.startswith(f"{namespace}.") for namespace in namespaces):
            own = ", ".join(namespaces)
            raise Misconfigured(f"{where}.cache: {tool} is no tool of {own}")


def _told(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(str(part) for part in mistake['loc']) or 'the file'}: {mistake['msg']}"
        for mistake in error.errors(include_url=False, include_input=False, include_context=False)
    )
