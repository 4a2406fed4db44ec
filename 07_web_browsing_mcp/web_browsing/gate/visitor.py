"""Who goes through the gate, what they may, and what became of it.

The fetcher is one visitor; each session of the browser is one. The proxy knows a visitor by the
socket that it listens on for them, so that nothing a page says can make it another's.
"""

import re
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

MAX_REMEMBERED = 200

Reason = Literal[
    "private_address",  # loopback, private, link-local, CGNAT, multicast, metadata and the like
    "bad_host",  # no host name, or an address spelled in a way that only attackers use
    "bad_port",
    "bad_scheme",
    "no_address",  # the name has none, or none that may be reached
    "sending",  # other than GET, HEAD and OPTIONS, and nobody allowed it
    "websocket",
    "too_many_bytes",
    "too_many_connections",
    "too_many_requests",
    "unreachable",  # it does not answer, or not with HTTP or a certificate that is trusted
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Something that was not let through, as getNetwork and errors tell it."""

    at: datetime
    reason: Reason
    method: str
    url: str
    """At most 2,000 characters; of a tunnel that is not looked into `https://host:port`."""
    told: str
    """A sentence for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A request that the browser wants to send, whole, before any of it goes out."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    """Names in lower case; cookies and authorization are among them."""
    body: bytes
    upgrade: str | None = None
    """`websocket` where it wants to be one."""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


@dataclass(frozen=True, slots=True)
class Ruling:
    """Whether a request may go out; `reason` where not, and `told`, a sentence for a person."""

    reason: Reason | None = None
    told: str = ""
    instead: Outgoing | None = None
    """What goes out in its stead, to the same URL by the same method."""
    later: bool = False
    """It goes out later or never: the browser stays on the page that it shows."""


PASS = Ruling()
Judge = Callable[[Outgoing], Awaitable[Ruling]]
"""May take its time (a person may be asked): the request is held meanwhile, and given up when the
browser gives it up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a visitor may take at most."""

    bytes_in: int = 512 * 1024 * 1024
    """As they come over the wire, until the visitor leaves."""
    bytes_each: int = 128 * 1024 * 1024
    """Of one answer."""
    connections: int = 64
    """At the same time."""
    requests: int = 20_000
    """Until the visitor leaves; a tunnel counts as one."""
    sent_each: int = 8 * 1024 * 1024
    """Of one request's body."""


@dataclass
class Visitor:
    """One who goes through; the proxy counts here."""

    name: str
    judge: Judge | None = None
    """With one, the proxy looks into TLS and asks before it lets a request out that is not GET,
    HEAD or OPTIONS or wants to become a WebSocket; without, tunnels pass as they are."""
    token: str | None = None
    """What must stand in Proxy-Authorization (Basic, any user name) where others could reach the
    socket too; None: nobody else can."""
    allowance: Allowance = field(default_factory=Allowance)
    bytes_in: int = 0
    bytes_out: int = 0
    requests: int = 0
    connections: int = 0
    refusals: deque[Refusal] = field(default_factory=lambda: deque[Refusal](maxlen=MAX_REMEMBERED))

    def last_refusal(self, host: str) -> Refusal | None:
        """The latest for that host name, for the error of the call that met it."""
        wanted = re.compile(rf"\w+://\[?{re.escape(host.strip('[]'))}(?:[]:/?#]|$)", re.IGNORECASE)
        return next((each for each in reversed(self.refusals) if wanted.match(each.url)), None)
