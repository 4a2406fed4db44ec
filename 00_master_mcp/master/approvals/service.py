"""The approvals of one hub process. Where several share a database, any of them answers for all."""

import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
from master.approvals.brief import told_arguments, told_result
from master.approvals.digest import digest_of
from master.approvals.news import HUB, row_of
from master.approvals.record import Record, StoredCall, written
from master.approvals.sealing import Sealing
from master.approvals.seam import Answer, Held, Refused, State, Way
from master.approvals.settings import ApprovalSettings
from master.approvals.store import Bounds, Store, TooMany
from master.audit.seam import AuditBook, Row
from master.call import Call
from master.database.tables import approvals as table
from master.result import Result, error_code

log = structlog.get_logger(__name__)

LEASE_S = 60.0
"""A hub process that has not said for so long that it runs a call is taken for dead."""
MAX_SHOWN_BYTES = 16_384
MAX_REASON_CHARS = 500
MAX_PENDING_CHARS_EACH = 16 * 1024 * 1024
"""Of the stored calls of one principal that wait, together."""

Clock = Callable[[], datetime]
Run = Callable[[Record], None]


def now_utc() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Ended:
    """A call that has ended, and of which the database does not know yet."""

    result: str
    code: str | None


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
        self.run: Run | None = None
        self.on_news: Callable[[], None] = lambda: None
        """Called after each change of which the audit is to be told."""
        self._sealing = sealing
        self._redactor = redactor
        self._hub = hub
        self._running: dict[str, str] = {}
        self._ended: dict[str, _Ended] = {}

    @property
    def running(self) -> Sequence[str]:
        """The approvals whose calls run in this process, or have ended untold."""
        return tuple(self._running)

    def digest_running(self, approval_id: str) -> str | None:
        """What the call that runs here by this approval is bound to."""
        return self._running.get(approval_id)

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
        self.on_news()
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
        out_of_band = answer == "approve" and way != "elicitation"
        if out_of_band:
            # Before anything is decided: what cannot be run must stay for a hub that can run it.
            self.stored(record)
            if self.run is None:
                raise Unavailable("this hub runs no stored calls just now")
        values: dict[str, Any] = {
            "decided_at": written(now),
            "decided_by": by.name,
            "way": way,
            "reason": reason[:MAX_REASON_CHARS] or None,
        }
        if answer == "approve":
            last_use = now + timedelta(seconds=self.settings.use_s)
            values |= {
                "state": "approved",
                "expires_at": written(max(last_use, until or last_use)),
                "allowed_until": None if until is None else written(until),
            }
        else:
            values |= {"state": "denied", "finished_at": written(now), "sealed": None}
        details = {"way": way, "reason": reason[:MAX_REASON_CHARS]}
        changed = await self.store.change(
            approval_id,
            table.c.state == "pending",
            table.c.expires_at > written(now),
            values=values,
            now=now,
            telling=lambda done: row_of(
                done.held, done.held.state, at=now, by=by, details=details | _allowed(until)
            ),
        )
        if changed is None:
            raise await self._refuse(await self._too_late(approval_id, by), record.held, by)
        self.on_news()
        if out_of_band and self.run is not None:
            self.run(changed)
        return changed.held

    async def begin(self, approval_id: str, digest: str) -> Held:
        begun = await self.begun(approval_id, digest)
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

    async def begun(
        self, approval_id: str, digest: str, *, run_id: str | None = None
    ) -> Held | None:
        """As `begin`, but None where it cannot; `run_id` is the correlation ID of a stored call."""
        now = self.clock()
        changed = await self.store.change(
            approval_id,
            table.c.digest == digest,
            table.c.state == "approved",
            table.c.expires_at > written(now),
            values={
                "state": "running",
                "runner": self._hub,
                "lease_until": written(now + timedelta(seconds=LEASE_S)),
                "run_id": run_id,
                # It will never run again, whatever becomes of it.
                "sealed": None,
            },
            now=now,
            telling=lambda done: row_of(done.held, "begun", at=now, by=done.held.principal),
        )
        if changed is None:
            return None
        self._running[approval_id] = digest
        self.on_news()
        return changed.held

    async def finish(self, approval_id: str, result: Result) -> None:
        if approval_id not in self._running:
            log.warning("approval_not_running_here", approval=approval_id)
            return
        texts = dict(result.texts)
        if result.poured:
            texts |= {"note": '"The result went to the client in pieces and was not kept."'}
        kept = told_result(texts, self._redactor)
        self._ended[approval_id] = _Ended(kept, error_code(result))
        try:
            await self.write_ended()
        except Unavailable as error:
            log.warning("approval_end_not_written", approval=approval_id, reason=error.message)

    async def write_ended(self) -> None:
        """Tell the database of calls that have ended; Unavailable where it is away."""
        for approval_id, ended in list(self._ended.items()):
            now = self.clock()
            changed = await self.store.change(
                approval_id,
                table.c.runner == self._hub,
                table.c.state.in_(("running", "lost")),
                values={
                    "state": "done",
                    "result": self._sealing.seal(ended.result, f"result:{approval_id}"),
                    "finished_at": written(now),
                },
                now=now,
                telling=_telling_end(ended.code, now),
            )
            if changed is None:
                log.warning("approval_gone", approval=approval_id)
            self._ended.pop(approval_id, None)
            self._running.pop(approval_id, None)
            self.on_news()

    async def lose(self) -> None:
        """This process ends, and with it the calls that still run: nobody knows how they end."""
        for approval_id in [each for each in self._running if each not in self._ended]:
            now = self.clock()
            await self.store.change(
                approval_id,
                table.c.runner == self._hub,
                table.c.state == "running",
                values={"state": "lost", "finished_at": written(now), "allowed_until": None},
                now=now,
                telling=lambda done, now=now: row_of(done.held, "lost", at=now),
            )
            self._running.pop(approval_id, None)

    async def get(self, approval_id: str) -> Held:
        found = await self.store.get(approval_id)
        if found is None:
            raise rules.refused("approval_unknown", approval_id)
        if found.sealed_result is None:
            return found.held
        try:
            result = self._sealing.open(found.sealed_result, f"result:{approval_id}")
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
        self.on_news()
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
        row = Row(
            kind="approval",
            principal=HUB if by is None else by.name,
            roles=() if by is None else by.roles,
            outcome="approval_unknown",
            approval=approval_id[:64],
            at=self.clock(),
        )
        await self._told(row)
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


def _allowed(until: datetime | None) -> dict[str, str]:
    return {} if until is None else {"allowedUntil": written(until)}


def _telling_end(code: str | None, now: datetime) -> Callable[[Record], Row]:
    return lambda done: row_of(
        done.held, "ended", at=now, by=done.held.principal, details={"error": code}
    )


def _too_many(refusal: TooMany) -> RateLimited:
    error = RateLimited(
        refusal.said,
        retry_after_ms=math.ceil(refusal.retry_after_s * 1000),
        hint="Wait until a person has decided; do not ask for the same again and again.",
    )
    error.details["reason"] = "too_many_pending"
    return error
