"""The web that the attacks of pages are made in: an inside that must hear nothing, and an attacker.

Both are servers on loopback. The attacker's names are let through, as a public site would be; the
inside's port is among those that are let through, so that nothing but its address is against it.
"""

import asyncio
import contextlib
import inspect
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any

from flotilla import Context, Deadline, NotFound, Principal, meta
from flotilla.certificates import make_certificates
from flotilla.redaction import Redactor
from flotilla.tls import CERTIFICATE, KEY, TRUSTED
from flotilla.toolbox import Toolbox
from tests.listening import stop_listening
from tests.web_site import Asked as Asked
from tests.web_site import Names as Names
from tests.web_site import answer as plain_answer
from tests.web_site import next_asked
from web_browsing.browser.acting import Acting
from web_browsing.browser.contexts import Wants
from web_browsing.browser.downloading import Downloading
from web_browsing.browser.listing import ListingTools
from web_browsing.browser.navigating import Navigating
from web_browsing.browser.opening import SessionTools
from web_browsing.browser.pictures import PictureTools
from web_browsing.browser.scripts import Scripts
from web_browsing.browser.session import Session
from web_browsing.browser.sessions import Sessions, equipment_of
from web_browsing.browser.snapshot import SnapshotTools
from web_browsing.browser.submitting import Submitting
from web_browsing.fetching.fetcher import Fetcher
from web_browsing.fetching.pages import PageTools
from web_browsing.fetching.readers import Readers
from web_browsing.gate.proxy import Proxy
from web_browsing.gate.rules import Rules
from web_browsing.settings import Settings

ATTACKER, ELSEWHERE = "attacker.test", "elsewhere.test"
"""Public names of the attacker's; let through."""
INSIDE, MIXED = "inside.test", "mixed.test"
"""Public names of the attacker's in the DNS, which lead to the inside, wholly or in part."""
FOUND = "what-only-the-inside-knows"
SAFE = ("GET", "HEAD", "OPTIONS")
ADA = "ada"
ANY_PAGE = {
    "access_control_allow_origin": "*",
    "access_control_allow_headers": "*",
    "access_control_allow_methods": "*",
    "access_control_allow_private_network": "true",
}


def answer(
    body: bytes | str = "", status: int = 200, kind: str = "text/html; charset=utf-8", **more: str
) -> bytes:
    """An answer that any page may read; `more` are headers, underscores for dashes."""
    return plain_answer(body, status, kind, **ANY_PAGE, **more)


@dataclass
class Site:
    """A server on loopback. What has no page is answered by `otherwise`."""

    port: int = 0
    pages: dict[str, Any] = field(default_factory=dict[str, Any])
    """By path without the query: bytes, HTML, what makes them of `Asked`, or what writes itself."""
    otherwise: bytes = field(default_factory=lambda: answer("nothing", 404))
    tls: ssl.SSLContext | None = None
    """With one, this is what it speaks; a connection counts before anything is said in it."""
    asked: list[Asked] = field(default_factory=list[Asked])
    datagrams: list[bytes] = field(default_factory=list[bytes])
    connections: int = 0
    _serving: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    def sent(self) -> list[Asked]:
        """What was sent here, beyond looking."""
        return [each for each in self.asked if each.method not in SAFE]

    def places(self) -> set[str]:
        return {each.place for each in self.asked}

    @property
    def heard(self) -> tuple[int, int]:
        """Connections, whatever was said on them, and datagrams."""
        return self.connections, len(self.datagrams)

    def clear(self) -> None:
        for each in (self.pages, self.asked, self.datagrams):
            each.clear()
        self.connections = 0

    def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def end(self) -> None:
        for each in self._serving:
            each.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.tls is not None:
                await writer.start_tls(self.tls)
            while True:
                asked = await next_asked(reader)
                self.asked.append(asked)
                page: Any = self.pages.get(asked.place, self.otherwise)
                if inspect.iscoroutinefunction(page):
                    await page(writer)
                    break
                said: Any = page(asked) if callable(page) else page
                writer.write(answer(said) if isinstance(said, str) else said)
                await writer.drain()
        except (OSError, ValueError, EOFError):
            pass
        finally:
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, heard: list[bytes]) -> None:
        self._heard = heard

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._heard.append(data)


@asynccontextmanager
async def site_at(site: Site, host: str = "127.0.0.1") -> AsyncGenerator[Site]:
    """It serves by TCP, and hears datagrams on the port of the same number."""
    server = await asyncio.start_server(site.take, host, 0)
    site.port = server.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    hearing, _ = await loop.create_datagram_endpoint(
        lambda: _Datagrams(site.datagrams), local_addr=(host, site.port)
    )
    try:
        yield site
    finally:
        hearing.close()
        await stop_listening(server)
        await site.end()


def names() -> Names:
    here = ["127.0.0.1"]
    return Names(
        {
            ATTACKER: [here],
            ELSEWHERE: [here],
            INSIDE: [here],
            # The first is nobody's: an address that is let through, and never answers.
            MIXED: [["198.41.0.4", "127.0.0.1"]],
        }
    )


