"""What a call is about, as far as its arguments say so by their names. Pure.

Rules are judged before arguments are validated, so nothing is taken for granted here. A value of
which it cannot be said what the service would make of it is `Unclear`, and its call is denied
wherever a rule looks at it.
"""

import posixpath
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from flotilla import meta

PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "host": ("host", "hosts", "hostname", "hostnames", "hostId"),
    "cluster": ("cluster", "clusters", "clusterName", "kubeContext", "context"),
    "namespace": ("namespace", "namespaces"),
    "subscription": ("subscription", "subscriptions", "subscriptionId", "subscriptionIds"),
    "resourceGroup": ("resourceGroup", "resourceGroups", "resourceGroupName"),
    "project": ("project", "projects", "projectId", "projectIds"),
    "account": ("account", "accounts", "accountName"),
    "region": ("region", "regions", "location", "locations"),
    "zone": ("zone", "zones"),
    "vcenter": ("vcenter", "vcenters"),
    "datacenter": ("datacenter", "datacenters"),
    "vm": ("vm", "vms", "vmName", "virtualMachine", "virtualMachines"),
    "instance": ("instance", "instances", "instanceName"),
    "table": ("table", "tables", "tableName"),
    "server": ("server", "servers", "serverName"),
    "database": ("database", "databases", "databaseName"),
    "repository": ("repository", "repositories", "repo", "repos"),
    "unit": ("unit", "units"),
    "user": ("user", "users", "username"),
    "path": ("path", "paths", "file", "files", "folder", "directory", "destination", "cwd"),
    "url": ("url", "urls", "uri"),
    "site": ("site", "domain"),
}
"""The part of the target, and the parameters that say it, in any case and with or without `_`; what
says a `url` says the `site` too, which is its host name."""

EXACT = frozenset(("path", "url"))
"""The parts in which upper and lower case are two things."""
MAX_LENGTH = 4096
MAX_VALUES = 64
"""Of one part: each is judged by itself."""
MAX_ARGUMENTS = 1000
"""Of one call that rules look at."""

_IDS = frozenset(
    ("id", "ids", "resource", "resourceid", "resourceids", "scope", "selflink", "operationid")
)
_IN_IDS = frozenset(("subscription", "resourceGroup", "project", "zone", "region"))
_AZURE = re.compile(r"/subscriptions/([^/]+)(?:/resourcegroups/([^/]+))?", re.IGNORECASE)
_SITE = re.compile(
    r"https?://(\[[0-9a-f:.]+\]|[\w.-]+)(?::[0-9]{1,5})?(?:[/?#][^\\]*)?", re.IGNORECASE
)
_GOOGLE = re.compile(r"(?:^|/)(project|zone|region)s/([^/]+)", re.IGNORECASE)


class Unclear(Exception):
    """Rules cannot be judged by this; the message is for the caller."""


def folded(name: str) -> str:
    """How names of parameters are compared: `resource_group` is `resourceGroup`."""
    return name.replace("_", "").replace("-", "").casefold()


_PART_OF: Mapping[str, str] = {
    folded(name): part for part, names in PARAMETERS.items() for name in names
}


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a tool takes, by its input schema."""

    declared: frozenset[str] = frozenset()
    """Folded names."""
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def of(cls, schema: object) -> "Parameters":
        taken = meta.members(meta.members(schema).get("properties"))
        defaults = {
            name: meta.members(each)["default"]
            for name, each in taken.items()
            if "default" in meta.members(each)
        }
        return cls(frozenset(map(folded, taken)), defaults)

    def completed(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments with what the tool takes for those that are left out, or null."""
        if len(arguments) > MAX_ARGUMENTS:
            raise Unclear(f"{len(arguments)} arguments; at most {MAX_ARGUMENTS} are judged")
        if not self.defaults:
            return arguments
        said = {name: each for name, each in arguments.items() if each is not None}
        given = set(map(folded, said))
        more = {key: each for key, each in self.defaults.items() if folded(key) not in given}
        return {**more, **said}

    def check(self, name: str) -> None:
        """Unclear for an argument that the tool does not declare: it may mean nothing there, and
        so must not be what a rule permits a call by."""
        if folded(name) not in self.declared:
            raise Unclear(f"the tool has no parameter {name[:100]!r}")


def targets_of(
    arguments: Mapping[str, Any], wanted: Iterable[str], parameters: Parameters
) -> Mapping[str, tuple[str, ...]]:
    """All values of each wanted part; Unclear where one cannot be judged."""
    parts = frozenset(wanted)
    found: dict[str, dict[str, None]] = {part: {} for part in parts}
    for name, given in arguments.items():
        for part, text in _said(folded(name), name, given, parts):
            parameters.check(name)
            found[part][normal(part, text)] = None
    for part, values in found.items():
        if len(values) > MAX_VALUES:
            raise Unclear(f"{len(values)} values of {part} at once; at most {MAX_VALUES}")
    return {part: tuple(values) for part, values in found.items()}


