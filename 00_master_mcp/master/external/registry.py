"""A `server.json` of the MCP Registry as an entry of `config/mcp.json`. Pure.

The format is that of registry.modelcontextprotocol.io, from schema 2025-07-09 to 2025-12-11. It was
written by a stranger: nothing in it may name a variable of our environment (`${`), and nothing in
it may turn into an option of the program that fetches the package.

What a person decides becomes a handle, `${env:NAME}`, and is listed as a `Need`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from flotilla.json_text import from_json
from master.external.registry_inputs import (
    BadServer,
    Draft,
    Json,
    Need,
    elements,
    literal,
    members,
    members_or_none,
    text,
)

SCHEMAS = ("2025-07-09", "2025-09-16", "2025-09-29", "2025-10-11", "2025-10-17", "2025-12-11")
MAX_BYTES = 1024 * 1024

_SCHEMA = re.compile(
    r"https?://static\.modelcontextprotocol\.io/schemas/([^/]+)/server\.schema\.json"
)
_NAME = re.compile(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_!-]*")
_NPM = re.compile(r"(@[a-z0-9~][a-z0-9._~-]*/)?[a-zA-Z0-9~][a-zA-Z0-9._~-]*")
_PYPI = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_IMAGE = re.compile(r"[a-z0-9][a-zA-Z0-9._/:-]*(@sha256:[0-9a-f]{64})?")
# They steer the program that fetches the package, or the fleet itself.
_RESERVED_ENV = re.compile(
    r"(PATH|HOME|NODE_OPTIONS|(LD|DYLD|DOCKER|NPM_CONFIG|UV|PIP|FLOTILLA)_.*)", re.IGNORECASE
)
_HOST = re.compile(r"^https?://|/.*$")
_SNAKE = re.compile(r"_([a-z])")
_VAGUE = ("mcp", "server", "mcp-server", "mcp_server")
_RUNTIMES = {"npm": "npx", "pypi": "uvx", "oci": "docker"}
_REMOTES = {"streamable-http": "http", "sse": "sse"}
_OPENS_THE_HOST = (
    *("--privileged", "--network", "--net", "--pid", "--ipc", "--device", "--cap-add"),
    *("-v", "--volume", "--mount", "--security-opt", "--user", "-u"),
)


class _Unsupported(Exception):
    """A way of running the server that is not offered here."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to run or reach the server: `entry` goes under `mcpServers[name]`."""

    name: str
    kind: str
    """`npm`, `pypi`, `oci`, `streamable-http` or `sse`."""
    entry: dict[str, Any]
    needs: tuple[Need, ...]
    notes: tuple[str, ...]
    """What a person should know before saying yes."""


@dataclass(frozen=True, slots=True)
class Registered:
    """What a `server.json` offers, packages first, and why its other ways are not offered."""

    title: str
    description: str
    version: str
    offers: tuple[Offer, ...]
    unsupported: tuple[str, ...]

    def offer(self, kind: str | None = None) -> Offer:
        """The first offer, or the first of a kind; BadServer says what there is instead."""
        for each in self.offers:
            if kind in (None, each.kind):
                return each
        there = ", ".join(each.kind for each in self.offers)
        reasons = "; ".join(self.unsupported)
        said = f"it offers {there}" if there else reasons or "it has neither packages nor remotes"
        raise BadServer(f"server.json offers no {kind or 'way to run it here'}: {said}")


def read_server(source: str | bytes | Json, *, name: str | None = None) -> Registered:
    """Read a `server.json`, or the registry's own answer with it under `server`.

    `name` is the server's key in `mcpServers`; without it one is made of the registry's name.
    """
    server = members(_parsed(source), "server.json")
    if "server" in server and "name" not in server:
        server = members(server["server"], "server")
    if _schema_of(server) == SCHEMAS[0]:
        server = members(_camel(server), "server.json")
    full_name = text(server, "name", "server.json")
    if not _NAME.fullmatch(full_name):
        raise BadServer(f"name {full_name[:200]!r} is not of the form io.github.user/server")
    version = str(
        server.get("version") or members_or_none(server.get("versionDetail")).get("version", "")
    )
    key = name or _short(full_name)
    offers: list[Offer] = []
    unsupported: list[str] = []
    for place, node, is_package in _ways(server):
        draft = Draft(key, place)
        try:
            kind, entry = (_package if is_package else _remote)(draft, node)
        except _Unsupported as reason:
            unsupported.append(f"{place}: {reason}")
            continue
        if server.get("status") in ("deprecated", "deleted"):
            draft.notes.append(f"the registry says that it is {server['status']}")
        offers.append(Offer(key, kind, entry, tuple(draft.needs), tuple(draft.notes)))
    return Registered(
        title=str(server.get("title") or full_name),
        description=str(server.get("description") or ""),
        version=version,
        offers=tuple(offers),
        unsupported=tuple(unsupported),
    )


