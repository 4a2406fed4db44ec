"""`master.approvals.*`: what waits for a person, what became of it, and the decision."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from flotilla import (
    Context,
    Cursor,
    InvalidArgument,
    Limit,
    Model,
    NotAllowed,
    Page,
    Tool,
    decode_cursor,
    encode_cursor,
    meta,
    reads,
    writes,
)
from flotilla.json_text import from_json
from master.approvals import rules
from master.approvals.seam import Held, State, Way
from master.approvals.service import ApprovalService
from master.search.tools import ClientContext, summary_of

LIST, GET, DECIDE = (f"master.approvals.{action}" for action in ("list", "get", "decide"))

Id = Annotated[str, Field(min_length=1, max_length=64, description="As approvalId has it.")]
Reason = Annotated[str, Field(max_length=500, description="For the caller and the audit.")]
Minutes = Annotated[
    float | None,
    Field(gt=0, le=480, description="Allow this exact call again for so long, without asking."),
]
Name = Annotated[str | None, Field(max_length=500)]


class WaitingCall(Model):
    """One approval in a list; `expiresInS` is the time left to decide, or to use it."""

    id: str
    state: State
    tool: str
    service: str
    principal: str
    summary: str
    four_eyes: bool
    asked_at: datetime
    expires_at: datetime
    expires_in_s: float | None = None
    decided_by: str | None = None
    allowed_until: datetime | None = None


class ShownApproval(WaitingCall):
    """One approval whole; `shown` is what the person reads, `result` how the call ended."""

    roles: list[str]
    shown: str
    arguments: dict[str, Any]
    correlation_id: str
    run_correlation_id: str | None = None
    """Under which the call ran that was allowed when its client had gone."""
    decided_at: datetime | None = None
    way: Way | None = None
    reason: str | None = None
    finished_at: datetime | None = None
    result: dict[str, Any] | None = None


class Decided(Model):
    """What was decided; a call that was allowed runs now, and `get` tells how it ends."""

    id: str
    state: State
    tool: str
    principal: str
    next: str | None = None


class ApprovalTools:
    """Whoever asked sees its own; approvers see all."""

    def __init__(self, service: ApprovalService) -> None:
        self._service = service

    def tools(self) -> tuple[Tool, ...]:
        # They repeat what callers wrote into arguments, and what tools answered.
        return (
            reads(LIST, self.list_calls, title="Calls that wait for a person", untrusted=True),
            reads(GET, self.get, title="An approval and its result", untrusted=True),
            writes(DECIDE, self.decide, title="Decide over a call"),
        )

    async def list_calls(
        self,
        state: Annotated[
            State | Literal["all"], Field(description="In which state; `all` for every one.")
        ] = "pending",
        tool: Name = None,
        principal: Name = None,
        limit: Limit = 50,
        cursor: Cursor = None,
        *,
        context: Context,
    ) -> Page[WaitingCall]:
        """List calls that wait for a person's approval, and those that were decided, newest first.

        Approvers see everybody's, others their own. `state` is pending, approved (not begun yet),
        denied, expired, running, done, or lost (the hub died while the call ran: nobody knows
        whether it took effect).
        """
        asker = context.principal
        if not rules.is_approver(asker):
            if principal not in (None, asker.name):
                raise NotAllowed(
                    "only your own approvals may be listed",
                    hint="The roles approver and admin see everybody's.",
                )
            principal = asker.name
        return await self.page(state, tool, principal, limit=limit, cursor=cursor)

    async def get(
        self,
        id: Id,  # noqa: A002 - the catalogue names it
        *,
        context: Context,
    ) -> ShownApproval:
        """Show one approval: the call, what a person is told of it, the decision, the result.

        A call that was approved when its client had gone runs beside: its result is here, for a
        day, once `state` is done. Secrets are left out; a large result is cut.
        """
        held = await self._service.get(id)
        if held.principal.name != context.principal.name and not rules.is_approver(
            context.principal
        ):
            # Whose it is tells something already.
            raise rules.refused("approval_unknown")
        return self.shown(held)

    async def decide(
        self,
        id: Id,  # noqa: A002 - the catalogue names it
        decision: Annotated[Literal["approve", "deny"], Field(description="approve or deny")],
        reason: Reason = "",
        for_minutes: Minutes = None,
        *,
        context: Context,
    ) -> Decided:
        """Approve or deny a call of somebody else that waits, for the person who read it.

        Only with the role approver or admin, with a person's token, and never over a call of your
        own. What is approved runs at once, as it was stored. To deny a call that was allowed for a
        while ends that.
        """
        interactive = isinstance(context, ClientContext) and context.interactive
        held = await self._service.answer(
            id,
            by=context.principal,
            answer=decision,
            way="tool",
            interactive=interactive,
            reason=reason,
            for_minutes=for_minutes,
        )
        return decided(held)

    async def page(
        self,
        state: State | Literal["all"],
        tool: str | None,
        principal: str | None,
        *,
        limit: int,
        cursor: str | None,
    ) -> Page[WaitingCall]:
        """One page of those of everybody."""
        found = await self._service.page(
            states=None if state == "all" else [state],
            tool=tool,
            principal=principal,
            before=None if cursor is None else _place(cursor),
            limit=limit + 1,
        )
        items = [WaitingCall(**self._briefly(held)) for held in found[:limit]]
        more = len(found) > limit
        return Page[WaitingCall](
            items=items,
            returned=len(items),
            next_cursor=encode_cursor(LIST, found[limit - 1].place) if more else None,
            truncated=more,
        )

    def shown(self, held: Held) -> ShownApproval:
        result = None if held.result is None else meta.members(from_json(held.result.encode()))
        return ShownApproval(
            **self._briefly(held),
            roles=list(held.principal.roles),
            shown=held.shown,
            arguments=dict(held.arguments),
            correlation_id=held.correlation_id,
            run_correlation_id=held.run_id,
            decided_at=held.decided_at,
            way=held.way,
            reason=held.reason,
            finished_at=held.finished_at,
            result=None if result is None else dict(result),
        )

    def _briefly(self, held: Held) -> Mapping[str, Any]:
        now = self._service.clock()
        left_s = (held.expires_at - now).total_seconds()
        state = held.state
        if state in ("pending", "approved") and left_s <= 0:
            # The upkeep has not come by yet.
            state = "expired"
        counts = state in ("pending", "approved")
        return {
            "id": held.id,
            "state": state,
            "tool": held.tool,
            "service": held.service,
            "principal": held.principal.name,
            "summary": summary_of(held.shown),
            "four_eyes": held.four_eyes,
            "asked_at": held.asked_at,
            "expires_at": held.expires_at,
            "expires_in_s": round(left_s, 1) if counts else None,
            "decided_by": held.decided_by,
            "allowed_until": held.allowed_until,
        }


def decided(held: Held) -> Decided:
    runs = held.state == "approved"
    following = f"It runs now; {GET} shows its result." if runs else None
    return Decided(
        id=held.id,
        state=held.state,
        tool=held.tool,
        principal=held.principal.name,
        next=following,
    )


def _place(cursor: str) -> tuple[str, str]:
    found = decode_cursor(LIST, cursor)
    match found:
        case [str(at), str(last)]:
            return at, last
        case _:
            raise InvalidArgument("cursor is not one that this tool gave out")
