"""What carries the messages of one handshake session. Three do: http.py, sse.py, stdio.py."""

from collections.abc import Mapping
from typing import Protocol

from flotilla import FlotillaError, Unavailable
from master import rpc
from master.upstream.incoming import Incoming


class SessionLost(Unavailable):
    """The server does not know the session any more; it has not acted on the message."""


class Ears(Protocol):
    """Who takes what a transport receives."""

    async def heard(self, message: Incoming, request: int | None) -> None:
        """A message; `request` is the one on whose own stream it came, where there is such."""
        ...

    async def paused(self, request: int) -> None:
        """The server closed the stream of a request; it is read on later."""
        ...

    def failed(self, request: int, error: FlotillaError | rpc.RpcError) -> None:
        """No answer to that request will come."""
        ...


class Transport(Protocol):
    @property
    def frail(self) -> bool:
        """All that is heard comes by one connection, which may be dead without telling."""
        ...

    async def run(self, ears: Ears) -> None:
        """Carry until the session ends; raises FlotillaError with the reason."""
        ...

    async def opened(self) -> None:
        """Return once messages can be sent."""
        ...

    async def send(
        self, message: bytes, request: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send one message; `request` is its ID where it wants an answer."""
        ...

    def initialized(self, version: str) -> None:
        """The session is open, at this revision: what the server tells by itself is listened to."""
        ...

    def drop(self, request: int) -> None:
        """Nobody waits for the answer to this request any more."""
        ...

    def drop_idle(self) -> None:
        """Close what is kept for the next message: it may be dead without telling."""
        ...

    async def knock(self, timeout_s: float) -> None:
        """Return when anybody answers there, on a new connection; raises as `send`."""
        ...
