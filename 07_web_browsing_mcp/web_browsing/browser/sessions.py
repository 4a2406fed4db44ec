"""The sessions that there are: opened for somebody, found again for the same, closed in time."""

import asyncio
import secrets
import shutil
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import structlog

from flotilla import (
    Conflict,
    Context,
    FlotillaError,
    InvalidArgument,
    NotFound,
    TimedOut,
    Unavailable,
)
from web_browsing.browser.contexts import CONTEXT_S, Contexts, Wants
from web_browsing.browser.engine import Engine, Equipment, find_program, find_user
from web_browsing.browser.listening import Listener
from web_browsing.browser.quarantine import Quarantine
from web_browsing.browser.sending import Sending
from web_browsing.browser.session import Session
from web_browsing.browser.trial import AFTER_S, try_out
from web_browsing.browser.watching import Watch
from web_browsing.gate.proxy import Proxy
from web_browsing.gate.visitor import PASS, Outgoing, Ruling
from web_browsing.settings import Settings

if TYPE_CHECKING:
    from playwright.async_api import Error

MAX_REMEMBERED = 200
RENDERINGS = 2
"""Pages rendered for fetchPage at the same time."""

_log = structlog.get_logger(__name__)


@dataclass
class _Ended:
    owner: str
    reason: str


@dataclass
class _Gone:
    """The sessions that were, so that their owners learn why they are not."""

    kept: OrderedDict[str, _Ended] = field(default_factory=OrderedDict[str, _Ended])

    def add(self, session: Session) -> None:
        self.kept[session.id] = _Ended(session.owner, session.closed or "it ended")
        while len(self.kept) > MAX_REMEMBERED:
            self.kept.popitem(last=False)


