"""From a URL to what its page says: fetched or kept, rendered where it must be, read once."""

import asyncio
import re
import secrets
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Literal

from yarl import URL

from flotilla import Context, FlotillaError, NotAllowed, TimedOut, UpstreamError
from flotilla.upstream import retry_after_s, upstream_error
from web_browsing.fetching.decoding import too_large
from web_browsing.fetching.kept import Kept, KeptPage, Key, conditions_of, fresh_s
from web_browsing.fetching.kinds import Kind, is_binary_type, kind_of, media_type
from web_browsing.fetching.orders import Order, Reading
from web_browsing.fetching.readers import Readers
from web_browsing.fetching.robots_kept import RobotsKept
from web_browsing.fetching.targets import origin_of
from web_browsing.fetching.wire import Answer, Ask, Wire
from web_browsing.gate.proxy import Proxy
from web_browsing.gate.upstream import trusting
from web_browsing.gate.visitor import Allowance, Visitor
from web_browsing.reading.shapes import Form
from web_browsing.settings import Settings

Render = Callable[[str, Context], Awaitable[tuple[str, str]]]
"""A page as a browser has it once it rests: its HTML and its URL then."""
Rendering = Literal["auto", "never", "always"]
_MEDIA_TYPE = re.compile("[a-z0-9!#$&^_.+-]{1,40}/[a-z0-9!#$&^_.+-]{1,80}")
UNBOUNDED = 2**62
RENDERED_FRESH_S = 60.0
_SPARE_S = 1.0
"""Of the call's time, to answer with what there is when rendering takes the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A page that a caller wants."""

    url: URL
    form: Form = "markdown"
    whole: bool = False
    render: Rendering = "auto"
    fresh: bool = False
    further: bool = False
    """A further piece of it, which must come from the same reading as the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A page with what it says."""

    page: KeptPage
    reading: Reading
    from_cache: bool
    notes: tuple[str, ...] = ()


