"""Jobs: they go on after the call, are read by offset, end when told, and are never forgotten."""

import os
import signal
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PosixPath
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla import CommonSettings, Spoke
from flotilla.leftovers import MARK
from linux_cli import build
from linux_cli.host import Ended, Hosts, Order, Take
from linux_cli.job_records import Record, Records
from linux_cli.jobs import Jobs
from linux_cli.local import LocalHost
from linux_cli.settings import Settings
from linux_cli.spool import Spool, read_spool

Call = Callable[..., Awaitable[dict[str, Any]]]

pytestmark = pytest.mark.anyio


async def ended(call: Call, job_id: str) -> dict[str, Any]:
    """The job's last answer, once it has ended; looked at in turns, bounded by time."""
    with anyio.fail_after(10):
        while True:
            answer = await call("readJob", jobId=job_id)
            if answer["complete"] or answer["job"]["state"] != "running":
                return answer
            await anyio.sleep(0.01)


async def said(call: Call, job_id: str, text: str) -> None:
    with anyio.fail_after(10):
        while text not in (await call("readJob", jobId=job_id))["content"]:
            await anyio.sleep(0.01)


def lives(pid: str) -> bool:
    """Whether a process runs; one that waits for its parent's notice does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


async def test_a_job_goes_on_after_the_call_and_tells_how_it_ended(
    spoke: Spoke, call: Call
) -> None:
    async with spoke.lifespan():
        job = await call("startJob", command="echo one; echo two >&2; read x; exit 4", stdin="\n")
        assert job["state"] == "running" and job["startedBy"] == "ada"
        answer = await ended(call, job["id"])
        assert answer["content"] == "one\n" and answer["complete"]
        assert answer["job"]["state"] == "finished" and answer["job"]["exitCode"] == 4
        errors = await call("readJob", jobId=job["id"], stream="stderr")
        assert errors["content"] == "two\n"
        listed = await call("listJobs")
        assert [one["id"] for one in listed["items"]] == [job["id"]]
        assert (await call("listJobs", state="running"))["items"] == []


async def test_output_is_read_by_offset(spoke: Spoke, call: Call) -> None:
    async with spoke.lifespan():
        job = await call("startJob", command="seq 1000")
        await ended(call, job["id"])
        text, offset = "", 0
        while True:
            part = await call("readJob", jobId=job["id"], offset=offset, maxBytes=100)
            text += part["content"]
            offset = part["nextOffset"]
            if part["complete"]:
                break
        assert text == "".join(f"{number}\n" for number in range(1, 1001))
        last = await call("readJob", jobId=job["id"], offset=-5)
        assert last["content"] == "1000\n"


async def test_a_cancelled_job_ends_with_all_that_it_started(spoke: Spoke, call: Call) -> None:
    async with spoke.lifespan():
        line = "setsid -f sh -c 'echo $$; echo up; exec sleep 300'; sleep 300"
        job = await call("startJob", command=line)
        await said(call, job["id"], "up")
        pid, _ = (await call("readJob", jobId=job["id"]))["content"].split()
        assert lives(pid)
        done = await call("cancelJob", jobId=job["id"])
        assert done["state"] == "cancelled" and "endedAt" in done
        assert not lives(pid)
        assert (await call("cancelJob", jobId=job["id"]))["state"] == "cancelled"


async def test_a_shutdown_ends_jobs_and_says_so(spoke: Spoke, call: Call) -> None:
    async with spoke.lifespan():
        job = await call("startJob", command="echo $$; sleep 300; sleep 300")
        await said(call, job["id"], "\n")
        pid = (await call("readJob", jobId=job["id"]))["content"].strip()
        assert lives(pid)
    assert not lives(pid)
    answer = await call("readJob", jobId=job["id"])
    assert answer["job"]["state"] == "stopped" and answer["content"].strip() == pid
    assert (await call("startJob", command="true"))["error"] == "unavailable"


async def test_a_job_of_a_life_that_ended_badly_is_lost_and_its_processes_end(
    spoke: Spoke, call: Call, common: CommonSettings
) -> None:
    records, label = Records(common.data_dir / "linux_cli" / "jobs"), "0123456789abcdef"
    record = Record(
        id=label,
        label=label,
        host="local",
        argv=("sleep", "300"),
        cwd=None,
        started_by="ada",
        started_at=datetime.now(UTC),
    )
    records.save(record)
    with subprocess.Popen(["sleep", "300"], env={MARK: label}) as left_over:
        async with spoke.lifespan():
            assert left_over.wait(5) == -signal.SIGKILL
            found = await call("readJob", jobId=label)
            assert found["job"]["state"] == "lost" and "reason" in found["job"]
            assert (await call("cancelJob", jobId=label))["state"] == "lost"


async def test_only_so_many_jobs_run_at_once(spoke: Spoke, call: Call) -> None:
    async with spoke.lifespan():
        for _ in range(3):
            assert "id" in await call("startJob", argv=["sleep", "300"])
        refused = await call("startJob", argv=["sleep", "300"])
        assert refused["error"] == "rate_limited" and "retryAfterMs" in refused["details"]


async def test_a_job_that_cannot_start_says_why(spoke: Spoke, call: Call) -> None:
    async with spoke.lifespan():
        job = await call("startJob", argv=["no-such-program-here"])
        answer = await ended(call, job["id"])
        assert answer["job"]["state"] == "failed"
        assert "no-such-program-here" in answer["job"]["reason"]


async def test_a_job_with_a_name_that_no_file_can_have_ends_nothing_but_itself(
    spoke: Spoke, call: Call
) -> None:
    async with spoke.lifespan():
        job = await call("startJob", argv=["a" * 70_000])
        assert (await ended(call, job["id"]))["job"]["state"] == "failed"
        job = await call("startJob", argv=["true"])
        assert (await ended(call, job["id"]))["job"]["state"] == "finished"


class BreakingHost(LocalHost):
    """A host with a mistake in it."""

    def __init__(self, host: LocalHost) -> None:
        self.__dict__.update(host.__dict__)

    async def run(self, order: Order, take: Take) -> Ended:
        raise ValueError("a mistake")


async def test_what_breaks_inside_a_job_breaks_no_other_and_not_the_service(
    spoke: Spoke, host: LocalHost, tmp_path: Path, make_call: Callable[[Spoke], Call]
) -> None:
    jobs = Jobs(
        Hosts([BreakingHost(host)]),
        tmp_path / "jobs",
        max_running=2,
        max_kept=5,
        output_bytes=65536,
        retention_s=60,
        max_s=60,
    )
    call = make_call(replace(spoke, tools=jobs.tools()))
    async with jobs.open():
        for _ in range(3):
            job = await call("startJob", argv=["true"])
            answer = await ended(call, job["id"])
            assert answer["job"]["state"] == "failed" and "log" in answer["job"]["reason"]
            assert "a mistake" not in str(answer)


async def test_a_job_ends_at_its_timeout(spoke: Spoke, call: Call) -> None:
    async with spoke.lifespan():
        job = await call("startJob", argv=["sleep", "300"], timeoutS=0.1)
        assert (await ended(call, job["id"]))["job"]["state"] == "timedOut"


async def test_output_without_end_keeps_its_newest_part_within_the_cap(
    spoke: Spoke, call: Call, common: CommonSettings
) -> None:
    async with spoke.lifespan():
        job = await call("startJob", command="seq 100000")
        answer = await ended(call, job["id"])
        assert answer["droppedBytes"] == answer["offset"] > 0
        last = await call("readJob", jobId=job["id"], offset=-7)
        assert last["content"] == "100000\n"
        assert last["endOffset"] == sum(len(str(number)) + 1 for number in range(1, 100_001))
    kept = sum(path.stat().st_size for path in common.data_dir.rglob("stdout.*"))
    assert kept <= 64 * 1024


async def test_ended_jobs_are_forgotten_after_their_time(
    common: CommonSettings, make_call: Callable[[Spoke], Call]
) -> None:
    spoke = build(Settings(job_retention_s=0), common)
    call = make_call(spoke)
    async with spoke.lifespan():
        job = await call("startJob", argv=["true"])
        await ended_or_gone(call, job["id"])
        assert (await call("listJobs"))["items"] == []
        assert (await call("readJob", jobId=job["id"]))["error"] == "not_found"


async def ended_or_gone(call: Call, job_id: str) -> None:
    with anyio.fail_after(10):
        while (await call("readJob", jobId=job_id))["job"]["state"] == "running":
            await anyio.sleep(0.01)


async def test_an_unknown_job_is_not_found(call: Call) -> None:
    for action in ("readJob", "cancelJob"):
        assert (await call(action, jobId="0" * 16))["error"] == "not_found"
        assert (await call(action, jobId="../../etc"))["error"] == "invalid_argument"


def test_job_folders_are_the_service_s_alone(common: CommonSettings) -> None:
    spoke_folder = common.service_data_dir("linux_cli")
    assert spoke_folder.stat().st_mode & 0o077 == 0


@given(st.lists(st.binary(max_size=40), max_size=20), st.integers(2, 64), st.integers(-80, 400))
def test_a_spool_keeps_the_newest_bytes_at_their_offsets(
    tmp_path_factory: pytest.TempPathFactory, writes: list[bytes], cap: int, offset: int
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool = Spool(folder, "stdout", cap)
    for data in writes:
        spool.write(data)
    spool.close()
    whole = b"".join(writes)
    piece = read_spool(folder, "stdout", offset, 10_000)
    assert piece.end == len(whole)
    assert whole[piece.offset :] == piece.data
    assert len(piece.data) <= cap
    kept = read_spool(folder, "stdout", 0, 10_000)
    assert len(kept.data) >= min(len(whole), cap // 2)


def test_output_that_is_dropped_while_it_is_read_is_no_error(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "stdout", 20)
    spool.write(b"a" * 10 + b"b" * 10)

    class Raced(PosixPath):
        def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
            found = super().stat(follow_symlinks=follow_symlinks)
            if self.name == "stdout.0":
                # Before it is opened.
                spool.write(b"c")
            return found

    piece = read_spool(Raced(tmp_path), "stdout", 0, 100)
    spool.close()
    assert piece == (10, b"b" * 10 + b"c", 21)
