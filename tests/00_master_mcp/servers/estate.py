"""A hub with external servers, and its owner, who manages them over HTTP."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
import psutil

from tests.conftest import plain_http

PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable
"""One that every user may run: a test's own may lie in somebody's home."""
PUPPET = Path(__file__).with_name("puppet.py")
ROOT = Path(__file__).resolve().parents[3]
START_S = 20.0
"""What a program gets on a busy machine."""


def puppet(folder: Path, *args: str, **more: Any) -> dict[str, Any]:
    """The entry of a puppet whose program lies in `folder`, where every user can read it."""
    script = folder / "puppet" / PUPPET.name
    if not script.exists():
        script.parent.mkdir(parents=True)
        shutil.copyfile(PUPPET, script)
    return {
        "command": PYTHON,
        "args": [str(script), *args],
        "readable": [str(script.parent)],
        **more,
    }


def everything() -> dict[str, Any]:
    """The entry of the fixture server with every feature of the protocol."""
    return {
        "command": sys.executable,
        "args": ["-m", "everything", "--transport", "stdio"],
        "env": {"PYTHONPATH": str(ROOT / "tests")},
        "readable": [str(ROOT / "tests" / "everything")],
        "timeoutS": 20,
    }


def opened_up(folder: Path) -> Path:
    """Let the users of the servers pass down to the folder, as a data folder does."""
    for each in (folder, *folder.parents):
        if each.stat().st_uid == os.geteuid() and each != Path("/"):
            each.chmod(each.stat().st_mode | 0o011)
    return folder


@dataclass
class Estate:
    """A running hub: `owner` and `admin` are HTTP clients with their tokens, `nobody` has none."""

    fleet: Any
    owner: httpx2.AsyncClient
    admin: httpx2.AsyncClient
    nobody: httpx2.AsyncClient

    async def names(self) -> list[str]:
        servers = (await self.admin.get("/mcp/servers")).json()["servers"]
        return [each["name"] for each in servers]

    async def state(self, name: str) -> dict[str, Any]:
        answered = await self.admin.get(f"/mcp/servers/{name}")
        assert answered.status_code == 200, answered.text
        return answered.json()

    async def add(self, name: str, entry: dict[str, Any]) -> dict[str, Any]:
        answered = await self.owner.post("/mcp/servers", json={"name": name, "entry": entry})
        assert answered.status_code == 200, answered.text
        return answered.json()

    async def act(self, name: str, action: str, **body: Any) -> dict[str, Any]:
        answered = await self.owner.post(f"/mcp/servers/{name}/{action}", json=body)
        assert answered.status_code == 200, answered.text
        return answered.json()

    async def remove(self, name: str) -> None:
        answered = await self.owner.delete(f"/mcp/servers/{name}")
        assert answered.status_code == 200, answered.text

    async def reached(self, name: str, *states: str, within_s: float = START_S) -> dict[str, Any]:
        """How the server stands once it stands in one of these states."""
        found: dict[str, Any] = {}
        with anyio.move_on_after(within_s):
            while True:
                found = await self.state(name)
                if found["state"] in states:
                    return found
                await anyio.sleep(0.02)
        raise AssertionError(f"{name} is not {states} within {within_s} s, but {found}")

    async def held(self, name: str, tool: str, within_s: float = 10) -> dict[str, Any]:
        """What is held back of a tool, once it is."""
        with anyio.fail_after(within_s):
            while True:
                for each in (await self.state(name))["held"]:
                    if each["tool"] == tool:
                        return each
                await anyio.sleep(0.02)

    def client(self, path: str = "/mcp", mode: str = "auto", **more: Any) -> Any:
        return self.fleet.client(path, mode, **more)


@asynccontextmanager
async def estate_of(fleet: Any) -> AsyncGenerator[Estate]:
    data = fleet.common.data_dir
    owners = {"Authorization": f"Bearer {(data / 'owner_token').read_text().strip()}"}
    async with (
        httpx2.AsyncClient(
            base_url=fleet.url, headers=owners, timeout=60, verify=plain_http()
        ) as owner,
        httpx2.AsyncClient(
            base_url=fleet.url, headers=fleet.headers, timeout=60, verify=plain_http()
        ) as admin,
        httpx2.AsyncClient(base_url=fleet.url, timeout=60, verify=plain_http()) as nobody,
    ):
        yield Estate(fleet, owner, admin, nobody)


def below(pid: int) -> list[psutil.Process]:
    """All that runs of a server: the tether, the sandbox and whatever is below."""
    tether = psutil.Process(pid)
    return [tether, *tether.children(recursive=True)]


async def told_of_tools(client: Any, cause: Any, within_s: float = 10) -> None:
    """Run `cause` while a modern client listens; return when it was told of changed tools."""
    async with client.listen(tools_list_changed=True) as events:
        await cause()
        with anyio.fail_after(within_s):
            async for event in events:
                if type(event).__name__ == "ToolsListChanged":
                    return
    raise AssertionError("the stream of changes has ended")


class Ear:
    """Hears the notifications of a client of the handshake era."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self._more = asyncio.Event()

    async def hear(self, message: Any) -> None:
        self.heard.append(type(message).__name__)
        self._more.set()

    async def until(self, kind: str, within_s: float = 10) -> None:
        with anyio.fail_after(within_s):
            while kind not in self.heard:
                self._more.clear()
                await self._more.wait()
