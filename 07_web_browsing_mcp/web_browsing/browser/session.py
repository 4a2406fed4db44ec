"""One session of the browser: an isolated context with its tabs, and what happened in them."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from flotilla import NotFound
from web_browsing.browser.quarantine import Kept
from web_browsing.browser.sending import Sending
from web_browsing.gate.visitor import Visitor

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, CDPSession, Page

MAX_LINES = 500
MAX_DIALOGS = 50
MAX_ACCEPTED = 5


@dataclass(frozen=True, slots=True)
class ConsoleLine:
    at: datetime
    level: str
    text: str
    """At most 2,000 characters."""
    tab: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request of a page and what came of it."""

    at: datetime
    method: str
    url: str
    status: int | None
    kind: str
    """Playwright's resource type: document, script, xhr."""
    failed: str | None = None
    size_bytes: int | None = None
    tab: str = ""


@dataclass(frozen=True, slots=True)
class Dialog:
    """An alert, confirm, prompt or beforeunload; each was answered at once."""

    at: datetime
    kind: str
    message: str
    """At most 2,000 characters."""
    tab: str
    accepted: bool = False
    """Whether a question got a yes."""


@dataclass(slots=True)
class Answering:
    """What the questions of one tab get while something is done in it."""

    page: "Page"
    text: str | None
    """What a prompt gets; None: what it proposes."""
    left: int = MAX_ACCEPTED
    """So many more are accepted: a page may ask without end."""


@dataclass
class Session:
    """`owner` alone may use it; `doing` is held by whoever acts in it, one at a time."""

    id: str
    owner: str
    context: "BrowserContext"
    visitor: Visitor
    sending: Sending
    quarantine: Path
    """The folder in which what it downloaded lies, under names of ours."""
    opened_at: datetime
    tabs: dict[str, "Page"] = field(default_factory=dict[str, "Page"])
    """By their IDs, `t1` first."""
    active: str = ""
    used_at: float = field(default_factory=monotonic)
    doing: asyncio.Lock = field(default_factory=asyncio.Lock)
    console: deque[ConsoleLine] = field(
        default_factory=lambda: deque[ConsoleLine](maxlen=MAX_LINES)
    )
    network: deque[Exchange] = field(default_factory=lambda: deque[Exchange](maxlen=MAX_LINES))
    snapshots: dict[str, str] = field(default_factory=dict[str, str])
    """The last one shown of each tab, from which a diff is made."""
    documents: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    """By tab, method and URL of the document that it asked for last."""
    answering: Answering | None = None
    """None: every question of a page gets a no."""
    dialogs: deque[Dialog] = field(default_factory=lambda: deque[Dialog](maxlen=MAX_DIALOGS))
    downloads: dict[str, Kept] = field(default_factory=dict[str, Kept])
    """What pages downloaded, by its ID, in the quarantine or on its way there."""
    expires_at: datetime | None = None
    """However much it is used."""
    tabs_opened: int = 0
    """Ever; the next tab's ID has the next number."""
    popups_refused: int = 0
    """Windows that pages opened beyond the number that a session may have."""
    users: int = 0
    """How many calls are in it just now."""
    devtools: "dict[Page, CDPSession]" = field(default_factory=dict["Page", "CDPSession"])
    """Ways into tabs that were opened while these answered: a script that runs without end can be
    stopped by no other."""
    closed: str | None = None
    """Why it is closed."""
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def close(self, reason: str) -> None:
        """Have it closed; the first reason counts."""
        self.closed = self.closed or reason
        self.closing.set()

    def page(self, tab: str | None = None) -> "Page":
        """The tab of that ID, by default the active one; NotFound names those there are."""
        found = self.tabs.get(tab or self.active)
        if found is None:
            raise NotFound(
                f"session {self.id} has no tab {tab or self.active!r}",
                hint=f"It has {', '.join(self.tabs)}."
                if self.tabs
                else "It has none: navigate with tab=new opens one.",
            )
        return found
