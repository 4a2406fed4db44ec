"""web.browse.captureScreenshot, capturePdf: a page as a picture or as a document."""

import asyncio
from base64 import b64decode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from flotilla import Context, Deadline, InvalidArgument, TimedOut, Tool, reads
from flotilla.attachments import Attachment, WithAttachments
from web_browsing.browser.concealing import check_shows_none
from web_browsing.browser.contexts import Wants
from web_browsing.browser.elements import Ref, SessionId, Tab, located, translated
from web_browsing.browser.opening import WebUrl, check_url, visit
from web_browsing.browser.outcome import shown_url
from web_browsing.browser.session import Session
from web_browsing.browser.sessions import Sessions
from web_browsing.browser.standing import standing

if TYPE_CHECKING:
    from playwright.async_api import Page

LONG_SIDE = 1568
"""Pixels; models see no more of a larger picture than of this."""
MAX_SIDE = 8000
"""Beyond it models refuse a picture."""
MAX_PAGE_HEIGHT = 16_384
"""Of a whole page, in CSS pixels; Chromium draws no more at once."""
MAX_PICTURE_BYTES = 1024 * 1024
MAX_PDF_PAGES = 200
PICTURE_S = 20.0
PDF_S = 45.0
TITLE_S = 2.0

Format = Literal["png", "jpeg"]
Paper = Literal["A4", "Letter"]


class Screenshot(WithAttachments):
    """A picture of a page, beside this as an image."""

    url: str
    title: str
    tab: str
    width: int
    height: int
    """Of the picture, in pixels."""
    scale: float
    """Pixels of the picture for one of the page."""
    format: Format
    size_bytes: int
    truncated: bool
    """The page is higher than what a picture holds."""
    status: int | None = None
    """HTTP's, where the call opened the page."""
    notes: list[str]


class Pdf(WithAttachments):
    """A page as it would be printed, beside this as a file."""

    url: str
    title: str
    tab: str
    pages: int
    size_bytes: int
    truncated: bool
    """It has more pages than a call prints."""
    status: int | None = None
    """HTTP's, where the call opened the page."""


@dataclass(frozen=True, slots=True)
class Area:
    """A part of a page, in CSS pixels from its upper left corner."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Picture:
    format: Format
    scale: float
    data: bytes


@dataclass(frozen=True, slots=True)
class _Shown:
    session: Session
    page: "Page"
    tab: str
    status: int | None


class PictureTools:
    """web.browse.captureScreenshot, capturePdf."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads(
                "web.browse.captureScreenshot",
                self.capture_screenshot,
                title="Take a picture of a page",
                open_world=True,
                untrusted=True,
            ),
            reads(
                "web.browse.capturePdf",
                self.capture_pdf,
                title="Print a page as a PDF",
                open_world=True,
                untrusted=True,
            ),
        )

    async def capture_screenshot(
        self,
        context: Context,
        session_id: SessionId | None = None,
        url: WebUrl | None = None,
        tab: Tab = None,
        ref: Ref = None,
        full_page: bool = False,
        format: Format = "png",  # noqa: A002  the name that the catalogue and Playwright have
        max_width: Annotated[int | None, Field(ge=64, le=4096)] = None,
    ) -> Screenshot:
        """Take a picture of a tab as a person sees it now: what is in view, one element, or all.

        Give a sessionId, or a url, which is opened for this call alone. `ref` is an element of the
        last snapshot. The picture is made smaller until no side has over 1568 pixels, or to
        `maxWidth`, and a JPEG where it would have over 1 MB. To read a page use snapshot.
        """
        if ref is not None and full_page:
            raise InvalidArgument("a picture is of one element or of the full page, not of both")
        async with (
            _in_time(context.deadline, PICTURE_S, opens=url is not None),
            self._page(session_id, url, tab, context) as shown,
        ):
            area, truncated = await area_of(shown.page, ref, full_page=full_page)
            scale = scale_of(area, max_width)
            picture = await pictured(shown.page, area, scale, format)
            title = await _title(shown.page)
            address = shown_url(shown.page.url, shown.session.sending)
        notes = [] if picture.scale >= 0.4 else [_SMALL.format(picture.scale)]
        if truncated:
            notes.append(f"Only the first {MAX_PAGE_HEIGHT} pixels of the page's height are there.")
        result = Screenshot(
            url=address,
            title=title,
            tab=shown.tab,
            width=round(area.width * picture.scale),
            height=round(area.height * picture.scale),
            scale=round(picture.scale, 3),
            format=picture.format,
            size_bytes=len(picture.data),
            truncated=truncated,
            status=shown.status,
            notes=notes,
        )
        ending = "jpg" if picture.format == "jpeg" else "png"
        result.attach(Attachment(f"page.{ending}", f"image/{picture.format}", picture.data))
        return result

    async def capture_pdf(
        self,
        context: Context,
        session_id: SessionId | None = None,
        url: WebUrl | None = None,
        tab: Tab = None,
        paper: Paper = "A4",
        landscape: bool = False,
        background: bool = False,
    ) -> Pdf:
        """Print a tab as a PDF of at most 200 pages and 8 MiB, which comes beside the result.

        Give a sessionId, or a url, which is opened for this call alone. `background` prints
        colours and pictures that lie under the text. To read a page use fetchPage or snapshot.
        """
        async with (
            _in_time(context.deadline, PDF_S, opens=url is not None),
            self._page(session_id, url, tab, context) as shown,
        ):
            data = await shown.page.pdf(
                format=paper,
                landscape=landscape,
                print_background=background,
                page_ranges=f"1-{MAX_PDF_PAGES}",
            )
            title = await _title(shown.page)
            address = shown_url(shown.page.url, shown.session.sending)
        pages = await asyncio.to_thread(_count_pages, data)
        result = Pdf(
            url=address,
            title=title,
            tab=shown.tab,
            pages=pages,
            size_bytes=len(data),
            truncated=pages >= MAX_PDF_PAGES,
            status=shown.status,
        )
        result.attach(Attachment("page.pdf", "application/pdf", data))
        return result

    @asynccontextmanager
    async def _page(
        self, session_id: str | None, url: str | None, tab: str | None, context: Context
    ) -> AsyncGenerator[_Shown]:
        if (session_id is None) == (url is None):
            raise InvalidArgument("give a sessionId, or a url to open for this call alone")
        if session_id is not None:
            async with self._sessions.looking(session_id, context) as session:
                name = tab or session.active
                page = await standing(session, name)
                await check_shows_none(session, page)
                yield _Shown(session, page, name, None)
            return
        assert url is not None
        check_url(url)
        session = await self._sessions.open(context.principal.name, Wants())
        try:
            async with self._sessions.acting(session.id, context):
                status = await visit(session, url, context)
                yield _Shown(
                    session, await standing(session, session.active), session.active, status
                )
        finally:
            session.close("it was opened for one picture")


