"""What the other parts of the hub write into the audit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

Kind = Literal[
    "call", "intent", "approval", "token", "policy", "secret", "grant", "server", "audit"
]
"""
call      a request that was answered, refused or failed
intent    a call that writes is about to run; its `call` row follows with the outcome
approval  one was asked for, decided, used, refused, or has expired
token     one was made or revoked
policy    the rules that a hub began to work with
secret    a handle was resolved, or a service was brought a secret
grant     a person granted, or took back, what an external server is reached with
server    an external server was added, changed or removed
audit     the audit of itself: a hub began or ended, rows could not be written, old ones went
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row. Whoever writes it need not redact: the book does that, for all alike."""

    kind: Kind
    principal: str
    roles: tuple[str, ...] = ()
    tool: str | None = None
    """The canonical name, or what else was done: `approval.decided`, `token.revoked`."""
    service: str | None = None
    arguments: Mapping[str, Any] | None = None
    outcome: str = "ok"
    """`ok`, or the code of an error, or the reason of a refusal: `approval_expired`."""
    rules: tuple[str, ...] = ()
    """Of the policy: those that decided."""
    approval: str | None = None
    correlation_id: str | None = None
    took_ms: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


class AuditBook(Protocol):
    async def keep(self, row: Row) -> None:
        """Write a row; it is there for good when this returns. Unavailable where it cannot be."""
        ...

    def note(self, row: Row) -> None:
        """Write a row at most 100 ms from now; never raises."""
        ...

    def count(self, row: Row) -> None:
        """As `note`, for a request that was turned away: many of a kind are told together."""
        ...

    def check(self) -> None:
        """Unavailable where rows have waited too long, or too many wait: then nothing may run."""
        ...


class Unwritten:
    """Keeps nothing; for tests of other parts."""

    async def keep(self, row: Row) -> None:
        del row

    def note(self, row: Row) -> None:
        del row

    def count(self, row: Row) -> None:
        del row

    def check(self) -> None: ...
