"""What the audit is told of approvals, as it lies in the database until it is told. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flotilla import Principal
from flotilla.json_text import from_json, to_json
from master.approvals.seam import Held
from master.audit.seam import Row

HUB = "hub"
"""As whom the hub itself stands in the audit."""


def row_of(
    held: Held,
    outcome: str,
    *,
    at: datetime,
    by: Principal | None = None,
    details: Mapping[str, Any] | None = None,
) -> Row:
    """A row of kind `approval`; without `by` the hub itself did it."""
    known = {"asker": held.principal.name, "state": held.state, **(details or {})}
    return Row(
        kind="approval",
        principal=HUB if by is None else by.name,
        roles=() if by is None else by.roles,
        tool=held.tool,
        service=held.service,
        outcome=outcome,
        approval=held.id,
        correlation_id=held.run_id or held.correlation_id,
        details=known,
        at=at,
    )


def unknown_row(approval_id: str, *, at: datetime, by: Principal | None) -> Row:
    """Somebody named an approval that there is not."""
    return Row(
        kind="approval",
        principal=HUB if by is None else by.name,
        roles=() if by is None else by.roles,
        outcome="approval_unknown",
        approval=approval_id[:64],
        at=at,
    )


def text_of(row: Row) -> str:
    """The row as JSON; approvals tell no arguments and no rules."""
    return to_json(
        {
            "principal": row.principal,
            "roles": row.roles,
            "tool": row.tool,
            "service": row.service,
            "outcome": row.outcome,
            "approval": row.approval,
            "correlationId": row.correlation_id,
            "details": dict(row.details),
            "at": row.at.isoformat(),
        }
    ).decode()


def row_in(text: str) -> Row:
    told = from_json(text.encode())
    return Row(
        kind="approval",
        principal=told["principal"],
        roles=tuple(told["roles"]),
        tool=told["tool"],
        service=told["service"],
        outcome=told["outcome"],
        approval=told["approval"],
        correlation_id=told["correlationId"],
        details=told["details"],
        at=datetime.fromisoformat(told["at"]),
    )