class Fetcher:
    """Fetches within `opened`.

    `render` is a browser's, None where there is none. `readers` that are given are opened by
    whoever gave them. `tls` verifies the servers, by default against the authorities of the system
    and of the settings.
    """

    def __init__(
        self,
        settings: Settings,
        proxy: Proxy,
        *,
        render: Render | None = None,
        tls: ssl.SSLContext | None = None,
        readers: Readers | None = None,
        kept: Kept | None = None,
    ) -> None:
        self._settings = settings
        self._proxy = proxy
        self._render = render
        self._tls = tls
        self._readers = readers or Readers()
        self._opens_readers = readers is None
        self._kept = kept or Kept()
        self._opened: tuple[Wire, RobotsKept] | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """The wire, through a socket of the gate that takes the fetcher's token alone."""
        visitor = fetching_visitor()
        async with AsyncExitStack() as stack:
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
            port: int = listening.getsockname()[1]
            await stack.enter_async_context(self._proxy.serving(visitor, listening))
            wire = await stack.enter_async_context(
                Wire.opened(
                    visitor,
                    URL(f"http://127.0.0.1:{port}"),
                    user_agent=self._settings.user_agent,
                    tls=self._tls or trusting(self._settings.authorities),
                )
            )
            if self._opens_readers:
                await stack.enter_async_context(self._readers.opened())
            self._opened = wire, RobotsKept(wire, self._settings.user_agent)
            try:
                yield
            finally:
                self._opened = None

    async def read(self, asked: Asked, context: Context) -> Fetched:
        """What the page says.

        Raises what the wire does, errors for HTTP statuses from 400 on, and NotAllowed for what
        has no text (`details.reason` is `not_text`) or where robots.txt says no.
        """
        if asked.render == "always":
            return await self._rendered(asked, context)
        page, from_cache = await self.fetch(asked, context)
        if page.kind == "binary":
            raise _not_text(page.answer)
        reading, notes = await self._read(page, asked, context), page.answer.notes
        fetched = Fetched(page=page, reading=reading, from_cache=from_cache, notes=notes)
        if asked.further and not from_cache:
            again = "The page was fetched anew: what came before may not join on."
            fetched = replace(fetched, notes=(*notes, again))
        if not reading.needs_script or asked.render == "never":
            return fetched
        return await self._rendered_instead(fetched, asked, context)

    async def fetch(self, asked: Asked, context: Context) -> tuple[KeptPage, bool]:
        """The page unread, and whether it is one that was kept; a binary one has no body."""
        wire, robots = self._parts()
        key = (context.principal.name, str(asked.url), False)
        kept = None if asked.fresh else self._kept.get(key)
        if kept is not None and (
            self._kept.is_fresh(kept) or (asked.further and self._kept.pages_on(kept))
        ):
            return kept, True
        ask = Ask(
            before=self._judged(robots),
            wants=_wants,
            conditions=conditions_of(kept.answer) if kept is not None else {},
            max_bytes=self._settings.max_fetch_bytes,
        )
        answer = await wire.get(asked.url, ask)
        page, same = self._page_of(key, answer, kept)
        self._kept.put(page)
        return page, same

    def _page_of(self, key: Key, answer: Answer, kept: KeptPage | None) -> tuple[KeptPage, bool]:
        """What is kept of an answer, and whether it is what was kept already."""
        if answer.status == 304 and kept is not None and answer.url == kept.answer.url:
            # Section 4.3.4 of RFC 9111: the new headers stand in place of the old.
            merged = {**kept.answer.headers, **answer.headers}
            same = replace(kept.answer, headers=merged, hops=answer.hops, at=answer.at)
            page = replace(
                kept, answer=same, fetched_at_s=self._kept.clock(), fresh_s=fresh_s(same)
            )
            return page, True
        if not 200 <= answer.status < 300:
            raise status_error(answer)
        kind = "binary" if answer.body is None else kind_of(answer.content_type, answer.body)
        return self._new(key, answer, kind, fresh_s(answer)), False

    def _new(
        self, key: Key, answer: Answer, kind: Kind, fresh: float, *, rendered: bool = False
    ) -> KeptPage:
        return KeptPage(
            key=key,
            answer=answer,
            kind=kind,
            fetched_at_s=self._kept.clock(),
            fresh_s=fresh,
            rendered=rendered,
        )

    async def _read(
        self, page: KeptPage, asked: Asked, context: Context, *, with_head: bool = False
    ) -> Reading:
        """Read once for each form; what is read with its head is not kept."""
        known = page.readings.get((asked.form, asked.whole))
        if known is not None and not with_head:
            return known
        order = Order(
            kind=page.kind,
            url=str(page.answer.url),
            content_type=page.answer.content_type,
            form=asked.form,
            whole=asked.whole,
            with_head=with_head,
        )
        reading = await self._readers.read(order, page.answer.body or b"", context.deadline)
        if not with_head:
            page.readings[asked.form, asked.whole] = reading
            self._kept.grew(page)
        return reading

    async def about(self, asked: Asked, context: Context) -> Fetched:
        """A page with what stands in its head; one without text has no reading but an empty one."""
        page, from_cache = await self.fetch(asked, context)
        if page.kind == "binary":
            reading = Reading(text="")
        else:
            reading = await self._read(page, asked, context, with_head=True)
        notes = page.answer.notes
        return Fetched(page=page, reading=reading, from_cache=from_cache, notes=notes)

    async def _rendered_instead(self, plain: Fetched, asked: Asked, context: Context) -> Fetched:
        """The page as a browser shows it; as it came, with a note, where that does not work."""
        empty = "Without its JavaScript the page says next to nothing"
        if self._render is None:
            note = f"{empty}; openSession shows it with."
            return replace(plain, notes=(*plain.notes, note))
        try:
            async with asyncio.timeout(max(0.0, context.deadline.remaining_s() - _SPARE_S)):
                rendered = await self._rendered(asked, context)
        except (FlotillaError, TimeoutError) as error:
            code = error.code if isinstance(error, FlotillaError) else TimedOut.code
            note = f"{empty}, and rendering it failed ({code})."
            return replace(plain, notes=(*plain.notes, note))
        return replace(rendered, notes=(*plain.notes, *rendered.notes))

    async def _rendered(self, asked: Asked, context: Context) -> Fetched:
        if self._render is None:
            raise NotAllowed("pages are not rendered here", details={"reason": "no_browser"})
        key = (context.principal.name, str(asked.url), True)
        page = None if asked.fresh else self._kept.get(key)
        from_cache = page is not None and (
            self._kept.is_fresh(page) or (asked.further and self._kept.pages_on(page))
        )
        if page is None or not from_cache:
            _, robots = self._parts()
            await self._judged(robots)(asked.url)
            html, url = await self._render(str(asked.url), context)
            body = html.encode(errors="replace")
            if len(body) > self._settings.max_fetch_bytes:
                raise too_large(self._settings.max_fetch_bytes, len(body))
            answer = Answer(
                url=URL(url),
                status=HTTPStatus.OK,
                headers={"content-type": "text/html; charset=utf-8"},
                body=body,
            )
            page = self._new(key, answer, "html", RENDERED_FRESH_S, rendered=True)
            self._kept.put(page)
        reading = await self._read(page, asked, context)
        notes = ("Read as a browser shows it.",)
        return Fetched(page=page, reading=reading, from_cache=from_cache, notes=notes)

    def _judged(self, robots: RobotsKept) -> Callable[[URL], Awaitable[None]]:
        return robots.check if self._settings.robots == "obey" else _unjudged

    def _parts(self) -> tuple[Wire, RobotsKept]:
        if self._opened is None:
            raise RuntimeError("the fetcher is not open")
        return self._opened


