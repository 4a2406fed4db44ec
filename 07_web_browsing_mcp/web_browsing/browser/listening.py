"""What happens in a session, written down as it happens: tabs, console, network, dialogs, files."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from web_browsing.browser.quarantine import Quarantine
from web_browsing.browser.session import ConsoleLine, Dialog, Exchange, Session

if TYPE_CHECKING:
    from playwright.async_api import (
        ConsoleMessage,
        Download,
        Page,
        Request,
        Response,
        WebError,
    )
    from playwright.async_api import Dialog as PageDialog

MAX_TEXT = 2000
FLOOD, FLOOD_S = 1500, 10.0
"""So much a session's pages may ask for and log in so long: it costs the browser's driver and this
service, which others' sessions share."""
Work = Callable[[], Coroutine[Any, Any, Any]]


class Listener:
    """Of one session. `crashed` is told when a page's process ended that should not have."""

    def __init__(
        self,
        session: Session,
        quarantine: Quarantine,
        max_tabs: int,
        crashed: Callable[[Session], None],
    ) -> None:
        self._session = session
        self._quarantine = quarantine
        self._max_tabs = max_tabs
        self._crashed = crashed
        self._names: dict[Page, str] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._since, self._count = monotonic(), 0

    def listen(self) -> None:
        context = self._session.context
        context.on("page", self._opened)
        context.on("console", self._said)
        context.on("weberror", self._broke)
        context.on("request", self._began)
        context.on("response", self._answered)
        context.on("requestfailed", self._failed)
        context.on("dialog", self._asked)

    async def close(self) -> None:
        """Give up what still runs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _do(self, work: Work) -> None:
        task = asyncio.create_task(self._quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _quietly(self, work: Work) -> None:
        from playwright.async_api import Error

        # The page, its session or the browser went away in the midst of it.
        with suppress(Error):
            await work()

    def _opened(self, page: "Page") -> None:
        session = self._session
        if len(session.tabs) >= self._max_tabs:
            session.popups_refused += 1
            self._do(page.close)
            return
        session.tabs_opened += 1
        name = f"t{session.tabs_opened}"
        session.tabs[name] = page
        self._names[page] = name
        session.active = session.active or name
        page.on("close", self._closed)
        page.on("crash", self._crash)
        page.on("download", self._downloads)

    def _closed(self, page: "Page") -> None:
        session, name = self._session, self._names.pop(page, "")
        session.tabs.pop(name, None)
        session.snapshots.pop(name, None)
        session.documents.pop(name, None)
        if session.active == name:
            session.active = next(reversed(session.tabs), "")

    def _crash(self, page: "Page") -> None:
        self._line("error", "the page crashed and its tab was closed", page)
        self._crashed(self._session)
        self._do(page.close)
        self._closed(page)

    def _downloads(self, download: "Download") -> None:
        self._do(partial(self._quarantine.take, download, self._name(download.page)))

    def _counted(self) -> None:
        if monotonic() - self._since > FLOOD_S:
            self._since, self._count = monotonic(), 0
        self._count += 1
        if self._count > FLOOD:
            self._session.close(
                f"its pages asked for and logged more than {FLOOD} things in {FLOOD_S:g} s"
            )

    def _said(self, message: "ConsoleMessage") -> None:
        self._counted()
        self._line(message.type, message.text, message.page)

    def _broke(self, error: "WebError") -> None:
        self._line("error", str(error.error), error.page)

    def _line(self, level: str, text: str, page: "Page | None") -> None:
        self._session.console.append(
            ConsoleLine(datetime.now(UTC), level, text[:MAX_TEXT], self._name(page))
        )

    def _asked(self, dialog: "PageDialog") -> None:
        answering = self._session.answering
        accepted = (
            dialog.type in ("confirm", "prompt")
            and answering is not None
            and answering.page == dialog.page
            and answering.left > 0
        )
        self._session.dialogs.append(
            Dialog(
                datetime.now(UTC),
                dialog.type,
                dialog.message[:MAX_TEXT],
                self._name(dialog.page),
                accepted,
            )
        )
        if accepted and answering is not None:
            answering.left -= 1
            text = dialog.default_value if answering.text is None else answering.text
            self._do(partial(dialog.accept, text))
        else:
            # A page that asks whether to leave it would hold whoever goes on; all else is a no.
            self._do(dialog.accept if dialog.type == "beforeunload" else dialog.dismiss)

    def _began(self, request: "Request") -> None:
        from playwright.async_api import Error

        self._counted()
        if not request.is_navigation_request():
            return
        try:
            frame = request.frame
        except Error:
            # The tab for it is not there yet.
            return
        if frame.parent_frame is None and (tab := self._name(frame.page)):
            self._session.documents[tab] = request.method, request.url.partition("#")[0]

    def _answered(self, response: "Response") -> None:
        length = response.headers.get("content-length", "")
        size = int(length) if length.isdecimal() and len(length) < 16 else None
        self._exchange(response.request, status=response.status, size_bytes=size)

    def _failed(self, request: "Request") -> None:
        self._exchange(request, failed=(request.failure or "failed")[:200])

    def _exchange(
        self,
        request: "Request",
        *,
        status: int | None = None,
        failed: str | None = None,
        size_bytes: int | None = None,
    ) -> None:
        from playwright.async_api import Error

        try:
            tab = self._name(request.frame.page)
        except Error:
            # Of a page that is not there yet, or of no page.
            tab = ""
        self._session.network.append(
            Exchange(
                at=datetime.now(UTC),
                method=request.method,
                url=request.url[:MAX_TEXT],
                status=status,
                kind=request.resource_type,
                failed=failed,
                size_bytes=size_bytes,
                tab=tab,
            )
        )

    def _name(self, page: "Page | None") -> str:
        return self._names.get(page, "") if page is not None else ""
