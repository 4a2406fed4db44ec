"""Changes at runtime lie over the file, survive a restart, and are for the owner's eyes alone."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from flotilla import Conflict, InvalidArgument, Misconfigured, NotFound, Unavailable
from master.documents.files import FileDocuments
from master.external.config import parse_entry
from master.external.store import ServerStore

pytestmark = pytest.mark.anyio

FILE = {"git": parse_entry("git", {"command": "git-server"})}


def opened(folder: Path, **from_file: Any) -> ServerStore:
    return ServerStore(FileDocuments(folder / "hub"), from_file or FILE, ("linux_cli",))


async def test_a_server_added_at_runtime_is_there_after_a_restart(tmp_path: Path) -> None:
    await opened(tmp_path).add(
        "time", {"command": "uvx", "args": ["mcp-server-time"], "timeoutS": 7}
    )
    servers = opened(tmp_path).servers()
    assert list(servers) == ["git", "time"]
    assert [known.origin for known in servers.values()] == ["file", "runtime"]
    assert (servers["time"].entry.args, servers["time"].entry.timeout_s) == (
        ("mcp-server-time",),
        7,
    )


async def test_a_server_of_the_file_can_be_disabled_removed_and_added_again(tmp_path: Path) -> None:
    store = opened(tmp_path)
    assert (await store.set_disabled("git", True)).entry.disabled
    assert opened(tmp_path).get("git").entry.disabled
    assert not (await store.set_disabled("git", False)).entry.disabled
    await store.remove("git")
    assert opened(tmp_path).servers() == {}
    await store.add("git", {"command": "another"})
    assert opened(tmp_path).get("git").entry.command == "another"
    await store.set_disabled("git", True)
    assert opened(tmp_path).get("git").entry.command == "another"
    await store.remove("git")
    assert opened(tmp_path).servers() == {}, "the one of the file does not come back"


async def test_a_change_to_a_server_that_the_file_no_longer_has_is_void(tmp_path: Path) -> None:
    await opened(tmp_path).set_disabled("git", True)
    assert list(opened(tmp_path, other=FILE["git"]).servers()) == ["other"]


async def test_only_what_exists_changes_and_only_what_is_new_is_added(tmp_path: Path) -> None:
    store = opened(tmp_path)
    with pytest.raises(Conflict):
        await store.add("git", {"command": "a"})
    with pytest.raises(InvalidArgument, match="a service of the fleet"):
        await store.add("linux-cli", {"command": "a"})
    with pytest.raises(InvalidArgument, match="colour is not a known key"):
        await store.add("time", {"command": "a", "colour": 1})
    for change in (store.remove, lambda name: store.set_disabled(name, True)):  # pyright: ignore
        with pytest.raises(NotFound):
            await change("none")
    assert not (tmp_path / "hub").exists(), "nothing was written"


async def test_the_file_is_readable_by_its_owner_alone_and_leaves_nothing_beside(
    tmp_path: Path,
) -> None:
    await opened(tmp_path).add("time", {"command": "a", "env": {"KEY": "literal"}})
    (file,) = (tmp_path / "hub").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["servers"]["time"]["entry"]["env"] == {"KEY": "literal"}


async def test_a_failed_write_keeps_the_old_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(tmp_path)
    await store.set_disabled("git", True)

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unavailable, match="No space"):
        await store.set_disabled("git", False)
    assert store.get("git").entry.disabled
    assert opened(tmp_path).get("git").entry.disabled
    assert len(list((tmp_path / "hub").iterdir())) == 1


@pytest.mark.parametrize("content", ["{", "[]", '{"servers": []}', '{"version": 2}'])
async def test_a_file_that_is_not_ours_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "hub" / "servers.json"
    file.parent.mkdir()
    file.write_text(content)
    with pytest.raises(Misconfigured, match=r"servers\.json"):
        opened(tmp_path)


ENTRIES = json.loads((Path(__file__).parents[3] / "config" / "mcp.json").read_text())["mcpServers"]
ENTRIES = {
    **ENTRIES,
    "remote": {
        "type": "streamable-http",
        "url": "https://docs.example/mcp?a=1",
        "headers": {"Authorization": "Bearer ${env:DOCS_TOKEN}"},
        "timeoutS": 0.5,
        "approval": "always",
    },
    "old": {"type": "sse", "url": "http://127.0.0.1:1/sse", "roots": ["file:///srv"]},
    "api": {
        "type": "openapi",
        "document": "/srv/petstore.yaml",
        "url": "https://pets.example",
        "include": {"methods": ["GET", "HEAD"], "tags": ["a", "b", "c"]},
        "credentials": {"key": "${file:/run/key}"},
    },
}


@pytest.mark.parametrize("name", ENTRIES)
async def test_an_entry_is_the_same_to_the_hub_that_took_it_and_to_those_that_read_it(
    tmp_path: Path, name: str
) -> None:
    added = await opened(tmp_path).add(f"{name}-two", ENTRIES[name])
    read = opened(tmp_path).get(f"{name}-two")
    assert read == added, "else what another hub changes would restart it"
