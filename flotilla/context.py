"""What a tool may know of the call that it answers: who asks, until when, and where to report."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Self

Report = Callable[[float, float | None, str | None], Awaitable[None]]
"""Tells the caller how far the work is: `(progress, total, message)`."""


async def report_nothing(_progress: float, _total: float | None, _message: str | None) -> None:
    """The report of a caller that asked for none."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: a name for the audit, and the roles that policy decides from."""

    name: str
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment, on this machine's monotonic clock, when nobody waits for the answer any more."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        return cls(monotonic() + seconds)

    def remaining_s(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self.at - monotonic())

    def no_later_than(self, seconds: float) -> "Deadline":
        """The earlier of this deadline and `seconds` from now."""
        return Deadline(min(self.at, monotonic() + seconds))


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The call that a tool answers; a tool that wants it takes a parameter of this type."""

    principal: Principal
    correlation_id: str
    deadline: Deadline
    traceparent: str | None = None
    approved: bool = False
    """A person, or the operator's setting, allowed this very call."""
    report: Report = field(default=report_nothing, repr=False)
