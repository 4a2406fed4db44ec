"""What a page wants to send, held back until a person allows it.

The proxy asks `judge` before any request goes out that is not GET, HEAD or OPTIONS. One to a host
of `send_hosts` passes; a beacon (no-cors, which no page waits for) is refused; any other is held,
the page waiting for its answer as for a slow server, until `release` or `give_up`, or for `hold_s`.

While a document is waited for, Chromium lets nobody ask the page that still stands. So where
somebody wants to look at it, the request is set aside (`set_aside`): the browser stays where it
is, the request waits on by itself, and goes out as it was by a tab that is told so once it is
released.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Literal
from urllib.parse import urlsplit

from flotilla import Conflict, NotFound, TooLarge
from web_browsing.browser.shown import Shown
from web_browsing.gate.visitor import PASS, Outgoing, Ruling

HOLD_S = 600.0
"""An approval that is decided out of band may take minutes; nobody waits longer for a page."""
MOST = 8
MAX_CONCEALED = 50
MAX_CONCEALED_CHARS = 50_000
"""Every answer is searched for all of them, in a dozen forms each."""
MAX_ASIDE_BYTES = 256 * 1024
"""Of a body that is kept by itself; no form that a person fills in has more."""

How = Literal["released", "expired", "given up", "crowded out"]
"""`given up`: by whoever acts, or by the page, which went elsewhere or was closed."""

_UNWAITED = frozenset(("text/ping", "application/csp-report", "application/reports+json"))
_HTTP_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRequest:
    """One that waits. `id` is what submitForm takes."""

    id: str
    outgoing: Outgoing
    held_at: float
    """On the monotonic clock."""
    tab: str | None = None
    """Where it was set aside: no page waits for it any more, and this tab sends it."""

    @property
    def navigates(self) -> bool:
        """Whether a document waits for it. Fetch Metadata goes to trustworthy origins alone, so of
        others it is told by what browsers ask for with documents."""
        mode = self.outgoing.header("sec-fetch-mode")
        if mode is not None:
            return mode == "navigate"
        return self.outgoing.header("upgrade-insecure-requests") is not None

    @property
    def stops_tab(self) -> bool:
        """Whether a tab waits for it and shows nothing of itself meanwhile."""
        return self.navigates and self.tab is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What became of one that was held."""

    id: str
    method: str
    url: str
    how: How


@dataclass
class _Waiting:
    request: HeldRequest
    ruling: "asyncio.Future[Ruling]"
    in_action: bool
    shown: bool = False
    """A person was shown it: it makes room for no other."""


@dataclass
class Expected:
    """What a person allowed before the page sent it: `fits` says whether this is it, once."""

    fits: Callable[[Outgoing], bool]
    instead: Outgoing | None = None
    """What goes out for the one that fits."""
    met: Outgoing | None = None


