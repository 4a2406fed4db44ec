"""A fleet of real processes that are killed and started again, and a client for it."""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp

from flotilla.correlation import new_correlation_id
from tests.conftest import ROOT, free_base, until

from . import shredder

VERSION = "2026-07-28"
HOP = "io.modelcontextprotocol/"
HUB, SECRETS = "master", "secrets"
SCRIPTS = {
    HUB: ROOT / "00_master_mcp" / "mcp_server.py",
    SECRETS: ROOT / "13_secrets_mcp" / "mcp_server.py",
    shredder.NAME: ROOT / "tests" / "crash" / "shredder.py",
}
NUMBERS = {HUB: 0, SECRETS: 13, shredder.NAME: 90}
NAMESPACES = {HUB: "master", SECRETS: "security.secrets", shredder.NAME: shredder.NAMESPACE}
IMPORTED = (
    *("master", "master.workers", "secret_store", "flotilla.serving", "alembic.context"),
    *("aiosqlite", "asyncpg", "uvloop", "uvicorn.lifespan.on"),
    "uvicorn.protocols.http.httptools_impl",
)
DEFAULTS = """\
defaults:
  timeout_s: 10
  breaker: {failures: 1000, open_s: 0.1}
  rate_limit: {per_minute: 1000000, burst: 100000}
  health_check: {every_s: 0.2, timeout_s: 1, failures: 2}
"""
UNHURRIED = {
    "FLOTILLA_APPROVALS_MAX_PENDING": "10000",
    "FLOTILLA_APPROVALS_MAX_PENDING_EACH": "10000",
    "FLOTILLA_APPROVALS_MAX_ASKED_PER_MINUTE": "10000",
    "SECRETS_VERSIONS_KEPT": "1000",
}


class NoAnswer(Exception):
    """The connection broke: whether it was done is not known."""


class Refused(Exception):
    """The fleet said no, and how."""

    def __init__(self, code: str, told: Mapping[str, Any]) -> None:
        super().__init__(f"{code}: {told}")
        self.code = code
        self.details = told


@dataclass
class Nursery:
    """Forks services; see nursery.py."""

    process: asyncio.subprocess.Process
    log: Path

    async def ask(self, *words: object) -> int:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{' '.join(map(str, words))}\n".encode())
        answer = await self.process.stdout.readline()
        assert answer, self.log.read_text()
        return int(answer)


