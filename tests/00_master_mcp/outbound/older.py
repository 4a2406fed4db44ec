"""A server that wants tokens: the SDK's own, with its own checks; of the handshake era, or both."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import jwt
import uvicorn
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import Context, MCPServer
from pydantic import AnyHttpUrl, BaseModel
from starlette.types import Message, Receive, Scope, Send

from tests.backends.openid_provider import OpenIdProvider
from tests.conftest import find_free_port, until


class Choice(BaseModel):
    colour: str


class Older:
    """Its sessions belong to who opened them. `modern`: it speaks 2026-07-28 too."""

    def __init__(self, provider: OpenIdProvider, *, modern: bool = False) -> None:
        self.provider = provider
        self.modern = modern
        self.port = find_free_port()
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        self.heard: list[bytes] = []
        self.sessions: dict[str, set[str]] = {}
        """By who showed a token, the sessions that they spoke on."""

    async def verify_token(self, token: str) -> AccessToken | None:
        try:
            claims = self.provider.read(token, self.url)
        except jwt.PyJWTError:
            return None
        return AccessToken(token=token, client_id=claims["sub"], scopes=[], resource=self.url)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["Older"]:
        server = MCPServer(
            "older",
            token_verifier=self,
            auth=AuthSettings(
                issuer_url=AnyHttpUrl(self.provider.issuer),
                resource_server_url=AnyHttpUrl(self.url),
                validate_token_resource=True,
            ),
        )

        @server.tool(name="whoami")
        async def whoami() -> str:  # pyright: ignore[reportUnusedFunction]
            """Tell who calls."""
            token = get_access_token()
            return f"you are {None if token is None else token.client_id}"

        @server.tool(name="askColour")
        async def ask_colour(context: Context[Any, Any]) -> str:  # pyright: ignore[reportUnusedFunction]
            """Ask the person."""
            result: Any = await context.elicit("Which colour?", Choice)
            token = get_access_token()
            return f"{token and token.client_id} likes {result.data.colour}"

        app = server.streamable_http_app()

        async def recorded(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            body = b""
            if scope["method"] == "POST":
                while True:
                    message = await receive()
                    body += message.get("body", b"")
                    if not message.get("more_body"):
                        break
            self._note(scope, body)
            if not self.modern and b'"server/discover"' in body:
                refused = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}'
                head = [(b"content-type", b"application/json")]
                await send({"type": "http.response.start", "status": 400, "headers": head})
                await send({"type": "http.response.body", "body": refused})
                return
            first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

            async def again() -> Message:
                return first.pop() if first else await receive()

            await app(scope, again, send)

        config = uvicorn.Config(recorded, port=self.port, log_level="warning", lifespan="on")
        serving = uvicorn.Server(config)
        serving.install_signal_handlers = lambda: None  # pyright: ignore[reportAttributeAccessIssue]
        task = asyncio.create_task(serving.serve())
        await until(lambda: serving.started)
        try:
            yield self
        finally:
            serving.should_exit = serving.force_exit = True
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _note(self, scope: Scope, body: bytes) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.heard.append(json.dumps(headers).encode() + body)
        session = headers.get("mcp-session-id")
        if session is not None:
            token = headers.get("authorization", "").removeprefix("Bearer ")
            who = "nobody"
            with contextlib.suppress(jwt.PyJWTError):
                who = str(self.provider.read(token)["sub"])
            self.sessions.setdefault(who, set()).add(session)
