"""One call on its way through the hub. The data flows one way; nothing reaches back."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flotilla import Deadline, Principal
from flotilla.context import Report
from master.catalogue import Entry, View
from master.result import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Who calls what; `tool` is there once the name was resolved."""

    principal: Principal
    name: str
    arguments: Mapping[str, Any]
    arguments_text: str
    """The arguments as the client wrote them."""
    meta: Mapping[str, Any]
    correlation_id: str
    traceparent: str | None
    view: View
    arrived: float
    """When it came in, on the monotonic clock."""
    report: Report = field(repr=False)
    tool: Entry | None = None
    deadline: Deadline | None = None
    approved: bool = False

    def resolved(self) -> Entry:
        assert self.tool is not None, "the stages after `resolve` run after it"
        return self.tool

    def due(self) -> Deadline:
        assert self.deadline is not None, "the stages after `resolve` run after it"
        return self.deadline


Stage = Callable[[Call], Awaitable[Result]]
"""Answers a call, or raises a FlotillaError that the first stage turns into a tool error."""
