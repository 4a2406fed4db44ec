"""Files: what is read is true and can be read on, what is written is whole, the rest is refused."""

import base64
import hashlib
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla import CommonSettings
from linux_cli.decoding import decoded
from linux_cli.host import Part
from linux_cli.mounts import aliases_of, mounts_in, place_of

Call = Callable[..., Awaitable[dict[str, Any]]]

pytestmark = pytest.mark.anyio


async def read_all(call: Call, path: Path, max_bytes: int) -> str:
    content, offset = "", 0
    for _ in range(1000):
        part = await call("readFile", path=str(path), offset=offset, maxBytes=max_bytes)
        content += part["content"]
        if "nextOffset" not in part:
            return content
        assert part["nextOffset"] > offset
        offset = part["nextOffset"]
    raise AssertionError("never came to the end")


async def test_a_file_is_read_on_part_by_part_without_breaking_a_character(
    call: Call, tmp_path: Path
) -> None:
    file = tmp_path / "text"
    file.write_text("héllo wörld €uro 🚀\n" * 50)
    assert await read_all(call, file, 7) == file.read_text()


async def test_a_file_shows_its_end_by_a_negative_offset(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("one\ntwo\nthree\n")
    part = await call("readFile", path=str(file), offset=-6)
    assert (part["content"], part["offset"], part["sizeBytes"]) == ("three\n", 8, 14)


async def test_lines_are_read_by_number(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("".join(f"line {number}\n" for number in range(1, 1001)))
    part = await call("readFile", path=str(file), startLine=500, lines=2)
    assert part["content"] == "line 500\nline 501\n" and part["truncated"]
    following = await call("readFile", path=str(file), offset=part["nextOffset"], lines=1)
    assert following["content"] == "line 502\n"
    assert (await call("readFile", path=str(file), startLine=5000))["content"] == ""
    both = await call("readFile", path=str(file), startLine=5, offset=5)
    assert both["error"] == "invalid_argument"


@pytest.mark.parametrize(
    ("raw", "encoding", "content"),
    [
        (b"plain", "utf-8", "plain"),
        (b"caf\xe9", "latin-1", "café"),
        ("\ufeffwide é".encode("utf-16-le"), "utf-16-le", "wide é"),
        ("\ufeffwide é".encode("utf-16-be"), "utf-16-be", "wide é"),
        (b"\x7fELF\0\1", "base64", base64.b64encode(b"\x7fELF\0\1").decode()),
        (b"", "utf-8", ""),
    ],
)
async def test_what_a_file_holds_is_told_by_its_encoding(
    call: Call, tmp_path: Path, raw: bytes, encoding: str, content: str
) -> None:
    file = tmp_path / "file"
    file.write_bytes(raw)
    part = await call("readFile", path=str(file))
    assert (part["encoding"], part["content"], part["sizeBytes"]) == (encoding, content, len(raw))
    same = await call("readFile", path=str(file), encoding="base64")
    assert base64.b64decode(same["content"]) == raw


@given(st.binary(max_size=64), st.integers(4, 9))
def test_every_file_can_be_read_to_its_end(raw: bytes, step: int) -> None:
    offset = 0
    while True:
        data = raw[offset : offset + step]
        part = Part("x", offset, data, len(raw), 0, offset + len(data) >= len(raw), raw[:4])
        _, _, used = decoded(part, raw=False)
        assert used > 0 or not data
        offset += used
        if offset >= len(raw):
            return


async def test_files_of_proc_are_read_though_they_have_no_size(call: Call) -> None:
    part = await call("readFile", path="/proc/self/status")
    assert part["content"].startswith("Name:") and "sizeBytes" not in part


async def test_a_folder_is_listed_page_by_page(call: Call, tmp_path: Path) -> None:
    for name in ("b", "a", ".hidden", "c"):
        (tmp_path / name).write_text(name * 3)
    (tmp_path / "link").symlink_to("a")
    first = await call("listDirectory", path=str(tmp_path), limit=2)
    assert [item["name"] for item in first["items"]] == ["a", "b"] and first["truncated"]
    rest = await call("listDirectory", path=str(tmp_path), limit=9, cursor=first["nextCursor"])
    assert [item["name"] for item in rest["items"]] == ["c", "data", "link"]
    assert rest["items"][2]["type"] == "link" and rest["items"][2]["target"] == "a"
    shown = await call("listDirectory", path=str(tmp_path), hidden=True)
    assert shown["total"] == 6
    facts, real = first["items"][0], (tmp_path / "a").stat()
    assert facts["sizeBytes"] == 3 and facts["mode"] == f"{real.st_mode & 0o7777:04o}"


async def test_the_newest_and_the_largest_come_first(call: Call, tmp_path: Path) -> None:
    for age, name in enumerate(("x", "y", "z")):
        (tmp_path / name).write_text("1" * (age + 1))
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    (tmp_path / "data" / "admin_token").unlink()
    (tmp_path / "data" / "linux_cli").rmdir()
    (tmp_path / "data").rmdir()
    sizes = await call("listDirectory", path=str(tmp_path), sortBy="size")
    times = await call("listDirectory", path=str(tmp_path), sortBy="modified")
    assert [item["name"] for item in sizes["items"]] == ["z", "y", "x"]
    assert [item["name"] for item in times["items"]] == ["x", "y", "z"]


async def test_the_fleet_s_own_data_is_out_of_reach_by_every_way(
    call: Call, common: CommonSettings, tmp_path: Path
) -> None:
    secret = common.data_dir / "admin_token"
    (tmp_path / "file").symlink_to(secret)
    (tmp_path / "folder").symlink_to(common.data_dir)
    (tmp_path / "hard").hardlink_to(secret)
    paths = [
        str(secret),
        f"{tmp_path}/file",
        f"{tmp_path}/folder/admin_token",
        f"{tmp_path}/hard",
        f"{tmp_path}/folder/../data/admin_token",
        f"/proc/self/root{secret}",
        f"/proc/{os.getpid()}/cwd/../../../..{secret}",
        f"//{secret}",
    ]
    for path in paths:
        for arguments in (
            {},
            {"content": "x", "writeMode": "overwrite"},
            {"content": "x", "writeMode": "append"},
        ):
            done = await call("writeFile" if arguments else "readFile", **arguments, path=path)
            assert done.get("error") == "not_allowed", (path, done)
    for folder in (common.data_dir, tmp_path / "folder"):
        assert (await call("listDirectory", path=str(folder)))["error"] == "not_allowed"
        new = await call("writeFile", path=f"{folder}/new/x", content="x", createParents=True)
        assert new["error"] == "not_allowed" and not (folder / "new").exists()
    assert secret.read_text() == "the-fleets-own-secret"


@pytest.mark.parametrize(
    "path",
    [
        "/proc/self/environ", "/proc/1/environ", "/proc/self/mem", "/proc/self/maps",
        "/proc/self/task/1/environ", "/proc/kcore", "/proc/self/fd/0", "/proc/1/root/etc/passwd",
        "/proc/self/cwd/README.md",
        "/proc/kmsg", "/dev/mem", "/proc/thread-self/environ", "/proc/self/auxv",
    ],
)  # fmt: skip
async def test_the_insides_of_processes_are_out_of_reach(call: Call, path: str) -> None:
    done = await call("readFile", path=path)
    assert done["error"] in ("not_allowed", "not_found"), done


async def test_a_protected_folder_is_known_under_its_other_mounts() -> None:
    mounts = mounts_in(
        "1 0 8:1 / / rw - ext4 /dev/sda rw\n"
        "2 1 8:1 /srv/data/sub /mnt/a\\040b rw - ext4 /dev/sda rw\n"
        "3 1 8:1 /srv /mnt/whole rw - ext4 /dev/sda rw\n"
        "4 1 0:5 / /proc rw - proc proc rw\n"
    )
    place = place_of("/srv/data", mounts)
    assert place is not None
    assert set(aliases_of(place, mounts)) == {"/srv/data", "/mnt/a b", "/mnt/whole/data"}
    assert place_of("/mnt/whole/data/x", mounts) == place_of("/srv/data/x", mounts)


async def test_what_is_no_regular_file_is_refused_without_waiting(
    call: Call, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        with anyio.fail_after(5):
            for path in (tmp_path / "fifo", tmp_path / "socket", tmp_path, Path("/dev/zero")):
                read = await call("readFile", path=str(path))
                assert read["error"] == "invalid_argument", (path, read)
                wrote = await call("writeFile", path=str(path), content="", writeMode="overwrite")
                assert wrote["error"] in ("invalid_argument", "not_allowed"), (path, wrote)


async def test_a_new_file_is_written_with_its_folders(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "file"
    lacking = await call("writeFile", path=str(file), content="héllo")
    assert lacking["error"] == "not_found"
    done = await call("writeFile", path=str(file), content="héllo", createParents=True, mode="0600")
    assert file.read_text() == "héllo" and file.stat().st_mode & 0o777 == 0o600
    assert done["created"] and done["sizeBytes"] == 6
    assert done["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    again = await call("writeFile", path=str(file), content="x")
    assert again["error"] == "conflict" and file.read_text() == "héllo"
    assert [entry.name for entry in file.parent.iterdir()] == ["file"]


async def test_replacing_keeps_mode_and_link_and_leaves_no_other_file(
    call: Call, tmp_path: Path
) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("old")
    file.chmod(0o640)
    link.symlink_to(file)
    await call(
        "writeFile", path=str(link), content="AAE=", encoding="base64", writeMode="overwrite"
    )
    assert link.is_symlink() and file.read_bytes() == b"\0\1"
    assert file.stat().st_mode & 0o777 == 0o640
    await call("writeFile", path=str(file), content="more", writeMode="append")
    assert file.read_bytes() == b"\0\1more"
    assert {entry.name for entry in tmp_path.iterdir()} == {"file", "link", "data"}


async def test_a_file_that_changed_meanwhile_is_not_overwritten(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("seen")
    digest = hashlib.sha256(b"seen").hexdigest()
    options = {"path": str(file), "writeMode": "overwrite", "expectedSha256": digest}
    assert "error" not in await call("writeFile", content="next", **options)
    assert (await call("writeFile", content="late", **options))["error"] == "conflict"
    assert file.read_text() == "next"


@pytest.mark.parametrize("path", ["/proc/sys/kernel/hostname", "/sys/x", "/dev/null", "/"])
async def test_what_lies_on_no_disk_is_not_written(call: Call, path: str) -> None:
    done = await call("writeFile", path=path, content="x", writeMode="overwrite")
    assert done["error"] == "not_allowed"


async def test_bad_base64_and_relative_paths_are_mistakes(call: Call, tmp_path: Path) -> None:
    bad = await call("writeFile", path=f"{tmp_path}/x", content="%", encoding="base64")
    assert bad["error"] == "invalid_argument"
    assert (await call("readFile", path="etc/passwd"))["error"] == "invalid_argument"
    assert (await call("readFile", path="/no/such"))["error"] == "not_found"
    assert (await call("readFile", path="/" + "x" * 300))["error"] == "invalid_argument"
