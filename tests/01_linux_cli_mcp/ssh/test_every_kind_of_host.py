"""The contract of a host: the same calls, here and over SSH, with the same answers."""

import hashlib
import os
from pathlib import Path

import anyio
import pytest

from tests.conftest import until

from .conftest import Site, lives

pytestmark = pytest.mark.anyio


async def test_a_program_says_what_it_has_to_and_how_it_ended(site: Site, place: str) -> None:
    async with site.open() as call:
        line = await call("runCommand", command="echo out; echo err >&2; exit 3", host=place)
        assert (line["exitCode"], line["stdout"], line["stderr"]) == (3, "out\n", "err\n")
        killed = await call("runCommand", command="kill -9 $$", host=place)
        assert (killed["exitCode"], killed["signal"]) == (137, "SIGKILL")
        # A program may say of itself what a shell would say of a signal.
        itself = await call("runCommand", command="exit 137", host=place)
        assert itself["exitCode"] == 137 and "signal" not in itself


async def test_a_program_gets_its_input_folder_and_variables(
    site: Site, place: str, tmp_path: Path
) -> None:
    async with site.open() as call:
        done = await call(
            "runCommand",
            command="wc -c; pwd; echo $COLOUR",
            stdin="x" * 300_000 + "é\n",
            cwd=str(tmp_path),
            env={"COLOUR": "bl'ue\n$(id) é"},
            host=place,
        )
        assert done["stdout"] == f"300003\n{tmp_path}\nbl'ue $(id) é\n"
        assert (await call("runCommand", command="cat; echo end", host=place))["stdout"] == "end\n"


@pytest.mark.real
async def test_nothing_but_the_usual_variables_is_there(site: Site, place: str) -> None:
    async with site.open() as call:
        said = (await call("runCommand", argv=["env"], host=place))["stdout"]
        names = {line.partition("=")[0] for line in said.splitlines()}
        assert names - {"_"} == {"PATH", "HOME", "LANG", "TERM", "TZ", "FLOTILLA_RUN"}


@pytest.mark.real
async def test_no_descriptor_but_the_three_is_open(site: Site, place: str) -> None:
    async with site.open() as call:
        said = await call("runCommand", argv=["ls", "/proc/self/fd"], host=place)
        # The fourth is the folder that ls reads.
        assert set(said["stdout"].split()) <= {"0", "1", "2", "3"}


async def test_what_is_missing_or_closed_is_said(site: Site, place: str, tmp_path: Path) -> None:
    async with site.open() as call:
        for argv, code in (
            (["no-such-program"], "not_found"),
            ([str(tmp_path / "nothing")], "not_found"),
        ):
            assert (await call("runCommand", argv=argv, host=place))["error"] == code
        folder = await call("runCommand", argv=["pwd"], cwd="/nowhere", host=place)
        assert folder["error"] in ("not_found", "invalid_argument")
        relative = tmp_path / "-odd name"
        relative.write_text("#!/bin/sh\necho yes\n")
        relative.chmod(0o755)
        ran = await call("runCommand", argv=["./-odd name"], cwd=str(tmp_path), host=place)
        assert ran["stdout"] == "yes\n"


@pytest.mark.real
async def test_a_timeout_ends_all_that_was_started(site: Site, place: str) -> None:
    async with site.open() as call:
        done = await call(
            "runCommand",
            command="trap '' TERM; sleep 300 & echo $! $$; setsid sleep 300 & echo $!; wait; wait",
            timeoutS=1,
            host=place,
        )
        assert done["timedOut"] and done["signal"] == "SIGKILL"
        pids = done["stdout"].split()
        assert len(pids) == 3
        await until(lambda: not any(lives(pid) for pid in pids))