@dataclass
class Sending:
    """Of one session."""

    send_hosts: Collection[str]
    hold_s: float = field(default=HOLD_S, kw_only=True)
    most: int = field(default=MOST, kw_only=True)
    shown: Shown = field(default_factory=Shown, init=False)
    _waiting: dict[str, _Waiting] = field(default_factory=dict[str, _Waiting], init=False)
    _ends: dict[str, How] = field(default_factory=dict[str, How], init=False)
    _news: deque[Ended] = field(default_factory=lambda: deque[Ended](maxlen=20), init=False)
    _expected: list[Expected] = field(default_factory=list[Expected], init=False)
    _concealed: dict[str, None] = field(default_factory=dict[str, None], init=False, repr=False)
    _count: int = field(default=0, init=False)
    _acting: int = field(default=0, init=False)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def judge(self, outgoing: Outgoing) -> Ruling:
        """The `Judge` of the session's visitor."""
        if may_send_to(outgoing.url, self.send_hosts):
            return PASS
        if outgoing.upgrade is not None:
            return Ruling("websocket", "a page may open WebSockets to hosts of SEND_HOSTS alone")
        if _is_beacon(outgoing):
            return Ruling("sending", "no page waits for the answer to a beacon: it is not held")
        for each in self._expected:
            if each.met is None and each.fits(outgoing):
                each.met = outgoing
                return PASS if each.instead is None else Ruling(instead=each.instead)
        if not self._has_room():
            return Ruling("sending", f"{len(self._waiting)} requests of this session wait already")
        return await self._hold(outgoing)

    async def _hold(self, outgoing: Outgoing) -> Ruling:
        self._count += 1
        held = HeldRequest(id=f"h{self._count}", outgoing=outgoing, held_at=monotonic())
        ruling: asyncio.Future[Ruling] = asyncio.get_running_loop().create_future()
        self._waiting[held.id] = _Waiting(held, ruling, in_action=self._acting > 0)
        self._arrived.set()
        try:
            async with asyncio.timeout(self.hold_s):
                return await ruling
        except TimeoutError:
            self._end(held.id, "expired")
            return Ruling("sending", f"nobody allowed it within {self.hold_s:g} s")
        finally:
            if not self._is_aside(held.id):
                # The browser hung up, or the session ends.
                self._end(held.id, "given up")

    def _has_room(self) -> bool:
        """Whether one more may wait. What pages send by themselves takes no more than half, and
        makes room for what an action sends unless a person was shown it."""
        if self._acting == 0:
            alone = sum(not each.in_action for each in self._waiting.values())
            return alone < self.most // 2 and len(self._waiting) < self.most
        if len(self._waiting) < self.most:
            return True
        movable = [each for each in self._waiting.values() if not each.shown]
        movable.sort(key=lambda each: (each.in_action, each.request.navigates))
        if not movable or movable[0].request.navigates:
            return False
        self._rule(movable[0].request.id, Ruling("sending", "others took its place"), "crowded out")
        return True

    def held(self) -> tuple[HeldRequest, ...]:
        self._expire_aside()
        return tuple(each.request for each in self._waiting.values())

    def find(self, held_id: str, *, showing: bool = False) -> HeldRequest:
        """The one of that ID; `showing` says that a person will see it.

        Raises Conflict where it waits no more, NotFound where there never was one.
        """
        self._expire_aside()
        waiting = self._waiting.get(held_id)
        if waiting is not None:
            waiting.shown = waiting.shown or showing
            return waiting.request
        if how := self._ends.get(held_id):
            raise Conflict(
                f"{held_id} waits no more: it was {how}",
                hint="Do again what made the page send it, and submit what is held then.",
                details={"reason": how.replace(" ", "_")},
            )
        ids = ", ".join(self._waiting) or "nothing"
        raise NotFound(f"nothing is held as {held_id[:40]!r}", hint=f"Held are: {ids}.")

    def release(self, held_id: str) -> HeldRequest:
        """Let it go out as it is, once. Raises as `find`."""
        request = self.find(held_id)
        self._rule(held_id, PASS, "released")
        return request

    def give_up(self, held_id: str) -> HeldRequest:
        """It never goes out: a script is told no, a tab stays where it is. Raises as `find`."""
        request = self.find(held_id)
        told = Ruling("sending", "it was given up")
        self._rule(held_id, Ruling(later=True) if request.navigates else told, "given up")
        return request

    def set_aside(self, held_id: str, tab: str) -> bool:
        """Have the browser stay on the page that it shows while this waits; False where it is too
        large to be kept, or waits no more. Raises as `find`."""
        request = self.find(held_id)
        waiting = self._waiting[held_id]
        if waiting.ruling.done() or len(request.outgoing.body) > MAX_ASIDE_BYTES:
            return False
        waiting.request = replace(request, tab=tab)
        waiting.ruling.set_result(Ruling(later=True))
        return True

    def _is_aside(self, held_id: str) -> bool:
        waiting = self._waiting.get(held_id)
        return waiting is not None and waiting.request.tab is not None

    def _expire_aside(self) -> None:
        """Nobody waits for these, who would tell that it has been too long."""
        longest = monotonic() - self.hold_s
        for each in [each.request for each in self._waiting.values()]:
            if each.tab is not None and each.held_at < longest:
                self._end(each.id, "expired")

    def _rule(self, held_id: str, ruling: Ruling, how: How) -> None:
        waiting = self._waiting[held_id]
        self._end(held_id, how)
        if not waiting.ruling.done():
            waiting.ruling.set_result(ruling)

    def _end(self, held_id: str, how: How) -> None:
        waiting = self._waiting.pop(held_id, None)
        if waiting is None:
            return
        out = waiting.request.outgoing
        self._news.append(Ended(id=held_id, method=out.method, url=out.url, how=how))
        self._ends[held_id] = how
        while len(self._ends) > 10 * self.most:
            del self._ends[next(iter(self._ends))]

    def news(self) -> tuple[Ended, ...]:
        """What ended since the last time that somebody asked, the oldest first."""
        told = tuple(self._news)
        self._news.clear()
        return told

    @contextmanager
    def acting(self) -> Generator[None]:
        """What comes meanwhile is what an action made the page send."""
        self._acting += 1
        try:
            yield
        finally:
            self._acting -= 1

    @contextmanager
    def expecting(
        self, fits: Callable[[Outgoing], bool], instead: Outgoing | None = None
    ) -> Generator[Expected]:
        """Until the end, let the first request out that fits, or another `instead` of it; any
        other is held as ever."""
        expected = Expected(fits, instead)
        self._expected.append(expected)
        try:
            yield expected
        finally:
            self._expected.remove(expected)

    async def arrival(self, seen: Collection[str], *, documents: bool = False) -> None:
        """Return once something is held whose ID is not among `seen`; of `documents` one that a
        document waits for."""
        while not any(
            each.id not in seen and (each.navigates or not documents) for each in self.held()
        ):
            self._arrived.clear()
            await self._arrived.wait()

    def conceal(self, value: str) -> None:
        """Never show it to anybody: it was typed into a field for secrets. Raises TooLarge."""
        if value and value not in self._concealed:
            size = sum(map(len, self._concealed)) + len(value)
            if len(self._concealed) >= MAX_CONCEALED or size > MAX_CONCEALED_CHARS:
                raise TooLarge(
                    f"of the secrets that are typed in a session {MAX_CONCEALED} are hidden, and "
                    f"{MAX_CONCEALED_CHARS} characters in all",
                    hint="Open a new session.",
                )
            self._concealed[value] = None

    @property
    def concealed(self) -> tuple[str, ...]:
        return tuple(self._concealed)


def may_send_to(url: str, send_hosts: Collection[str]) -> bool:
    """Whether the host of a URL is one of these, written as `host` (any port) or `host:port`."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    try:
        port = parts.port or _HTTP_PORTS.get(parts.scheme)
    except ValueError:
        return False
    allowed = {each.lower() for each in send_hosts}
    bracketed = f"[{host}]" if ":" in host else host
    return bool(host) and not allowed.isdisjoint({host, bracketed, f"{bracketed}:{port}"})


def _is_beacon(outgoing: Outgoing) -> bool:
    """Beacon, HTML's `ping`, Reporting and CSP: sent without anybody who reads the answer."""
    kind = (outgoing.header("content-type") or "").partition(";")[0].strip().lower()
    return (
        outgoing.header("sec-fetch-mode") == "no-cors"
        or outgoing.header("sec-fetch-dest") == "report"
        or kind in _UNWAITED
    )
