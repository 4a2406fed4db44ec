"""How a cluster is reached: its address, whom it is known by, and as whom we speak. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Protocol
from urllib.parse import urlsplit

from flotilla.context import Deadline
from flotilla.errors import NotConfigured


class Tokens(Protocol):
    """Where the bearer token comes from; asked before each request."""

    async def token(self, due: Deadline) -> str: ...

    def stale(self) -> None:
        """The server refused it: the next one must be read anew."""
        ...


@dataclass(frozen=True, slots=True)
class Pem:
    """A certificate or key: either its text, or the file that holds it."""

    text: str = field(default="", repr=False)
    file: str = ""

    def __bool__(self) -> bool:
        return bool(self.text or self.file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a connection needs. `impersonate` are the headers that say for whom we ask."""

    server: str
    authority: Pem = Pem()
    certificate: Pem = Pem()
    key: Pem = Pem()
    tokens: Tokens | None = None
    namespace: str = "default"
    tls_server_name: str = ""
    proxy: str = field(default="", repr=False)
    insecure: bool = False
    impersonate: Mapping[str, str] = field(default_factory=dict[str, str])

    def files(self) -> tuple[str, ...]:
        """What it is made of on disk: another content makes another connection."""
        return tuple(pem.file for pem in (self.authority, self.certificate, self.key) if pem.file)


def judged(alias: str, access: Access, *, insecure_tls: bool) -> Access:
    """The access, if it may be used: whoever answers must be known, or be this machine.

    Raises NotConfigured for plain HTTP or unverified TLS to another machine.
    """
    parts = urlsplit(access.server)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise NotConfigured(f"cluster {alias}: its server must be an https address")
    if is_loopback(parts.hostname) or insecure_tls:
        return access
    if parts.scheme == "http":
        raise NotConfigured(
            f"cluster {alias}: its server is plain http, which would show its token to the network",
            hint="Use https; K8S_INSECURE_TLS=on allows it all the same.",
        )
    if access.insecure:
        raise NotConfigured(
            f"cluster {alias}: insecure-skip-tls-verify would give its token to whoever answers",
            hint="Give the certificate authority; K8S_INSECURE_TLS=on allows it all the same.",
        )
    return access


def without_user(server: str) -> str:
    """The address without a user and password, which somebody may have written into it."""
    scheme, mark, rest = server.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}" if mark else server.rpartition("@")[2]


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
