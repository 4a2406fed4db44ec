"""Documents in files: whole or not at all, for their owner alone, for several processes at once."""

import fcntl
import json
import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from flotilla import Misconfigured, Unavailable
from master.documents.files import FileDocuments
from master.documents.kept import Kept
from master.documents.opened import open_documents

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[3]


async def test_a_file_is_its_owners_alone_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    documents = open_documents(None, tmp_path / "hub")
    version = await documents.save("servers", {"a": 1}, None)
    await documents.save("servers", {"a": 2}, version)
    (file,) = (tmp_path / "hub").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert json.loads(file.read_text()) == {"a": 2}


async def test_looking_makes_nothing(tmp_path: Path) -> None:
    documents = FileDocuments(tmp_path / "hub")
    await documents.load("servers")
    await documents.version("servers")
    assert documents.at_hand("servers") is not None
    assert not (tmp_path / "hub").exists()


async def test_what_a_person_wrote_into_the_file_counts_as_saved(tmp_path: Path) -> None:
    documents = FileDocuments(tmp_path)
    version = await documents.save("servers", {"a": 1}, None)
    (tmp_path / "servers.json").write_text('{"a": 5}')
    now = await documents.version("servers")
    assert now != version
    assert await documents.load("servers") == documents.at_hand("servers")
    assert (await documents.load("servers")).body == {"a": 5}


@pytest.mark.parametrize("content", ["", "{", "[]", "\xff"])
async def test_a_file_that_is_no_json_object_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "servers.json").write_text(content, encoding="latin-1")
    documents = FileDocuments(tmp_path)
    with pytest.raises(Misconfigured, match=r"servers\.json is not a JSON object"):
        await documents.load("servers")


async def test_a_folder_that_another_process_holds_is_not_waited_for_without_end(
    tmp_path: Path,
) -> None:
    documents = FileDocuments(tmp_path, lock_wait_s=0.05)
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(Unavailable, match="another process holds"):
        await documents.save("servers", {}, None)
    os.close(held)
    await documents.save("servers", {}, None)


async def test_a_disk_that_takes_nothing_is_unavailable_and_the_old_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = FileDocuments(tmp_path)
    version = await documents.save("servers", {"a": 1}, None)

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unavailable, match="No space left"):
        await documents.save("servers", {"a": 2}, version)
    assert (await documents.load("servers")).body == {"a": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["servers.json"]


COUNT = """
    import asyncio, sys
    from pathlib import Path
    from master.documents.files import FileDocuments
    from master.documents.kept import Kept

    async def main():
        kept = Kept(
            FileDocuments(Path(sys.argv[1])), "count", read=lambda body: body.get("n", 0),
            write=lambda n: {"n": n}, news=None, topic="count",
        )
        print("ready", flush=True)
        for _ in range(25):
            await kept.change(lambda n: n + 1)

    asyncio.run(main())
"""


async def test_processes_that_change_one_file_at_once_lose_nothing(tmp_path: Path) -> None:
    kept: Kept[int] = Kept(
        FileDocuments(tmp_path),
        "count",
        read=lambda body: body.get("n", 0),
        write=lambda n: {"n": n},
        news=None,
        topic="count",
    )
    path = f"{ROOT}:{ROOT / '00_master_mcp'}"
    argv = [sys.executable, "-c", textwrap.dedent(COUNT), str(tmp_path)]
    with subprocess.Popen(
        argv,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        began = other.stdout.readline()
        for _ in range(25 if began else 0):
            await kept.change(lambda n: n + 1)
        _, told = other.communicate(timeout=60)
    assert (other.returncode, began) == (0, b"ready\n"), told.decode()
    assert (await FileDocuments(tmp_path).load("count")).body == {"n": 50}
