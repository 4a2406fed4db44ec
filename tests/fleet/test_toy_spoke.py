"""A new spoke is a folder of its own and two lines elsewhere.

The one that the fleet needs is its entry in services.yaml. The other is its block in
docker-compose.yml, where Docker runs it. What names the folder for pytest and the type check in
pyproject.toml concerns those who work on it, and `test_anatomy` says so when it is missing.
"""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("run_fleet.py", "requirements.txt", "tools", "flotilla", "config", "00_master_mcp")
FOLDER = "77_toy_mcp"
IN_SERVICES_YAML = "  toy: {number: 77, port: 8077, namespaces: [test.toy]}\n"

SPOKE = {
    "mcp_server.py": '''"""Start the toy spoke."""

from flotilla.serving import serve
from toy import build
from toy.settings import Settings

if __name__ == "__main__":
    serve(build(Settings.from_env()))
''',
    "toy/__init__.py": '''"""Greets."""

from flotilla import CommonSettings, Model, Spoke, reads
from toy.settings import Settings


class Greeting(Model):
    text: str


class Greeter:
    def __init__(self, word: str) -> None:
        self._word = word

    async def say_hello(self, name: str) -> Greeting:
        """Greet somebody by name."""
        return Greeting(text=f"{self._word}, {name}")


def build(settings: Settings, common: CommonSettings | None = None) -> Spoke:
    greeter = Greeter(settings.word)
    return Spoke(
        name="toy",
        version="1",
        instructions="Greets.",
        namespaces=("test.toy",),
        tools=(reads("test.toy.sayHello", greeter.say_hello, title="Say hello"),),
    )
''',
    "toy/settings.py": '''"""Settings of the toy spoke."""

from flotilla import ServiceSettings


class Settings(ServiceSettings, env_prefix="TOY_"):
    word: str = "Hello"
''',
}


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the repository without any spoke, with the environment that is already there."""
    house = tmp_path / "house"
    house.mkdir()
    skip = shutil.ignore_patterns("__pycache__")
    for name in NEEDED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, house / name, ignore=skip)
        else:
            shutil.copy(source, house / name)
    (house / ".venv").symlink_to(ROOT / ".venv")
    return house


def add_toy_spoke(house: Path) -> None:
    for name, text in SPOKE.items():
        file = house / FOLDER / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    file = house / "config" / "services.yaml"
    known = file.read_text(encoding="utf-8")
    file.write_text(known.replace("\nservices:\n", f"\nservices:\n{IN_SERVICES_YAML}"), "utf-8")


@asynccontextmanager
async def running(house: Path, base: int) -> AsyncGenerator[str]:
    """The fleet of that house until the end of the block; the URL of its hub."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(house / "run_fleet.py"), "--services", "toy"),
        env={
            **os.environ,
            "MCP_PORT_BASE": str(base),
            "FLOTILLA_DATA_DIR": str(house / "data"),
            "TOY_WORD": "Ahoy",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    told: list[str] = []
    try:
        with anyio.fail_after(60):
            async for line in process.stdout:
                told.append(line.decode())
                if "ready after" in told[-1]:
                    break
        assert told, "it said nothing"
        assert "ready after" in told[-1], "".join(told)
        yield f"http://127.0.0.1:{base}/mcp"
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        with anyio.fail_after(30, shield=True):
            await process.communicate()


@pytest.mark.real
async def test_a_new_spoke_is_its_folder_and_a_line_in_services_yaml(
    house: Path, port_base: int
) -> None:
    add_toy_spoke(house)
    async with running(house, port_base) as url:
        token = (house / "data" / "admin_token").read_text(encoding="utf-8").strip()
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=30) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            names = [tool.name for tool in (await client.list_tools()).tools]
            assert "test_toy_sayHello" in names
            result = await client.call_tool("test.toy.sayHello", {"name": "sailor"})
    assert not result.is_error
    assert result.structured_content == {"text": "Ahoy, sailor"}
    assert isinstance(result.content[0], TextContent)
