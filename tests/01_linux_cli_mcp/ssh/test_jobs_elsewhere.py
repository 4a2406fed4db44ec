"""Jobs on a host over SSH: they go on without us, and nothing of them stays behind."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from linux_cli.job_records import Records
from linux_cli.ssh.detached import ALIVE
from tests.backends.sshd_server import Sshd
from tests.conftest import until

from .conftest import Call, Site, lives
from .test_words import SHELLS

pytestmark = pytest.mark.anyio


async def ended(call: Call, job_id: str, within_s: float = 15) -> dict[str, Any]:
    """The job's last answer, once it has ended."""
    with anyio.fail_after(within_s):
        while True:
            answer = await call("readJob", jobId=job_id)
            if answer["complete"] or answer["job"]["state"] != "running":
                return answer
            await anyio.sleep(0.01)


async def said(call: Call, job_id: str) -> str:
    """The first line that it says."""
    with anyio.fail_after(10):
        while "\n" not in (content := (await call("readJob", jobId=job_id))["content"]):
            await anyio.sleep(0.01)
    return content.partition("\n")[0]


def left_behind(site: Site) -> set[Path]:
    """What the site's own jobs have on the host; others may run jobs there at the same time."""
    records = Records(site.folder / "data" / "linux_cli" / "jobs").all()
    assert records
    places = (Path.home() / ".cache", Path.home(), Path("/var/tmp"), Path("/tmp"))
    folders = {place / f".flotilla-{record.label}" for place in places for record in records}
    return {folder for folder in folders if folder.exists()}


async def test_a_job_says_all_and_how_it_ended(site: Site, place: str) -> None:
    async with site.open() as call:
        job = await call(
            "startJob",
            command="cat; echo err >&2; seq 20000; pwd; echo $d $max$s$i; umask; exit 4",
            stdin="in\n",
            cwd="/",
            # Names that a script of ours might use for itself.
            env={"d": "of\nhis own", "max": "m", "s": "'", "i": "é", "PATH": "/bin"},
            host=place,
        )
        answer = await ended(call, job["id"])
        assert answer["job"]["state"] == "finished" and answer["job"]["exitCode"] == 4
        text, offset = "", 0
        while True:
            part = await call("readJob", jobId=job["id"], offset=offset)
            text += part["content"]
            offset = part["nextOffset"]
            if part["complete"]:
                break
        numbers = "".join(f"{number}\n" for number in range(1, 20_001))
        assert text == f"in\n{numbers}/\nof his own m'é\n0022\n"
        errors = await call("readJob", jobId=job["id"], stream="stderr")
        assert errors["content"] == "err\n"
    assert left_behind(site) == set()


@pytest.mark.real
async def test_a_job_that_cannot_start_says_why(site: Site, place: str) -> None:
    async with site.open() as call:
        job = await call("startJob", argv=["no-such-program"], host=place)
        answer = await ended(call, job["id"])
        assert answer["job"]["state"] == "failed" and "no-such-program" in answer["job"]["reason"]


@pytest.mark.real
async def test_a_cancelled_job_and_one_out_of_time_end_with_all_they_started(
    site: Site, place: str
) -> None:
    command = "setsid sleep 300 & echo $! $$; sleep 300"
    async with site.open() as call:
        job = await call("startJob", command=command, host=place)
        pids = (await said(call, job["id"])).split()
        cancelled = await call("cancelJob", jobId=job["id"])
        assert cancelled["state"] == "cancelled"
        assert not any(lives(pid) for pid in pids)
        short = await call("startJob", command=command, timeoutS=1.5, host=place)
        answer = await ended(call, short["id"])
        assert answer["job"]["state"] == "timedOut"
        pids = answer["content"].split()
        assert len(pids) == 2 and not any(lives(pid) for pid in pids)
    await until(lambda: left_behind(site) == set())


@pytest.mark.real
async def test_a_job_ends_with_the_service(site: Site, place: str) -> None:
    async with site.open() as call:
        job = await call("startJob", command="echo $$; sleep 300", host=place)
        pid = await said(call, job["id"])
        assert lives(pid)
    assert not lives(pid)


@pytest.mark.real
async def test_a_job_outlives_the_connection_and_is_followed_again(
    site: Site, own_target: Sshd, tmp_path: Path
) -> None:
    own_target.start()
    site.add("there", own_target)
    go = tmp_path / "go"
    command = f"echo before; until [ -e {go} ]; do sleep 0.05; done; seq 1000; exit 7"
    async with site.open() as call:
        job = await call("startJob", command=command, host="there")
        assert await said(call, job["id"]) == "before"
        own_target.stop()
        go.touch()
        with anyio.fail_after(10):
            while (await call("getSystemInfo", host="there")).get("error") != "unavailable":
                await anyio.sleep(0.05)
        assert (await call("readJob", jobId=job["id"]))["job"]["state"] == "running"
        own_target.start()
        answer = await ended(call, job["id"])
        assert answer["job"]["state"] == "finished" and answer["job"]["exitCode"] == 7
        assert answer["content"] == "before\n" + "".join(f"{n}\n" for n in range(1, 1001))


