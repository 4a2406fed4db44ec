"""Keeps one server up: starts it, restarts it with growing pauses, and says how it stands."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Literal

import structlog

from flotilla import FlotillaError, Model, NotConfigured, Unavailable
from flotilla.backoff import delay_s
from flotilla.outlast import outlast
from master.external.process import Lost, Process, StarterAway
from master.external.sandbox import Protection

log = structlog.get_logger(__name__)

State = Literal[
    "disabled", "not_configured", "starting", "running", "backing_off", "stopped", "failed"
]
Up = Callable[[], None]
Session = Callable[[Process, Up], Awaitable[None]]
"""Holds the conversation while the child lives, calls `up` once the server has answered, and
returns when the child's lines end. One that returns or raises before gets a new child."""


@dataclass(frozen=True, slots=True)
class Pace:
    """When to try again: doubling pauses, and after many failures in a row seldom."""

    base_s: float = 0.5
    cap_s: float = 30.0
    failures: int = 5
    """So many in a row make it `failed`."""
    failed_retry_s: float = 300.0
    away_cap_s: float = 2.0
    """The longest pause where what starts programs is away, which is no failure of the program."""
    steady_s: float = 60.0
    """What was up this long has recovered: its next failure is the first again."""
    last_lines_s: float = 2.0
    """What a session gets to read the last lines of a child that has ended."""


class Standing(Model):
    """How a server stands."""

    state: State
    reason: str | None = None
    """Why it does not run, or ended last."""
    pid: int | None = None
    restarts: int = 0
    started_at: datetime | None = None
    protection: Protection | None = None