class Sessions:
    """Of all principals; each sees its own alone. `folder` is where their downloads are kept.

    `equipment` is what Chromium is started with, by default as the settings have it; whether it
    starts is tried once, `try_after_s` from the beginning.
    """

    def __init__(
        self,
        proxy: Proxy,
        settings: Settings,
        folder: Path,
        *,
        equipment: Equipment | None = None,
        unused_s: float = 60.0,
        try_after_s: float = AFTER_S,
    ) -> None:
        self._settings = settings
        self._proxy = proxy
        self._folder = folder
        self._unused_s = unused_s
        self._try_after_s = try_after_s
        self._equipment = equipment or equipment_of(settings, proxy.spki_hash)
        self._engine = Engine(self._equipment, self._all_gone)
        self._contexts = Contexts(self._engine, proxy, self._equipment)
        self._sessions: dict[str, Session] = {}
        self._watch = Watch(
            self._engine, settings.max_memory_mb, lambda: list(self._sessions.values())
        )
        self._opening: dict[str, str] = {}
        self._gone = _Gone()
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._rendering = asyncio.Semaphore(RENDERINGS)
        self._rest: asyncio.Task[None] | None = None

    @property
    def engine(self) -> Engine:
        return self._engine

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Until its end there may be sessions; then all are closed and no process is left."""
        await asyncio.to_thread(_emptied, self._folder)
        watching = asyncio.create_task(self._watch.run())
        trying = asyncio.create_task(try_out(self._engine, self._equipment, self._try_after_s))
        try:
            yield
        finally:
            watching.cancel()
            trying.cancel()
            self._all_gone("the service was stopped")
            for session_id in self._opening:
                self._lives[session_id].cancel()
            await asyncio.gather(watching, trying, *self._lives.values(), return_exceptions=True)
            if self._rest is not None:
                self._rest.cancel()
            await self._engine.stop()

    async def open(self, owner: str, wants: Wants) -> Session:
        """A session of `owner` with one empty tab.

        Raises Conflict where they have as many as one may have, Unavailable where all are taken,
        InvalidArgument for a locale or time zone that there is not, and as `Engine.browser`.
        """
        self._check_room(owner)
        session_id = secrets.token_urlsafe(16)
        self._opening[session_id] = owner
        opened: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        life = asyncio.create_task(self._live(session_id, owner, wants, opened))
        self._lives[session_id] = life
        life.add_done_callback(lambda _: self._over(session_id, opened))
        try:
            return await asyncio.shield(opened)
        except asyncio.CancelledError:
            life.cancel()
            raise
        finally:
            self._opening.pop(session_id, None)

    async def close(self, session_id: str, owner: str) -> None:
        """End one's own session, and return when nothing of it is left. Raises as `acting`."""
        session = self._mine(session_id, owner)
        session.close("it was closed")
        await asyncio.wait({self._lives[session_id]}, timeout=2 * CONTEXT_S)

    def of(self, owner: str) -> tuple[Session, ...]:
        """One's own sessions."""
        return tuple(each for each in self._sessions.values() if each.owner == owner)

    @asynccontextmanager
    async def acting(self, session_id: str, context: Context) -> AsyncGenerator[Session]:
        """The caller's session, its lock held until the end, within the caller's deadline.

        Raises NotFound where there is none or it is another's (the same words), Conflict where
        something else is still being done in it when the deadline comes.
        """
        session = self._mine(session_id, context.principal.name)
        try:
            # A second less, so that the caller hears this and not that time is up.
            async with asyncio.timeout(max(0.05, context.deadline.remaining_s() - 1)):
                await session.doing.acquire()
        except TimeoutError:
            raise Conflict(
                "something else is still being done in this session",
                hint="Wait for it to end, or close the session.",
            ) from None
        try:
            async with self._used(self._mine(session_id, context.principal.name)):
                yield session
        finally:
            session.doing.release()

    @asynccontextmanager
    async def looking(self, session_id: str, context: Context) -> AsyncGenerator[Session]:
        """The same without the lock, for what only looks."""
        async with self._used(self._mine(session_id, context.principal.name)) as session:
            yield session

    async def judge(self, url: str) -> None:
        """Whether a page may get to a URL of http or https just now; raises the gate's Refused."""
        await self._proxy.judge(url)

    async def rendered(self, url: str, context: Context) -> "tuple[str, str]":
        """Open a page in a context of its own, wait until it rests: its HTML and its URL then.

        Every request of it but GET and HEAD is refused. For fetchPage. Raises TimedOut, TooLarge,
        UpstreamError.
        """
        from playwright.async_api import Error

        from web_browsing.browser.rendering import render

        try:
            async with (
                asyncio.timeout(context.deadline.remaining_s()),
                self._rendering,
                self._contexts.opened(
                    f"render:{context.correlation_id}", _refuse, Wants(downloads=False)
                ) as made,
            ):
                return await render(made[2], url, context.deadline)
        except TimeoutError:
            raise TimedOut("the browser did not render the page in time") from None
        except Error as error:
            raise Unavailable(f"the browser made no room for the page: {_first(error)}") from None
        finally:
            self._rest_if_unused()

    def _check_room(self, owner: str) -> None:
        most = self._settings.max_sessions
        share = max(1, most // 2)
        own = [each.id for each in self.of(owner)]
        opening = list(self._opening.values())
        if len(own) + opening.count(owner) >= share:
            raise Conflict(
                f"you have {share} sessions open, which is as many as one may have",
                hint=f"Close one of {', '.join(own)}." if own else "Wait for those that open.",
            )
        if len(self._sessions) + len(opening) >= most:
            raise Unavailable(
                f"all {most} sessions are in use",
                hint="Others close theirs, or these are closed when unused; try again later.",
            )

    def _mine(self, session_id: str, owner: str) -> Session:
        session = self._sessions.get(session_id)
        if session is not None and session.owner == owner and session.closed is None:
            return session
        ended = self._gone.kept.get(session_id)
        if session is not None and session.closed is not None:
            ended = _Ended(session.owner, session.closed)
        if ended is not None and ended.owner == owner:
            raise _closed(session_id, ended.reason)
        raise NotFound(
            f"there is no session {session_id[:40]!r}",
            hint="web.browse.openSession opens one, for whoever opened it alone.",
        )

    @asynccontextmanager
    async def _used(self, session: Session) -> AsyncGenerator[Session]:
        from playwright.async_api import Error

        session.users += 1
        session.used_at = monotonic()
        try:
            yield session
        except (Error, FlotillaError):
            # What was being done in it when it was closed fails in many words.
            if session.closed is not None:
                raise _closed(session.id, session.closed) from None
            raise
        finally:
            session.users -= 1
            session.used_at = monotonic()

    async def _live(
        self, session_id: str, owner: str, wants: Wants, opened: "asyncio.Future[Session]"
    ) -> None:
        """A session from its beginning to its end: one task opens and closes all that is its."""
        sending = Sending(self._settings.send_hosts)
        folder = self._folder / secrets.token_hex(8)
        session: Session | None = None
        try:
            async with self._contexts.opened(session_id, sending.judge, wants) as made:
                running, visitor, context = made
                session = Session(
                    session_id,
                    owner,
                    context,
                    visitor,
                    sending,
                    folder,
                    datetime.now(UTC),
                    expires_at=datetime.now(UTC) + timedelta(seconds=self._settings.session_s),
                )
                kept = Quarantine(folder, running.downloads, files=session.downloads)
                listener = Listener(session, kept, self._settings.max_tabs, self._watch.crashed)
                listener.listen()
                try:
                    async with asyncio.timeout(CONTEXT_S):
                        await context.new_page()
                    session.used_at = monotonic()
                    self._sessions[session_id] = session
                    opened.set_result(session)
                    await self._until_over(session)
                finally:
                    session.close("it was closed")
                    await listener.close()
                    await asyncio.to_thread(kept.remove)
        except BaseException as error:
            if opened.done():
                raise
            opened.set_exception(_not_opened(error))
            # Nobody may be left who asks for it.
            opened.exception()
        finally:
            if self._sessions.pop(session_id, None) is not None and session is not None:
                self._gone.add(session)
                _log.info("session_closed", reason=session.closed)
            self._rest_if_unused()

    async def _until_over(self, session: Session) -> None:
        settings, started = self._settings, monotonic()
        while session.closed is None:
            total_s = started + settings.session_s - monotonic()
            idle_s = settings.idle_s
            if not session.users:
                idle_s += session.used_at - monotonic()
            if total_s <= 0:
                session.close(f"it was open for {settings.session_s:g} s, the most that it may be")
            elif idle_s <= 0:
                session.close(f"nobody used it for {settings.idle_s:g} s")
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(total_s, idle_s)):
                        await session.closing.wait()

    def _over(self, session_id: str, opened: "asyncio.Future[Session]") -> None:
        self._lives.pop(session_id, None)
        # It was cancelled before its first step.
        if not opened.done():
            opened.set_exception(Unavailable("the session was given up before it opened"))

    def _all_gone(self, reason: str) -> None:
        for session in self._sessions.values():
            session.close(reason)

    def _rest_if_unused(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
        self._rest = asyncio.create_task(self._stop_unused())

    async def _stop_unused(self) -> None:
        await asyncio.sleep(self._unused_s)
        if not self._contexts.in_use:
            await self._engine.stop()


def equipment_of(settings: Settings, spki_hash: str) -> Equipment:
    """As the settings have it. Raises Misconfigured."""
    uid, gid = find_user(settings.browser_user)
    return Equipment(
        program=find_program(settings.browser),
        sandbox=settings.browser_sandbox == "on",
        uid=uid,
        gid=gid,
        spki_hash=spki_hash,
        slots=settings.max_sessions + RENDERINGS,
        max_memory_mb=settings.max_memory_mb,
    )


async def _refuse(outgoing: Outgoing) -> Ruling:
    if outgoing.upgrade is None and outgoing.method in ("GET", "HEAD", "OPTIONS"):
        return PASS
    return Ruling("sending", "a page that is only read sends nothing")


def _closed(session_id: str, reason: str) -> NotFound:
    return NotFound(
        f"session {session_id} was closed: {reason}",
        hint="Open a new one by web.browse.openSession.",
        details={"reason": "session_closed"},
    )


def _not_opened(error: BaseException) -> BaseException:
    from playwright.async_api import Error

    if isinstance(error, asyncio.CancelledError):
        return Unavailable("the session was given up while it opened")
    if isinstance(error, TimeoutError):
        return TimedOut("the browser did not open a session in time")
    if isinstance(error, Error):
        told = _first(error)
        if "timezone" in told.lower() or "locale" in told.lower():
            return InvalidArgument(
                told, hint="A time zone is named as Europe/Oslo, a locale nb-NO."
            )
        return Unavailable(f"the browser did not open a session: {told}")
    return error


def _first(error: "Error") -> str:
    """Its first line: what follows is a log of what was tried."""
    return error.message.partition("\n")[0].removeprefix("BrowserContext.new_page: ")[:300]


def _emptied(folder: Path) -> None:
    """What an earlier life of this service left is nobody's any more."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