@pytest.mark.real
async def test_of_output_that_nobody_reads_the_host_keeps_the_newest(
    site: Site, own_target: Sshd, tmp_path: Path
) -> None:
    own_target.start()
    site.add("there", own_target)
    site.settings["job_output_bytes"] = 256 * 1024 * 1024
    go = tmp_path / "go"
    lines = 12_000_000
    command = f"echo up; until [ -e {go} ]; do sleep 0.05; done; seq {lines}; touch {go}.done"
    async with site.open() as call:
        job = await call("startJob", command=command, host="there")
        await said(call, job["id"])
        own_target.stop()
        go.touch()
        await until(Path(f"{go}.done").exists, within_s=60)
        (kept_in,) = left_behind(site)
        # Until then it still removes there what is too old.
        await until((kept_in / "status").exists, within_s=60)
        kept = sum(file.stat().st_size for file in kept_in.iterdir())
        assert kept < 52 * 1024 * 1024
        own_target.start()
        await ended(call, job["id"], within_s=60)
        last = await call("readJob", jobId=job["id"], offset=-9)
        assert last["content"] == f"{lines}\n"
        first = await call("readJob", jobId=job["id"])
        assert "bytes were not kept while the host was away" in first["content"]


@pytest.mark.parametrize("noted", [True, False])
def test_a_supervisor_that_ends_while_it_is_looked_for_is_not_lost(
    tmp_path: Path, noted: bool
) -> None:
    for shell in SHELLS:
        folder = tmp_path / Path(shell).name
        folder.mkdir()
        os.mkfifo(folder / "pid")
        argv = [shell, *(["sh"] if shell.endswith("busybox") else []), "-c", ALIVE, "sh", folder]
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as looks:
            # Opened only when the script reads it.
            with (folder / "pid").open("w") as pid:
                if noted:
                    (folder / "status").touch()
                # No process may have that number.
                pid.write(f"1 1 {2**22 + 1}\n")
            said, _ = looks.communicate()
        assert said == (b"yes" if noted else b"no"), shell


LIFE = """
import asyncio, sys
from linux_cli import build
from linux_cli.settings import Settings
from flotilla import CommonSettings, Context, Deadline, Principal
from flotilla.redaction import Redactor
from flotilla.toolbox import Toolbox

async def live(folder, host):
    common = CommonSettings(data_dir=folder + "/data", config_dir=folder + "/config")
    spoke = build(Settings(), common)
    async with spoke.lifespan():
        context = Context(principal=Principal("ada"), correlation_id="test",
                          deadline=Deadline.after(20), approved=True)
        toolbox = Toolbox(spoke.tools, Redactor())
        asked = {"command": "echo $$; sleep 300", "host": host}
        job = (await toolbox.call("os.linux.startJob", asked, context))["structuredContent"]
        while True:
            asked = {"jobId": job["id"]}
            part = (await toolbox.call("os.linux.readJob", asked, context))["structuredContent"]
            if part["content"]:
                break
            await asyncio.sleep(0.02)
        print(job["id"], part["content"].strip(), flush=True)
        await asyncio.sleep(300)

asyncio.run(live(*sys.argv[1:]))
"""


@pytest.mark.real
async def test_a_job_of_a_life_that_was_killed_is_ended_on_its_host(
    site: Site, place: str, tmp_path: Path
) -> None:
    site.build()
    root = Path(__file__).resolve().parents[3]
    environment = {"PYTHONPATH": f"{root}:{root / '01_linux_cli_mcp'}", "PATH": "/usr/bin:/bin"}
    argv = [sys.executable, "-c", LIFE, str(tmp_path), place]
    async with await anyio.open_process(argv, env=environment, stderr=None) as life:
        assert life.stdout is not None
        said_by_it = ""
        async for data in life.stdout:
            said_by_it += data.decode()
            # Its log goes there too; the last line is ours.
            if said_by_it.endswith("\n") and "info" not in said_by_it.splitlines()[-1]:
                break
        life.kill()
    job_id, pid = said_by_it.splitlines()[-1].split()
    assert lives(pid)
    async with site.open() as call:
        await until(lambda: not lives(pid))
        assert (await call("readJob", jobId=job_id))["job"]["state"] == "lost"
        await until(lambda: left_behind(site) == set())
