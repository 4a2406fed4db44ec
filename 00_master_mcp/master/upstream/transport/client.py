"""The seam: what the hub asks of an HTTP client, and the errors that it gets.

Unavailable
├── Unreachable   nobody could be connected to; nothing was sent
└── WentAway      the server closed the connection before the end of its answer
TimedOut          the moment passed, or nothing came for too long
UpstreamError     the server broke HTTP
"""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from flotilla import TimedOut, Unavailable, UpstreamError
from master.upstream.transport.target import Target

CONNECT_S = 2.0
"""A server that does not accept within this is away."""
KEEP_ALIVE_S = 30.0
"""How long an idle connection is kept: shorter than services do, so that they close none first."""
HIGH_WATER_BYTES = 64 * 1024
"""Reading pauses while more than this waits for whoever reads."""
MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 128


class Response(Protocol):
    """One response, whose body comes while it is read. Whoever has it closes it.

    Every way of reading raises as `Client.request` does.
    """

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """By lower-case names; one that came several times has its values joined by commas."""
        ...

    @property
    def content_type(self) -> str:
        """Without parameters, in lower case; empty where there is none."""
        ...

    @property
    def ended(self) -> bool:
        """Whether nothing more will come than what was read."""
        ...

    async def begin(self, most_bytes: int) -> bytes:
        """The body when it ends within so many bytes; else more than these, and not `ended`.

        A body is read whole by one such call at least cost; `chunk` reads on.
        """
        ...

    async def chunk(self) -> bytes:
        """What has come since, as soon as there is something; empty at the end."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """What `chunk` gives, up to the end."""
        ...

    def close(self) -> None:
        """Done with it: a connection with something left to read is closed, others are kept."""
        ...


class Client(Protocol):
    """Keeps connections and sends requests over them; follows no redirects, keeps no cookies."""

    async def request(
        self,
        method: str,
        target: Target,
        headers: Mapping[str, str],
        body: bytes = b"",
        due_at: float | None = None,
        silence_s: float | None = None,
    ) -> Response:
        """Send a request; return when the head of its response has come.

        `due_at` is when all of the response must have been read, on the monotonic clock, in
        seconds; `silence_s` how long the server may say nothing once it was asked, unless reading
        is paused. None is without limit.

        Raises the errors above, BadHeader before anything is sent. Cancelling closes the
        connection, by which the server knows.
        """
        ...

    def drop_idle(self, target: Target) -> None:
        """Close the connections to its host that are kept: the next request makes a new one."""
        ...

    async def close(self) -> None:
        """Close every connection, those in use too."""
        ...


class Unreachable(Unavailable):
    """Nobody could be connected to; nothing was sent."""


class WentAway(Unavailable):
    """The connection ended before the answer did; whether the server acted is not known."""


def unreachable(service: str) -> Unreachable:
    return Unreachable(
        f"{service} cannot be reached", hint="It is being reconnected; call again soon."
    )


def went_away(service: str) -> WentAway:
    return WentAway(
        f"{service} went away before it answered",
        hint="Whether the call took effect is not known; look before calling again.",
    )


def too_late(target: Target) -> TimedOut:
    return TimedOut(f"{target.name} did not answer before the deadline")


def too_silent(target: Target, silence_s: float) -> TimedOut:
    return TimedOut(f"{target.name} said nothing for {silence_s:g} s")


def broke_http(target: Target, how: str) -> UpstreamError:
    return UpstreamError(f"{target.name} broke HTTP: {how}")
