"""Whether a call may run without a person, and if not: asks the one at its client, or lets it wait.

What is decided of one call, in this order: the rules may ask nobody; the operator may have switched
approvals off; a stored call was approved before it came here; a call that comes again brings a
ticket (`requestState`); a person may have allowed exactly this call for a while; else the person at
the client is asked, if one sits there; else it waits as pending, and its caller is told so.
"""

import asyncio
from dataclasses import dataclass, replace
from typing import Protocol

from flotilla import Deadline, FlotillaError, NotAllowed, UpstreamError
from flotilla.redaction import Redactor
from flotilla.toolbox import error_result
from master import rpc
from master.approvals import rules
from master.approvals.asking import refusals
from master.approvals.asking.fitting import Fits
from master.approvals.asking.need import Need, need_of
from master.approvals.asking.preview import Previews
from master.approvals.asking.question import ANSWERS, can_be_asked, question, said_in
from master.approvals.asking.tickets import STATE, BadTicket, Kind, Ticket, Tickets
from master.approvals.asking.words import words
from master.approvals.digest import digest_of
from master.approvals.seam import Approvals, Held
from master.audit.seam import AuditBook
from master.call import TOOLS_CALL, Call, Stage
from master.result import Result, of_json

ROUND_S = 900.0
"""How long a client may take to answer what the server of an approved call asks itself."""


class Used(Protocol):
    async def use(self, ticket: Ticket) -> bool:
        """Use a ticket up for good; False where somebody has."""
        ...


@dataclass(frozen=True, kw_only=True)
class Asking:
    """What the stage asks people by."""

    approvals: Approvals
    tickets: Tickets
    used: Used
    previews: Previews
    fits: Fits
    audit: AuditBook
    redactor: Redactor
    most_minutes: float
    """For how long a person may allow an exact call, at most."""


def approved(inner: Stage, asking: Asking, *, approvals_off: bool) -> Stage:
    """Let run what nobody need be asked about, and what somebody said yes to.

    Raises ApprovalRequired for what waits, ApprovalDenied for what a person does not allow, the
    error that a call would end with as its service knows beforehand, the errors of
    `master.approvals.rules` for a ticket that is not this call's or was used, and rpc.RpcError for
    one that this hub has not made.
    """
    approving = _Approving(inner, asking)

    async def stage(call: Call) -> Result:
        need = need_of(call)
        if need == "nobody":
            # Its spoke wants to hear that it was allowed, though no one was asked.
            call.approved = call.resolved().needs_approval
            return await inner(call)
        if approvals_off or call.approval is not None:
            call.approved = True
            return await inner(call)
        if call.method != TOOLS_CALL:
            raise NotAllowed("the rules want a person's consent, which is for tools alone")
        return await approving.of(call, need)

    return stage


