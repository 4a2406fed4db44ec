"""A harbour office's site on loopback: what people do on sites, in a few pages.

async with harbour() as site:
    site.url
    site.sent                   # each request that was not GET, with its form
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO

from aiohttp import web
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

BERTHS = (("North quay", "Anna Maria", "4.2 m"), ("South quay", "Skagerrak", "3.9 m"))
CSV = b"quay,ship,depth\n" + b"".join(f"{','.join(row)}\n".encode() for row in BERTHS)
CHAPTERS = 60


@dataclass(frozen=True)
class Sent:
    method: str
    path: str
    form: dict[str, str]


@dataclass
class Harbour:
    url: str = ""
    sent: list[Sent] = field(default_factory=list[Sent])
    asked: list[str] = field(default_factory=list[str])
    """Paths, of all requests."""

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")


def _page(title: str, body: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    text = (
        f"<!doctype html><html lang=en><head><title>{title}</title></head><body>"
        "<nav><a href=/>Home</a> <a href=/berths>Berths</a> <a href=/login>Sign in</a></nav>"
        f"<main><h1>{title}</h1>{body}</main><footer>Harbour office</footer></body></html>"
    )

    async def show(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, content_type="text/html")

    return show


_TABLE = (
    "<table><caption>Berths today</caption><tr><th>Quay</th><th>Ship</th><th>Depth</th></tr>"
    + "".join(f"<tr>{''.join(f'<td>{each}</td>' for each in row)}</tr>" for row in BERTHS)
    + "</table>"
)
_NEWS = (
    "<p>The tide tables for the northern harbour were published today by the harbour master, who "
    "said that three berths will stay closed for the winter while the quay is being repaired.</p>"
    "<p>Ships that were to moor there are asked to announce themselves a day ahead by radio.</p>"
)
_LOGIN = (
    "<form method=post action=/login><input type=hidden name=desk value=north>"
    "<label>User <input name=user></label>"
    "<label>Password <input name=password type=password></label><button>Enter</button></form>"
)
_FIND = "<form action=/found><label>Ship <input name=ship></label><button>Find</button></form>"
_DRAWN = (
    "<ul id=rows></ul><script>fetch('/rows.json').then(told => told.json()).then(rows => "
    "rows.forEach(row => document.getElementById('rows').insertAdjacentHTML('beforeend', "
    "`<li>${row.join(' has ')}</li>`)))</script>"
)
_LOG = "".join(
    f"<h2>Watch {number}</h2><p>{'Wind from the west, sea calm, nothing to report. ' * 12}</p>"
    for number in range(1, CHAPTERS + 1)
)
PAGES = {
    "/": _page("Harbour news", f"{_NEWS}<p><a href=/berths>Who lies where</a></p>"),
    "/berths": _page("Berths", f"{_TABLE}<a href=/berths.csv>As a file</a>"),
    "/login": _page("Sign in", _LOGIN),
    "/find": _page("Find a ship", _FIND),
    "/board": _page("Board", _DRAWN),
    "/log": _page("Log of the watch", _LOG),
}


def a_pdf(text: str) -> bytes:
    """A document of one page with a line of text."""
    writer = PdfWriter()
    page = writer.add_blank_page(300, 300)
    kind, base = NameObject("/Type1"), NameObject("/Helvetica")
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): kind,
            NameObject("/BaseFont"): base,
        }
    )
    drawn = DecodedStreamObject()
    drawn.set_data(f"BT /F1 12 Tf 20 250 Td ({text}) Tj ET".encode())
    page[NameObject("/Resources")] = DictionaryObject(
        {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
    )
    page[NameObject("/Contents")] = drawn
    made = BytesIO()
    writer.write(made)
    return made.getvalue()


@asynccontextmanager
async def harbour() -> AsyncGenerator[Harbour]:
    site = Harbour()

    @web.middleware
    async def noted(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        site.asked.append(request.path)
        if request.method not in ("GET", "HEAD"):
            form = {name: str(value) for name, value in (await request.post()).items()}
            site.sent.append(Sent(request.method, request.path, form))
        return await handler(request)

    async def rows(_: web.Request) -> web.StreamResponse:
        return web.json_response([[quay, ship] for quay, ship, _ in BERTHS])

    async def csv(_: web.Request) -> web.StreamResponse:
        named = {"content-disposition": 'attachment; filename="berths.csv"'}
        return web.Response(body=CSV, content_type="text/csv", headers=named)

    async def pdf(_: web.Request) -> web.StreamResponse:
        return web.Response(body=a_pdf("Dues of the harbour"), content_type="application/pdf")

    async def found(request: web.Request) -> web.StreamResponse:
        return await _page("Found", f"<p>{request.query['ship']} lies at the north quay.</p>")(
            request
        )

    async def signed_in(request: web.Request) -> web.StreamResponse:
        return await _page("Welcome", f"<p>Good day, {site.sent[-1].form['user']}.</p>")(request)

    application = web.Application(middlewares=[noted])
    for path, page in {
        **PAGES,
        "/rows.json": rows,
        "/berths.csv": csv,
        "/dues.pdf": pdf,
        "/found": found,
    }.items():
        application.router.add_get(path, page)
    application.router.add_post("/login", signed_in)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield site
    finally:
        await runner.cleanup()
