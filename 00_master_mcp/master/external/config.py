"""`config/mcp.json`: the external servers, in the `mcpServers` convention with members of our own.

    {"mcpServers": {
        "git":  {"command": "uvx", "args": ["mcp-server-git==2026.7.10"],
                 "writable": ["/srv/code"]},
        "docs": {"type": "http", "url": "https://docs.example/mcp",
                 "headers": {"Authorization": "Bearer ${env:DOCS_TOKEN}"}}}}

Texts in `command`, `args`, `env`, `cwd`, `url`, `headers`, `document`, `credentials`, `tokenUrls`,
`serverVariables`, `readable`, `writable` and `roots` may hold handles (`${env:NAME}`,
`${file:/path}`), which `handles.py` resolves late.
"""

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from flotilla import InvalidArgument, Misconfigured, Model
from master.external.openapi.choice import Choice
from master.outbound.choice import Choice as Credentials
from master.outbound.choice import FixedHeaders, StoredSecret

Kind = Literal["stdio", "http", "sse", "openapi"]
Approval = Literal["always", "destructive", "never"]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Texts = tuple[str, ...]

DEFAULT_FILE = "mcp.json"
MAX_FILE_BYTES = 4 * 1024 * 1024
_SERVER_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_KINDS = {"streamable-http": "http", "streamableHttp": "http", "streamable_http": "http"}
_FOR_KIND: Mapping[str, frozenset[str]] = {
    "stdio": frozenset(
        ("command", "args", "env", "cwd", "network", "writable", "readable", "memory_mb")
    ),
    "http": frozenset(("url", "headers", "outbound")),
    "sse": frozenset(("url", "headers", "outbound")),
    "openapi": frozenset(
        (
            "url",
            "headers",
            "document",
            "include",
            "exclude",
            "credentials",
            "token_urls",
            "server_variables",
            "output_schemas",
        )
    ),
}
"""The members that belong to some kinds alone; all others belong to every kind."""
_BY_NAME = ("env", "headers", "credentials")
"""The members whose values are secrets."""
_NEEDED = {"stdio": "command", "http": "url", "sse": "url", "openapi": "document"}
_ELSEWHERE = {
    "timeout": "the time limit is timeoutS, in seconds",
    "transport": "the transport is type",
    "httpUrl": "the address is url",
    "serverUrl": "the address is url",
    "enabled": "a server is enabled unless disabled is true",
    "envFile": "name each variable in env, as ${env:NAME} or ${file:/path}",
    "alwaysAllow": "what needs a person is said by approval",
    "autoApprove": "what needs a person is said by approval",
    "trust": "what needs a person is said by approval",
}
"""How others spell what we have, so that a file from elsewhere is quickly mended."""


