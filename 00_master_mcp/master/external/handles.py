"""Secrets by handle: an entry names where a value is, and gets it when its server starts.

`${env:NAME}` and plain `${NAME}` are a variable of the hub's environment, `${NAME:-text}` has a
default, `${file:/path}` is what a file holds, and `$${` stands for `${` itself. `${home}` is the
server's own home, which the sandbox fills in. The fleet's own settings and data cannot be handed
out in this way.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from flotilla import Misconfigured, NotConfigured
from flotilla.credentials import secret_named
from flotilla.redaction import Redactor
from flotilla.settings import read_secret
from master.external.config import ServerEntry, is_http_url

FLEETS_OWN = "FLOTILLA_"
"""Variables with this prefix are the fleet's settings; some of them are its secrets."""

OWN_HOME = "home"
"""Its handle stays as it is: where the home is depends on the sandbox."""

_HANDLE = re.compile(r"\$(?P<plain>\$?)\{(?P<inside>[^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_KEY = re.compile(r"TOKEN|KEY|SECRET|PASS|PWD|CREDENTIAL|AUTH|COOKIE", re.IGNORECASE)
_TEXTS = (
    "command",
    "args",
    "env",
    "cwd",
    "url",
    "headers",
    "document",
    "credentials",
    "token_urls",
    "server_variables",
)
_PATHS = ("readable", "writable", "roots")


@dataclass(frozen=True)
class Resolved:
    """An entry with its handles replaced: for the start of its server, and for nothing else."""

    entry: ServerEntry
    command: str | None = None
    args: tuple[str, ...] = field(default=(), repr=False)
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    cwd: str | None = None
    url: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    document: str | None = None
    credentials: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    token_urls: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    server_variables: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    client_secret: str | None = field(default=None, repr=False)
    """Of the hub as an OAuth client of the server; it may name a stored secret."""
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    """Every value that must not be read outside."""

    def redactor(self, others: Sequence[str] = ()) -> Redactor:
        """One that knows this server's secrets and `others`."""
        return Redactor({*self.secrets, *others})


def resolve(
    name: str, entry: ServerEntry, env: Mapping[str, str], closed: Sequence[Path] = ()
) -> Resolved:
    """The entry of server `name` with its handles replaced from `env` and from files.

    `closed` are folders whose files are no one's to hand out (the fleet's data). Raises
    NotConfigured, whose message names everything that is missing and how to set it.
    """
    source = _Source(env, tuple(os.path.realpath(folder) for folder in closed))
    values = {member: source.expand(member, getattr(entry, member)) for member in _TEXTS + _PATHS}
    for member, given in (("env", entry.env), ("headers", entry.headers)):
        source.learn_literals(member, given)
    source.learn_credentials(values["credentials"])
    source.check_open("document", values["document"])
    values["client_secret"] = source.client_secret(entry.outbound)
    _check(values, source.missing)
    if source.missing:
        raise NotConfigured(
            f"external server {name}: {'; '.join(dict.fromkeys(source.missing))}",
            hint="Set what is missing, then start the server.",
        )
    return Resolved(entry=entry, **values, secrets=frozenset(source.secrets))


class _Source:
    """Replaces handles, and gathers what is missing and what is secret."""

    def __init__(self, env: Mapping[str, str], closed: Sequence[str]) -> None:
        self._env = env
        self._closed = closed
        self.missing: list[str] = []
        self.secrets: set[str] = set()

    def expand(self, place: str, value: Any) -> Any:
        """The same shape with every text expanded."""
        if isinstance(value, str):
            return _HANDLE.sub(lambda match: self._replaced(place, match), value)
        if isinstance(value, tuple):
            texts = cast("tuple[str, ...]", value)
            return tuple(self.expand(f"{place}[{at}]", text) for at, text in enumerate(texts))
        if isinstance(value, Mapping):
            members = cast("Mapping[str, str]", value)
            return {key: self.expand(f"{place}.{key}", text) for key, text in members.items()}
        return value

    def learn_literals(self, member: str, given: Mapping[str, str]) -> None:
        """A secret that was written into the entry itself is one all the same."""
        for key, text in given.items():
            if _SECRET_KEY.search(key) and not _HANDLE.search(text):
                self._learn(text.removeprefix("Bearer ") if member == "headers" else text)

    def learn_credentials(self, given: Mapping[str, str]) -> None:
        """Whole, and what stands behind a name as a password does."""
        for text in given.values():
            for secret in (text, text.partition(":")[2]):
                if secret:
                    self._learn(secret, surely=True)

    def client_secret(self, outbound: Any) -> str | None:
        """What its handle stands for; one of the secrets spoke is replaced when it is needed."""
        given = getattr(outbound, "client_secret", None)
        if given is None or secret_named(given) is not None:
            return given
        secret = self.expand("credentials.clientSecret", given)
        if secret:
            self._learn(secret, surely=True)
        return secret

    def check_open(self, place: str, path: str | None) -> None:
        """A file of the fleet's data is no document, and its text no part of a message."""
        if path and not is_http_url(path) and self._is_closed(path):
            self.missing.append(f"{place}: {path} belongs to the fleet and is not read")

    def _is_closed(self, path: str) -> bool:
        real = os.path.realpath(path)
        return any(real == folder or real.startswith(f"{folder}/") for folder in self._closed)

    def _replaced(self, place: str, match: re.Match[str]) -> str:
        if match["plain"]:
            return match[0][1:]
        inside = match["inside"]
        if inside == OWN_HOME:
            return match[0]
        kind, colon, rest = inside.partition(":")
        if kind == "file" and colon:
            return self._from_file(place, rest)
        if kind == "env" and colon:
            inside = rest
        elif colon and not rest.startswith("-"):
            self.missing.append(f"{place}: {match[0]} is not a handle; write ${{env:NAME}}")
            return ""
        variable, has_default, default = inside.partition(":-")
        return self._from_env(place, variable, default if has_default else None)

    def _from_env(self, place: str, variable: str, default: str | None) -> str:
        if not _NAME.fullmatch(variable):
            self.missing.append(f"{place}: {variable!r} is not the name of a variable")
            return ""
        if variable.startswith(FLEETS_OWN):
            self.missing.append(f"{place}: {variable} is the fleet's own and is not handed out")
            return ""
        value = self._env.get(variable)
        if value:
            self._learn(value)
            return value
        if default is None:
            self.missing.append(f"{place} needs the environment variable {variable}; set it")
        return default or ""

    def _from_file(self, place: str, path: str) -> str:
        if self._is_closed(path):
            self.missing.append(f"{place}: {path} belongs to the fleet and is not handed out")
            return ""
        try:
            value = read_secret(Path(path), place)
        except Misconfigured as error:
            self.missing.append(str(error))
            return ""
        self._learn(value, surely=True)
        return value

    def _learn(self, value: str, *, surely: bool = False) -> None:
        # A folder is no secret, and to redact it would spoil every path in a result.
        if surely or not (value.startswith("/") and os.path.lexists(value)):
            self.secrets.add(value)


def _check(values: Mapping[str, Any], mistakes: list[str]) -> None:
    """What could not be checked while it was a handle."""
    for member in ("readable", "writable"):
        mistakes += [
            f"{member}: {path!r} is not an absolute path"
            for path in values[member]
            if path and not path.startswith("/")
        ]
    if values["cwd"] and not values["cwd"].startswith("/"):
        mistakes.append(f"cwd: {values['cwd']!r} is not an absolute path")
    if values["url"] and not is_http_url(values["url"]):
        mistakes.append("url: it is not an http:// or https:// address")
    for name, value in values["headers"].items():
        if any(character in value for character in "\r\n\0"):
            mistakes.append(f"headers.{name}: the value holds a line break")
