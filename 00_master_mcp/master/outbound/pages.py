"""`/oauth/start` and `/oauth/callback`: the two pages of the hub that a person's browser sees.

They are open to all, for a browser has no token: who may do what follows from the link and from the
cookie. The first page names the principal and asks; only its own button leads on, so that no page
of a stranger can send a browser through the whole way unseen.
"""

import hmac
import secrets
from collections.abc import Collection
from html import escape
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from flotilla import FlotillaError, NotAllowed
from master.outbound.flow import CALLBACK, LINK_S, START, Flow, confirmation
from master.outbound.store import Step

OPEN_PATHS: Collection[str] = frozenset({START, CALLBACK})
_MAX_CHARS = 4096
_HEADERS = {
    "cache-control": "no-store",
    # The address holds the link or the code: nobody is told where the browser came from.
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
}
_STYLE = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:12vh auto;padding:0 1rem;"
    "color:#1d2330;background:#f6f7f9}a.go{display:inline-block;padding:.6rem 1.2rem;color:#fff;"
    "background:#1d4ed8;border-radius:.4rem;text-decoration:none}code{background:#e6e9ef;"
    "padding:.1rem .3rem;border-radius:.2rem}"
)


class Pages:
    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._secure = flow.base_url.startswith("https://")
        # With this prefix no other host and no plain HTTP can set it (RFC 6265bis §4.1.3.2).
        self._cookie = "__Host-flotilla-sign-in" if self._secure else "flotilla-sign-in"

    def routes(self) -> list[BaseRoute]:
        return [
            Route(START, self._start, methods=["GET"]),
            Route(CALLBACK, self._callback, methods=["GET"]),
        ]

    async def _start(self, request: Request) -> Response:
        link = request.query_params.get("link", "")[:_MAX_CHARS]
        browser = self._browser(request)
        given = request.query_params.get("confirm")
        try:
            if browser is not None and given is not None:
                if not hmac.compare_digest(given.encode(), confirmation(browser, link).encode()):
                    raise NotAllowed("This page was not opened by its own button.")
                return RedirectResponse(
                    await self._flow.sent_on(link, browser), 303, headers=_HEADERS
                )
            step = await self._flow.opened(link)
        except FlotillaError as error:
            return _failed(error)
        browser = browser or secrets.token_urlsafe(32)
        answer = _page("Sign in for Flotilla?", self._question(step, link, browser))
        answer.set_cookie(
            self._cookie,
            browser,
            max_age=int(2 * LINK_S),
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )
        return answer

    async def _callback(self, request: Request) -> Response:
        query = {name: value[:_MAX_CHARS] for name, value in request.query_params.items()}
        if len(request.query_params.multi_items()) != len(query):
            return _failed(NotAllowed("The answer says something twice."))
        try:
            step = await self._flow.came_back(query, self._browser(request))
        except FlotillaError as error:
            return _failed(error)
        return _page(
            "Done",
            f"<p>The hub may now use <code>{escape(step.server)}</code> for "
            f"<code>{escape(step.principal)}</code>.</p><p>Go back to your client; you may close "
            "this page.</p>",
        )

    def _browser(self, request: Request) -> str | None:
        found = request.cookies.get(self._cookie)
        return found if found and len(found) <= 128 else None

    def _question(self, step: Step, link: str, browser: str) -> str:
        asked = urlencode({"link": link, "confirm": confirmation(browser, link)})
        return (
            f"<p>The principal <code>{escape(step.principal)}</code> of this hub wants to use the "
            f"server <code>{escape(step.server)}</code> "
            f"(<code>{escape(str(step.told['url']))}</code>) with <strong>your</strong> account "
            "there.</p><p>Go on only if that is you and you have asked for it just now. If "
            "somebody sent you this link, close the page: they would act with your account.</p>"
            f'<p><a class="go" rel="noreferrer" href="{START}?{escape(asked)}">'
            f"I am {escape(step.principal)}: sign in</a></p>"
        )


def _failed(error: FlotillaError) -> HTMLResponse:
    hint = f"<p>{escape(error.hint)}</p>" if error.hint else ""
    said = f"<p>{escape(error.message)}</p>{hint}<p>Ask for a new link in your client.</p>"
    return _page("That did not work", said, 400 if isinstance(error, NotAllowed) else 502)


def _page(title: str, body: str, status: int = 200) -> HTMLResponse:
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width"><meta name="robots" '
        f'content="noindex"><style>{_STYLE}</style><h1>{title}</h1>{body}'
    )
    return HTMLResponse(text, status, _HEADERS)
