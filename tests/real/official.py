"""The seven official servers, as `config/mcp.json` has them, behind a hub in its own process."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio
import httpx2
import psutil
import pytest
from mcp import Client

from flotilla.leftovers import MARK
from tests.conftest import client_over
from tests.processes import command_of

ROOT = Path(__file__).resolve().parents[2]
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
"""uv is a program of the test environment."""
INSTALL_S = 150
START_S = 90.0
"""For seven servers at once that fetch themselves, on two cores."""
NAMES = ("filesystem", "git", "fetch", "memory", "time", "sequential-thinking", "everything")
EVERYTHING = "@modelcontextprotocol/server-everything@2026.8.31"


def _said(*command: str) -> str:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ended.stdout.strip() if ended.returncode == 0 else ""


def where_packages_come_from() -> dict[str, str]:
    """What npm and uv are told on this machine, since a server has no home of ours to look in."""
    found = {
        key: value
        for key, value in os.environ.items()
        if key.upper().startswith(("UV_", "NPM_CONFIG_")) or key.lower().endswith("_proxy")
    }
    for variable, command in (
        ("npm_config_registry", ("npm", "config", "get", "registry")),
        ("UV_INDEX_URL", (sys.executable, "-m", "pip", "config", "get", "global.index-url")),
    ):
        if value := _said(*command):
            found.setdefault(variable, value)
    if certificates := os.environ.get("SSL_CERT_FILE") or os.environ.get("PIP_CERT"):
        found["SSL_CERT_FILE"] = certificates
    return found


def entries() -> dict[str, Any]:
    """Six from the fleet's own configuration and server-everything: on, and nobody to ask."""
    ready_made = json.loads((ROOT / "config" / "mcp.json").read_text())["mcpServers"]
    found = {name: dict(ready_made[name]) for name in NAMES if name in ready_made}
    found["everything"] = {"command": "npx", "args": ["-y", EVERYTHING]}
    # It refuses a page on loopback else, and there is no other page that a test may rely on.
    found["fetch"]["args"] = [*found["fetch"]["args"], "--allow-private-ips"]
    packages = where_packages_come_from()
    for entry in found.values():
        entry.pop("disabled", None)
        entry.update(approval="never", env={**packages, **entry.get("env", {})})
    return found


def install_or_skip() -> None:
    """Skip where npm and uv cannot install these packages, by their own account and not by ours."""
    for program in ("npx", "npm", "uvx", "git"):
        if shutil.which(program, path=PATH) is None:
            pytest.skip(f"{program} is not installed")
    args = [entry["args"] for entry in entries().values()]
    packages = [arg for each in args for arg in each if arg.startswith("@modelcontextprotocol/")]
    pinned = [arg for each in args for arg in each if arg.startswith("mcp-server-")]
    build = ROOT / "build" / "official-servers"
    build.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "PATH": PATH, **where_packages_come_from()}
    quiet = ("--no-audit", "--no-fund", "--loglevel=error")
    target = build / "python"
    for command in (
        ("npm", "install", *quiet, "--prefix", str(build), *packages),
        ("uv", "pip", "install", "--quiet", "--target", str(target), *pinned),
    ):
        try:
            ended = subprocess.run(
                command, env=env, capture_output=True, text=True, timeout=INSTALL_S
            )
        except subprocess.TimeoutExpired:
            pytest.skip(f"{command[0]} did not install the servers in {INSTALL_S} s")
        if ended.returncode != 0:
            pytest.skip(f"{command[0]} cannot install the servers: {ended.stderr[-300:]}")