class Supervisor:
    """One server, kept up from `start` to `stop`; both may be called again and again.

    `open_child` makes the running child, and ends it; `changed` hears of every new standing.
    """

    def __init__(
        self,
        name: str,
        *,
        open_child: Callable[[], AbstractAsyncContextManager[Process]],
        session: Session,
        disabled: bool = False,
        pace: Pace | None = None,
        changed: Callable[[Standing], None] | None = None,
    ) -> None:
        self.name = name
        self._open_child = open_child
        self._session = session
        self._pace = pace or Pace()
        self._changed = changed
        self._standing = Standing(state="disabled" if disabled else "stopped")
        self._moved = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._up_at: float | None = None
        self._failures = 0

    @property
    def standing(self) -> Standing:
        return self._standing

    def start(self) -> None:
        """Keep it up from now on; where it waits for its next try, that is now."""
        if self._keeper is not None and self._standing.state in ("starting", "running"):
            return
        if self._keeper is not None:
            self._keeper.cancel()
        self._failures = 0
        self._set("starting", reason=self._standing.reason)
        self._keeper = asyncio.create_task(self._keep_up(), name=f"external {self.name}")
        self._keeper.add_done_callback(self._tell_of_a_fault)

    async def stop(self, state: Literal["stopped", "disabled"] = "stopped") -> None:
        """End it; nothing of it runs when this returns, or passes a cancellation on."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await outlast(_ended(keeper))
        self._set(state)

    async def restart(self) -> None:
        """End it and start it anew."""
        await self.stop()
        self.start()

    async def reached(self, *states: State) -> Standing:
        """Wait until it stands in one of `states`; bound it by a timeout."""
        while self._standing.state not in states:
            self._moved.clear()
            await self._moved.wait()
        return self._standing

    def _tell_of_a_fault(self, keeper: asyncio.Task[None]) -> None:
        error = None if keeper.cancelled() else keeper.exception()
        if error is not None:
            log.error("external_server_lost", server=self.name, exc_info=error)
            self._set("failed", reason=f"its keeper broke ({type(error).__name__}); start it again")

    async def _keep_up(self) -> None:
        away = 0
        while True:
            try:
                reason = await self._one_life()
            except StarterAway as error:
                away = 1 if self._up_at is not None else away + 1
                await self._pause_while_away(error.message, away)
                continue
            except NotConfigured as error:
                said = f"{error.message}. {error.hint}" if error.hint else error.message
                log.warning("external_server_not_configured", server=self.name, reason=said)
                self._set("not_configured", reason=said)
                return
            await self._pause(reason)

    async def _one_life(self) -> str:
        """Start it, hold its session, and tell why it ended."""
        self._up_at = None
        self._set("starting", reason=self._standing.reason)
        try:
            async with self._open_child() as child:
                self._set("starting", child=child, reason=self._standing.reason)
                said = await self._hold_session(child)
                ended = child.exited
                exit_ = await child.end()
                if isinstance(exit_, Lost):
                    raise StarterAway(exit_.reason)
                how = exit_.reason
        except (NotConfigured, StarterAway):
            raise
        except FlotillaError as error:
            return error.message
        except OSError as error:
            return f"cannot start it: {error.strerror or error}"
        return said or (how if ended else "its session ended")

    async def _hold_session(self, child: Process) -> str | None:
        """Return when session or child has ended; what the session complained of."""

        def up() -> None:
            self._up_at = monotonic()
            self._set("running", child=child)
            log.info("external_server_up", server=self.name, pid=child.pid)

        session = asyncio.ensure_future(self._session(child, up))
        exited = asyncio.ensure_future(child.wait())
        try:
            await asyncio.wait([session, exited], return_when=asyncio.FIRST_COMPLETED)
            # Its lines end just before it does, or just after; its exit tells more.
            late = [session] if exited.done() else [exited] if child.silent else []
            if late:
                await asyncio.wait(late, timeout=self._pace.last_lines_s)
        finally:
            for task in (session, exited):
                task.cancel()
            await asyncio.wait([session, exited])
        error = None if session.cancelled() else session.exception()
        if isinstance(error, NotConfigured):
            raise error
        if isinstance(error, Unavailable) and child.exited:
            # It only says that the program ended; how it did is known.
            return None
        if isinstance(error, FlotillaError):
            return error.message
        if error is not None:
            # A fault of ours in one server's session must not end the care for it.
            log.error("external_session_broke", server=self.name, exc_info=error)
            return f"its session broke ({type(error).__name__})"
        return None

    async def _pause_while_away(self, reason: str, attempt: int) -> None:
        if attempt == 1:
            log.warning("external_starter_away", server=self.name, reason=reason)
        self._set("backing_off", reason=reason)
        await asyncio.sleep(delay_s(attempt, self._pace.base_s, self._pace.away_cap_s))

    async def _pause(self, reason: str) -> None:
        steady = self._up_at is not None and monotonic() - self._up_at >= self._pace.steady_s
        self._failures = 1 if steady else self._failures + 1
        failed = self._failures >= self._pace.failures
        pause_s = (
            self._pace.failed_retry_s
            if failed
            else delay_s(self._failures, self._pace.base_s, self._pace.cap_s)
        )
        log.warning(
            "external_server_ended",
            server=self.name,
            reason=reason,
            failures=self._failures,
            next_try_s=round(pause_s, 1),
        )
        self._set("failed" if failed else "backing_off", reason=reason)
        await asyncio.sleep(pause_s)
        self._standing = self._standing.model_copy(update={"restarts": self._standing.restarts + 1})

    def _set(
        self, state: State, *, child: Process | None = None, reason: str | None = None
    ) -> None:
        before = self._standing
        same_life = child is not None and before.pid == child.pid
        self._standing = Standing(
            state=state,
            reason=reason,
            pid=child.pid if child else None,
            restarts=before.restarts,
            started_at=(before.started_at if same_life else datetime.now(UTC)) if child else None,
            protection=child.protection if child else before.protection,
        )
        self._moved.set()
        if self._changed is not None:
            self._changed(self._standing)


async def _ended(task: asyncio.Task[None]) -> None:
    with suppress(asyncio.CancelledError):
        await task