def fetching_visitor() -> Visitor:
    """Others on this machine could reach its socket too, so it has a token.

    The fetcher stays as long as the service, so that nothing is counted over its whole stay.
    """
    return Visitor(
        name="fetcher",
        token=secrets.token_urlsafe(24),
        allowance=Allowance(
            bytes_in=UNBOUNDED, bytes_each=UNBOUNDED, requests=UNBOUNDED, sent_each=0
        ),
    )


def status_error(answer: Answer) -> FlotillaError:
    """What an HTTP status means to whoever wanted the page.

    Nothing of the page is in it: errors are not marked as strangers' words.
    """
    status, origin = answer.status, origin_of(answer.url)
    try:
        told = f"the page answers {status} {HTTPStatus(status).phrase}"
    except ValueError:
        told = f"the page answers {status}"
    details = {"upstreamStatus": status}
    if status in (401, 403, 407, 451):
        hint = "It wants a login, or no programs; nothing was sent that could open it."
        return NotAllowed(f"{origin}: {told}", hint=hint, details={**details, "reason": "status"})
    if 400 <= status < 600 and status not in (400, 409, 412, 413, 415, 422):
        wait_s = retry_after_s(answer.headers.get("retry-after"))
        return upstream_error(origin, status, told, retry_after_s=wait_s)
    return UpstreamError(f"{origin}: {told}", details=details)


def _wants(status: int, headers: Mapping[str, str]) -> bool:
    """Nothing is read of what is an error or no text."""
    return 200 <= status < 300 and not is_binary_type(headers.get("content-type", ""))


async def _unjudged(_url: URL) -> None:
    """Where robots.txt is not asked."""


def _not_text(answer: Answer) -> NotAllowed:
    kind = media_type(answer.content_type)
    if not _MEDIA_TYPE.fullmatch(kind):
        kind = "of an unknown type"
    size = answer.headers.get("content-length", "")
    known = f" of {size} bytes" if size.isdigit() and len(size) < 16 else ""
    return NotAllowed(
        f"there is no text to read: it is {kind}{known}",
        hint="web.browse.downloadFile fetches files.",
        details={"reason": "not_text", "contentType": kind},
    )
