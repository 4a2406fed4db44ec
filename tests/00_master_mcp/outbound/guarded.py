"""A small MCP server of somebody else's that wants tokens, and a person's browser.

It speaks 2026-07-28 over Streamable HTTP, takes tokens of a provider that were made for it alone,
says where to get them (RFC 9728), and keeps every byte that it was ever sent.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
import jwt
from aiohttp import web
from mcp_types import ElicitResult

from tests.backends.openid_provider import OpenIdProvider
from tests.conftest import plain_http

WELL_KNOWN = "/.well-known/oauth-protected-resource"
TOOLS = [
    {
        "name": "whoami",
        "description": "Tell who calls.",
        "inputSchema": {"type": "object"},
        "annotations": {"readOnlyHint": True},
    },
    {
        "name": "echoToken",
        "description": "Say the credentials back.",
        "inputSchema": {"type": "object"},
        "annotations": {"readOnlyHint": True},
    },
]


class Guarded:
    """`admits` tells who bears an authorization header, None for nobody."""

    def __init__(self, admits: Callable[[Mapping[str, str]], str | None] | None = None) -> None:
        self.url = ""
        self.provider: OpenIdProvider | None = None
        self.metadata: dict[str, Any] = {}
        self.open_lists = True
        """Whether strangers may read its lists."""
        self.heard: list[bytes] = []
        """Every request: its line, its headers and its body."""
        self.calls: list[tuple[str | None, str]] = []
        self.admits = admits or self.by_provider

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["Guarded"]:
        app = web.Application()
        app.router.add_get(f"{WELL_KNOWN}/mcp", self._about)
        app.router.add_route("*", "/mcp", self._mcp)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/mcp"
            yield self
        finally:
            await runner.cleanup()

    def was_told(self, canary: str) -> bool:
        return any(canary.encode() in each for each in self.heard)

    def by_provider(self, headers: Mapping[str, str]) -> str | None:
        assert self.provider is not None
        token = headers.get("authorization", "").removeprefix("Bearer ")
        try:
            return str(self.provider.read(token, self.url)["sub"])
        except jwt.PyJWTError:
            return None

    async def _about(self, request: web.Request) -> web.Response:
        await self._record(request)
        issuer = "" if self.provider is None else self.provider.issuer
        about = {
            "resource": self.url,
            "authorization_servers": [issuer],
            "scopes_supported": ["read", "write"],
        }
        return web.json_response({**about, **self.metadata})

    async def _mcp(self, request: web.Request) -> web.Response:
        body = await self._record(request)
        who = self.admits(request.headers)
        if request.method != "POST":
            return self._unauthorised() if who is None else web.Response(status=405)
        message = json.loads(body)
        method = message["method"]
        if who is None and not (self.open_lists and method != "tools/call"):
            return self._unauthorised()
        if method == "tools/call":
            name = message["params"]["name"]
            self.calls.append((who, name))
            said = request.headers.get("authorization", "") if name == "echoToken" else who
            result: dict[str, Any] = {
                "resultType": "complete",
                "content": [{"type": "text", "text": f"you are {said}"}],
            }
        elif method == "server/discover":
            result = {
                "resultType": "complete",
                "supportedVersions": ["2026-07-28"],
                "capabilities": {"tools": {}},
                "ttlMs": 0,
                "cacheScope": "private",
            }
        elif method == "tools/list":
            told = request.headers.get("authorization", "")
            result = {
                "resultType": "complete",
                "tools": [{**TOOLS[0], "description": f"Called with {told}."}, TOOLS[1]],
                "ttlMs": 0,
                "cacheScope": "private",
            }
        else:
            error = {"code": -32601, "message": "no such method"}
            told = {"jsonrpc": "2.0", "id": message["id"], "error": error}
            return web.json_response(told, status=404)
        return web.json_response({"jsonrpc": "2.0", "id": message["id"], "result": result})

    def _unauthorised(self) -> web.Response:
        parts = urlsplit(self.url)
        about = f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}/mcp"
        challenge = f'Bearer error="invalid_token", resource_metadata="{about}", scope="read"'
        return web.Response(status=401, headers={"www-authenticate": challenge})

    async def _record(self, request: web.Request) -> bytes:
        body = await request.read()
        head = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
        self.heard.append(f"{request.method} {request.path_qs}\n{head}\n\n".encode() + body)
        return body


class Browser:
    """A person's: keeps cookies, follows redirects by hand, presses the page's own button."""

    def __init__(self) -> None:
        self.http = httpx2.AsyncClient(timeout=30, follow_redirects=False, verify=plain_http())
        self.visited: list[str] = []

    async def __aenter__(self) -> "Browser":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def get(self, url: str) -> httpx2.Response:
        self.visited.append(url)
        return await self.http.get(url)

    async def opens(self, link: str) -> str:
        """The address behind the button of the page that asks."""
        page = await self.get(link)
        assert page.status_code == 200, page.text
        return urljoin(link, button_in(page.text))

    async def to_provider(self, link: str) -> str:
        """Press the button; where the authorization server is asked."""
        sent = await self.get(await self.opens(link))
        assert sent.status_code == 303, sent.text
        return sent.headers["location"]

    async def to_callback(self, link: str) -> str:
        """Sign in at the provider; the address that it sends the browser back to."""
        back = await self.get(await self.to_provider(link))
        assert back.status_code == 302, back.text
        return back.headers["location"]

    async def signs_in(self, link: str) -> httpx2.Response:
        """The whole way; the last page."""
        return await self.get(await self.to_callback(link))


def button_in(page: str) -> str:
    found = re.search(r'<a class="go"[^>]* href="([^"]+)"', page)
    assert found is not None, page
    return unescape(found[1])


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


class Person:
    """A client's person who opens every page that is asked for, or says no."""

    def __init__(self, browser: Browser, action: str = "accept") -> None:
        self.browser = browser
        self.action = action
        self.asked: list[Any] = []
        self._going: set[asyncio.Task[Any]] = set()

    async def elicit(self, _context: Any, params: Any) -> Any:
        self.asked.append(params)
        if params.mode == "form":
            # Whether the call may run at all.
            return ElicitResult(action="accept", content={"decision": "allow_once"})
        if self.action == "accept":
            # As clients do it: the page is opened, and the answer does not wait for its end.
            task = asyncio.create_task(self.browser.signs_in(params.url))
            self._going.add(task)
            task.add_done_callback(self._going.discard)
        return ElicitResult(action=self.action)  # pyright: ignore[reportArgumentType]
