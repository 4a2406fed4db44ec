"""What the way of a call, the tools and the owner's interface ask of the approvals."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from flotilla import Principal
from master.call import Call
from master.result import Result

State = Literal["pending", "approved", "denied", "expired", "running", "done", "lost"]
"""
pending   nobody has decided
approved  a person said yes, and the call has not begun
denied    a person said no
expired   nobody decided in time, or the call was not made in time
running   the call has begun: nobody can use this approval again
done      the call has ended; its result is kept for a day
lost      the hub died while the call ran: whether it took effect is not known
"""
Answer = Literal["approve", "deny"]
Way = Literal["elicitation", "tool", "cli", "console"]

Refused = Literal[
    "approval_replayed",
    "approval_mismatch",
    "self_approval",
    "already_decided",
    "approval_expired",
    "not_an_approver",
    "not_interactive",
    "too_many_pending",
    "approval_unknown",
]
"""Why an attempt was refused: `reason` in the details of the error, and the outcome of its row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One approval as it stands."""

    id: str
    digest: str
    state: State
    tool: str
    service: str
    principal: Principal
    arguments: Mapping[str, Any]
    """Without the values of secrets."""
    shown: str
    """What will happen, in plain words, as the person reads it."""
    four_eyes: bool
    asked_at: datetime
    expires_at: datetime
    correlation_id: str
    decided_at: datetime | None = None
    decided_by: str | None = None
    way: Way | None = None
    reason: str | None = None
    allowed_until: datetime | None = None
    """Until when this exact call may be made again without asking."""
    run_id: str | None = None
    """The correlation ID under which the stored call ran, where it did."""
    result: str | None = None
    """The JSON text of the result, of one that is done."""
    finished_at: datetime | None = None

    @property
    def place(self) -> tuple[str, str]:
        """Where it stands in the list of all, the latest first."""
        return self.asked_at.isoformat(timespec="microseconds"), self.id


class Approvals(Protocol):
    """Every change is durable before it is told of; two hubs never both win."""

    async def standing(self, call: Call) -> Held | None:
        """An approval that allows this exact call just now, because a person said so for a while.

        Using it is noted; it needs no `begin`.
        """
        ...

    async def ask(self, call: Call, shown: str, *, four_eyes: bool) -> Held:
        """Keep a call as pending; the same call that is pending already is told again.

        RateLimited where its principal has too many pending.
        """
        ...

    async def answer(
        self,
        approval_id: str,
        *,
        by: Principal,
        answer: Answer,
        way: Way,
        interactive: bool = False,
        reason: str = "",
        for_minutes: float | None = None,
    ) -> Held:
        """Decide. `way` "elicitation" says that `by` is the caller, asked in their own client.

        `interactive` says that the credential of `by` is a person's (`Call.interactive`); without
        it nothing is decided. Any other way than elicitation lets the stored call run at once,
        beside the caller; `get` tells of its end. To deny what was allowed for a while ends that.
        Raises NotAllowed, Conflict or NotFound whose details say why (`Refused`).
        """
        ...

    async def begin(self, approval_id: str, digest: str) -> Held:
        """Use it up for the call of that digest, which is about to run; as `answer` raises.

        Also ApprovalDenied, and ApprovalRequired while nobody has decided. A stored call that runs
        out of band has begun already when it takes the way of a call: its `Call.approval` is set.
        """
        ...

    async def finish(self, approval_id: str, result: Result) -> None:
        """The call has ended so. Never raises: what cannot be written is written later."""
        ...

    async def get(self, approval_id: str) -> Held:
        """NotFound where there is none."""
        ...
