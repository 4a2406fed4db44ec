"""Who may decide what, and what may still be used. Pure.

Three sentences hold whatever the way: nobody decides over a call of their own from outside its
client; a robot's token decides nothing; what is decided, used or expired stays so.
"""

from datetime import datetime

from flotilla import (
    ApprovalDenied,
    ApprovalRequired,
    Conflict,
    FlotillaError,
    NotAllowed,
    NotFound,
    Principal,
)
from master.approvals.record import Record
from master.approvals.seam import Held, Refused, Way
from master.principals import OWNER

APPROVERS = frozenset({"approver", "admin"})
"""The roles of which one is needed to decide over the calls of others."""

_SAID: dict[Refused, tuple[type[FlotillaError], str, str]] = {
    "approval_replayed": (
        Conflict,
        "the approval was used already",
        "An approval is good for one call; call the tool again to ask for another.",
    ),
    "approval_mismatch": (
        NotAllowed,
        "the approval is for another call",
        "It is bound to tool, arguments and principal; call with those that were approved, or ask "
        "for another approval.",
    ),
    "self_approval": (
        NotAllowed,
        "nobody decides over a call of their own",
        "Another principal with the role approver, or the owner, must decide.",
    ),
    "already_decided": (
        Conflict,
        "the approval is decided already",
        "master.approvals.get tells what was decided.",
    ),
    "approval_expired": (
        Conflict,
        "the approval has expired",
        "Call the tool again to ask for another.",
    ),
    "not_an_approver": (
        NotAllowed,
        "this principal may not decide over calls",
        "The role approver is needed, or the owner's token with `python3 -m flotilla approvals`.",
    ),
    "not_interactive": (
        NotAllowed,
        "the token is a robot's, and a person must decide",
        "Decide with a person's token, or with `python3 -m flotilla approvals`.",
    ),
    "approval_unknown": (
        NotFound,
        "there is no such approval",
        "master.approvals.list names those that wait.",
    ),
}


def is_approver(principal: Principal) -> bool:
    """Whether the principal may decide over the calls of others, and look at them."""
    return principal == OWNER or not APPROVERS.isdisjoint(principal.roles)


def not_to_decide(
    record: Record, *, by: Principal, way: Way, interactive: bool, now: datetime
) -> Refused | None:
    """Why `by` may not decide; None where they may.

    `interactive`: a person sits at the client of `by`, and so may have decided.
    """
    return _not_the_one(record, by, way, interactive) or _not_open(record.held, now)


def not_to_withdraw(
    record: Record, *, by: Principal, way: Way, interactive: bool, now: datetime
) -> Refused | None:
    """Why `by` may not end what was allowed for a while. The asker may: it gives up a right."""
    held = record.held
    if held.allowed_until is None or held.allowed_until <= now:
        return "already_decided"
    if by.name == held.principal.name:
        return None
    return _not_the_one(record, by, way, interactive)


def may_stand(held: Held, *, four_eyes: bool, now: datetime) -> bool:
    """Whether it allows its exact call to be made once more just now."""
    if held.state not in ("approved", "running", "done"):
        return False
    if held.allowed_until is None or held.allowed_until <= now:
        return False
    # What the asker's own person allowed is not enough where the rules ask for another one.
    return not four_eyes or held.way != "elicitation"


def not_to_begin(held: Held, digest: str, now: datetime) -> FlotillaError | None:
    """Why the call of that digest may not use it; None where it may."""
    if held.digest != digest:
        return refused("approval_mismatch")
    match held.state:
        case "pending" if held.expires_at > now:
            return ApprovalRequired(
                f"{held.tool} waits for a person's approval", details={"approvalId": held.id}
            )
        case "denied":
            return denied(held)
        case "approved" if held.expires_at > now:
            return None
        case "pending" | "approved" | "expired":
            return refused("approval_expired")
        case _:
            return refused("approval_replayed")


def denied(held: Held) -> ApprovalDenied:
    """What a call is told that a person does not allow."""
    why = f": {held.reason}" if held.reason else ""
    return ApprovalDenied(
        f"a person does not allow {held.tool}{why}",
        hint="Do not ask for the same again; find another way, or ask the person.",
        details={"approvalId": held.id},
    )


def refused(reason: Refused, approval_id: str | None = None) -> FlotillaError:
    """The error of an attempt; its details name the reason."""
    kind, message, hint = _SAID[reason]
    details = {"reason": reason} | ({} if approval_id is None else {"approvalId": approval_id})
    return kind(message, hint=hint, details=details)


def reason_of(error: FlotillaError) -> str:
    """The reason of a refusal, or the code of any other error."""
    return str(error.details.get("reason", error.code))


def _not_the_one(record: Record, by: Principal, way: Way, interactive: bool) -> Refused | None:
    held = record.held
    own = by.name == held.principal.name
    if way == "elicitation":
        if not own:
            return "not_an_approver"
        if held.four_eyes:
            return "self_approval"
        return None if interactive else "not_interactive"
    if own:
        return "self_approval"
    if not is_approver(by):
        return "not_an_approver"
    return None if interactive else "not_interactive"


def _not_open(held: Held, now: datetime) -> Refused | None:
    if held.state == "expired" or (held.state == "pending" and held.expires_at <= now):
        return "approval_expired"
    return None if held.state == "pending" else "already_decided"
