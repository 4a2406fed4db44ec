"""Where an API's requests go: one origin, named by a person. Pure.

A document is a stranger's word. The server that it names is believed only where the document itself
came from that origin; else a person says the URL. An operation's own server must be of that origin
too, so that no credential and no call goes anywhere else.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from yarl import URL

from flotilla import InvalidArgument, NotConfigured
from master.external.openapi.document import elements, members, shown, text_of

_VARIABLE = re.compile(r"\{([^{}]*)\}")
_MAX_SERVERS = 100


class Elsewhere(ValueError):
    """A server of another origin than the one that a person named."""


def checked_url(url: str, what: str) -> URL:
    """An absolute http(s) URL without user, query and fragment; InvalidArgument says what it is."""
    try:
        parsed = URL(url)
        port = parsed.port
    except ValueError:
        raise InvalidArgument(f"{what} {shown(url)} is no URL") from None
    if parsed.scheme not in ("http", "https") or not parsed.host or not port:
        raise InvalidArgument(f"{what} {shown(url)} is no absolute http or https URL")
    if parsed.user is not None or parsed.password is not None:
        raise InvalidArgument(f"{what} has a user in it; give credentials by their scheme")
    if parsed.raw_query_string or parsed.raw_fragment:
        raise InvalidArgument(f"{what} {shown(url)} must have no query and no fragment")
    return parsed.with_path(parsed.raw_path.rstrip("/"), encoded=True)


def base_url(
    root: Mapping[str, Any],
    *,
    url: str | None,
    source: str | None,
    variables: Mapping[str, str],
) -> URL:
    """The API's base URL: `url` where a person said it, else a server of the document's origin.

    `source` is where the document was fetched from, `variables` replace those of the servers.
    Raises NotConfigured when a person has to say it.
    """
    if url is not None:
        return checked_url(url, "url")
    home = None if source is None else checked_url(source.partition("?")[0], "source")
    # OpenAPI: no servers are one server `/`.
    servers = elements(root.get("servers"))[:_MAX_SERVERS] or [{"url": "/"}]
    named: list[str] = []
    for server in servers:
        text = _filled(members(server), variables)
        named.append(text)
        if home is None:
            continue
        found = _absolute(text, home)
        if found is not None and found.origin() == home.origin():
            return checked_url(str(found), "server")
    raise NotConfigured(
        f"the document names the server {shown(named[0])}, which is not where it came from",
        hint="Set the entry's `url` to the API's base URL to say that calls may go there.",
    )


def operation_url(
    servers: Iterable[Mapping[str, Any]],
    *,
    base: URL,
    source: str | None,
    variables: Mapping[str, str],
) -> URL:
    """The base of an operation: `base`, or its own server of the same origin; else Elsewhere."""
    own = list(servers)[:_MAX_SERVERS]
    if not own:
        return base
    home = base if source is None else URL(source)
    for server in own:
        found = _absolute(_filled(server, variables), home)
        if found is not None and found.origin() == base.origin():
            return checked_url(str(found), "server")
    raise Elsewhere(
        f"it has a server of its own, {shown(text_of(own[0].get('url')))}, which is not at "
        f"{base.origin()}"
    )


def _absolute(text: str, home: URL) -> URL | None:
    try:
        found = home.join(URL(text))
        # Reading the origin and port raises where there is none.
        usable = found.scheme in ("http", "https") and bool(found.host) and bool(found.port)
    except ValueError:
        return None
    return found if usable else None


def _filled(server: Mapping[str, Any], variables: Mapping[str, str]) -> str:
    declared = members(server.get("variables"))

    def value_of(match: re.Match[str]) -> str:
        name = match[1]
        node = members(declared.get(name))
        value = variables.get(name, text_of(node.get("default")))
        allowed = elements(node.get("enum"))
        if name in variables and allowed and value not in allowed:
            told = ", ".join(map(str, allowed[:20]))
            raise InvalidArgument(f"server variable {shown(name)} must be one of {told}")
        return value

    return _VARIABLE.sub(value_of, text_of(server.get("url")))