class ServerEntry(Model):
    """One external server as its entry describes it, handles and all; nothing here is resolved."""

    model_config = ConfigDict(hide_input_in_errors=True)

    type: Kind
    command: str | None = Field(default=None, min_length=1)
    args: Texts = Field(default=(), repr=False)
    env: Mapping[str, str] = Field(default_factory=dict, repr=False)
    cwd: str | None = None
    url: str | None = Field(default=None, repr=False)
    headers: Mapping[str, str] = Field(default_factory=dict, repr=False)
    document: str | None = None
    """An OpenAPI document: a path or a URL."""
    include: Mapping[str, Texts] = Field(default_factory=dict)
    """Which operations of the document become tools (`openapi/choice.py`); all by default."""
    exclude: Mapping[str, Texts] = Field(default_factory=dict)
    credentials: Mapping[str, str] = Field(default_factory=dict, repr=False)
    """The secrets of the document's security schemes, by their names (`openapi/security.py`)."""
    outbound: Credentials | None = Field(default=None, repr=False)
    """As whom the hub speaks to a server of type http: there it stands as `credentials`."""
    token_urls: Mapping[str, str] = Field(default_factory=dict, repr=False)
    """Where an OAuth 2.0 scheme gets its tokens, where that is not at the API's origin."""
    server_variables: Mapping[str, str] = Field(default_factory=dict)
    """The variables in the URLs of the document's servers."""
    output_schemas: bool = True
    """False for a document whose API answers otherwise than it says."""
    description: str | None = None
    disabled: bool = False
    approval: Approval = "destructive"
    timeout_s: Seconds = 60
    """For one call."""
    long_timeout_s: Seconds = 300
    """For one call that reports progress."""
    network: bool | Texts = False
    """Of a program: none, all, or the names of the hosts that it is meant to reach. The names are
    for the reader: the sandbox cannot tell hosts apart, and says so."""
    writable: Texts = ()
    """Folders of this machine that a program may change, at the same path."""
    readable: Texts = ()
    """Folders or files of this machine that a program may read, at the same path."""
    memory_mb: int = Field(default=1024, ge=16, le=1_048_576)
    roots: Texts = ()
    """`file://` URIs that are told to a server that asks for roots."""

    @model_validator(mode="before")
    @classmethod
    def _infer_kind(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        members = dict(cast("Mapping[str, Any]", raw))
        kind = members.get("type")
        if isinstance(kind, str):
            members["type"] = _KINDS.get(kind, kind)
        elif kind is None:
            if "command" in members and "url" in members:
                raise ValueError("it has both a command and a url; keep one of them")
            known = next((key for key in ("command", "document", "url") if key in members), None)
            if known is None:
                raise ValueError(
                    "it needs a command (a program here) or a url (a server elsewhere)"
                )
            members["type"] = {"command": "stdio", "document": "openapi", "url": "http"}[known]
        if members["type"] in ("http", "sse") and "credentials" in members:
            members["outbound"] = members.pop("credentials")
        return members

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        foreign = set[str]().union(*_FOR_KIND.values()) - _FOR_KIND[self.type]
        for name in sorted(foreign & self.model_fields_set):
            alias = type(self).model_fields[name].alias or name
            raise ValueError(f"{alias} has no meaning for a server of type {self.type}")
        if getattr(self, _NEEDED[self.type]) is None:
            raise ValueError(f"a server of type {self.type} needs a {_NEEDED[self.type]}")
        if self.long_timeout_s < self.timeout_s and "long_timeout_s" in self.model_fields_set:
            raise ValueError("longTimeoutS is shorter than timeoutS")
        self._check_outbound()
        return self

    def _check_outbound(self) -> None:
        outbound = self.outbound
        if outbound is None or isinstance(outbound, FixedHeaders):
            return
        if self.type == "sse":
            raise ValueError(
                "credentials of each principal need type http: an SSE server has one stream for all"
            )
        header = outbound.header if isinstance(outbound, StoredSecret) else "authorization"
        if header.lower() in {name.lower() for name in self.headers}:
            raise ValueError(f"headers and credentials both say {header}; keep one of them")

    @field_validator("args", "command", "cwd", "readable", "writable")
    @classmethod
    def _no_nul(cls, value: str | Texts | None) -> str | Texts | None:
        if value is not None and "\0" in "".join(value):
            raise ValueError("it holds a NUL character")
        return value

    @field_validator("env")
    @classmethod
    def _variables(cls, env: Mapping[str, str]) -> Mapping[str, str]:
        for name, value in env.items():
            if not _VARIABLE.fullmatch(name):
                raise ValueError(f"{name!r} is not the name of an environment variable")
            if "\0" in value:
                raise ValueError(f"{name} holds a NUL character")
        return env

    @field_validator("headers")
    @classmethod
    def _header_lines(cls, headers: Mapping[str, str]) -> Mapping[str, str]:
        for name, value in headers.items():
            if not _HEADER.fullmatch(name):
                raise ValueError(f"{name!r} is not the name of an HTTP header")
            if any(character in value for character in "\r\n\0"):
                raise ValueError(f"{name} holds a line break")
        return headers

    @field_validator("include", "exclude")
    @classmethod
    def _known_kinds(cls, named: Mapping[str, Texts]) -> Mapping[str, Texts]:
        try:
            Choice.of(include=named)
        except InvalidArgument as error:
            raise ValueError(error.message.partition(": ")[2]) from None
        return named

    @field_validator("url")
    @classmethod
    def _http_address(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith("${") and not is_http_url(url):
            raise ValueError("it is not an http:// or https:// address")
        return url

    @field_validator("roots")
    @classmethod
    def _file_uris(cls, roots: Texts) -> Texts:
        for root in roots:
            if not root.startswith(("file://", "${")):
                raise ValueError(f"{root!r} is not a file:// URI")
        return roots

    def shown(self) -> dict[str, Any]:
        """What a person may see of it: secrets by their names alone, no password."""
        told = self.model_dump(
            exclude={*_BY_NAME, "token_urls", "url", "outbound"},
            exclude_defaults=True,
            by_alias=True,
            mode="json",
        )
        for member in _BY_NAME:
            if names := getattr(self, member):
                told[member] = sorted(names)
        if self.token_urls:
            told["tokenUrls"] = {
                name: _without_secrets(url) for name, url in self.token_urls.items()
            }
        if self.url is not None:
            told["url"] = _without_secrets(self.url)
        if self.outbound is not None:
            # A client's secret is a handle here, which is no secret.
            told["credentials"] = self.outbound.model_dump(
                exclude_defaults=True, by_alias=True, mode="json"
            )
        return {"type": self.type, **told}


def is_http_url(text: str) -> bool:
    """Whether it is an absolute `http` or `https` URL with a host."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in text


def check_server_name(name: str, services: Collection[str] = ()) -> str:
    """Return `name` if an external server may have it, else raise Misconfigured.

    Lower-case letters, digits and dashes, a letter first, at most 32: no dot and no underscore, so
    that the server can be read off `ext.<server>.<tool>` and `ext_<server>_<tool>` alike. It must
    not be that of a service of the fleet, dashes and underscores being the same there.
    """
    if not _SERVER_NAME.fullmatch(name):
        better = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:32].strip("-")
        hint = f"; {better!r} would do" if _SERVER_NAME.fullmatch(better) else ""
        raise Misconfigured(
            f"server {name!r}: a name has 1 to 32 lower-case letters, digits and dashes, "
            f"a letter first{hint}"
        )
    if name in {service.replace("_", "-") for service in services}:
        raise Misconfigured(
            f"server {name!r}: a service of the fleet has this name; choose another, "
            f"say {name[:28]}-ext"
        )
    return name


def parse_entry(name: str, raw: Any, where: str = "the request") -> ServerEntry:
    """One entry; Misconfigured names `where` it stands, the server and the key."""
    if not isinstance(raw, Mapping):
        raise Misconfigured(f"{where}: mcpServers.{name} is not a JSON object")
    try:
        return ServerEntry.model_validate(raw)
    except ValidationError as error:
        raise Misconfigured(f"{where}: {_told(name, error)}") from None


def load_config(path: Path, services: Collection[str] = ()) -> dict[str, ServerEntry]:
    """The servers of the file by name, in its order; none when there is no file.

    `services` are the names of the fleet's own. Misconfigured names file, server and key.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Misconfigured(f"cannot read {path}: {error.strerror}") from None
    if len(raw) > MAX_FILE_BYTES:
        raise Misconfigured(f"{path} has {len(raw)} bytes; at most {MAX_FILE_BYTES} are read")
    found: dict[str, ServerEntry] = {}
    for name, entry in _servers_in(raw, path).items():
        try:
            check_server_name(name, services)
        except Misconfigured as error:
            raise Misconfigured(f"{path}: mcpServers: {error}") from None
        found[name] = parse_entry(name, entry, str(path))
    return found


def _servers_in(raw: bytes, path: Path) -> Mapping[str, Any]:
    try:
        parsed: Any = json.loads(raw, object_pairs_hook=_no_doubles)
    except (ValueError, RecursionError) as error:
        where = f"line {error.lineno}: " if isinstance(error, json.JSONDecodeError) else ""
        said = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise Misconfigured(f"{path} is not valid JSON: {where}{said}") from None
    if not isinstance(parsed, dict):
        raise Misconfigured(f"{path} is not a JSON object")
    members = cast("dict[str, Any]", parsed)
    servers = members.pop("mcpServers", None)
    unknown = sorted(set(members) - {"$schema"})
    if unknown:
        hint = "; write mcpServers for servers" if "servers" in unknown else ""
        raise Misconfigured(f"{path}: {unknown[0]} is not a known key, mcpServers is{hint}")
    if not isinstance(servers, dict):
        raise Misconfigured(f"{path}: mcpServers is missing or not a JSON object")
    return cast("dict[str, Any]", servers)


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is there twice in one object")
    return members


def _told(name: str, error: ValidationError) -> str:
    return "; ".join(
        _mistake(".".join(("mcpServers", name, *map(str, _place(mistake["loc"])))), mistake)
        for mistake in error.errors(include_url=False, include_input=False, include_context=False)
    )


def _place(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Where it stands in the file; pydantic adds which of the choices it took it for."""
    return ("credentials", *loc[2:]) if loc[:1] == ("outbound",) else loc


def _mistake(place: str, mistake: Mapping[str, Any]) -> str:
    if mistake["type"] != "extra_forbidden":
        return f"{place}: {str(mistake['msg']).removeprefix('Value error, ')}"
    key = str(mistake["loc"][-1])
    if len(mistake["loc"]) > 1:
        return f"{place} is not a known key of these credentials"
    known = ", ".join(field.alias or name for name, field in ServerEntry.model_fields.items())
    return f"{place} is not a known key: {_ELSEWHERE.get(key, f'known are {known}')}"


def _without_secrets(url: str) -> str:
    """The URL without user, password, query and fragment, where tokens are often put."""
    if url.startswith("${"):
        return url
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    query = "?..." if parts.query else ""
    return f"{parts.scheme}://{host}{parts.path}{query}"