_SMALL = (
    "The picture is {:.0%} of the page's size and may be hard to read: ask for a `ref`, a larger "
    "`maxWidth`, or without `fullPage`."
)


@asynccontextmanager
async def _in_time(deadline: Deadline, most_s: float, *, opens: bool) -> AsyncGenerator[None]:
    """A page that does not answer is told of early; one that is opened first has all the time."""
    from playwright.async_api import Error

    left_s = deadline.remaining_s() if opens else deadline.no_later_than(most_s).remaining_s()
    try:
        async with asyncio.timeout(max(0.05, left_s - 0.5)):
            yield
    except TimeoutError:
        raise TimedOut(
            "the page was not drawn in time",
            hint="It may be busy with itself or wait for a request that is held.",
        ) from None
    except Error as error:
        raise translated(error) from None


async def area_of(page: "Page", ref: str | None, *, full_page: bool) -> tuple[Area, bool]:
    """What is to be drawn, and whether it is less than what was asked for."""
    if ref is not None:
        element = await located(page, ref, None)
        await element.scroll_into_view_if_needed(timeout=5000)
        box = await element.bounding_box(timeout=5000)
        if box is None or box["width"] < 1 or box["height"] < 1:
            raise InvalidArgument("the element has no size on the page", hint="Name another one.")
        view = (await _sent(page, "Page.getLayoutMetrics"))["cssVisualViewport"]
        height = min(box["height"], MAX_PAGE_HEIGHT)
        area = Area(box["x"] + view["pageX"], box["y"] + view["pageY"], box["width"], height)
        return area, height < box["height"]
    metrics = await _sent(page, "Page.getLayoutMetrics")
    if full_page:
        whole = metrics["cssContentSize"]
        height = min(whole["height"], MAX_PAGE_HEIGHT)
        return Area(0, 0, whole["width"], height), height < whole["height"]
    view = metrics["cssVisualViewport"]
    return Area(view["pageX"], view["pageY"], view["clientWidth"], view["clientHeight"]), False


def scale_of(area: Area, max_width: int | None) -> float:
    """How much smaller the picture is than the page; never larger."""
    if max_width is None:
        return min(1.0, LONG_SIDE / max(area.width, area.height))
    return min(1.0, max_width / area.width, MAX_SIDE / max(area.width, area.height))


async def pictured(
    page: "Page", area: Area, scale: float, wanted: Format, most: int = MAX_PICTURE_BYTES
) -> Picture:
    """The picture, as a JPEG and then smaller where it has more bytes than `most`."""
    tries: list[tuple[Format, int | None, float]] = [
        ("png", None, 1.0),
        ("jpeg", 85, 1.0),
        ("jpeg", 60, 1.0),
        ("jpeg", 60, 0.6),
        ("jpeg", 50, 0.35),
    ]
    last = Picture(wanted, scale, b"")
    for made_as, quality, smaller in tries[wanted == "jpeg" :]:
        answer = await _sent(
            page,
            "Page.captureScreenshot",
            format=made_as,
            **({} if quality is None else {"quality": quality}),
            clip={
                "x": area.x,
                "y": area.y,
                "width": area.width,
                "height": area.height,
                "scale": scale * smaller,
            },
            captureBeyondViewport=True,
        )
        last = Picture(made_as, scale * smaller, b64decode(answer["data"]))
        if len(last.data) <= most:
            break
    return last


async def _sent(page: "Page", method: str, **parameters: Any) -> dict[str, Any]:
    session: Any = await page.context.new_cdp_session(page)
    try:
        return await session.send(method, parameters)
    finally:
        await session.detach()


async def _title(page: "Page") -> str:
    try:
        async with asyncio.timeout(TITLE_S):
            return (await page.title())[:200]
    except TimeoutError:
        return ""


def _count_pages(data: bytes) -> int:
    from pypdf import PdfReader

    return len(PdfReader(BytesIO(data)).pages)