async def test_a_cancelled_call_leaves_nothing_running(
    site: Site, place: str, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    async with site.open() as call, anyio.create_task_group() as group:
        command = f"echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; sleep 300"
        group.start_soon(lambda: call("runCommand", command=command, host=place))
        await until(pid_file.exists)
        group.cancel_scope.cancel()
    assert not lives(pid_file.read_text().strip())


async def test_a_program_that_closes_its_output_runs_to_its_end(
    site: Site, place: str, tmp_path: Path
) -> None:
    async with site.open() as call:
        done = await call(
            "runCommand",
            command=f"echo out; exec >&- 2>&-; sleep 1; touch {tmp_path}/done; exit 3",
            host=place,
        )
        assert (done["exitCode"], done["stdout"]) == (3, "out\n")
        assert (tmp_path / "done").exists()


async def test_a_daemon_lives_on_and_what_is_left_in_the_group_does_not(
    site: Site, place: str
) -> None:
    async with site.open() as call:
        done = await call(
            "runCommand",
            command="sleep 300 & echo $!; setsid sleep 300 >/dev/null 2>&1 & d=$!; echo $d; "
            "until [ $(cut -d' ' -f6 /proc/$d/stat) = $d ]; do :; done",
            host=place,
        )
        left, daemon = done["stdout"].split()
        try:
            await until(lambda: not lives(left))
            assert lives(daemon)
        finally:
            os.kill(int(daemon), 9)


@pytest.mark.real
async def test_endless_output_is_cut_while_it_flows(site: Site, place: str) -> None:
    async with site.open() as call:
        done = await call("runCommand", command="yes", timeoutS=0.7, host=place)
        assert done["timedOut"] and done["truncated"]
        assert len(done["stdout"]) < 50_000 and "bytes left out" in done["stdout"]


async def test_a_file_is_read_in_parts(site: Site, place: str, tmp_path: Path) -> None:
    text = "".join(f"line {number}\n" for number in range(20_000))
    (tmp_path / "long").write_text(text)
    (tmp_path / "link").symlink_to(tmp_path / "long")
    async with site.open() as call:
        read, offset = "", 0
        while offset is not None:
            part = await call("readFile", path=str(tmp_path / "link"), offset=offset, host=place)
            read += part["content"]
            offset = part.get("nextOffset")
        assert read == text and part["sizeBytes"] == len(text)
        assert part["path"] == str(tmp_path / "long")
        last = await call("readFile", path=str(tmp_path / "long"), offset=-11, host=place)
        assert last["content"] == "line 19999\n"
        some = await call(
            "readFile", path=str(tmp_path / "long"), startLine=10_000, lines=2, host=place
        )
        assert some["content"] == "line 9999\nline 10000\n"
        proc = await call("readFile", path="/proc/version", host=place)
        assert proc["content"].startswith("Linux version") and "sizeBytes" not in proc


async def test_what_cannot_be_read_is_said(site: Site, place: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "way").symlink_to("/proc/self/environ")
    async with site.open() as call:
        for path, code in (
            (tmp_path / "nothing", "not_found"),
            (tmp_path, "invalid_argument"),
            (tmp_path / "pipe", "invalid_argument"),
            ("/proc/1/environ", "not_allowed"),
            (tmp_path / "way", "not_allowed"),
            ("/proc/../proc/1/mem", "not_allowed"),
        ):
            assert (await call("readFile", path=str(path), host=place))["error"] == code, path


async def test_a_folder_shows_every_kind_of_name(site: Site, place: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "plain").write_text("abc")
    (folder / "plain").chmod(0o640)
    (folder / "with\nbreak").touch()
    Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff")).touch()
    (folder / "link").symlink_to("/some where")
    os.mkfifo(folder / "pipe")
    (folder / ".hidden").mkdir()
    async with site.open() as call:
        listed = await call("listDirectory", path=str(folder), host=place, limit=100)
        found = {one["name"]: one for one in listed["items"]}
        assert set(found) >= {"plain", "with\nbreak", "bad\\xff", "link", "pipe"}
        assert found["plain"]["sizeBytes"] == 3 and found["plain"]["mode"] == "0640"
        assert found["link"]["target"] == "/some where" and found["link"]["type"] == "link"
        assert found["pipe"]["type"] == "fifo"


async def test_a_file_is_written_whole_with_its_mode(
    site: Site, place: str, tmp_path: Path
) -> None:
    file = tmp_path / "new folder" / "file"
    async with site.open() as call:
        first = await call(
            "writeFile", path=str(file), content="one\n", createParents=True, host=place
        )
        assert first["created"] and file.read_text() == "one\n"
        assert file.stat().st_mode & 0o777 == 0o644
        assert first["sha256"] == hashlib.sha256(b"one\n").hexdigest()
        again = await call("writeFile", path=str(file), content="x", host=place)
        assert again["error"] == "conflict"
        file.chmod(0o600)
        link = tmp_path / "link"
        link.symlink_to(file)
        over = await call(
            "writeFile",
            path=str(link),
            content="two\n",
            writeMode="overwrite",
            expectedSha256=first["sha256"],
            host=place,
        )
        assert over["path"] == str(file) and link.is_symlink()
        assert file.read_text() == "two\n" and file.stat().st_mode & 0o777 == 0o600
        stale = await call(
            "writeFile",
            path=str(file),
            content="three",
            writeMode="overwrite",
            expectedSha256=first["sha256"],
            host=place,
        )
        assert stale["error"] == "conflict" and file.read_text() == "two\n"
        more = await call(
            "writeFile", path=str(file), content="more\n", writeMode="append", host=place
        )
        assert more["sizeBytes"] == 9 and file.read_text() == "two\nmore\n"
        assert more["sha256"] == hashlib.sha256(b"two\nmore\n").hexdigest()
        assert [one.name for one in file.parent.iterdir()] == ["file"]
        for path in ("/proc/self/comm", "/dev/null", "/sys/power/state"):
            refused = await call(
                "writeFile", path=path, content="x", writeMode="overwrite", host=place
            )
            assert refused["error"] in ("not_allowed", "invalid_argument")


async def test_a_program_that_only_reads_runs_and_no_other(site: Site, place: str) -> None:
    async with site.open() as call:
        said = await call("runReadOnly", argv=["head", "-n", "1", "/etc/passwd"], host=place)
        assert said["stdout"].startswith("root:")
        for argv in (["rm", "/tmp/x"], ["find", "/", "-delete"], ["cat", "/proc/1/environ"]):
            assert (await call("runReadOnly", argv=argv, host=place))["error"] == "not_allowed"


async def test_the_system_is_looked_at(site: Site, place: str) -> None:
    async with site.open() as call:
        info = await call("getSystemInfo", host=place)
        assert info["hostname"] == os.uname().nodename and info["memoryTotalBytes"] > 0
        disks = await call("getDiskUsage", path="/", host=place)
        assert disks["items"][0]["totalBytes"] > 0
        found = await call("listProcesses", host=place, limit=500, sortBy="pid")
        own = {one["pid"]: one for one in found["items"]}[os.getpid()]
        assert own["memoryBytes"] > 10_000_000 and own["startedAt"]


@pytest.mark.real
async def test_open_ports_name_their_process(site: Site, place: str) -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with site.open() as call:
            found = await call("listOpenPorts", port=port, host=place)
            assert found["items"][0]["pid"] == os.getpid()


async def test_a_process_is_signalled(site: Site, place: str) -> None:
    async with await anyio.open_process(["sleep", "300"]) as process:
        stat = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        async with site.open() as call:
            wrong = await call(
                "killProcess", pid=process.pid, expectedStartTicks=int(stat[19]) + 1, host=place
            )
            assert wrong["error"] == "conflict" and lives(process.pid)
            ended = await call(
                "killProcess", pid=process.pid, expectedStartTicks=int(stat[19]), host=place
            )
            assert ended["ended"]
            gone = await call("killProcess", pid=4_000_000, host=place)
            assert gone["error"] == "not_found"