def _ways(server: Json) -> Iterator[tuple[str, Json, bool]]:
    for group, is_package in (("packages", True), ("remotes", False)):
        for index, node in enumerate(elements(server.get(group, []), group)):
            place = f"{group}[{index}]"
            yield place, members(node, place), is_package


def _package(draft: Draft, node: Json) -> tuple[str, dict[str, Any]]:
    place = draft.place
    kind = text(node, "registryType", place)
    if kind == "mcpb":
        raise _Unsupported(
            "an MCP bundle (mcpb) is a downloaded file, which nothing here unpacks or updates"
        )
    if kind not in _RUNTIMES:
        raise _Unsupported(f"packages of type {kind[:40]!r} are not run here")
    transport = members_or_none(node.get("transport")).get("type", "stdio")
    if transport != "stdio":
        raise _Unsupported(f"it serves {transport} itself; packages are run over stdio alone")
    command = _RUNTIMES[kind]
    hint = node.get("runtimeHint")
    if hint not in (None, command) and node.get("runtimeArguments"):
        raise _Unsupported(f"its runtime arguments are for {str(hint)[:40]!r}, not for {command}")
    env = _environment(draft, node)
    before = list(_arguments(draft, node, "runtimeArguments"))
    after = list(_arguments(draft, node, "packageArguments"))
    fetched = _fetched(kind, node, place)
    if kind == "npm":
        before += [] if {"-y", "--yes"} & set(before) else ["-y"]
    elif kind == "oci":
        passed = [part for name in env for part in ("-e", name)]
        opened = sorted({option for each in before for option in _opened_by(each)})
        if opened:
            draft.notes.append(f"its container reaches outside itself by {', '.join(opened)}")
        before = ["run", "--rm", "-i", *passed, *before]
    if isinstance(node.get("registryBaseUrl"), str) and kind != "oci":
        draft.notes.append(
            f"it is published at {node['registryBaseUrl'][:200]}; {command} asks the registry that "
            "it is set up for"
        )
    if "fileSha256" in node:
        draft.notes.append(f"{command} does not check the file's SHA-256 that is given")
    entry: dict[str, Any] = {"command": command, "args": [*before, fetched, *after]}
    return kind, {**entry, "env": env} if env else entry


def _opened_by(argument: str) -> Iterator[str]:
    """The option of docker's in an argument that gives the container more than itself."""
    for option in _OPENS_THE_HOST:
        # A short option takes its value without a sign between: `-v/:/host`.
        short = not option.startswith("--") and argument.startswith(option)
        if short or argument.partition("=")[0] == option:
            yield option


def _fetched(kind: str, node: Json, place: str) -> str:
    """The package with its version, as its runtime takes it."""
    identifier = literal(node, "identifier", place)
    form = {"npm": _NPM, "pypi": _PYPI, "oci": _IMAGE}[kind]
    if not form.fullmatch(identifier):
        raise BadServer(f"{place}.identifier: {identifier[:200]!r} is no name of {kind}")
    version = literal(node, "version", place) if node.get("version") else ""
    if version and (not _VERSION.fullmatch(version) or version == "latest"):
        raise BadServer(f"{place}.version: {version[:80]!r} is not one specific version")
    if kind == "oci":
        return _image(identifier, version, node)
    if not version:
        raise BadServer(f"{place}.version: missing; without it any later release would be run")
    return f"{identifier}@{version}" if kind == "npm" else f"{identifier}=={version}"


def _image(identifier: str, version: str, node: Json) -> str:
    first, slash, _ = identifier.partition("/")
    has_host = bool(slash) and ("." in first or ":" in first)
    host = _HOST.sub("", str(node.get("registryBaseUrl", "")))
    if host and not has_host:
        identifier = f"{host}/{identifier}"
    tagged = "@" in identifier or ":" in identifier.rpartition("/")[2]
    return identifier if tagged or not version else f"{identifier}:{version}"


def _environment(draft: Draft, node: Json) -> dict[str, str]:
    env: dict[str, str] = {}
    place = f"{draft.place}.environmentVariables"
    for index, value in enumerate(elements(node.get("environmentVariables", []), place)):
        each = members(value, f"{place}[{index}]")
        name = text(each, "name", f"{place}[{index}]")
        if not _ENV_NAME.fullmatch(name):
            raise BadServer(f"{place}[{index}].name: {name[:80]!r} names no environment variable")
        if _RESERVED_ENV.fullmatch(name):
            raise BadServer(f"{place}[{index}].name: a package may not set {name[:80]}")
        said = draft.value_of(each, f"environment variable {name}", name, f"{place}[{index}]")
        if said is not None:
            env[name] = said
    return env


