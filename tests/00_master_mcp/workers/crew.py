"""A hub of several processes, as `mcp_server.py` starts it, and a spoke in this process."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psutil
import yaml

from flotilla import CommonSettings, Context, Model, Spoke, reads
from flotilla.fleet import FleetConfig, ServiceEntry
from flotilla.serving.run import Running
from flotilla.serving.spokes import spoke_service
from tests.conftest import Reachable, find_free_port, plain_http, until
from tests.processes import stop

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "00_master_mcp" / "mcp_server.py"
MODERN, HOP = "2026-07-28", "io.modelcontextprotocol/"
TAKES = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
START_S = 40.0
"""What a hub gets on a busy machine."""
ANSWER_S = 60.0
"""A call may wait for a worker to begin anew meanwhile."""


class Said(Model):
    text: str


class Shop:
    """A spoke's tools, which tell the test when they are called."""

    def __init__(self) -> None:
        self.calls = 0
        self.hanging = 0
        self.let_go = asyncio.Event()

    async def say(self, text: str = "hello") -> Said:
        """Say the text back."""
        self.calls += 1
        return Said(text=text)

    async def wait(self, *, context: Context) -> Said:
        """Report, and answer when the test says so."""
        self.hanging += 1
        try:
            await context.report(1, 2, "half of it")
            await self.let_go.wait()
        finally:
            self.hanging -= 1
        return Said(text="done")

    def spoke(self) -> Spoke:
        return Spoke(
            name="shop",
            version="1",
            instructions="",
            namespaces=("test.shop",),
            tools=(reads("test.shop.say", self.say), reads("test.shop.wait", self.wait)),
        )


@dataclass
class Crew(Reachable):
    """One parent and its workers; `told` are its log lines."""

    process: asyncio.subprocess.Process
    port: int
    data_dir: Path
    told: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token_file(self) -> Path:
        return self.data_dir / "admin_token"

    @property
    def owner(self) -> dict[str, str]:
        token = (self.data_dir / "owner_token").read_text().strip()
        return {"Authorization": f"Bearer {token}"}

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of the log that tell of such an event."""
        lines = [json.loads(line) for line in self.told if line.startswith("{")]
        return [line for line in lines if line.get("event") == name]

    def worker(self, number: int) -> psutil.Process:
        """The process that this worker is in its present life."""
        started = [line for line in self.events("worker_up") if line["worker"] == number]
        return psutil.Process(started[-1]["pid"])

    def lives(self, number: int) -> int:
        return len([line for line in self.events("worker_up") if line["worker"] == number])

    def family(self) -> list[psutil.Process]:
        """The parent and everything below it."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    async def metrics(self) -> str:
        async with httpx2.AsyncClient(verify=plain_http()) as http:
            return (await http.get(f"{self.url}/metrics")).text

    async def counted(self, name: str, **labels: str) -> dict[str, float]:
        """The samples of a metric with these labels, by worker."""
        found: dict[str, float] = {}
        for line in (await self.metrics()).splitlines():
            sample = re.fullmatch(rf"{name}\{{(.*)\}} (\S+)", line)
            if sample and all(f'{key}="{value}"' in sample[1] for key, value in labels.items()):
                worker = re.search(r'worker="(\d+)"', sample[1])
                assert worker, line
                found[worker[1]] = found.get(worker[1], 0.0) + float(sample[2])
        return found

    async def connected(self, server: str, workers: int = 2) -> None:
        """Return once every worker is connected to a server."""

        async def all_are() -> bool:
            health = await self.counted("mcp_service_health", service=server)
            return list(health.values()) == [1.0] * workers

        await until(all_are, within_s=START_S)


