"""The entries that come with the fleet: all there, all off, all pinned, none with a secret."""

import json
import os
import shutil
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import psutil
import pytest

from flotilla import NotConfigured, Unavailable
from flotilla.fleet import FleetConfig
from master.documents.files import FileDocuments
from master.external.child import Child
from master.external.config import load_config
from master.external.fetch import fetch_of
from master.external.guard import Guard
from master.external.handles import resolve
from master.external.launch import Launcher
from tests.processes import alive

if TYPE_CHECKING:
    from conftest import Den

pytestmark = pytest.mark.anyio

CONFIG = Path(__file__).parents[3] / "config"
SERVICES = FleetConfig.load(CONFIG / "services.yaml", env={}).services
READY_MADE = load_config(CONFIG / "mcp.json", SERVICES)
NEEDS = {
    "filesystem": {"MCP_FILESYSTEM_DIR"},
    "git": {"MCP_GIT_REPOSITORY"},
    "fetch": set[str](),
    "memory": set[str](),
    "time": set[str](),
    "sequential-thinking": set[str](),
    "github": {"GITHUB_TOKEN"},
    "postgres": {"MCP_POSTGRES_URL"},
    "sqlite": {"MCP_SQLITE_DIR"},
    "brave-search": {"BRAVE_API_KEY"},
    "google-maps": {"GOOGLE_MAPS_API_KEY"},
    "slack": {"SLACK_BOT_TOKEN", "SLACK_TEAM_ID"},
    "puppeteer": set[str](),
}


def test_every_official_server_is_there_and_off_until_asked_for() -> None:
    assert set(READY_MADE) == set(NEEDS)
    assert all(entry.disabled for entry in READY_MADE.values())
    assert all(entry.description for entry in READY_MADE.values())


@pytest.mark.parametrize("name", READY_MADE)
def test_what_is_fetched_has_its_exact_version(name: str) -> None:
    entry = READY_MADE[name]
    if entry.command is not None:
        fetch = fetch_of(entry.command, entry.args)
        assert fetch is not None
        assert fetch.pinned


@pytest.mark.parametrize("name", READY_MADE)
def test_what_it_needs_is_named_by_the_error_and_by_its_description(name: str) -> None:
    entry, needed = READY_MADE[name], NEEDS[name]
    for missing in needed:
        with pytest.raises(NotConfigured, match=missing):
            resolve(name, entry, dict.fromkeys(needed - {missing}, "/tmp"))
        assert missing in str(entry.description)
    assert resolve(name, entry, dict.fromkeys(needed, "/tmp")).entry == entry


def said(command: str, *args: str) -> str:
    try:
        ended = subprocess.run((command, *args), capture_output=True, text=True, timeout=30)
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
    for variable, value in (
        ("npm_config_registry", said("npm", "config", "get", "registry")),
        ("UV_INDEX_URL", said("python3", "-m", "pip", "config", "get", "global.index-url")),
    ):
        if value:
            found.setdefault(variable, value)
    if certificates := os.environ.get("SSL_CERT_FILE") or os.environ.get("PIP_CERT"):
        found["SSL_CERT_FILE"] = certificates
    return found


class Conversation:
    """As much MCP as it takes to see a server work."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._lines = child.lines()
        self._number = 0

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        await self._tell({"id": self._number, "method": method, "params": params})
        async for line in self._lines:
            answer = json.loads(line)
            if answer.get("id") == self._number and "method" not in answer:
                return answer["result"]
        raise AssertionError(f"it ended: {(await self._child.end()).reason}")

    async def begin(self) -> None:
        client = {"name": "test", "version": "1"}
        await self.ask(
            "initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=client
        )
        await self._tell({"method": "notifications/initialized"})

    async def _tell(self, message: dict[str, Any]) -> None:
        await self._child.write(json.dumps({"jsonrpc": "2.0", **message}).encode())


CALLS: dict[str, tuple[str, dict[str, Any], str]] = {
    "filesystem": ("read_text_file", {"path": "{folder}/note.txt"}, "a note"),
    "git": ("git_log", {"repo_path": "{folder}"}, "the first"),
    "memory": (
        "create_entities",
        {"entities": [{"name": "n", "entityType": "t", "observations": ["seen"]}]},
        "seen",
    ),
    "time": ("get_current_time", {"timezone": "Europe/Berlin"}, "Europe/Berlin"),
    "sqlite": ("create_table", {"query": "CREATE TABLE seen (a INTEGER)"}, "success"),
    "sequential-thinking": (
        "sequentialthinking",
        {"thought": "a", "nextThoughtNeeded": False, "thoughtNumber": 1, "totalThoughts": 1},
        "thoughtHistoryLength",
    ),
    # It refuses addresses that are not public, which is an answer as well.
    "fetch": ("fetch", {"url": "http://127.0.0.1:1/"}, "127.0.0.1"),
}


@pytest.mark.real
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", CALLS)
async def test_an_official_server_works_shut_in_and_hides_nothing_in_its_tools(
    boxed: "Den", tmp_path: Path, name: str
) -> None:
    entry = READY_MADE[name]
    assert entry.command is not None
    path = f"{Path(__file__).parents[3] / '.venv' / 'bin'}:{os.environ['PATH']}"
    if shutil.which(entry.command, path=path) is None:
        pytest.skip(f"{entry.command} is not installed")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "note.txt").write_text("a note")
    if name == "git":
        author = ("-c", "user.name=a", "-c", "user.email=a@b.example")
        for args in (("init", "-q"), ("add", "."), (*author, "commit", "-qm", "the first")):
            subprocess.run(("git", "-C", str(folder), *args), check=True)
    subprocess.run(("chmod", "-R", "a+rwX", str(folder)), check=True)
    launcher = Launcher(
        tmp_path / "external",
        boxed.means,
        env={"PATH": path, **dict.fromkeys(NEEDS[name], str(folder))},
    )
    entry = entry.model_copy(update={"env": {**where_packages_come_from(), **entry.env}})
    tool, arguments, expected = CALLS[name]
    told = json.loads(json.dumps(arguments).replace("{folder}", str(folder)))
    async with AsyncExitStack() as stack:
        try:
            child = await stack.enter_async_context(launcher.open(name, entry))
        except Unavailable as error:
            pytest.skip(f"{error}")
        conversation = Conversation(child)
        with anyio.fail_after(60):
            await conversation.begin()
            tools = (await conversation.ask("tools/list"))["tools"]
            answer = await conversation.ask("tools/call", name=tool, arguments=told)
        reviewed = await Guard(FileDocuments(tmp_path)).review(name, tools)
        assert reviewed.held == ()
        assert tool in {each["name"] for each in reviewed.offered}
        assert expected in json.dumps(answer)
        tether = psutil.Process(child.pid)
        processes = [tether, *tether.children(recursive=True)]
        assert child.protection.sandbox == "bubblewrap"
    assert not alive(processes)