class House:
    """The processes of one data folder."""

    def __init__(
        self, folder: Path, base: int, nursery: Nursery, http: aiohttp.ClientSession
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.url = f"http://127.0.0.1:{base}"
        self._nursery = nursery
        self._http = http
        self.pids: dict[str, int] = {}
        self.start_s = 0.0
        """How long the latest start took."""

    def token(self, name: str) -> str:
        return (self.data / f"{name}_token").read_text().strip()

    async def start(self, *names: str) -> None:
        """Start these, and return once calls get through to all services."""
        began = monotonic()
        await self.launch(*names)
        await until(self._serves, within_s=30)
        self.start_s = monotonic() - began

    async def launch(self, *names: str) -> None:
        """Start these, and wait for nothing."""
        for name in names:
            log = self.folder / f"{name}.log"
            self.pids[name] = await self._nursery.ask("start", SCRIPTS[name], log)

    def kill(self, *names: str) -> None:
        for name in names:
            os.kill(self.pids[name], signal.SIGKILL)

    async def reap(self, *names: str) -> None:
        """Return once the kernel has taken down what was killed."""
        for name in names:
            ended = await self._nursery.ask("reap", self.pids.pop(name))
            assert ended == -signal.SIGKILL, f"{name} ended by itself: {ended}"

    async def _serves(self) -> bool:
        try:
            async with self._http.get(f"{self.url}/ready") as answer:
                if answer.status != 200:
                    return False
            await self.owner("POST", "/services/secrets/operations/list", {})
            look = await self.call(self.token("admin"), f"{shredder.NAMESPACE}.look", key="ready")
            listed = await self.call(self.token("admin"), "security.secrets.listSecrets")
        except (aiohttp.ClientError, NoAnswer, Refused, FileNotFoundError):
            return False
        return "resultType" in look and "resultType" in listed

    async def owner(
        self, method: str, path: str, body: Any = None, *, correlation: str | None = None
    ) -> Any:
        """What `/api` answers the owner; Refused or NoAnswer."""
        told = await self._asked(method, f"/api{path}", self.token("owner"), body, correlation)
        if "error" in told:
            raise Refused(told["error"]["code"], told["error"])
        return told

    async def lines(self, path: str) -> list[Any]:
        """The JSON lines of a long answer to the owner."""
        headers = {"authorization": f"Bearer {self.token('owner')}"}
        async with self._http.get(f"{self.url}/api{path}", headers=headers) as answer:
            return [json.loads(line) for line in (await answer.read()).splitlines()]

    async def call(
        self,
        token: str,
        tool: str,
        /,
        *,
        person: bool = False,
        correlation: str | None = None,
        more: Mapping[str, Any] | None = None,
        **arguments: Any,
    ) -> Mapping[str, Any]:
        """The result of a call; Refused where it is an error, NoAnswer where none came.

        `person`: one sits at the client, who can be asked. `more` are further parameters.
        """
        marks: dict[str, Any] = {
            f"{HOP}protocolVersion": VERSION,
            f"{HOP}clientInfo": {"name": "crash", "version": "1"},
            f"{HOP}clientCapabilities": {"elicitation": {"form": {}}} if person else {},
        }
        params: dict[str, Any] = {
            "name": tool,
            "arguments": arguments,
            "_meta": marks,
            **(more or {}),
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        headers = {"mcp-protocol-version": VERSION, "mcp-method": "tools/call", "mcp-name": tool}
        told = await self._asked("POST", "/mcp", token, body, correlation, headers)
        if "result" not in told:
            error: dict[str, Any] = told["error"]
            raise Refused(str(error.get("data", {}).get("reason", error["code"])), error)
        result = told["result"]
        if result.get("isError"):
            error = result["_meta"]["io.flotilla/error"]
            raise Refused(error["code"], error)
        return result

    async def _asked(
        self,
        method: str,
        path: str,
        token: str,
        body: Any,
        correlation: str | None,
        more: Mapping[str, str] | None = None,
    ) -> Any:
        headers = {
            "authorization": f"Bearer {token}",
            "accept": "application/json, text/event-stream",
            "content-type": "application/json",
            "x-correlation-id": correlation or new_correlation_id(),
            **(more or {}),
        }
        try:
            async with self._http.request(
                method, f"{self.url}{path}", json=body, headers=headers
            ) as answer:
                raw = await answer.read()
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            raise NoAnswer from error
        if answer.status == 401:
            raise Refused("unauthorized", {})
        if "event-stream" in answer.headers.get("content-type", ""):
            events = [line for line in raw.splitlines() if line.startswith(b"data:")]
            if not events:
                raise NoAnswer
            raw = events[-1].removeprefix(b"data:")
        return json.loads(raw)


@asynccontextmanager
async def opened_house(folder: Path, database_url: str | None = None) -> AsyncGenerator[House]:
    """A fleet that serves; its files are in `folder`, or in that PostgreSQL database."""
    base = free_base(list(NUMBERS.values()))
    _configure(folder / "config", base)
    folders = (ROOT, *(script.parent for script in SCRIPTS.values()))
    env = {
        **os.environ,
        **UNHURRIED,
        "PYTHONPATH": os.pathsep.join(map(str, folders)),
        "FLOTILLA_DATA_DIR": str(folder / "data"),
        "FLOTILLA_CONFIG_DIR": str(folder / "config"),
        "FLOTILLA_LOG_LEVEL": "INFO",
        "MCP_PORT_BASE": str(base),
        **({} if database_url is None else {"FLOTILLA_DATABASE_URL": database_url}),
    }
    log = folder / "nursery.log"
    with log.open("wb") as writing:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(ROOT / "tests" / "crash" / "nursery.py"),
            *IMPORTED,
            env=env,
            cwd=folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=writing,
        )
    try:
        # A connection for each request: one that is used again is tried again when it breaks.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        timeout = aiohttp.ClientTimeout(total=20)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
            house = House(folder, base, Nursery(process, log), http)
            await house.start(*SCRIPTS)
            yield house
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 20)


def _configure(folder: Path, base: int) -> None:
    shutil.copytree(ROOT / "config" / "policy", folder / "policy")
    shutil.copy(ROOT / "config" / "profiles.yaml", folder)
    (folder / "mcp.json").write_text('{"mcpServers": {}}')
    services = "".join(
        f"  {name}: {{number: {number}, port: {base + number}, namespaces: [{NAMESPACES[name]}]}}\n"
        for name, number in NUMBERS.items()
    )
    (folder / "services.yaml").write_text(f"{DEFAULTS}services:\n{services}")
