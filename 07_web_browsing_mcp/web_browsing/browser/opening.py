"""Tools that open a session of the browser and close it."""

import re
from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field

from flotilla import Context, InvalidArgument, Model, Tool, writes
from web_browsing.browser.arriving import arrive
from web_browsing.browser.contexts import Wants
from web_browsing.browser.doing import heard
from web_browsing.browser.outcome import Acted, Held
from web_browsing.browser.session import Session
from web_browsing.browser.sessions import Sessions

MAX_URL = 8000
_LOCALE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")

SessionId = Annotated[
    str, Field(min_length=1, max_length=64, description="As openSession gave it.")
]
WebUrl = Annotated[str, Field(min_length=1, max_length=MAX_URL, description="http or https.")]


class Viewport(Model):
    """Of the page, in CSS pixels."""

    width: Annotated[int, Field(ge=200, le=3840)] = 1280
    height: Annotated[int, Field(ge=200, le=2160)] = 800


class Opened(Model):
    session_id: str
    tab: str
    url: str
    title: str | None = None
    status: int | None = None
    """HTTP's, of the page that was opened."""
    held: list[Held]
    """What the page wants to send by itself; submitForm asks a person for it."""
    downloads: list[str]
    """Where the URL is that of a file: its ID for downloadFile."""
    notes: list[str]
    expires_at: datetime
    """However much it is used; unused it is closed earlier."""
    idle_s: float


class Closed(Model):
    session_id: str
    closed: bool = True


class SessionTools:
    """web.browse.openSession, closeSession."""

    def __init__(self, sessions: Sessions, idle_s: float) -> None:
        self._sessions = sessions
        self._idle_s = idle_s

    def tools(self) -> tuple[Tool, ...]:
        return (
            writes(
                "web.browse.openSession",
                self.open_session,
                title="Open a session of the browser",
                open_world=True,
                untrusted=True,
            ),
            writes(
                "web.browse.closeSession",
                self.close_session,
                title="Close a session of the browser",
                idempotent=True,
            ),
        )

    async def open_session(
        self,
        context: Context,
        url: WebUrl | None = None,
        viewport: Viewport | None = None,
        locale: Annotated[str | None, Field(description="Such as nb-NO.")] = None,
        timezone: Annotated[str | None, Field(description="Such as Europe/Oslo.")] = None,
        color_scheme: Literal["light", "dark"] = "light",
        java_script: bool = True,
    ) -> Opened:
        """Open a session of a real browser, isolated from all others, and a page in it.

        The session is yours alone: give its sessionId to the other web.browse tools. It has its
        own cookies and storage, which are gone when it is closed, by closeSession or after a time
        without use. Pages reach the public web only. Look at the page by snapshot.
        """
        if url is not None:
            check_url(url)
        if locale is not None and not _LOCALE.fullmatch(locale):
            raise InvalidArgument(f"{locale[:40]!r} is no locale", hint="Such as nb-NO.")
        size = viewport or Viewport()
        session = await self._sessions.open(
            context.principal.name,
            Wants(
                width=size.width,
                height=size.height,
                locale=locale,
                timezone=timezone,
                color_scheme=color_scheme,
                script=java_script,
            ),
        )
        try:
            async with self._sessions.acting(session.id, context):
                seen = await visited(session, url, context)
        except BaseException:
            # Whoever was not told its ID cannot close it.
            session.close("its first page did not open")
            raise
        assert session.expires_at is not None
        return Opened(
            session_id=session.id,
            tab=seen.tab,
            url=seen.url,
            title=seen.title,
            status=seen.status,
            held=seen.held,
            downloads=seen.downloads,
            notes=seen.notes,
            expires_at=session.expires_at,
            idle_s=self._idle_s,
        )

    async def close_session(self, session_id: SessionId, context: Context) -> Closed:
        """Close a session of yours: its tabs, cookies, storage and downloads are gone."""
        await self._sessions.close(session_id, context.principal.name)
        return Closed(session_id=session_id)


async def visit(session: Session, url: str, context: Context) -> int | None:
    """As `visited`: HTTP's status, None where nothing answered by HTTP."""
    return (await visited(session, url, context)).status


async def visited(session: Session, url: str | None, context: Context) -> Acted:
    """Open a URL in the active tab, until it rests or waits for what is held. For whoever holds
    the session's lock. Raises as `arrive`.
    """
    async with heard(session, session.page(), session.active, context, []) as done:
        if url is not None:
            await arrive(done, url)
        return await done.outcome()


def check_url(url: str) -> str:
    """The URL, where it is one that a page may be opened by; the gate judges where it leads.

    Raises InvalidArgument: file:, view-source:, data:, chrome: and the like are never opened.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidArgument(f"this is no URL: {error}") from None
    if parts.scheme.lower() not in ("http", "https") or not host:
        raise InvalidArgument(
            f"only http and https URLs are opened, not {url[:60]!r}",
            hint="Give it whole: https://example.org/page.",
            details={"reason": "bad_scheme"},
        )
    if parts.username is not None or parts.password is not None:
        raise InvalidArgument(
            "a URL with a user or password in it is not opened",
            hint="It would stand in logs; type it into the page instead.",
        )
    return url