def normal(part: str, text: str) -> str:
    """One spelling for what is one thing to the service: rules compare letter by letter."""
    if part == "path":
        # Folders may be named by any characters: only what every system reads alike is put right.
        if not text.startswith("/"):
            raise Unclear("a path must begin with / for the rules to judge it")
        if ".." in text.split("/"):
            # Behind a symbolic link it leads elsewhere than it reads.
            raise Unclear("a path must do without .. for the rules to judge it")
        return re.sub("^//+", "/", posixpath.normpath(text))
    text = unicodedata.normalize("NFKC", text).strip()
    if part in EXACT:
        return text
    return text.casefold().rstrip(".")


def site_of(url: str) -> str:
    """The host name of a URL, in ASCII; Unclear where programs may read another one out of it."""
    found = _SITE.fullmatch(url)
    if found is None:
        raise Unclear("a URL must read http(s)://host[:port]/... for the rules to judge its site")
    try:
        return found[1] if found[1].isascii() else found[1].encode("idna").decode()
    except UnicodeError:
        raise Unclear("the URL's host is no name that the rules can judge") from None


def named_texts(
    arguments: Mapping[str, Any], wanted: Iterable[str], parameters: Parameters
) -> Mapping[str, str]:
    """The wanted arguments as text, of numbers and booleans as JSON writes them."""
    found: dict[str, str] = {}
    for name, given in _named(arguments, wanted, parameters):
        if isinstance(given, list):
            raise Unclear(f"{name} must be one value for the rules to judge it")
        (found[name],) = _texts(name, given)
    return found


def named_numbers(
    arguments: Mapping[str, Any], wanted: Iterable[str], parameters: Parameters
) -> Mapping[str, int]:
    """The wanted arguments as whole numbers of 64 bits."""
    found: dict[str, int] = {}
    for name, given in _named(arguments, wanted, parameters):
        number = _whole(given)
        if number is None or not -(2**63) <= number < 2**63:
            raise Unclear(f"{name} must be a whole number for the rules to judge it")
        found[name] = number
    return found


def _named(
    arguments: Mapping[str, Any], wanted: Iterable[str], parameters: Parameters
) -> Iterator[tuple[str, Any]]:
    for name in wanted:
        same = [key for key in arguments if folded(key) == folded(name)]
        if len(same) > 1:
            raise Unclear(f"{name} is given more than once")
        if same and arguments[same[0]] is not None:
            parameters.check(name)
            yield name, arguments[same[0]]


def _whole(given: object) -> int | None:
    if isinstance(given, bool):
        return None
    if isinstance(given, str):
        text = given.strip()
        return int(text) if re.fullmatch(r"[+-]?[0-9]{1,19}", text) else None
    if isinstance(given, float):
        return int(given) if given.is_integer() else None
    return given if isinstance(given, int) else None


def _said(
    name: str, given_as: str, given: object, parts: frozenset[str]
) -> Iterator[tuple[str, str]]:
    """What one argument says of the parts: by its name, or as an ID of a cloud that holds them."""
    part = _PART_OF.get(name)
    if part == "url" and "site" in parts:
        yield from (("site", site_of(text)) for text in _texts(given_as, given))
    if part in parts:
        yield from ((part, text) for text in _texts(given_as, given))
    elif name in _IDS and parts & _IN_IDS:
        for text in _texts(given_as, given):
            yield from ((part, value) for part, value in _within(text) if part in parts)


def _texts(name: str, given: object) -> Iterator[str]:
    """The text of a value, or of each in a list."""
    values = cast("list[object]", given) if isinstance(given, list) else [given]
    if len(values) > MAX_VALUES:
        raise Unclear(f"{name[:100]} has {len(values)} values; at most {MAX_VALUES} are judged")
    for value in values:
        if isinstance(value, bool):
            yield "true" if value else "false"
        elif isinstance(value, (int, float)):
            yield str(value)
        elif isinstance(value, str) and len(value) <= MAX_LENGTH:
            yield value
        elif value is not None:
            raise Unclear(f"{name[:100]} must be short text for the rules to judge it")


def _within(text: str) -> Iterator[tuple[str, str]]:
    """What a resource ID of Azure or Google Cloud says."""
    if (azure := _AZURE.search(text)) is not None:
        yield "subscription", azure[1]
        if azure[2] is not None:
            yield "resourceGroup", azure[2]
    for part, value in _GOOGLE.findall(text):
        yield part.lower(), value
