"""One request on its way through the hub to a server. The data flows one way; nothing reaches back.

A tool call, a prompt, a resource, a completion: all take the same way.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from flotilla import Deadline, Principal
from master.catalogue import Entry, View
from master.outbound.shown import Shown
from master.policy.seam import Verdict
from master.result import Result
from master.rpc import RpcError
from master.streaming.splitter import Piece

TOOLS_CALL = "tools/call"


class Hearer(Protocol):
    """Where a client hears of its request before the answer, and a large answer in pieces."""

    @property
    def told(self) -> bool:
        """Whether anything of this request has gone to the client yet."""
        ...

    async def notify(self, method: str, params: Mapping[str, str]) -> None:
        """A notification; `params` are the texts of its members, as the server wrote them."""
        ...

    async def report(self, progress: float, total: float | None, said: str | None) -> None:
        """Progress of a tool of the hub's own."""
        ...

    async def pause(self) -> None:
        """The server closed the stream and will be asked for the answer later."""
        ...

    async def pour(self, pieces: AsyncIterator[Piece]) -> bool:
        """Send a whole answer in pieces, as they come; whether it says `isError`."""
        ...


class Relay:
    """Hears for somebody else, and tells them everything as it is; overwrite what is to differ."""

    __slots__ = ("hearer",)

    def __init__(self, hearer: Hearer) -> None:
        self.hearer = hearer

    @property
    def told(self) -> bool:
        return self.hearer.told

    async def notify(self, method: str, params: Mapping[str, str]) -> None:
        await self.hearer.notify(method, params)

    async def report(self, progress: float, total: float | None, said: str | None) -> None:
        await self.hearer.report(progress, total, said)

    async def pause(self) -> None:
        await self.hearer.pause()

    async def pour(self, pieces: AsyncIterator[Piece]) -> bool:
        return await self.hearer.pour(pieces)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A question of this method that the client answered with an error."""

    method: str
    error: RpcError


@dataclass(slots=True, kw_only=True)
class Call:
    """Who asks for what; the stages fill in `target`, `deadline`, `verdict`, `approval` and
    `approved`, once each.

    It is not frozen because that costs: one call would make three of it.
    """

    method: str = TOOLS_CALL
    principal: Principal
    name: str
    """The tool, prompt or URI, as the client calls it."""
    params: Mapping[str, str]
    """All members of `params` as the client wrote them."""
    arguments: Mapping[str, Any]
    meta: Mapping[str, Any]
    correlation_id: str
    traceparent: str | None
    view: View
    capabilities: Mapping[str, Any]
    """What the client can be asked: `elicitation`, `sampling`, `roots`."""
    party: str = ""
    """The client's session, or without one its principal: whose calls may be mixed up."""
    modern: bool = True
    """The client is of 2026-07-28, and so has said what it can be asked for this very request."""
    client_info: Mapping[str, Any] | None = None
    log_level: str | None = None
    """The least severe log messages that the client wants; None: it has not said."""
    arrived: float
    """When it came in, on the monotonic clock."""
    hearer: Hearer = field(repr=False)
    refused: Mapping[str, Refusal] = field(default_factory=dict[str, Refusal])
    """The questions that have no place in `inputResponses`, by their keys."""
    target: Entry | None = None
    deadline: Deadline | None = None
    interactive: bool = True
    """A person sits at the client, who can be asked there."""
    approval: str | None = None
    """The ID of the approval by which it runs."""
    verdict: Verdict | None = None
    """What the rules said of it."""
    approved: bool = False
    """A person, or the operator's setting, allows it: its spoke is told so."""
    subject: str | None = field(default=None, repr=False)
    """The token that the caller came with, where a provider signed it: to be exchanged there."""
    credentials: Shown | None = field(default=None, repr=False)
    """What an external server is shown in the principal's name; None: the same for everybody."""

    def resolved(self) -> Entry:
        assert self.target is not None, "the stages after `resolve` run after it"
        return self.target

    def due(self) -> Deadline:
        assert self.deadline is not None, "the stages after `resolve` run after it"
        return self.deadline


Stage = Callable[[Call], Awaitable[Result]]
"""Answers a call, or raises a FlotillaError or the RpcError with which its server answered."""
