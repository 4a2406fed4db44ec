"""One session for each vCenter, shared by all calls: logged in once, anew when it has ended."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from flotilla.context import Deadline
from flotilla.credentials import Credentials, secret_named
from flotilla.errors import FlotillaError, NotConfigured, TimedOut, Unavailable, UpstreamError
from flotilla.threads import Threads
from vmware.faults import SESSION_ENDED
from vmware.listing import Orders
from vmware.settings import Settings
from vmware.vcenters import VCenter, VCenters, password_of

if TYPE_CHECKING:
    from vmware.reading import Vc
    from vmware.wire import Exchange, Session

log = structlog.get_logger(__name__)

T = TypeVar("T")

LOGOUT_S = 3.0
REFUSED_S = 900.0
"""For so long a password that was refused is not shown again: five tries lock a user out."""
_UNKNOWN = (
    "It may have been done all the same: look with infra.vmware.listTasks and getVirtualMachine "
    "before you try again."
)


@dataclass(frozen=True, slots=True)
class _Refused:
    password: str
    error: FlotillaError
    at: float


class Link:
    """The way to one vCenter."""

    def __init__(
        self,
        alias: str,
        entry: VCenter,
        credentials: Credentials,
        settings: Settings,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.alias = alias
        self.entry = entry
        self._credentials = credentials
        self._settings = settings
        self._clock = clock
        self.orders = Orders(clock)
        self._threads = Threads(settings.calls_at_once, f"vCenter {alias}")
        self._session: Session | None = None
        self._entering = asyncio.Lock()
        self._refused: _Refused | None = None
        self._using = 0
        self._used_at = clock()
        self._idle: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def use(self, deadline: Deadline, work: "Callable[[Vc], T]") -> T:
        """What `work` returns, done on a thread within a session.

        When the session has ended meanwhile, `work` is done again in a new one: vCenter does
        nothing for a session that it does not know. Raises the errors of `vmware.faults`.
        """
        due = deadline.no_later_than(self._settings.request_timeout_s)
        self._using += 1
        try:
            session = await self._entered(due)
            try:
                return await self._worked(due, session, work)
            except FlotillaError as error:
                if error.details.get("upstreamCode") not in SESSION_ENDED:
                    raise
                log.info("vcenter_session_ended", vcenter=self.alias)
                self._forget(session)
            return await self._worked(due, await self._entered(due), work)
        finally:
            self._using -= 1
            self._used_at = self._clock()
            self._watch_idle()
            if self._session is not None and self._session.left:
                self._behind(self._tidied(self._session))

    def renew(self) -> None:
        """What it logs in with is another now."""
        self._refused = None
        if self._session is not None:
            self._leave(self._session)

    async def close(self) -> None:
        """Log out; at most a few seconds, then the vCenter ends the session by itself."""
        if self._idle is not None:
            self._idle.cancel()
        if self._session is not None:
            self._leave(self._session)
        if self._tasks:
            # They end by themselves within LOGOUT_S, whatever the vCenter does.
            await asyncio.wait(self._tasks, timeout=LOGOUT_S + 1)

    async def _entered(self, due: Deadline) -> "Session":
        """The session; those that come while one is made wait for it."""
        try:
            async with asyncio.timeout(due.remaining_s()):
                await self._entering.acquire()
        except TimeoutError:
            raise TimedOut("the login at vCenter took too long") from None
        try:
            if self._session is None:
                self._session = await self._login(due)
            return self._session
        finally:
            self._entering.release()

    async def _login(self, due: Deadline) -> "Session":
        password = password_of(self.entry, self._credentials)
        refused = self._refused
        if refused is not None and refused.password == password:
            if self._clock() - refused.at < REFUSED_S:
                error = refused.error
                raise NotConfigured(error.message, hint=error.hint, details=error.details)
            self._refused = None
        entry = self.entry

        def work(exchange: "Exchange") -> "Session":
            # Here, on the thread: pyVmomi takes a third of a second to load.
            from vmware.wire import Session

            session = Session(entry)
            session.login(exchange, entry.user, password)
            return session

        try:
            session = await self._on_thread(due, work)
        except NotConfigured as error:
            if error.details.get("upstreamCode") is not None:
                self._refused = _Refused(password, error, self._clock())
                log.warning("vcenter_refuses_login", vcenter=self.alias)
            raise
        log.info("vcenter_logged_in", vcenter=self.alias)
        return session

    async def _worked(self, due: Deadline, session: "Session", work: "Callable[[Vc], T]") -> T:
        exchanges: list[Exchange] = []

        def done(exchange: "Exchange") -> T:
            exchanges.append(exchange)
            return session.run(exchange, self.alias, work)

        try:
            return await self._on_thread(due, done)
        except (TimedOut, Unavailable, UpstreamError) as error:
            if exchanges and exchanges[0].changing and "upstreamCode" not in error.details:
                error.hint = _UNKNOWN
                error.details["outcome"] = "unknown"
            raise

    async def _on_thread(self, due: Deadline, work: "Callable[[Exchange], T]") -> T:
        exchanges: list[Exchange] = []

        def run() -> T:
            from vmware.wire import Exchange

            exchange = Exchange(due)
            exchanges.append(exchange)
            return work(exchange)

        finished = False
        try:
            result = await self._threads.run(due, run)
            finished = True
            return result
        finally:
            # Nobody waits any more: its connection is cut, so that the thread ends as well.
            if not finished and exchanges:
                exchanges[0].end()

    def _forget(self, session: "Session") -> None:
        if self._session is session:
            self._session = None
        session.stub.DropConnections()

    def _leave(self, session: "Session") -> None:
        """Log out in the background."""
        if self._session is session:
            self._session = None
        self._behind(self._logout(session))

    def _behind(self, work: Coroutine[Any, Any, None]) -> None:
        """Have it done while nobody waits."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tidied(self, session: "Session") -> None:
        # What is not forgotten now ends with the session.
        with suppress(FlotillaError):
            await self._on_thread(Deadline.after(LOGOUT_S), session.tidy)

    async def _logout(self, session: "Session") -> None:
        # A vCenter that does not answer ends the session by itself.
        with suppress(FlotillaError):
            await self._on_thread(Deadline.after(LOGOUT_S), session.logout)
            log.info("vcenter_logged_out", vcenter=self.alias)

    def _watch_idle(self) -> None:
        if self._session is None or self._idle is not None:
            return
        loop = asyncio.get_running_loop()
        self._idle = loop.call_later(self._settings.idle_logout_s, self._look_whether_idle)

    def _look_whether_idle(self) -> None:
        self._idle = None
        session = self._session
        if session is None:
            return
        idle_s = self._clock() - self._used_at
        if self._using or idle_s < self._settings.idle_logout_s:
            self._watch_idle()
            return
        self._leave(session)


class Links:
    """The ways to all vCenters, by alias."""

    def __init__(
        self,
        vcenters: VCenters,
        credentials: Credentials,
        settings: Settings,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._vcenters = vcenters
        self._links: Mapping[str, Link] = {
            alias: Link(alias, entry, credentials, settings, clock) for alias, entry in vcenters
        }
        credentials.changed = self._renew

    def to(self, alias: str | None) -> Link:
        """The one that a call means; NotFound, InvalidArgument or NotConfigured say which exist."""
        return self._links[self._vcenters.chosen(alias)[0]]

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await asyncio.gather(*(link.close() for link in self._links.values()))

    def _renew(self, secret: str) -> None:
        for link in self._links.values():
            if secret_named(link.entry.password) == secret:
                link.renew()