class Apart:
    """A client each of whose requests has a connection of its own: the workers take turns."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self.url = crew.url
        self.session: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        named = {} if self.session is None else {"mcp-session-id": self.session}
        return {**TAKES, **self._crew.headers, **named}

    async def send(self, method: str, path: str = "/mcp", **more: Any) -> httpx2.Response:
        headers = {**self.headers, **more.pop("headers", {})}
        async with httpx2.AsyncClient(timeout=ANSWER_S, verify=plain_http()) as http:
            url = f"{self.url}{path}"
            return await http.request(method, url, headers=headers, **more)

    async def open(self, version: str = "2025-06-18") -> None:
        """Begin a session."""
        told = {
            "protocolVersion": version,
            "capabilities": {"elicitation": {}},
            "clientInfo": {"name": "apart", "version": "1"},
        }
        answer = await self.send("POST", content=message("initialize", told))
        self.session = answer.headers["mcp-session-id"]

    async def call(self, tool: str, **arguments: Any) -> httpx2.Response:
        """A tool call on the session."""
        told = {"name": tool, "arguments": arguments}
        return await self.send("POST", content=message("tools/call", told))

    async def modern(self, tool: str, arguments: Any, **params: Any) -> dict[str, Any]:
        """The response to a tool call of 2026-07-28."""
        marks = {
            f"{HOP}protocolVersion": MODERN,
            f"{HOP}clientInfo": {"name": "apart", "version": "1"},
            f"{HOP}clientCapabilities": {"elicitation": {}},
        }
        told = {"name": tool, "arguments": arguments, **params, "_meta": marks}
        named = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": tool}
        answer = await self.send("POST", content=message("tools/call", told), headers=named)
        return answer_in(answer.text)


async def say(crew: Crew, text: str) -> dict[str, Any]:
    return await Apart(crew).modern("test_shop_say", {"text": text})


async def wait(crew: Crew) -> dict[str, Any]:
    return await Apart(crew).modern("test_shop_wait", {})


def message(method: str, params: Mapping[str, Any]) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})


def answer_in(text: str) -> dict[str, Any]:
    """The response in a body of JSON or of events."""
    events = [line[5:] for line in text.splitlines() if line.startswith("data:")]
    return json.loads(events[-1] if events else text)


@asynccontextmanager
async def shop_at(port: int, data_dir: Path, shop: Shop) -> AsyncGenerator[None]:
    """The spoke, on its own port, for hubs whose keys lie in this data folder."""
    common = CommonSettings(data_dir=data_dir, shutdown_grace_s=1)
    entry = ServiceEntry(number=1, port=port, namespaces=("test.shop",))
    fleet = FleetConfig({"shop": entry}, {})
    running, stop = Running(lambda: spoke_service(shop.spoke(), common, fleet)), asyncio.Event()
    task = asyncio.create_task(running.keep_up(stop))
    try:
        yield
    finally:
        stop.set()
        await running.wind_down()
        await task


@asynccontextmanager
async def crew_in(
    folder: Path,
    shop_port: int,
    *,
    external: Mapping[str, Any] | None = None,
    rate: Mapping[str, int] | None = None,
    ready: bool = True,
    **env: str,
) -> AsyncGenerator[Crew]:
    """A hub of processes in a folder of its own; SIGTERM ends it."""
    port, config = find_free_port(), folder / "config"
    config.mkdir(parents=True, exist_ok=True)
    services = {
        "master": {"number": 0, "port": port, "namespaces": ["master"]},
        "shop": {
            "number": 1,
            "port": shop_port,
            "namespaces": ["test.shop"],
            "rate_limit": rate or {"per_minute": 60_000},
        },
    }
    (config / "services.yaml").write_text(yaml.safe_dump({"services": services}))
    (config / "mcp.json").write_text(json.dumps({"mcpServers": dict(external or {})}))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SCRIPT)),
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "FLOTILLA_CONFIG_DIR": str(config),
            "FLOTILLA_DATA_DIR": str(folder / "data"),
            "FLOTILLA_SHUTDOWN_GRACE_S": "3",
            "FLOTILLA_WORKERS": "2",
            **env,
        },
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    crew = Crew(process, port, folder / "data")
    reading = asyncio.create_task(_read(process, crew.told))
    try:
        if ready:
            async with httpx2.AsyncClient(verify=plain_http()) as http:
                await until(lambda: _is_ready(http, crew), within_s=START_S)
        yield crew
    finally:
        await stop(process, signal.SIGTERM, 20, reading)


async def _read(process: asyncio.subprocess.Process, into: list[str]) -> None:
    assert process.stderr is not None
    async for line in process.stderr:
        into.append(line.decode(errors="replace").rstrip())


async def _is_ready(http: httpx2.AsyncClient, crew: Crew) -> bool:
    assert crew.process.returncode is None, "\n".join(crew.told)
    try:
        return (await http.get(f"{crew.url}/ready")).status_code == 200
    except httpx2.TransportError:
        return False
