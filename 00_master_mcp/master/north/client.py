"""The client of one request, as whatever answers it may deal with it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from flotilla import Principal
from master.catalogue import View
from master.north.sessions import Session

Era = Literal["modern", "handshake"]


class Teller(Protocol):
    """Where a request's messages go: its own response, or its session's stream."""

    async def tell(self, message: bytes) -> None:
        """A notification, or a question, before the answer."""
        ...

    async def pause(self) -> None:
        """The server takes its time: a client that can come back for the answer may go."""
        ...

    async def pour(self, chunks: AsyncIterator[bytes]) -> None:
        """The answer, in pieces."""
        ...


@dataclass(slots=True, kw_only=True)
class Client:
    """Who asks, what they see, what they can do, and how to tell them something meanwhile."""

    principal: Principal
    view: View
    era: Era
    correlation_id: str
    traceparent: str | None
    capabilities: Mapping[str, Any]
    info: Mapping[str, Any] | None
    log_level: str | None
    """The least severe log messages it wants; None: of the handshake era all, else none."""
    teller: Teller = field(repr=False)
    subject: str | None = field(default=None, repr=False)
    """The token that it came with, where a provider signed it."""
    interactive: bool = True
    """A person sits there, who can be asked."""
    session: Session | None = field(default=None, repr=False)
    """That of a handshake client; a modern one has none."""
    gone: Callable[[], Awaitable[None]] | None = field(default=None, repr=False)
    """Returns once the connection that the client waits on is closed."""