class _Approving:
    def __init__(self, inner: Stage, asking: Asking) -> None:
        self._inner = inner
        self._asking = asking
        self._approvals = asking.approvals
        self._ending: set[asyncio.Task[None]] = set()

    async def of(self, call: Call, need: Need) -> Result:
        digest = digest_of(call)
        left_s = call.due().remaining_s()
        if STATE in call.params:
            ticket = self._ticket(call, digest)
            if ticket.kind != "asked":
                return await self._go_on(call, ticket)
            held = await self._answered(call, ticket, need)
        else:
            held = await self._approvals.standing(call)
            if held is not None:
                call.deadline = Deadline.after(left_s)
                return await self._run(call, "standing", held.id, digest)
            return await self._ask(call, need, digest)
        await self._approvals.begin(held.id, digest)
        # Nobody's time runs while a person thinks.
        call.deadline = Deadline.after(left_s)
        return await self._used_up(call, held.id, digest)

    def _ticket(self, call: Call, digest: str) -> Ticket:
        tickets = self._asking.tickets
        try:
            ticket = tickets.read(call.params[STATE])
        except BadTicket:
            self._asking.audit.note(refusals.row_of(call, refusals.FORGED, None))
            raise refusals.forged() from None
        error = refusals.misused(ticket, call, digest, over=tickets.is_over(ticket))
        if error is not None:
            raise self._told(call, error, ticket.approval)
        return ticket

    async def _ask(self, call: Call, need: Need, digest: str) -> Result:
        asking = self._asking
        preview = await asking.previews.of(call)
        shown = words(
            call,
            need,
            redact=asking.redactor.text,
            preview=preview,
            unchecked=asking.fits.is_broken(call.resolved()),
        )
        held = await self._approvals.ask(call, shown, four_eyes=need == "another")
        if need == "another" or not can_be_asked(call):
            raise refusals.waiting(held)
        for_s = (held.expires_at - held.asked_at).total_seconds()
        state = self._state(call, "asked", held.id, digest, for_s)
        return question(held, state, asking.most_minutes)

    async def _answered(self, call: Call, ticket: Ticket, need: Need) -> Held:
        """The approval that the person gave; raises where they gave none."""
        held, said = await self._approvals.get(ticket.approval), said_in(call)
        if said == "nothing" or need == "another":
            # Rules may want a second person by now.
            raise refusals.standing_of(held)
        if said == "nonsense":
            raise self._told(call, refusals.unclear(held.id), held.id)
        if not call.interactive:
            raise self._told(call, rules.refused("not_interactive", held.id), held.id)
        if said.answer == "approve" and held.state != "pending":
            if held.state == "approved" and not refusals.is_elsewhere(held):
                # This hub, or another, died between the person's yes and the call.
                return held
            raise self._told(call, refusals.standing_of(held), held.id)
        held = await self._approvals.answer(
            held.id,
            by=call.principal,
            answer=said.answer,
            way="elicitation",
            interactive=call.interactive,
            reason=said.reason,
            for_minutes=said.for_minutes,
        )
        if said.answer == "deny":
            raise rules.denied(held)
        return held

    async def _used_up(self, call: Call, approval_id: str, digest: str) -> Result:
        """Run it by an approval that is good once; however it ends, that is written."""
        try:
            result = await self._run(call, "allowed", approval_id, digest)
        except asyncio.CancelledError:
            cancelled = FlotillaError(
                "the call was cancelled while it ran", hint="Whether it took effect is not known."
            )
            task = asyncio.create_task(
                self._approvals.finish(approval_id, self._failed(call, cancelled))
            )
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
            raise
        except rpc.RpcError as error:
            refused = UpstreamError(f"the server refused: {error.message}")
            await self._approvals.finish(approval_id, self._failed(call, refused))
            raise
        except FlotillaError as error:
            await self._approvals.finish(approval_id, self._failed(call, error))
            raise
        except Exception:
            broke = FlotillaError("the hub failed to answer", hint="Its log has the details.")
            await self._approvals.finish(approval_id, self._failed(call, broke))
            raise
        await self._approvals.finish(approval_id, refusals.continued() if result.asks else result)
        return result

    async def _go_on(self, call: Call, ticket: Ticket) -> Result:
        """Bring the client's answers to the server of a call that was allowed before."""
        if ticket.kind == "standing" and await self._approvals.standing(call) is None:
            raise self._told(
                call, rules.refused("approval_expired", ticket.approval), ticket.approval
            )
        if not await self._asking.used.use(ticket):
            raise self._told(
                call, rules.refused("approval_replayed", ticket.approval), ticket.approval
            )
        answers = call.params.get(ANSWERS)
        more = {} if answers is None else {ANSWERS: answers}
        return await self._run(
            call, ticket.kind, ticket.approval, ticket.digest, state=ticket.state, more=more
        )

    async def _run(
        self,
        call: Call,
        kind: Kind,
        approval_id: str,
        digest: str,
        *,
        state: str | None = None,
        more: rpc.Texts | None = None,
    ) -> Result:
        """Send it on with the server's own state; what the server asks gets a ticket of ours."""
        kept = {name: text for name, text in call.params.items() if name not in (STATE, ANSWERS)}
        sent = {**kept, **(more or {}), **({} if state is None else {STATE: state})}
        call.approval, call.approved, call.params = approval_id, True, sent
        result = await self._inner(call)
        if not result.asks:
            return result
        ticket = self._state(call, kind, approval_id, digest, ROUND_S, result.texts.get(STATE))
        return replace(result, texts={**result.texts, STATE: ticket})

    def _state(
        self,
        call: Call,
        kind: Kind,
        approval_id: str,
        digest: str,
        for_s: float,
        state: str | None = None,
    ) -> str:
        return self._asking.tickets.made(
            kind,
            approval=approval_id,
            digest=digest,
            principal=call.principal.name,
            party=call.party,
            for_s=for_s,
            state=state,
        )

    def _failed(self, call: Call, error: FlotillaError) -> Result:
        return of_json(error_result(error, call.correlation_id, self._asking.redactor))

    def _told(self, call: Call, error: FlotillaError, approval_id: str) -> FlotillaError:
        """The error, once the audit is told of it."""
        row = refusals.row_of(call, rules.reason_of(error), approval_id)
        self._asking.audit.note(row)
        return error
