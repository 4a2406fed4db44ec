"""What a call is told that does not run because of its approval, or not yet. Pure."""

from flotilla import ApprovalRequired, Conflict, FlotillaError, InvalidArgument
from master import rpc
from master.approvals import rules
from master.approvals.asking.tickets import Ticket
from master.approvals.seam import Held
from master.audit.seam import Row
from master.call import Call
from master.result import Result, of_json

FORGED = "approval_forged"
"""The `requestState` is not one that this hub has made."""
UNCLEAR = "approval_unclear"
"""The answer to the question is none of its choices."""


def waiting(held: Held) -> ApprovalRequired:
    """The call waits as pending: how a person decides, and where the result is found then."""
    who = "Somebody else than who asks" if held.four_eyes else "A person"
    return ApprovalRequired(
        f"{held.tool} waits for a person's approval",
        hint=f"{who} decides with `python3 -m flotilla approvals approve {held.id}`, or an "
        "approver with master.approvals.decide. Once approved it runs by itself: read its result "
        f'with master.approvals.get {{"id": "{held.id}"}}, and do not call again.',
        details={
            "approvalId": held.id,
            "expiresAt": held.expires_at.isoformat(timespec="seconds"),
            "fourEyes": held.four_eyes,
        },
    )


def standing_of(held: Held) -> FlotillaError:
    """What is told instead of an answer that never came, as the approval stands by now."""
    match held.state:
        case "pending":
            return waiting(held)
        case "denied":
            return rules.denied(held)
        case "expired":
            return rules.refused("approval_expired", held.id)
        case _:
            return _elsewhere(held) if is_elsewhere(held) else _used(held)


def is_elsewhere(held: Held) -> bool:
    """Whether somebody decided it out of band, so that it runs by itself."""
    return held.way not in (None, "elicitation")


def _elsewhere(held: Held) -> Conflict:
    return Conflict(
        f"{held.tool} was approved elsewhere meanwhile, and runs by itself",
        hint=f'Read its result with master.approvals.get {{"id": "{held.id}"}}.',
        details={"reason": "already_decided", "approvalId": held.id},
    )


def unclear(approval_id: str) -> InvalidArgument:
    return InvalidArgument(
        "the answer to the question for approval is none of its choices, so the call does not run",
        hint="Answer with one of the decisions that its schema names; the approval stays open.",
        details={"reason": UNCLEAR, "approvalId": approval_id},
    )


def forged() -> rpc.RpcError:
    # 2026-07-28: a requestState that cannot be verified is answered by Invalid params.
    return rpc.RpcError(
        rpc.INVALID_PARAMS,
        "requestState is none that this hub has made; call anew without it",
        {"reason": FORGED},
    )


def misused(ticket: Ticket, call: Call, digest: str, *, over: bool) -> FlotillaError | None:
    """Why this call may not use the ticket; None where it may."""
    same = (ticket.digest, ticket.principal, ticket.party)
    if same != (digest, call.principal.name, call.party):
        return rules.refused("approval_mismatch", ticket.approval)
    return rules.refused("approval_expired", ticket.approval) if over else None


def row_of(call: Call, outcome: str, approval_id: str | None) -> Row:
    """What the audit is told of an attempt that was refused here."""
    entry = call.resolved()
    return Row(
        kind="approval",
        principal=call.principal.name,
        roles=call.principal.roles,
        tool=entry.name,
        service=entry.service,
        outcome=outcome,
        approval=approval_id,
        correlation_id=call.correlation_id,
    )


def continued() -> Result:
    """What is kept of a call whose server asked its client something in the middle."""
    said = "The server asked its client something; what followed went to the client alone."
    return of_json({"content": [{"type": "text", "text": said}]})


def _used(held: Held) -> FlotillaError:
    return rules.refused("approval_replayed", held.id)
