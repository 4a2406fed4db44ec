"""The approvals of one hub process. Where several share a database, any of them answers for all."""

import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from flotilla import (
    FlotillaError,
    InvalidArgument,
    NotConfigured,
    Principal,
    RateLimited,
    Unavailable,
)
from flotilla.redaction import Redactor
from flotilla.sizes import cut
from master.approvals import rules
from master.approvals.brief import told_arguments
from master.approvals.digest import digest_of
from master.approvals.news import row_of, unknown_row
from master.approvals.record import Record, StoredCall, written
from master.approvals.running import Clock, Running, result_purpose
from master.approvals.sealing import Sealing
from master.approvals.seam import Answer, Held, Refused, State, Way
from master.approvals.settings import ApprovalSettings
from master.approvals.store import Bounds, Store, TooMany
from master.audit.seam import AuditBook, Row
from master.call import Call
from master.database.tables import approvals as table
from master.result import Result

log = structlog.get_logger(__name__)

MAX_SHOWN_BYTES = 32_768
MAX_REASON_CHARS = 500
MAX_PENDING_CHARS_EACH = 16 * 1024 * 1024
"""Of the stored calls of one principal that wait, together."""

Run = Callable[[Record], None]


def now_utc() -> datetime:
    return datetime.now(UTC)