def _arguments(draft: Draft, node: Json, group: str) -> Iterator[str]:
    for index, value in enumerate(elements(node.get(group, []), f"{draft.place}.{group}")):
        place = f"{draft.place}.{group}[{index}]"
        each = members(value, place)
        match each.get("type"):
            case "named":
                name = literal(each, "name", place)
                said = _named_value(draft, each, name, place)
                if said is not None:
                    yield name
                    yield from [said] if said else []
            case "positional":
                label = str(each.get("valueHint") or f"{group}{index + 1}")
                where = f"argument {label}"
                said = draft.value_of(each, where, draft.variable(label), place)
                if said is not None:
                    yield said
            case kind:
                raise BadServer(f"{place}.type: {str(kind)[:40]!r} is neither positional nor named")


def _named_value(draft: Draft, node: Json, name: str, place: str) -> str | None:
    """An option's value, "" for one that is a mere flag, None for one that is not given."""
    if not node.keys() & {"value", "default", "choices", "placeholder", "isRequired", "format"}:
        return ""
    return draft.value_of(node, f"argument {name}", draft.variable(name), place)


def _remote(draft: Draft, node: Json) -> tuple[str, dict[str, Any]]:
    kind = str(node.get("type") or node.get("transportType"))
    if kind not in _REMOTES:
        raise _Unsupported(f"a remote of type {kind[:40]!r} is neither streamable-http nor sse")
    template = literal(node, "url", draft.place)
    url = draft.filled(template, node, "URL", draft.place)
    try:
        parts = urlsplit(url)
    except ValueError:
        raise BadServer(f"{draft.place}.url: {template[:200]!r} is no http or https URL") from None
    if not url.startswith("${env:") and (
        parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc
    ):
        raise BadServer(f"{draft.place}.url: {template[:200]!r} is no http or https URL")
    if parts.scheme == "http":
        draft.notes.append("its URL is plain http: what goes there can be read on the way")
    headers: dict[str, str] = {}
    for index, value in enumerate(elements(node.get("headers", []), f"{draft.place}.headers")):
        place = f"{draft.place}.headers[{index}]"
        each = members(value, place)
        name = text(each, "name", place)
        if not _HEADER_NAME.fullmatch(name):
            raise BadServer(f"{place}.name: {name[:80]!r} names no header")
        said = draft.value_of(each, f"header {name}", draft.variable(name), place)
        if said is not None:
            headers[name] = said
    entry: dict[str, Any] = {"type": _REMOTES[kind], "url": url}
    return kind, {**entry, "headers": headers} if headers else entry


def _parsed(source: str | bytes | Json) -> Any:
    if isinstance(source, Mapping):
        return dict(source)
    raw = source.encode(errors="surrogatepass") if isinstance(source, str) else source
    if len(raw) > MAX_BYTES:
        raise BadServer(f"server.json has {len(raw)} bytes; {MAX_BYTES} are read at most")
    try:
        return from_json(raw)
    except ValueError as error:
        raise BadServer(f"server.json is no JSON: {str(error)[:200]}") from None


def _schema_of(server: Json) -> Literal["2025-07-09"] | str:
    said = server.get("$schema")
    if said is None:
        return SCHEMAS[0] if "version_detail" in server else SCHEMAS[-1]
    match = _SCHEMA.fullmatch(said) if isinstance(said, str) else None
    if match is None or match[1] not in SCHEMAS:
        raise BadServer(
            f"$schema {str(said)[:200]!r} is not known",
            hint=f"The versions that are read: {', '.join(SCHEMAS)}.",
        )
    return match[1]


def _camel(value: Any) -> Any:
    """Schema 2025-07-09 wrote members in snake_case; names within `variables` are data."""
    if isinstance(value, list):
        return [_camel(each) for each in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    out: dict[str, Any] = {}
    for key, inner in cast("dict[str, Any]", value).items():
        if key == "variables" and isinstance(inner, dict):
            declared = cast("dict[str, Any]", inner).items()
            out[key] = {name: _camel(each) for name, each in declared}
        elif key == "_meta":
            out[key] = inner
        else:
            out[_SNAKE.sub(lambda match: match[1].upper(), key)] = _camel(inner)
    return out


def _short(full_name: str) -> str:
    space, _, last = full_name.partition("/")
    if last.lower() in _VAGUE:
        last = space.rpartition(".")[2]
    short = re.sub(r"[^a-z0-9]+", "-", last.lower()).strip("-")[:32].strip("-")
    return short if short[:1].isalpha() else f"mcp-{short}"[:32].strip("-")
