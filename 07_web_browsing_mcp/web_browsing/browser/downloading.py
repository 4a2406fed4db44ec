"""web.browse.downloadFile: hands out a file that the browser loaded, after a person said yes."""

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from flotilla import (
    Conflict,
    Context,
    InvalidArgument,
    NotFound,
    Preview,
    TimedOut,
    Tool,
    TooLarge,
    writes,
)
from flotilla.attachments import MAX_ATTACHED_BYTES, Attachment, WithAttachments
from web_browsing.browser.doing import Doing, doing
from web_browsing.browser.elements import ACT_S, Ref, Selector, SessionId, Tab, located
from web_browsing.browser.foreseeing import OPERATION
from web_browsing.browser.forms import without
from web_browsing.browser.opening import WebUrl, check_url
from web_browsing.browser.outcome import shown_url
from web_browsing.browser.quarantine import Kept
from web_browsing.browser.session import Session
from web_browsing.browser.sessions import Sessions
from web_browsing.browser.settling import LOAD_S, MARGIN_S
from web_browsing.browser.sniffing import file_name, sniffed, warnings_of
from web_browsing.browser.standpoint import link_key, link_of, origin_of

if TYPE_CHECKING:
    from playwright.async_api import Page

_LOOK_S = 0.05

# A link with `download` has the browser load a file rather than show it, within one origin; of
# another origin the server's word decides.
_LOAD = """url => {
    const link = document.createElement('a');
    link.href = url; link.download = ''; link.rel = 'noreferrer';
    document.documentElement.append(link); link.click(); link.remove();
}"""


class Downloaded(WithAttachments):
    """The file is beside this, as a resource."""

    session_id: str
    download_id: str
    url: str
    name: str
    """Made harmless; `suggestedName` is the site's."""
    suggested_name: str
    size_bytes: int
    sha256: str
    mime_type: str
    """By its content."""
    warnings: list[str]


class Downloading:
    """The tools of this file."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def tools(self) -> tuple[Tool, ...]:
        names = ("sessionId", "downloadId", "url", "ref", "selector", "tab")
        return (
            writes(
                "web.browse.downloadFile",
                self.download_file,
                title="Download a file",
                approval=True,
                long=True,
                untrusted=True,
                open_world=True,
                preview=Preview(
                    operation=OPERATION,
                    taken={name: name for name in names},
                    fixed={"action": "download"},
                    asker="owner",
                ),
                risk="a file of strangers comes into the conversation, and to the client's machine",
            ),
        )

    async def download_file(
        self,
        context: Context,
        session_id: SessionId,
        download_id: Annotated[
            str | None,
            Field(max_length=20, description="What `downloads` of an action's answer names."),
        ] = None,
        url: WebUrl | None = None,
        ref: Ref = None,
        selector: Selector = None,
        tab: Tab = None,
    ) -> Downloaded:
        """Hand out a file: one that was loaded (`downloadId`), at a URL, or behind a link.

        It is loaded with the session's cookies, through the fleet's proxy. At most 8 MiB; a larger
        one is refused with its size. Never run what it brings; `warnings` says what to mind.
        """
        given = [each for each in (download_id, url, ref or selector) if each is not None]
        if len(given) != 1:
            raise InvalidArgument("give one of `downloadId`, `url` and an element")
        if url is not None:
            check_url(url)
        if download_id is not None:
            async with self._sessions.acting(session_id, context) as session:
                return await _handed_out(session, await _arrived(session, download_id, context))
        async with doing(self._sessions, session_id, tab, context) as done:
            if url is not None:
                await done.act(_loaded(done.page, url))
            else:
                element = await located(done.page, ref, selector)
                leads_to = await done.act(link_of(element))
                done.session.sending.shown.check(
                    link_key(ref, selector, tab),
                    f"{origin_of(done.page.url)} {leads_to}",
                    "the link",
                    "Give its address as `url`.",
                )
                await done.act(element.click(timeout=ACT_S * 1000, no_wait_after=True))
            begun = await _begun(done)
            return await _handed_out(done.session, await _arrived(done.session, begun, context))


async def _loaded(page: "Page", url: str) -> None:
    await page.evaluate(_LOAD, url)


async def _begun(done: Doing) -> str:
    """The ID of the download that this led to."""
    await done.effects.rest(done.deadline)
    await _came(done)
    begun = done.effects.downloads_since()
    if begun:
        return begun[0]
    if done.effects.newly_held():
        raise Conflict(
            "the page wants to send something for it, which is held",
            hint="Call submitForm for what is held, then downloadFile with the downloadId.",
            details={"held": [each.id for each in done.session.sending.held()]},
        )
    since = done.effects.refused_since()
    if since:
        raise NotFound(f"no file came: {since[0].told}", details={"reason": since[0].reason})
    raise NotFound(
        "the browser loaded no file",
        hint="A page is read by navigate and snapshot, or fetchPage.",
        details={"navigated": done.effects.navigated, "status": done.effects.status},
    )


async def _came(done: Doing) -> None:
    """Return once a file began to come, or something else came of it, or it takes too long.

    The browser tells of a file when the server has answered, and before that nothing is heard.
    """
    until = min(done.deadline.at - 2 * MARGIN_S, monotonic() + LOAD_S)
    effects = done.effects
    while monotonic() < until:
        if effects.downloads_since() or effects.newly_held() or effects.refused_since():
            return
        if effects.navigated or done.page.is_closed():
            return
        await asyncio.sleep(_LOOK_S)


async def _arrived(session: Session, download_id: str, context: Context) -> Kept:
    while True:
        kept = session.downloads.get(download_id)
        if kept is None:
            ids = ", ".join(session.downloads) or "none"
            raise NotFound(
                f"the session has no download {download_id[:20]!r}", hint=f"It has {ids}."
            )
        if kept.failed is not None:
            raise Conflict(f"the file did not arrive: {kept.failed}")
        if kept.path is not None:
            return kept
        if context.deadline.remaining_s() < 2 * MARGIN_S:
            raise TimedOut(
                "the file is still on its way", hint=f"Ask again with downloadId {download_id}."
            )
        await asyncio.sleep(_LOOK_S)


async def _handed_out(session: Session, kept: Kept) -> Downloaded:
    if kept.size_bytes > MAX_ATTACHED_BYTES:
        raise TooLarge(
            f"the file has {kept.size_bytes} bytes; {MAX_ATTACHED_BYTES} are handed out",
            details={"sizeBytes": kept.size_bytes, "sha256": kept.sha256},
        )
    path = kept.path
    assert path is not None
    data = await asyncio.to_thread(path.read_bytes)
    kind = sniffed(data)
    name = file_name(without(kept.suggested_name, session.sending.concealed))
    downloaded = Downloaded(
        session_id=session.id,
        download_id=kept.id,
        url=shown_url(kept.url, session.sending),
        name=name,
        suggested_name=without(kept.suggested_name, session.sending.concealed),
        size_bytes=kept.size_bytes,
        sha256=kept.sha256,
        mime_type=kind,
        warnings=warnings_of(name, kind, data),
    )
    downloaded.attach(Attachment(name, kind, data))
    return downloaded