class ApprovalService:
    """Keeps, decides, uses up and ends approvals; what it refuses it tells the audit.

    Whoever puts the hub together sets `run`, which has a stored call run beside the caller.
    """

    def __init__(
        self,
        store: Store,
        sealing: Sealing,
        settings: ApprovalSettings,
        audit: AuditBook,
        redactor: Redactor,
        *,
        hub: str,
        clock: Clock = now_utc,
    ) -> None:
        self.store = store
        self.settings = settings
        self.audit = audit
        self.clock = clock
        self.running = Running(store, sealing, redactor, hub, clock)
        self.run: Run | None = None
        self._sealing = sealing
        self._redactor = redactor

    async def standing(self, call: Call) -> Held | None:
        four_eyes = call.verdict is not None and call.verdict.consent == "four_eyes"
        now = self.clock()
        for record in await self.store.standing(digest_of(call), now):
            if rules.may_stand(record.held, four_eyes=four_eyes, now=now):
                row = row_of(record.held, "standing_used", at=now, by=call.principal)
                self.audit.note(replace(row, correlation_id=call.correlation_id))
                return record.held
        return None

    async def ask(self, call: Call, shown: str, *, four_eyes: bool) -> Held:
        now, digest = self.clock(), digest_of(call)
        entry, approval_id = call.resolved(), secrets.token_hex(8)
        held = Held(
            id=approval_id,
            digest=digest,
            state="pending",
            tool=entry.name,
            service=entry.service,
            principal=call.principal,
            arguments=told_arguments(call, self._redactor),
            shown=cut(shown, MAX_SHOWN_BYTES)[0],
            four_eyes=four_eyes,
            asked_at=now,
            expires_at=now + timedelta(seconds=self.settings.decide_s),
            correlation_id=call.correlation_id,
        )
        sealed = self._sealing.seal(StoredCall.of(call).text(), _purpose(held))
        added = await self.store.add(
            Record(held=held, interactive=call.interactive, sealed=sealed),
            self._bounds(),
            now,
            lambda record: row_of(record.held, "asked", at=now, by=call.principal),
        )
        if isinstance(added, TooMany):
            self.audit.count(row_of(held, "too_many_pending", at=now, by=call.principal))
            raise _too_many(added)
        self.running.on_news()
        return added.held

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
        now = self.clock()
        until = self._until(now, answer, for_minutes)
        record = await self._known(approval_id, by)
        if answer == "deny" and record.held.state in ("approved", "running", "done"):
            return await self._withdraw(record, by, way, interactive, now)
        why = rules.not_to_decide(record, by=by, way=way, interactive=interactive, now=now)
        if why is not None:
            raise await self._refuse(why, record.held, by)
        run = self._to_run(record) if answer == "approve" and way != "elicitation" else None
        decided = {
            "decided_at": written(now),
            "decided_by": by.name,
            "way": way,
            "reason": reason[:MAX_REASON_CHARS] or None,
        }
        details = {"way": way, "reason": reason[:MAX_REASON_CHARS]}
        if until is not None:
            details["allowedUntil"] = written(until)
        outcome = self._approved(now, until) if answer == "approve" else _denied(now)
        changed = await self.store.change(
            approval_id,
            table.c.state == "pending",
            table.c.expires_at > written(now),
            values={**decided, **outcome},
            now=now,
            telling=lambda done: row_of(done.held, done.held.state, at=now, by=by, details=details),
        )
        if changed is None:
            raise await self._refuse(await self._too_late(approval_id, by), record.held, by)
        self.running.on_news()
        if run is not None:
            run(changed)
        return changed.held

    async def begin(self, approval_id: str, digest: str) -> Held:
        begun = await self.running.begin(approval_id, digest)
        if begun is not None:
            return begun
        now, found = self.clock(), await self.store.get(approval_id)
        if found is None:
            raise await self._unknown(approval_id, None)
        error = rules.not_to_begin(found.held, digest, now) or rules.refused(
            "approval_replayed", approval_id
        )
        row = row_of(found.held, rules.reason_of(error), at=now, by=found.held.principal)
        await self._told(row)
        raise error

    async def finish(self, approval_id: str, result: Result) -> None:
        await self.running.finish(approval_id, result)

    async def get(self, approval_id: str) -> Held:
        found = await self.store.get(approval_id)
        if found is None:
            raise rules.refused("approval_unknown", approval_id)
        if found.sealed_result is None:
            return found.held
        try:
            result = self._sealing.open(found.sealed_result, result_purpose(approval_id))
        except NotConfigured as error:
            log.warning("approval_result_unreadable", approval=approval_id, reason=error.message)
            return found.held
        return replace(found.held, result=result)

    async def page(
        self,
        *,
        states: Sequence[State] | None = None,
        tool: str | None = None,
        principal: str | None = None,
        before: tuple[str, str] | None = None,
        limit: int,
    ) -> list[Held]:
        """The latest first, without results; `before` is the `place` of the last one seen."""
        found = await self.store.page(
            states=states, tool=tool, principal=principal, before=before, limit=limit
        )
        return [each.held for each in found]

    def stored(self, record: Record) -> StoredCall:
        """The call that waits; NotConfigured where this hub cannot read it."""
        if record.sealed is None:
            raise rules.refused("approval_replayed", record.held.id)
        return StoredCall.read(self._sealing.open(record.sealed, _purpose(record.held)))

    def _to_run(self, record: Record) -> Run:
        """What lets the stored call run; raises where this hub cannot.

        It is asked before anything is decided, so that a hub that can may still be asked.
        """
        self.stored(record)
        if self.run is None:
            raise Unavailable("this hub runs no stored calls just now")
        return self.run

    def _approved(self, now: datetime, until: datetime | None) -> dict[str, Any]:
        last_use = now + timedelta(seconds=self.settings.use_s)
        return {
            "state": "approved",
            "expires_at": written(max(last_use, until or last_use)),
            "allowed_until": None if until is None else written(until),
        }

    async def _withdraw(
        self, record: Record, by: Principal, way: Way, interactive: bool, now: datetime
    ) -> Held:
        why = rules.not_to_withdraw(record, by=by, way=way, interactive=interactive, now=now)
        if why is not None:
            raise await self._refuse(why, record.held, by)
        changed = await self.store.change(
            record.held.id,
            table.c.allowed_until > written(now),
            values={"allowed_until": None},
            now=now,
            telling=lambda done: row_of(
                done.held, "withdrawn", at=now, by=by, details={"way": way}
            ),
        )
        if changed is None:
            raise await self._refuse("already_decided", record.held, by)
        self.running.on_news()
        return changed.held

    async def _too_late(self, approval_id: str, by: Principal) -> Refused:
        """Why the row was no longer as it was a moment ago."""
        found = await self._known(approval_id, by)
        is_over = found.held.state in ("pending", "expired")
        return "approval_expired" if is_over else "already_decided"

    async def _known(self, approval_id: str, by: Principal) -> Record:
        found = await self.store.get(approval_id)
        if found is None:
            raise await self._unknown(approval_id, by)
        return found

    async def _unknown(self, approval_id: str, by: Principal | None) -> FlotillaError:
        await self._told(unknown_row(approval_id, at=self.clock(), by=by))
        return rules.refused("approval_unknown")

    async def _refuse(self, why: Refused, held: Held, by: Principal) -> FlotillaError:
        """The error of an attempt that was refused, once the audit knows of it."""
        await self._told(row_of(held, why, at=self.clock(), by=by))
        return rules.refused(why, held.id)

    async def _told(self, row: Row) -> None:
        try:
            await self.audit.keep(row)
        except Unavailable as error:
            # Nothing was changed, and nothing runs: to refuse is right without the audit too.
            log.warning("refusal_not_audited", outcome=row.outcome, reason=error.message)

    def _until(self, now: datetime, answer: Answer, for_minutes: float | None) -> datetime | None:
        """Until when the exact call may be made again; InvalidArgument for what cannot be."""
        if for_minutes is None:
            return None
        if answer == "deny":
            raise InvalidArgument("forMinutes is for what is approved")
        most = self.settings.max_standing_minutes
        if not 0 < for_minutes <= most:
            raise InvalidArgument(f"forMinutes must be above 0 and at most {most:g}")
        return now + timedelta(minutes=for_minutes)

    def _bounds(self) -> Bounds:
        settings = self.settings
        return Bounds(
            pending=settings.max_pending,
            pending_each=settings.max_pending_each,
            asked_per_minute=settings.max_asked_per_minute,
            pending_chars_each=MAX_PENDING_CHARS_EACH,
        )


def _purpose(held: Held) -> str:
    return f"call:{held.id}:{held.digest}"


def _denied(now: datetime) -> dict[str, Any]:
    return {"state": "denied", "finished_at": written(now), "sealed": None}


def _too_many(refusal: TooMany) -> RateLimited:
    error = RateLimited(
        refusal.said,
        retry_after_ms=math.ceil(refusal.retry_after_s * 1000),
        hint="Wait until a person has decided; do not ask for the same again and again.",
    )
    error.details["reason"] = "too_many_pending"
    return error
