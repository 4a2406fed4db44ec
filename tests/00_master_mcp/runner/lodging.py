"""A runner as a process of its own, and a hub as one, for tests that stop or kill them."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import httpx2
import psutil

from tests.conftest import plain_http

ROOT = Path(__file__).resolve().parents[3]
HUB_FOLDER = ROOT / "00_master_mcp"
START_S = 40.0


@dataclass
class RunnerProcess:
    """`start` and `kill` it as often as wanted: it keeps its port, its folder and its variables."""

    folder: Path
    port: int
    env: dict[str, str] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "runner.log").read_text()

    async def start(self) -> None:
        """Return when it listens."""
        with (self.folder / "runner.log").open("a") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(HUB_FOLDER / "runner.py"),
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": str(ROOT),
                    "FLOTILLA_DATA_DIR": str(self.folder / "runner"),
                    "FLOTILLA_HUB_PUBLIC_KEY": str(self.folder / "data/hub/public_key.pem"),
                    "FLOTILLA_RUNNER_PORT": str(self.port),
                    **self.env,
                },
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        async with httpx2.AsyncClient(verify=plain_http()) as http:
            with anyio.fail_after(START_S):
                while not await _answers(http, f"{self.url}/health"):
                    assert self.process.returncode is None, self.log
                    await anyio.sleep(0.05)

    async def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal it, and return when it has ended."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        with anyio.fail_after(30, shield=True):
            await self.process.wait()

    def programs(self) -> list[psutil.Process]:
        """Everything that it started and that runs."""
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)


@asynccontextmanager
async def hub_process(folder: Path, port: int, runner: str) -> AsyncGenerator[psutil.Process]:
    """A hub alone, with the mcp.json of `folder`, as a process that may be killed."""
    with (folder / "hub.log").open("a") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(HUB_FOLDER / "mcp_server.py"),
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT),
                "FLOTILLA_DATA_DIR": str(folder / "data"),
                "FLOTILLA_CONFIG_DIR": str(ROOT / "config"),
                "FLOTILLA_MCP_CONFIG": str(folder / "mcp.json"),
                "FLOTILLA_SERVICES": "00",
                "FLOTILLA_EXTERNAL_RUNNER": runner,
                "MCP_PORT_MASTER": str(port),
            },
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        yield psutil.Process(process.pid)
    finally:
        if process.returncode is None:
            process.kill()
        with anyio.fail_after(10, shield=True):
            await process.wait()


async def _answers(http: httpx2.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(url)).status_code == 200
    except httpx2.TransportError:
        return False
