"""Where requests to a server go: its URL, taken apart once instead of at each call. Pure."""

import re
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import quote, urlsplit

from flotilla import InvalidArgument

_PORTS = {"http": 80, "https": 443}
_ASCII_HOST = re.compile(r"[0-9A-Za-z._:%~-]+")
_IN_PATHS = "%/:?#[]@!$&'()*+,;=-._~"


class BadAddress(InvalidArgument, ValueError):
    """A URL that no request can be sent to."""


@dataclass(frozen=True, slots=True)
class Target:
    """`name` is what errors call the server; the URL may hold secrets and is not shown."""

    name: str
    url: str = field(repr=False)
    host: str
    port: int
    authority: str
    """As the `host` header has it; it also names whose connections may be used."""
    simple: bool
    """Its URL is only a host in ASCII, a port and a path, all as they are sent."""
    plain: bool
    """The same, and `http://`."""
    start: str = field(repr=False)
    """What comes after the method in a request's first lines."""

    @classmethod
    def of(cls, url: str, name: str) -> Self:
        """Raises BadAddress."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port, parts = None, None, urlsplit("")
        if not host or parts.scheme not in _PORTS or port == 0:
            raise BadAddress(f"the address of {name} is no http:// or https:// URL")
        authority = f"[{host}]" if ":" in host else host
        if port not in (None, _PORTS[parts.scheme]):
            authority += f":{port}"
        path = quote(parts.path or "/", safe=_IN_PATHS)
        if parts.query:
            path += "?" + quote(parts.query, safe=_IN_PATHS)
        simple = parts.username is None and _ASCII_HOST.fullmatch(host) is not None
        return cls(
            name=name,
            url=f"{parts.scheme}://{authority}{path}" if simple else url,
            host=host,
            port=port or _PORTS[parts.scheme],
            authority=authority,
            simple=simple,
            plain=simple and parts.scheme == "http",
            start=f" {path} HTTP/1.1\r\nhost: {authority}\r\naccept-encoding: identity\r\n",
        )