def certified(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """What a server of all these names speaks TLS with, and the authority that vouches for it."""
    names = [ATTACKER, ELSEWHERE, INSIDE, MIXED, "127.0.0.1"]
    make_certificates(folder, "client", ["server"], names=names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server" / CERTIFICATE, folder / "server" / KEY)
    return context, folder / "client" / TRUSTED


class Refused(Exception):
    def __init__(self, body: Mapping[str, Any]) -> None:
        super().__init__(str(body))
        self.body = body
        self.code: str = body["code"]
        self.reason: str | None = body.get("reason")


@dataclass
class Web:
    """The tools of the spoke, before an inside and a web that mean no good."""

    inside: Site
    site: Site
    proxy: Proxy
    sessions: Sessions
    box: Toolbox
    names: Names

    @property
    def scheme(self) -> str:
        return "http" if self.site.tls is None else "https"

    @property
    def here(self) -> str:
        """The attacker's, as anybody on the internet has it."""
        return f"{self.scheme}://{ATTACKER}:{self.site.port}"

    @property
    def elsewhere(self) -> str:
        return f"{self.scheme}://{ELSEWHERE}:{self.site.port}"

    def within(self, host: str = "127.0.0.1") -> str:
        """The inside's, under a name or an address."""
        return f"{self.scheme}://{host}:{self.inside.port}"

    async def result(
        self, tool: str, /, *, who: str = ADA, within_s: float = 30, **arguments: Any
    ) -> dict[str, Any]:
        context = Context(
            principal=Principal(who),
            correlation_id=f"of-{who}",
            deadline=Deadline.after(within_s),
            approved=True,
        )
        return await self.box.call(f"web.browse.{tool}", arguments, context)

    async def call(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """What a client gets; raises Refused."""
        result = await self.result(tool, **arguments)
        if result["isError"]:
            raise Refused(result["_meta"][meta.ERROR])
        structured: dict[str, Any] = result["structuredContent"]
        return structured

    async def refusal(self, tool: str, /, **arguments: Any) -> Refused:
        """How a call is refused that must be."""
        try:
            told = await self.call(tool, **arguments)
        except Refused as refused:
            return refused
        raise AssertionError(told)

    @asynccontextmanager
    async def session(self, who: str = ADA, **wants: Any) -> AsyncGenerator[Session]:
        opened = await self.sessions.open(who, Wants(**wants))
        try:
            yield opened
        finally:
            # One that took too much was closed already.
            with contextlib.suppress(NotFound):
                await self.sessions.close(opened.id, who)


@asynccontextmanager
async def opened_web(
    folder: Path,
    *,
    secure: bool = False,
    exempt: Sequence[str] = (),
    dns: Names | None = None,
    equipment: Mapping[str, Any] | None = None,
    readers: Readers | None = None,
    private: str | None = None,
    clock: Callable[[], float] = monotonic,
    **settings: Any,
) -> AsyncGenerator[Web]:
    """`secure` has both servers speak TLS, with certificates that the gate trusts; `exempt` are
    hosts of the inside that an operator let through, as if the guard were off; `equipment` changes
    what Chromium is started with, `clock` is the proxy's; `private` is an exception as the setting
    has it."""
    async with contextlib.AsyncExitStack() as stack:
        tls, trusted = certified(folder) if secure else (None, None)
        inside = await stack.enter_async_context(site_at(Site(otherwise=answer(FOUND), tls=tls)))
        site = await stack.enter_async_context(site_at(Site(tls=tls)))
        allowed = [f"{name}:{site.port}" for name in (ATTACKER, ELSEWHERE)]
        allowed += [f"{host}:{inside.port}" for host in exempt] + ([private] if private else [])
        chosen = Settings(
            allow_hosts=tuple(allowed),
            ports=(80, 443, site.port, inside.port),
            robots=settings.pop("robots", "ignore"),
            **settings,
        )
        dns = dns or names()
        rules = Rules.of(chosen.ports, chosen.allow_hosts)
        proxy = Proxy(rules, ca_file=trusted, resolve=dns, clock=clock)
        started = replace(equipment_of(chosen, proxy.spki_hash), **(equipment or {}))
        downloads = folder / "downloads"
        # A browser that nobody asked for would take a test's time.
        sessions = Sessions(proxy, chosen, downloads, equipment=started, try_after_s=3600)
        await stack.enter_async_context(sessions.lifespan())
        fetcher = Fetcher(chosen, proxy, render=sessions.rendered, readers=readers)
        await stack.enter_async_context(fetcher.opened())
        families = (
            PageTools(fetcher),
            SessionTools(sessions, 600),
            Navigating(sessions, chosen.max_tabs),
            SnapshotTools(sessions),
            Acting(sessions),
            Submitting(sessions),
            Scripts(sessions),
            Downloading(sessions),
            PictureTools(sessions),
            ListingTools(sessions),
        )
        box = Toolbox([tool for each in families for tool in each.tools()], Redactor())
        yield Web(inside, site, proxy, sessions, box, dns)


@asynccontextmanager
async def at(web: Web, page: str | bytes, path: str = "/", **wants: Any) -> AsyncGenerator[Session]:
    """A session that has the attacker's page open."""
    web.site.pages[path] = page
    async with web.session(**wants) as session:
        # A page that leads inside at once is refused as it is opened.
        await web.result("navigate", sessionId=session.id, url=web.here + path)
        assert path in web.site.places()
        yield session


def refused(session: Session) -> set[str]:
    """The URLs that its pages were refused, without their queries."""
    return {each.url.partition("?")[0] for each in session.visitor.refusals}


def held_or_refused(session: Session) -> set[str]:
    """What its pages were kept from: the last part of each path."""
    urls = {each.outgoing.url.partition("?")[0] for each in session.sending.held()}
    return {url.rpartition("/")[2] for url in urls | refused(session)}
