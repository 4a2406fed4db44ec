"""The engines as web_search.yaml and the settings have them, in the order they should be asked.

order: [own, duckduckgo]        # these first, the others after them
ca_file: /etc/ssl/proxy.pem     # of a proxy that looks into TLS
engines:
  own: {kind: searxng, url: "https://search.example.org"}
  brave_api: {kind: brave, key: "secret:search/brave"}
  tavily: {kind: tavily, key: /run/secrets/tavily}
  mojeek: {enabled: false}      # one of those that need no setting up
  yahoo: {weight: 0.5}
"""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast
from urllib.parse import unquote, urlsplit

import yaml
from pydantic import AfterValidator, Field, ValidationError

from flotilla.accounts import Account, SecretPlace
from flotilla.credentials import Credentials
from flotilla.placed_secrets import PlacedSecrets
from flotilla.settings import Misconfigured
from web_search.engine import Engine
from web_search.engines import brave_api, tavily
from web_search.engines.brave_api import BraveApi
from web_search.engines.built_in import BUILT_IN, SUGGESTING
from web_search.engines.ddgs_engine import DdgsEngine, Line, Places
from web_search.engines.searxng import Searxng
from web_search.engines.tavily import Tavily
from web_search.engines.wire import Wire
from web_search.settings import Settings

FILE_NAME = "web_search.yaml"
_NAME_CHARS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")


def _web(value: str) -> str:
    try:
        parts = urlsplit(value)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_web = False
        parts = urlsplit("")
    if not is_web or parts.username or parts.query or parts.fragment:
        raise ValueError("give http://host or https://host, with a port and a path if need be")
    return value


def _fit_for_keys(value: str) -> str:
    parts = urlsplit(_web(value))
    if parts.scheme != "https" and not _is_loopback(parts.hostname or ""):
        raise ValueError("a key travels by https only, but for this very machine")
    return value


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Any(Account):
    enabled: bool = True
    weight: float = Field(default=1.0, gt=0, le=10)
    """How much its word counts beside the others'."""


class _BuiltIn(_Any):
    """One of those that need no setting up."""


class _Searxng(_Any):
    kind: Literal["searxng"]
    url: Annotated[str, AfterValidator(_web)]
    ca_file: str | None = None
    through_proxy: bool = False
    """One's own is rather inside, where the proxy of the searches does not lead."""


class _Brave(_Any):
    kind: Literal["brave"]
    key: SecretPlace
    url: Annotated[str, AfterValidator(_fit_for_keys)] = brave_api.URL


class _Tavily(_Any):
    kind: Literal["tavily"]
    key: SecretPlace
    url: Annotated[str, AfterValidator(_fit_for_keys)] = tavily.URL


_KINDS: Mapping[str, type[_Any]] = {"searxng": _Searxng, "brave": _Brave, "tavily": _Tavily}


