"""The calls that run in this process by an approval, from their begin to the end of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from flotilla import Unavailable
from flotilla.redaction import Redactor
from master.approvals.brief import told_result
from master.approvals.news import row_of
from master.approvals.record import Record, written
from master.approvals.sealing import Sealing
from master.approvals.seam import Held
from master.approvals.store import Store
from master.audit.seam import Row
from master.database.tables import approvals as table
from master.result import Result, error_code

log = structlog.get_logger(__name__)

LEASE_S = 60.0
"""A hub process that has not said for so long that it runs a call is taken for dead."""

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class _Ended:
    """A call that has ended, and of which the database does not know yet."""

    result: str
    code: str | None


class Running:
    """`hub` names this process. `on_news` is called after each change that the audit is told."""

    def __init__(
        self, store: Store, sealing: Sealing, redactor: Redactor, hub: str, clock: Clock
    ) -> None:
        self.on_news: Callable[[], None] = lambda: None
        self._store = store
        self._sealing = sealing
        self._redactor = redactor
        self._hub = hub
        self._clock = clock
        self._digests: dict[str, str] = {}
        self._ended: dict[str, _Ended] = {}

    @property
    def ids(self) -> Sequence[str]:
        """The approvals of the calls that run, or have ended untold."""
        return tuple(self._digests)

    def digest(self, approval_id: str) -> str | None:
        """What the call that runs by this approval is bound to."""
        return self._digests.get(approval_id)

    async def begin(
        self, approval_id: str, digest: str, *, run_id: str | None = None
    ) -> Held | None:
        """Use the approval up; None where that cannot be. `run_id`: a stored call's own ID."""
        now = self._clock()
        changed = await self._store.change(
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
        self._digests[approval_id] = digest
        self.on_news()
        return changed.held

    async def finish(self, approval_id: str, result: Result) -> None:
        """It has ended so; what cannot be written now is written later."""
        if approval_id not in self._digests:
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
        for approval_id in list(self._ended):
            # Taken out first: somebody else may be writing at the same time.
            ended = self._ended.pop(approval_id, None)
            if ended is None:
                continue
            try:
                await self._write(approval_id, ended)
            except BaseException:
                self._ended[approval_id] = ended
                raise
            self._digests.pop(approval_id, None)
            self.on_news()

    async def renew(self) -> None:
        """Say that they run here still."""
        if self._digests:
            until = self._clock() + timedelta(seconds=LEASE_S)
            await self._store.renew(self.ids, until)

    async def lose(self) -> None:
        """This process ends, and with it the calls that still run: nobody knows how they end."""
        for approval_id in [each for each in self._digests if each not in self._ended]:
            now = self._clock()
            await self._store.change(
                approval_id,
                table.c.runner == self._hub,
                table.c.state == "running",
                values={"state": "lost", "finished_at": written(now), "allowed_until": None},
                now=now,
                telling=_telling("lost", now),
            )
            self._digests.pop(approval_id, None)

    async def _write(self, approval_id: str, ended: _Ended) -> None:
        now = self._clock()
        changed = await self._store.change(
            approval_id,
            table.c.runner == self._hub,
            table.c.state.in_(("running", "lost")),
            values={
                "state": "done",
                "result": self._sealing.seal(ended.result, result_purpose(approval_id)),
                "finished_at": written(now),
            },
            now=now,
            telling=lambda done: row_of(
                done.held, "ended", at=now, by=done.held.principal, details={"error": ended.code}
            ),
        )
        if changed is None:
            log.warning("approval_gone", approval=approval_id)


def result_purpose(approval_id: str) -> str:
    """For what a result is sealed."""
    return f"result:{approval_id}"


def _telling(outcome: str, now: datetime) -> Callable[[Record], Row]:
    return lambda done: row_of(done.held, outcome, at=now)
