"""The audit's writer: rows that are waited for go at once, all others within a tenth of a second.

All rows that wait go in one transaction, so that many calls share one way to the disk. While the
database is away, rows that nobody waits for stay in memory, so many and so long as the settings
say; then `check` refuses every call, so that nothing runs of which no row could be written.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from time import monotonic

import anyio
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from flotilla import FlotillaError, Unavailable, __version__
from flotilla.backoff import delay_s
from flotilla.chain import Head, key_id
from flotilla.redaction import Redactor
from master.audit.floods import Floods
from master.audit.heads import HeadFile
from master.audit.lines import Line, instant, line_of
from master.audit.seam import Row
from master.audit.settings import AuditSettings
from master.audit.steps import Attempt, Spot, adding, is_there, removing
from master.audit.stores import Store

log = structlog.get_logger(__name__)

LINGER_S = 0.05
"""How long a row may wait for others; with the commit it is on the disk within 100 ms."""
AT_ONCE = 500
"""Rows of one transaction: a call that waits for its row waits for no more than these."""
MAX_WAITING_BYTES = 64 * 1024 * 1024
HEAD_EVERY_S = 1.0
RETRY_CAP_S = 1.0
STOP_S = 10.0
"""How long a stop waits for a database that is away."""


@dataclass(slots=True)
class _Waiting:
    line: Line
    written: asyncio.Future[None] | None
    """Of a row that is waited for."""


@dataclass(slots=True)
class _Away:
    """What happened while rows could not be written."""

    since: float
    at: datetime
    refused: int = 0
    lost: int = 0


class Book:
    """Rows may be noted before it is open; they are written once it is.

    `clock` is monotonic, in seconds; `now` tells the time of day.
    """

    def __init__(
        self,
        store: Store,
        redactor: Redactor,
        key: Ed25519PrivateKey,
        head_file: HeadFile,
        settings: AuditSettings,
        *,
        clock: Callable[[], float] = monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._redactor = redactor
        self._key = key
        self._head_file = head_file
        self._settings = settings
        self._clock = clock
        self._now = now
        self._floods = Floods(self.note, clock)
        self._rows: deque[_Waiting] = deque()
        self._bytes = 0
        self._due = asyncio.Event()
        self._lingering: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._away: _Away | None = None
        self._failures = 0
        self._known: Spot | None = None
        self._in_doubt: tuple[Spot, int] | None = None
        """What an attempt whose end is not known would have reached, and with how many noted."""
        self._stopping = False
        self._broken = False
        self._head: Head | None = None
        """The newest, where the file does not have it yet."""
        self._head_kept_at = float("-inf")

    @property
    def public_key(self) -> Ed25519PublicKey:
        """By which others know what this book signed."""
        return self._key.public_key()

    @property
    def head_file(self) -> HeadFile:
        return self._head_file

    @property
    def waiting(self) -> int:
        """Rows that are not written yet."""
        return len(self._rows)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Rows are written within; at its end all that wait are, if the database lets them."""
        self._loop = asyncio.get_running_loop()
        async with self._store.running():
            self.note(_own("opened", version=__version__, key=key_id(self._key.public_key())))
            writing = asyncio.create_task(self._write_on())
            writing.add_done_callback(self._ended)
            try:
                yield
            finally:
                self._stopping = True
                self._due.set()
                # Whoever gives up waiting for it would leave a transaction half done.
                with anyio.CancelScope(shield=True):
                    await writing

    @property
    def is_away(self) -> bool:
        """Whether the last attempt to write rows failed."""
        return self._away is not None

    @property
    def refuses(self) -> bool:
        """Whether nothing may run just now, as no row of it could be written."""
        away, settings = self._away, self._settings
        full = len(self._rows) >= settings.max_waiting or self._bytes >= MAX_WAITING_BYTES
        if full or self._broken:
            return True
        return away is not None and self._clock() - away.since > settings.away_s

    def check(self) -> None:
        if self.refuses:
            if self._away is not None:
                self._away.refused += 1
            raise _unwritable("rows of the audit cannot be written")

    def note(self, row: Row) -> None:
        away = self._away
        full = len(self._rows) >= 2 * self._settings.max_waiting
        if full or self._bytes >= 2 * MAX_WAITING_BYTES:
            # Calls that were let in before it was full; with so many, memory is the next to go.
            if away is None:
                away = self._away = _Away(self._clock(), self._now())
            away.lost += 1
            return
        self._add(row, None)
        if self._lingering is None and self._loop is not None and away is None:
            self._lingering = self._loop.call_later(LINGER_S, self._due.set)

    def count(self, row: Row) -> None:
        if self._loop is None:
            self.note(row)
        else:
            self._floods.count(row)

    async def keep(self, row: Row) -> None:
        loop = self._loop
        if loop is None:
            raise _unwritable("the audit is not open")
        written: asyncio.Future[None] = loop.create_future()
        self._add(row, written)
        self._due.set()
        await written

    async def remove_some(self, before: datetime) -> int | None:
        """Remove some of the oldest rows, as far as all are from before; the last that went."""
        until = instant(before)
        end = await self._store.write(lambda: removing(until, self._key, self._now()))
        return None if end is None else end.number

    def tell_removed(self, last: int) -> None:
        """Note that retention removed the rows up to that one."""
        self.note(_own("removed", through=last))

    def _add(self, row: Row, written: asyncio.Future[None] | None) -> None:
        line = line_of(row, self._redactor)
        self._rows.append(_Waiting(line, written))
        self._bytes += len(line.body)

    async def _write_on(self) -> None:
        await self._recall()
        while not self._stopping:
            with contextlib.suppress(TimeoutError):  # then it is time for what waits already
                async with asyncio.timeout(self._pause_s()):
                    await self._due.wait()
            self._due.clear()
            if self._lingering is not None:
                self._lingering.cancel()
                self._lingering = None
            if await self._write(len(self._rows)):
                await self._keep_head(HEAD_EVERY_S)
        self._floods.close()
        self.note(_own("closed"))
        until = self._clock() + STOP_S
        while self._rows:
            written = await self._write(len(self._rows))
            if written or self._clock() >= until:
                break
            await asyncio.sleep(delay_s(self._failures, cap_s=RETRY_CAP_S))
        await self._keep_head(0)
        if self._rows:
            log.error("audit_rows_lost", rows=len(self._rows), meaning="the database is away")

    def _pause_s(self) -> float | None:
        """How long nothing needs to be done."""
        if self._away is not None:
            return delay_s(max(1, self._failures), cap_s=RETRY_CAP_S)
        if self._head is not None:
            return max(0.0, self._head_kept_at + HEAD_EVERY_S - self._clock())
        return None

    async def _recall(self) -> None:
        """Which row this hub wrote last, as the file beside says."""
        try:
            told = await asyncio.to_thread(self._head_file.read)
            if told is None:
                return
            if not told.is_of(self._key.public_key()):
                raise ValueError("not signed with the key of this hub")
        except (OSError, ValueError) as error:
            log.error("audit_head_unusable", file=str(self._head_file.path), reason=str(error))
            self.note(_own("head_unusable", reason=str(error)))
        else:
            self._known = Spot(told.number, told.hash)

    async def _write(self, ahead: int) -> bool:
        """Write the first `ahead` rows; whether the database took them."""
        while ahead > 0:
            batch = list(islice(self._rows, AT_ONCE))
            attempt = Attempt([each.line for each in batch])
            try:
                if await self._was_written():
                    return await self._write(min(ahead, len(self._rows)))
                head = await self._store.write(
                    lambda tried=attempt: adding(tried, self._known, self._key, self._now())
                )
            except FlotillaError as error:
                self._failed(attempt, batch, error.message)
                return False
            except Exception:  # the writer goes on, whatever the database says
                log.exception("audit_not_written")
                self._failed(attempt, batch, "an error of ours, which the log tells")
                return False
            self._succeeded(batch, head)
            ahead -= len(batch)
        return True

    async def _was_written(self) -> bool:
        """Whether an attempt that seemed to fail did not; its rows then wait no longer."""
        if self._in_doubt is None:
            return False
        reached, noted = self._in_doubt
        there = await self._store.write(lambda: is_there(reached))
        self._in_doubt = None
        if there:
            self._known = reached
            self._forget(noted)
        return there

    def _succeeded(self, batch: Sequence[_Waiting], head: Head) -> None:
        self._known = Spot(head.number, head.hash)
        self._head = head
        self._forget(len(batch))
        for each in batch:
            if each.written is not None and not each.written.done():
                each.written.set_result(None)
        self._failures = 0
        away, self._away = self._away, None
        if away is not None:
            log.info("audit_is_written_again", refused=away.refused, lost=away.lost)
            self.note(_own("away", since=instant(away.at), refused=away.refused, lost=away.lost))

    def _failed(self, attempt: Attempt, batch: Sequence[_Waiting], reason: str) -> None:
        """Rows that are waited for are given up with their calls; the others wait on."""
        noted = sum(each.written is None for each in batch)
        if attempt.reached is not None and noted:
            self._in_doubt = (attempt.reached, noted)
        self._failures += 1
        if self._away is None:
            self._away = _Away(self._clock(), self._now())
            log.error("audit_cannot_be_written", reason=reason)
        self._give_up(reason)

    def _ended(self, writing: asyncio.Task[None]) -> None:
        """Nobody waits for a writer that is no more, not even for one that broke."""
        self._loop = None
        if not writing.cancelled() and writing.exception() is not None:
            self._broken = True
            log.error("audit_writer_broke", exc_info=writing.exception())
        self._give_up("the audit is not open")

    def _give_up(self, reason: str) -> None:
        kept = deque[_Waiting]()
        for each in self._rows:
            if each.written is None:
                kept.append(each)
                continue
            self._bytes -= len(each.line.body)
            if not each.written.done():
                each.written.set_exception(_unwritable(f"its row cannot be written: {reason}"))
        self._rows = kept

    def _forget(self, count: int) -> None:
        for _ in range(count):
            self._bytes -= len(self._rows.popleft().line.body)

    async def _keep_head(self, every_s: float) -> None:
        head = self._head
        if head is None or self._clock() - self._head_kept_at < every_s:
            return
        self._head_kept_at, self._head = self._clock(), None
        try:
            await asyncio.to_thread(self._head_file.write, head)
        except OSError as error:
            self._head = head
            log.error("audit_head_not_kept", file=str(self._head_file.path), reason=str(error))


def _own(what: str, **details: object) -> Row:
    """A row of the audit about itself."""
    return Row(kind="audit", principal="hub", tool=f"audit.{what}", details=details)


def _unwritable(why: str) -> Unavailable:
    return Unavailable(
        f"nothing may run of which no record can be kept: {why}",
        hint="Look at the hub's log, its disk and its database.",
        details={"reason": "audit_unwritable"},
    )