@dataclass(frozen=True, slots=True)
class _File:
    """What the file says; without a file, nothing."""

    entries: Mapping[str, _Any] = field(default_factory=dict[str, _Any])
    order: tuple[str, ...] = ()
    ca_file: str | None = None

    @classmethod
    def load(cls, settings: Settings, config_dir: Path) -> Self:
        """Raises Misconfigured with the file and the key that is wrong."""
        file = settings.config or config_dir / FILE_NAME
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            if settings.config is None:
                return cls()
            raise Misconfigured(f"WEB_SEARCH_CONFIG: there is no {file}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise Misconfigured(f"cannot read {file}: {error}") from None
        try:
            return cls._read(yaml.safe_load(text))
        except yaml.YAMLError as error:
            where = " ".join(str(error).split())
            raise Misconfigured(f"{file} is not valid YAML: {where}") from None
        except Misconfigured as error:
            raise Misconfigured(f"{file}: {error}") from None

    @classmethod
    def _read(cls, parsed: Any) -> Self:
        said = _members("", {} if parsed is None else parsed)
        unknown = [key for key in said if key not in ("engines", "order", "ca_file")]
        if unknown:
            raise Misconfigured(f"{unknown[0]}: there is engines, order and ca_file")
        entries: dict[str, _Any] = {}
        for name, value in _members("engines", said.get("engines") or {}).items():
            entries[name] = _entry(name, _members(f"engines.{name}", value or {}))
        ca_file = said.get("ca_file")
        if ca_file is not None and not (isinstance(ca_file, str) and Path(ca_file).is_file()):
            raise Misconfigured("ca_file: there is no such file")
        return cls(entries, _order(said.get("order") or [], entries), ca_file)

    def keys(self) -> PlacedSecrets:
        """Those of all engines that are switched on."""
        asked = (entry for entry in self.entries.values() if entry.enabled)
        places = (entry.key for entry in asked if isinstance(entry, (_Brave, _Tavily)))
        return PlacedSecrets(dict.fromkeys(places, "the key"))


def engines_of(settings: Settings, config_dir: Path) -> tuple[list[Engine], Credentials]:
    """Every engine that is not switched off, the best first, and what the hub must bring for them.

    What `order` names comes first, then what the file sets up, then those that need no setting up.
    Raises Misconfigured with the key that is wrong.
    """
    file = _File.load(settings, config_dir)
    keys, line = file.keys(), Line(_proxy(settings), file.ca_file)
    places = Places(settings.threads)
    engines: dict[str, Engine] = {}
    for name, entry in file.entries.items():
        if entry.enabled and not isinstance(entry, _BuiltIn):
            engines[name] = _own(name, entry, keys, line)
    for name, pages in BUILT_IN.items():
        entry = file.entries.get(name, _BuiltIn())
        if entry.enabled:
            engines[name] = DdgsEngine(
                name, pages, SUGGESTING.get(name), places, line, entry.weight
            )
    place = {name: index for index, name in enumerate(file.order)}
    names = sorted(engines, key=lambda name: place.get(name, len(place)))
    return [engines[name] for name in names], keys.credentials


def secrets_of(settings: Settings, config_dir: Path) -> tuple[str, ...]:
    """What was read from files and URLs and must never leave: for `Spoke(secrets=...)`."""
    password = urlsplit(_proxy(settings) or "").password
    told = (password, unquote(password)) if password else ()
    return (*_File.load(settings, config_dir).keys().from_files, *dict.fromkeys(told))


def _own(name: str, entry: _Any, keys: PlacedSecrets, line: Line) -> Engine:
    if isinstance(entry, _Searxng):
        proxy = line.proxy if entry.through_proxy else None
        ca_file = entry.ca_file or line.ca_file
        return Searxng(name, Wire(name, entry.url, proxy=proxy, ca_file=ca_file), entry.weight)
    if isinstance(entry, _Brave):
        wire = Wire(name, entry.url, proxy=line.proxy, ca_file=line.ca_file)
        return BraveApi(name, wire, keys, entry.key, entry.weight)
    assert isinstance(entry, _Tavily)
    wire = Wire(name, entry.url, proxy=line.proxy, ca_file=line.ca_file)
    return Tavily(name, wire, keys, entry.key, entry.weight)


def _entry(name: str, said: Mapping[str, Any]) -> _Any:
    where = f"engines.{name}"
    if not 0 < len(name) <= 40 or not set(name) <= _NAME_CHARS:
        raise Misconfigured(f"{where}: a name is at most 40 lower case letters, digits and `_-`")
    kind = said.get("kind")
    if name in BUILT_IN:
        if kind is not None:
            raise Misconfigured(f"{where}.kind: {name} needs no setting up; choose another name")
        model: type[_Any] = _BuiltIn
    elif isinstance(kind, str) and kind in _KINDS:
        model = _KINDS[kind]
    elif kind is None:
        known = ", ".join(BUILT_IN)
        raise Misconfigured(
            f"{where}.kind: is missing (one of {', '.join(_KINDS)}); without one there are: {known}"
        )
    else:
        raise Misconfigured(f"{where}.kind: must be one of {', '.join(_KINDS)}")
    try:
        return model.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in (where, *first["loc"]))
        raise Misconfigured(f"{place}: {first['msg'].removeprefix('Value error, ')}") from None


def _order(value: Any, entries: Iterable[str]) -> tuple[str, ...]:
    listed = cast("list[Any]", value) if isinstance(value, list) else [None]
    known = [*entries, *BUILT_IN]
    for name in listed:
        if name not in known:
            raise Misconfigured(f"order: must be a list of names; there are: {', '.join(known)}")
    return tuple(dict.fromkeys(cast("list[str]", listed)))


def _members(where: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Misconfigured(f"{where}: must be a map" if where else "it must be a map")
    return {str(key): member for key, member in cast("dict[Any, Any]", value).items()}


def _proxy(settings: Settings) -> str | None:
    """The proxy's URL; Misconfigured, without the URL, for one that cannot be used."""
    if not settings.proxy:
        return None
    try:
        parts = urlsplit(settings.proxy)
        is_proxy = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_proxy = False
    if not is_proxy:
        raise Misconfigured("WEB_SEARCH_PROXY: give the URL of an HTTP proxy, http://host:port")
    return settings.proxy
