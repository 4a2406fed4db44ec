"""What came of an action in a page, small: never what the page shows, for that is a snapshot."""

import asyncio
from urllib.parse import urlsplit

from flotilla import Model
from web_browsing.browser.forms import Body, body_of, query_of, without
from web_browsing.browser.sending import HeldRequest, Sending
from web_browsing.browser.settling import Effects

MAX_URL_CHARS = 500
MAX_TOLD = 10
_FIELD_CHARS = 60
_TITLE_S = 1.0


class HeldField(Model):
    name: str
    value: str


class Held(Model):
    """A request that waits for a person; submitForm(sessionId, heldId) asks for one."""

    held_id: str
    method: str
    url: str
    body: str
    """none, form, json, text or binary."""
    fields: list[HeldField]
    """The first of them, cut; secrets by their length."""


class EndedHold(Model):
    """One that was held and is no more: expired, given up or crowded out."""

    held_id: str
    how: str


class Sent(Model):
    """A request other than GET that went out and was answered."""

    method: str
    url: str
    status: int


class NewTab(Model):
    tab: str
    url: str


class Refused(Model):
    """What the fleet's proxy did not let through."""

    reason: str
    method: str
    url: str


class Acted(Model):
    """Where the tab is now, and what happened meanwhile."""

    session_id: str
    tab: str
    url: str
    title: str | None = None
    navigated: bool = False
    """It shows another document than before."""
    status: int | None = None
    """HTTP's, of that document."""
    held: list[Held]
    """All that wait for a person just now. The page waits for them as for a slow server."""
    ended: list[EndedHold]
    sent: list[Sent]
    dialogs: list[str]
    """Alerts and questions of the page; all were dismissed but those that say (accepted)."""
    new_tabs: list[NewTab]
    downloads: list[str]
    """IDs for downloadFile of files that the page had the browser load."""
    refused_count: int
    refused: list[Refused]
    notes: list[str]


async def outcome(effects: Effects, notes: list[str], tab: str) -> Acted:
    """Everything since then."""
    session, page = effects.session, effects.page
    # What happens while the page is asked for it is told of, too.
    title = await title_of(effects)
    since = effects.refused_since()
    held = session.sending.held()
    told = list(notes)
    if held:
        told.append(
            "What is held goes out only when a person allows it: call web.browse.submitForm with "
            "its heldId. Doing something else in the tab may give it up."
        )
    return Acted(
        session_id=session.id,
        tab=tab,
        url=shown_url(page.url, session.sending),
        title=title,
        navigated=effects.navigated,
        status=effects.status,
        held=[held_of(each, session.sending) for each in held],
        ended=[
            EndedHold(held_id=each.id, how=each.how)
            for each in session.sending.news()
            if each.how != "released"
        ],
        sent=[
            Sent(method=method, url=shown_url(url, session.sending), status=status)
            for method, url, status in effects.answers[:MAX_TOLD]
        ],
        dialogs=[
            without(each, session.sending.concealed)[:MAX_URL_CHARS]
            for each in effects.dialogs_since()[:MAX_TOLD]
        ],
        new_tabs=[
            NewTab(tab=each, url=shown_url(opened.url, session.sending))
            for each, opened in session.tabs.items()
            if each not in effects.tabs_before
        ],
        downloads=effects.downloads_since()[:MAX_TOLD],
        refused_count=len(since),
        refused=[
            Refused(
                reason=each.reason,
                method=each.method,
                url=shown_url(each.url, session.sending, 200),
            )
            for each in since[:3]
        ],
        notes=told,
    )


async def title_of(effects: Effects) -> str | None:
    """None while a document is waited for: its title is not known."""
    from playwright.async_api import Error

    if any(each.stops_tab for each in effects.session.sending.held()):
        return None
    try:
        async with asyncio.timeout(_TITLE_S):
            title = await effects.page.title()
            return without(title, effects.session.sending.concealed)[:MAX_URL_CHARS]
    except (TimeoutError, Error):
        return None


def held_of(held: HeldRequest, sending: Sending) -> Held:
    body = read(held, sending)
    return Held(
        held_id=held.id,
        method=held.outgoing.method,
        url=shown_url(held.outgoing.url, sending),
        body=body.kind,
        fields=[
            HeldField(name=each.name[:_FIELD_CHARS], value=each.shown[:_FIELD_CHARS])
            for each in body.fields[:MAX_TOLD]
        ],
    )


def read(held: HeldRequest, sending: Sending) -> Body:
    kind = held.outgoing.header("content-type") or ""
    return body_of(kind, held.outgoing.body, sending.concealed)


def shown_url(url: str, sending: Sending, most: int = MAX_URL_CHARS) -> str:
    """A URL with its secrets by their length; what is too long is cut."""
    try:
        parts = urlsplit(url)
    except ValueError:
        # What was refused may be no URL.
        return "(no URL)"
    fields = query_of(parts.query, sending.concealed)
    if any(each.secret for each in fields):
        query = "&".join(f"{each.name}={each.shown}" for each in fields)
        url = parts._replace(query=query).geturl()
    # A page may put what was typed anywhere into an address.
    url = without(url, sending.concealed)
    return url if len(url) <= most else f"{url[:most]}…"