@dataclass
class Official:
    """A hub with the seven behind it; `folder`, `repository` and `page` are what they work on."""

    home: Path
    port: int
    page: str
    hub: psutil.Popen | None = None
    started_s: dict[str, float] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def folder(self) -> Path:
        return self.home / "folder"

    @property
    def repository(self) -> Path:
        return self.home / "repository"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {(self.data / 'admin_token').read_text().strip()}"}

    async def start(self) -> None:
        """Return when all seven answer; `started_s` tells when each did."""
        told = self.home / "mcp.json"
        told.write_text(json.dumps({"mcpServers": entries()}))
        env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("FLOTILLA_")},
            "PATH": PATH,
            "PYTHONPATH": str(ROOT),
            "MCP_PORT_BASE": str(self.port),
            "FLOTILLA_DATA_DIR": str(self.data),
            "FLOTILLA_MCP_CONFIG": str(told),
            "FLOTILLA_SERVICES": "00",
            "MCP_FILESYSTEM_DIR": str(self.folder),
            "MCP_GIT_REPOSITORY": str(self.repository),
        }
        with (self.home / "hub.log").open("ab") as log:
            self.hub = psutil.Popen(
                [sys.executable, str(ROOT / "00_master_mcp" / "mcp_server.py")],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
            )
        began, self.started_s = perf_counter(), {}
        states: dict[str, Any] = {}
        with anyio.move_on_after(START_S):
            while len(self.started_s) < len(NAMES):
                states = await self.states()
                for name, state in states.items():
                    if state["state"] == "running":
                        self.started_s.setdefault(name, perf_counter() - began)
                await anyio.sleep(0.1)
            return
        waiting = {name: states.get(name) for name in NAMES if name not in self.started_s}
        raise AssertionError(f"after {START_S} s these do not run: {waiting}\n{self.said()}")

    async def states(self) -> dict[str, dict[str, Any]]:
        """The servers by name; none while the hub does not answer yet."""
        assert self.hub is not None and self.hub.poll() is None, self.said()
        with suppress(httpx2.TransportError, FileNotFoundError):
            async with httpx2.AsyncClient(headers=self.headers) as http:
                answered = (await http.get(f"{self.url}/mcp/servers")).json()
                return {each["name"]: each for each in answered.get("servers", [])}
        return {}

    def said(self) -> str:
        """The end of the hub's log."""
        return (self.home / "hub.log").read_text(errors="replace")[-4000:]

    def processes_of(self, pid: int) -> list[psutil.Process]:
        """A server's processes, from the tether down."""
        tether = psutil.Process(pid)
        return [tether, *tether.children(recursive=True)]

    def server_itself(self, pid: int) -> psutil.Process:
        """The last below the tether that is neither sandbox, shell nor package runner."""
        return [each for each in self.processes_of(pid) if "bin/mcp-server-" in command_of(each)][
            -1
        ]

    def own(self) -> list[psutil.Process]:
        """Every process that the hub started, directly or not."""
        assert self.hub is not None
        return self.hub.children(recursive=True)

    def marks(self) -> frozenset[str]:
        """What stands in the environment of everything that runs for a server now."""
        return frozenset(file.name for file in (self.data / "external" / ".running").iterdir())

    def kill(self) -> None:
        """As the system does when it has no memory left."""
        assert self.hub is not None
        self.hub.kill()
        self.hub.wait(10)

    async def stop(self) -> None:
        if self.hub is not None and self.hub.poll() is None:
            self.hub.terminate()
            await asyncio.to_thread(self.hub.wait, 30)

    @asynccontextmanager
    async def client(self, mode: str, **more: Any) -> AsyncGenerator[Client]:
        async with (
            httpx2.AsyncClient(headers=self.headers, timeout=60) as http,
            client_over(http, f"{self.url}/mcp", mode=mode, **more) as client,
        ):
            yield client


def strays(marks: frozenset[str], folder: Path) -> list[psutil.Process]:
    """Whoever carries one of these marks or was started with that folder, wherever it moved."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            told = process.environ().get(MARK) in marks or str(folder) in " ".join(
                process.cmdline()
            )
            if told and process.status() != "zombie":
                found.append(process)
    return found


def resident_mb(processes: list[psutil.Process]) -> float:
    total = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total / 1e6


def asks(official: Official) -> Mapping[str, tuple[str, Callable[[int], dict[str, Any]], str]]:
    """A cheap call of each server: its tool, the arguments of call n, what its answer holds."""
    folder, repository = official.folder, official.repository
    berlin = {"source_timezone": "Europe/Berlin", "target_timezone": "Asia/Tokyo"}
    return {
        "filesystem": (
            "ext_filesystem_read_text_file",
            lambda _: {"path": str(folder / "note.txt")},
            "a note of the test",
        ),
        "git": ("ext_git_git_status", lambda _: {"repo_path": str(repository)}, "On branch"),
        # To simplify the page it starts a program for each call, which takes most of a second.
        "fetch": (
            "ext_fetch_fetch",
            lambda _: {"url": official.page, "raw": True},
            "words of the page",
        ),
        "memory": ("ext_memory_search_nodes", lambda _: {"query": "Ada"}, "entities"),
        "time": (
            "ext_time_convert_time",
            lambda n: {**berlin, "time": f"{n % 16:02}:30"},
            "Asia/Tokyo",
        ),
        "sequential-thinking": (
            "ext_sequential-thinking_sequentialthinking",
            lambda n: {
                "thought": f"thought {n}",
                "thoughtNumber": n + 1,
                "totalThoughts": n + 2,
                "nextThoughtNeeded": True,
            },
            "thoughtHistoryLength",
        ),
        "everything": ("ext_everything_echo", lambda n: {"message": f"say {n}"}, "Echo: say "),
    }
