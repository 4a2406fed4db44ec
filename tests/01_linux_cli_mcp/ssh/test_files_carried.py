"""uploadFile and downloadFile: whole or not at all, resumed, and out of no other folder."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from flotilla import Context, Deadline, InvalidArgument, NotFound, Principal
from linux_cli.ssh.exchange import PARTIAL, Exchange, sha256_of
from tests.backends.sshd_server import Sshd
from tests.conftest import until

from .conftest import Site

pytestmark = pytest.mark.anyio


@pytest.fixture
def exchange(site: Site) -> Path:
    folder = site.common.service_data_dir("linux_cli") / "exchange"
    folder.mkdir(mode=0o700)
    return folder


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def test_a_file_goes_there_and_back(
    site: Site, target: Sshd, exchange: Path, tmp_path: Path
) -> None:
    site.add("there", target)
    data = os.urandom(3_000_000)
    (exchange / "today").mkdir()
    (exchange / "today" / "out \n.bin").write_bytes(data)
    there = tmp_path / "there"
    there.mkdir()
    async with site.open() as call:
        sent = await call(
            "os.ssh.uploadFile",
            host="there",
            name="today/out \n.bin",
            path=str(there / "file"),
            mode="0640",
        )
        assert (sent["sizeBytes"], sent["sha256"]) == (len(data), digest(data))
        assert (there / "file").read_bytes() == data
        assert (there / "file").stat().st_mode & 0o777 == 0o640
        again = await call(
            "os.ssh.uploadFile", host="there", name="today/out \n.bin", path=str(there / "file")
        )
        assert again["error"] == "conflict"
        back = await call(
            "os.ssh.downloadFile", host="there", path=str(there / "file"), name="back"
        )
        assert (exchange / "back").read_bytes() == data and back["sha256"] == digest(data)
        assert (exchange / "back").stat().st_mode & 0o777 == 0o600
        taken = await call(
            "os.ssh.downloadFile", host="there", path=str(there / "file"), name="back"
        )
        assert taken["error"] == "conflict"
        empty = there / "empty"
        empty.touch()
        none = await call("os.ssh.downloadFile", host="there", path=str(empty), name="empty")
        assert none["sizeBytes"] == 0 and (exchange / "empty").read_bytes() == b""
    # Nothing is left of the parts.
    assert sorted(path.name for path in there.iterdir()) == ["empty", "file"]
    assert not list(exchange.glob(f"{PARTIAL}*"))


async def test_a_try_that_broke_off_is_resumed_and_a_broken_part_is_found(
    site: Site, target: Sshd, exchange: Path, tmp_path: Path
) -> None:
    site.add("there", target)
    data = os.urandom(2_500_000)
    (exchange / "file").write_bytes(data)
    there = tmp_path / "there"
    part = there / f"{PARTIAL}{digest(data)[:32]}" / "part"
    part.parent.mkdir(mode=0o700, parents=True)
    part.write_bytes(data[:1_000_000])
    upload: dict[str, Any] = {"host": "there", "name": "file", "path": str(there / "a")}
    async with site.open() as call:
        done = await call("os.ssh.uploadFile", **upload)
        assert done["resumedAt"] == 1_000_000 and (there / "a").read_bytes() == data
        # What lies there under the name of a part is not what was sent.
        part.parent.mkdir(mode=0o700)
        part.write_bytes(b"x" * 1_000_000)
        upload["path"] = str(there / "b")
        assert (await call("os.ssh.uploadFile", **upload))["error"] == "upstream_error"
        assert not (there / "b").exists()
        assert (await call("os.ssh.uploadFile", **upload))["resumedAt"] == 0
        assert (there / "b").read_bytes() == data
        mine = exchange / f"{PARTIAL}{digest(data)[:32]}"
        mine.write_bytes(data[:700_000])
        back = await call("os.ssh.downloadFile", host="there", path=str(there / "a"), name="c")
        assert back["resumedAt"] == 700_000 and (exchange / "c").read_bytes() == data
        mine.write_bytes(b"y" * 700_000)
        broken = await call("os.ssh.downloadFile", host="there", path=str(there / "a"), name="d")
        assert broken["error"] == "conflict" and not (exchange / "d").exists()
        assert not mine.exists()


async def test_files_of_one_content_that_are_carried_at_once_disturb_nobody(
    site: Site, target: Sshd, exchange: Path, tmp_path: Path
) -> None:
    site.add("there", target)
    data = os.urandom(100_000)
    (tmp_path / "same").write_bytes(data)
    (exchange / "same").write_bytes(data)
    answers: list[dict[str, Any]] = []
    async with site.open() as call:

        async def carry(number: int) -> None:
            there = str(tmp_path / f"up{number}")
            for tool, arguments in (
                ("downloadFile", {"path": str(tmp_path / "same"), "name": f"down{number}"}),
                ("uploadFile", {"path": there, "name": "same"}),
            ):
                answers.append(await call(f"os.ssh.{tool}", host="there", **arguments))

        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(carry, number)
    codes = {answer.get("error") for answer in answers}
    assert None in codes and codes <= {None, "conflict"}, answers
    came = [*exchange.glob("down*"), *tmp_path.glob("up*")]
    assert len(came) == [answer.get("error") for answer in answers].count(None)
    assert all(path.read_bytes() == data for path in came)


@pytest.mark.real
async def test_a_cancelled_upload_leaves_its_part_for_the_next_try(
    site: Site, own_target: Sshd, exchange: Path, tmp_path: Path
) -> None:
    own_target.start()
    site.add("there", own_target)
    # So much that it is not there before anybody can cancel it.
    data = os.urandom(96 * 1024 * 1024)
    (exchange / "file").write_bytes(data)
    path = tmp_path / "there"
    part = tmp_path / f"{PARTIAL}{digest(data)[:32]}" / "part"
    upload = {"host": "there", "name": "file", "path": str(path)}
    async with site.open() as call:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: call("os.ssh.uploadFile", **upload))
            await until(lambda: part.exists() and part.stat().st_size > 1024 * 1024)
            group.cancel_scope.cancel()
        assert not path.exists() and 0 < part.stat().st_size < len(data)
        done = await call("os.ssh.uploadFile", **upload)
        assert done["resumedAt"] > 1024 * 1024 and path.read_bytes() == data


async def test_a_part_that_somebody_put_there_is_not_written_through(
    site: Site, target: Sshd, exchange: Path, tmp_path: Path
) -> None:
    site.add("there", target)
    (exchange / "file").write_bytes(b"data")
    victim = tmp_path / "victim"
    victim.mkdir()
    (tmp_path / f"{PARTIAL}{digest(b'data')[:32]}").symlink_to(victim)
    async with site.open() as call:
        refused = await call(
            "os.ssh.uploadFile", host="there", name="file", path=str(tmp_path / "new")
        )
        assert refused["error"] == "not_allowed"
    assert not list(victim.iterdir()) and not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "name", ["../secret", "a/../../secret", "/etc/passwd", "", ".", "..", "a//b", f"{PARTIAL}x"]
)
async def test_no_name_leads_out_of_the_exchange_folder(
    site: Site, target: Sshd, exchange: Path, name: str, tmp_path: Path
) -> None:
    site.add("there", target)
    (exchange.parent / "secret").write_text("the fleet's own")
    async with site.open() as call:
        for tool in ("uploadFile", "downloadFile"):
            refused = await call(
                f"os.ssh.{tool}", host="there", name=name, path=str(tmp_path / "x")
            )
            assert refused["error"] in ("invalid_argument", "not_found"), refused
    assert not (tmp_path / "x").exists()


async def test_no_link_in_the_exchange_folder_is_followed(
    site: Site, target: Sshd, exchange: Path, tmp_path: Path
) -> None:
    site.add("there", target)
    (site.common.data_dir / "owner_token").write_text("the fleet's own")
    (exchange / "token").symlink_to(site.common.data_dir / "owner_token")
    (exchange / "up").symlink_to(site.common.data_dir)
    os.mkfifo(exchange / "pipe")
    async with site.open() as call:
        for name in ("token", "up/owner_token", "pipe"):
            refused = await call(
                "os.ssh.uploadFile", host="there", name=name, path=str(tmp_path / "x")
            )
            assert refused["error"] == "invalid_argument", name
        (tmp_path / "in").write_text("in")
        for name in ("token", "up/new"):
            refused = await call(
                "os.ssh.downloadFile", host="there", name=name, path=str(tmp_path / "in")
            )
            assert refused["error"] in ("invalid_argument", "conflict"), name
    assert not (tmp_path / "x").exists() and not (site.common.data_dir / "new").exists()


def test_a_folder_that_is_swapped_for_a_link_leads_nowhere_else(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("outside")
    exchange = Exchange(tmp_path / "exchange")
    inner = tmp_path / "exchange" / "inner"
    inner.mkdir(parents=True)
    (inner / "file").write_text("inside")
    seen: set[str] = set()
    for turn in range(200):
        if turn % 2:
            inner.rename(tmp_path / "aside")
            inner.symlink_to(outside)
        try:
            with exchange.reading("inner/file") as fd:
                seen.add(os.read(fd, 100).decode())
        except (InvalidArgument, NotFound):
            seen.add("refused")
        if turn % 2:
            inner.unlink()
            (tmp_path / "aside").rename(inner)
    assert seen == {"inside", "refused"}


async def test_what_is_too_large_or_no_file_is_refused(
    site: Site, target: Sshd, exchange: Path, tmp_path: Path
) -> None:
    site.add("there", target)
    site.settings["max_transfer_bytes"] = 1000
    (exchange / "large").write_bytes(b"x" * 1001)
    (tmp_path / "large").write_bytes(b"x" * 1001)
    async with site.open() as call:
        up = await call("os.ssh.uploadFile", host="there", name="large", path="/tmp/never")
        assert up["error"] == "too_large"
        for path, code in (
            (tmp_path / "large", "too_large"),
            (tmp_path, "invalid_argument"),
            ("/proc/self/environ", "not_allowed"),
            (tmp_path / "nothing", "not_found"),
        ):
            down = await call("os.ssh.downloadFile", host="there", path=str(path), name="x")
            assert down["error"] == code
        local = await call("os.ssh.uploadFile", host="local", name="large", path="/tmp/never")
        assert local["error"] == "invalid_argument"
    assert not list(exchange.glob(f"{PARTIAL}*"))


@pytest.mark.real
async def test_how_far_it_is_is_told(
    site: Site, target: Sshd, exchange: Path, tmp_path: Path
) -> None:
    site.add("there", target)
    (exchange / "file").write_bytes(os.urandom(2_000_000))
    told: list[tuple[float, float | None]] = []

    async def report(progress: float, total: float | None, _message: str | None) -> None:
        told.append((progress, total))

    context = Context(
        principal=Principal("ada"),
        correlation_id="test",
        deadline=Deadline.after(20),
        approved=True,
        report=report,
    )
    spoke = site.build()
    upload: Callable[..., Any] = {tool.name: tool.run for tool in spoke.tools}["os.ssh.uploadFile"]
    async with spoke.lifespan():
        await upload(context, "there", "file", str(tmp_path / "file"))
    assert told[-1] == (2_000_000, 2_000_000)


def test_a_digest_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    with (tmp_path / "file").open("rb") as file:
        assert sha256_of(file.fileno(), 3) == (digest(b"abc"), 3)


async def test_the_file_tools_here_do_not_reach_into_the_exchange_folder(
    site: Site, target: Sshd, exchange: Path
) -> None:
    site.add("there", target)
    (exchange / "file").write_text("x")
    async with site.open() as call:
        path = str(site.common.data_dir / "linux_cli" / "exchange" / "file")
        assert (await call("readFile", path=path))["error"] == "not_allowed"
