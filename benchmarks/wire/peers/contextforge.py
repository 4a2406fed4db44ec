"""ContextForge is configured by its own API: servers are registered, then joined to one."""

import asyncio
import secrets
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from wire.connection import Answer, ask
from wire.fleet import answers
from wire.peers.install import program
from wire.peers.peer import Behind, Door, find_tool
from wire.processes import NotReady, Program, Programs

UP_S = 120.0
TOOLS_WITHIN_S = 60.0
_ADMIN = "admin@example.com"


async def start(started: Programs, behind: Behind, folder: Path, port: int) -> tuple[Program, Door]:
    """Its own defaults, but for loopback as an upstream, which it refuses unless told, and for its
    limit of a hundred requests a minute, which would be all that is measured."""
    secret = secrets.token_urlsafe(48)
    env = {
        "DATABASE_URL": f"sqlite:///{folder / 'mcp.db'}",
        "JWT_SECRET_KEY": secret,
        "AUTH_ENCRYPTION_SECRET": secrets.token_urlsafe(48),
        "PLATFORM_ADMIN_EMAIL": _ADMIN,
        "PLATFORM_ADMIN_PASSWORD": secrets.token_urlsafe(24),
        "SSRF_ALLOW_LOCALHOST": "true",
        "SSRF_ALLOW_PRIVATE_NETWORKS": "true",
        "RATE_LIMITING_ENABLED": "false",
        "LOG_LEVEL": "ERROR",
        "HOME": str(folder),
    }
    argv = [str(program("contextforge", "mcpgateway")), "mcpgateway.main:app"]
    running = started.start(
        "contextforge", [*argv, "--host", "127.0.0.1", "--port", str(port)], env
    )
    base = f"http://127.0.0.1:{port}"
    await running.until(lambda: answers(f"{base}/health"), UP_S)
    api = _Api(base, _token(folder, env))
    for name, url in behind.urls().items():
        entry = {"name": name, "url": url, "transport": "STREAMABLEHTTP"}
        # One that cannot be reached is refused after its own retries; the other one counts.
        await api.post("/gateways", entry, must=name == "echo")
    tools = await api.tools()
    server = {"name": "bench", "description": "the echo", "associated_tools": tools}
    made = await api.post("/servers", {"server": server}, must=True)
    return running, Door(f"{base}/servers/{made['id']}/mcp", headers=api.headers)


class _Api:
    def __init__(self, base: str, token: str) -> None:
        self._base = base
        self.headers = {"authorization": f"Bearer {token}"}

    async def post(self, path: str, body: Mapping[str, Any], *, must: bool) -> dict[str, Any]:
        headers = {"content-type": "application/json", **self.headers}
        answer = await ask(self._base + path, orjson.dumps(body), headers)
        return _object(path, answer) if must or answer.status < 300 else {}

    async def tools(self) -> list[str]:
        """The IDs of the tools, once those of the echo are there."""
        async with asyncio.timeout(TOOLS_WITHIN_S):
            while True:
                answer = await ask(f"{self._base}/tools", headers=self.headers, method="GET")
                listed: list[dict[str, Any]] = (
                    orjson.loads(answer.body) if answer.status == 200 else []
                )
                if listed:
                    find_tool([tool["name"] for tool in listed], "say")
                    return [tool["id"] for tool in listed]
                await asyncio.sleep(0.1)


def _object(path: str, answer: Answer) -> dict[str, Any]:
    if answer.status >= 300:
        raise NotReady(f"{path} answered HTTP {answer.status}: {answer.body[:300]!r}")
    return orjson.loads(answer.body)


def _token(folder: Path, env: Mapping[str, str]) -> str:
    """An administrator's token, made by the gateway's own tool."""
    argv = [str(program("contextforge", "python")), "-m", "mcpgateway.utils.create_jwt_token"]
    argv += ["--username", _ADMIN, "--exp", "600", "--admin"]
    argv += ["--secret", env["JWT_SECRET_KEY"], "--algo", "HS256"]
    done = subprocess.run(
        argv, cwd=folder, env=dict(env), capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.split()[-1]
