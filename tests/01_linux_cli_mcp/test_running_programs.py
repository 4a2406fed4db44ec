"""Real programs: what they may see, how much of them is kept, and that nothing of them stays."""

import asyncio
import os
import signal
import subprocess
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from flotilla import CommonSettings, RateLimited, Spoke
from flotilla.leftovers import MARK, Ledger
from linux_cli import build
from linux_cli.host import Order
from linux_cli.local import LocalHost
from linux_cli.programs import Programs
from linux_cli.settings import Settings

Call = Callable[..., Awaitable[dict[str, Any]]]

pytestmark = pytest.mark.anyio


def running(mark: str) -> list[str]:
    """The processes, zombies included, whose command line or environment holds `mark`."""
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*"):
        if path.name == str(os.getpid()):
            continue
        try:
            text = (path / "cmdline").read_bytes() + (path / "environ").read_bytes()
        except OSError:
            continue
        if mark.encode() in text:
            found.append(path.name)
    return found


def zombies() -> list[str]:
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [pid for pid in children if " Z " in Path(f"/proc/{pid}/stat").read_text()]


async def test_a_command_line_and_an_argv_both_run(call: Call) -> None:
    line = await call("runCommand", command="echo out; echo err >&2; exit 3")
    assert (line["exitCode"], line["stdout"], line["stderr"]) == (3, "out\n", "err\n")
    assert not line["timedOut"] and not line["truncated"]
    words = await call("runCommand", argv=["printf", "%s", "a b$HOME"])
    assert words["stdout"] == "a b$HOME"


async def test_one_of_command_and_argv_must_be_given(call: Call) -> None:
    assert (await call("runCommand"))["error"] == "invalid_argument"
    both = await call("runCommand", command="true", argv=["true"])
    assert both["error"] == "invalid_argument"


async def test_a_program_gets_its_input_folder_and_variables(call: Call, tmp_path: Path) -> None:
    done = await call(
        "runCommand",
        command="cat; pwd; echo $COLOUR",
        stdin="x" * 300_000 + "\n",
        cwd=str(tmp_path),
        env={"COLOUR": "blue"},
    )
    assert done["stdout"].endswith(f"x\n{tmp_path}\nblue\n")
    assert done["truncated"]


async def test_without_input_a_program_reads_nothing(call: Call) -> None:
    assert (await call("runCommand", command="cat; echo end"))["stdout"] == "end\n"


async def test_nothing_of_our_environment_reaches_a_program(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOTILLA_CANARY", "must-not-be-seen")
    said = (await call("runCommand", command="env"))["stdout"]
    names = {line.partition("=")[0] for line in said.splitlines()}
    assert names - {"PWD", "SHLVL", "_"} == {
        *("PATH", "HOME", "LANG", "TERM", "TZ", "FLOTILLA_RUN"),
    }
    assert "must-not-be-seen" not in said


async def test_no_descriptor_of_ours_reaches_a_program(call: Call, tmp_path: Path) -> None:
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        said = (await call("runCommand", command="ls /proc/self/fd"))["stdout"]
    assert set(said.split()) <= {"0", "1", "2", "3"}


async def test_a_program_that_never_stops_writing_costs_little_memory(call: Call) -> None:
    await call("runCommand", argv=["true"])
    tracemalloc.start()
    try:
        done = await call("runCommand", command="yes", timeoutS=0.5)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert done["timedOut"] and done["truncated"] and done["signal"] == "SIGTERM"
    assert len(done["stdout"]) < 50_000 and "bytes left out" in done["stdout"]
    assert peak < 4 * 1024 * 1024


async def test_a_timeout_ends_all_that_was_started_and_tells_what_was_said(call: Call) -> None:
    mark = "timeout-canary-5150"
    done = await call(
        "runCommand",
        command="trap '' TERM; echo first; "
        "(trap - TERM; sleep 300 & setsid sleep 300 & setsid -f sh -c 'sleep 300'); "
        "while :; do sleep 300; done",
        env={"MARK": mark},
        timeoutS=0.5,
    )
    assert done["timedOut"] and done["stdout"] == "first\n"
    assert done["exitCode"] == 137 and done["signal"] == "SIGKILL"
    assert running(mark) == [] and zombies() == []


async def test_a_cancelled_call_leaves_nothing_behind(host: LocalHost) -> None:
    mark, started = "cancel-canary-5151", anyio.Event()
    order = Order(
        argv=("/bin/sh", "-c", "(sleep 300 &) ; setsid -f sleep 300; echo up; sleep 300"),
        timeout_s=60,
        env={"MARK": mark},
    )
    async with anyio.create_task_group() as group:
        group.start_soon(host.run, order, lambda _stream, _data: started.set())
        with anyio.fail_after(5):
            await started.wait()
        assert running(mark)
        group.cancel_scope.cancel()
    assert running(mark) == [] and zombies() == []


async def test_a_plain_asyncio_cancellation_leaves_nothing_behind(host: LocalHost) -> None:
    mark, started = "cancel-canary-5152", asyncio.Event()
    order = Order(
        argv=("/bin/sh", "-c", "trap '' TERM; echo up; sleep 300; sleep 300"),
        timeout_s=60,
        env={"MARK": mark},
    )
    task = asyncio.create_task(host.run(order, lambda _stream, _data: started.set()))
    await asyncio.wait_for(started.wait(), 5)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert running(mark) == [] and zombies() == []


async def test_what_is_left_in_the_background_does_not_hold_the_call(call: Call) -> None:
    mark = "background-canary-5153"
    with anyio.fail_after(5):
        done = await call("runCommand", command="sleep 300 & echo done", env={"MARK": mark})
    assert done["stdout"] == "done\n" and done["exitCode"] == 0
    assert running(mark) == []


async def test_many_runs_leak_no_descriptor_and_no_task(call: Call) -> None:
    await call("runCommand", argv=["true"])
    before, tasks = len(list(Path("/proc/self/fd").iterdir())), len(asyncio.all_tasks())
    for _ in range(20):
        await call("runCommand", argv=["true"], stdin="x")
        await call("runCommand", argv=["no-such-program-here"])
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert len(asyncio.all_tasks()) == tasks


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"argv": ["no-such-program-here"]}, "not_found"),
        ({"argv": [""]}, "invalid_argument"),
        ({"argv": ["true"], "cwd": "/no/such/folder"}, "not_found"),
        ({"argv": ["true"], "cwd": "/etc/passwd"}, "invalid_argument"),
        ({"argv": ["true"], "cwd": "relative"}, "invalid_argument"),
        ({"argv": ["/etc/passwd"]}, "not_found"),
        ({"argv": ["a" * 70_000]}, "not_found"),
        ({"argv": ["./" + "a" * 70_000]}, "not_found"),
        ({"argv": ["true", "a" * 200_000]}, "invalid_argument"),
        ({"argv": ["true"], "host": "elsewhere"}, "not_found"),
        ({"argv": ["true"], "env": {"A=B": "x"}}, "invalid_argument"),
        ({"argv": ["true", "a\0b"]}, "invalid_argument"),
    ],
)
async def test_what_cannot_run_is_said_plainly(
    call: Call, arguments: dict[str, object], code: str
) -> None:
    assert (await call("runCommand", **arguments))["error"] == code


async def test_an_unknown_host_is_told_the_known_ones(call: Call) -> None:
    error = await call("getSystemInfo", host="elsewhere")
    assert error["error"] == "not_found" and "local" in error["details"]["hint"]


async def test_more_programs_than_may_run_at_once_wait_and_are_then_refused(
    host: LocalHost,
) -> None:
    programs = Programs(max_at_once=1, wait_s=0.05)
    started = anyio.Event()

    async def occupy() -> None:
        started.set()
        await programs.run(host, Order(argv=("sleep", "300"), timeout_s=60))

    async with anyio.create_task_group() as group:
        group.start_soon(occupy)
        await started.wait()
        await anyio.lowlevel.checkpoint()
        with pytest.raises(RateLimited):
            await programs.run(host, Order(argv=("true",), timeout_s=5))
        group.cancel_scope.cancel()
    answer = await programs.run(host, Order(argv=("true",), timeout_s=5))
    assert answer.ended.exit_code == 0


async def test_a_reading_program_answers(call: Call) -> None:
    done = await call("runReadOnly", argv=["cat", "/proc/sys/kernel/ostype"])
    assert done["stdout"] == "Linux\n"
    assert (await call("runReadOnly", argv=["/usr/bin/uname"]))["stdout"] == "Linux\n"


async def test_a_reading_program_must_lie_in_a_trusted_folder(call: Call, tmp_path: Path) -> None:
    fake = tmp_path / "ls"
    fake.write_text("#!/bin/sh\necho evil\n")
    fake.chmod(0o755)
    assert (await call("runReadOnly", argv=[str(fake)]))["error"] == "not_allowed"
    # A harmless name for a program that is not.
    link = tmp_path / "cat"
    link.symlink_to("/usr/bin/tee")
    assert (await call("runReadOnly", argv=[str(link), "x"]))["error"] == "not_allowed"
    for name in ("/usr/bin/../../tmp/cat", "./ls", "bin/ls", "//bin/ls"):
        assert (await call("runReadOnly", argv=[name]))["error"] == "not_allowed"


async def test_a_script_without_an_interpreter_is_the_caller_s_mistake(
    call: Call, tmp_path: Path
) -> None:
    (tmp_path / "script").write_text("true\n")
    (tmp_path / "script").chmod(0o755)
    done = await call("runCommand", argv=["./script"], cwd=str(tmp_path))
    assert done["error"] == "invalid_argument"


async def test_the_kernel_keeps_a_reading_program_from_writing(
    host: LocalHost, tmp_path: Path
) -> None:
    if not host.confines:
        pytest.skip("this kernel offers no Landlock")
    target = tmp_path / "file"
    target.write_text("old")
    secret = tmp_path / "data" / "admin_token"
    said: list[bytes] = []
    order = Order(
        argv=(
            "/bin/sh",
            "-c",
            f"echo new > {target}; rm {target}; touch {tmp_path}/x; cat {secret}; "
            f"cat /proc/1/environ; cat /proc/{os.getpid()}/environ; kill -9 {os.getpid()}; "
            "hostname evil; head -c 1 /dev/vda; echo end",
        ),
        timeout_s=10,
        confined=True,
    )
    await host.run(order, lambda stream, data: said.append(data) if stream == "stdout" else None)
    assert b"".join(said) == b"end\n"
    assert target.read_text() == "old" and not (tmp_path / "x").exists()


async def test_the_fleet_s_data_cannot_be_read_by_program(
    make_call: Callable[[Spoke], Call], common: CommonSettings, tmp_path: Path
) -> None:
    secret, link = common.data_dir / "admin_token", tmp_path / "link"
    link.symlink_to(common.data_dir)
    for confinement in ("auto", "off"):
        call = make_call(build(Settings(confinement=confinement), common))
        for argv in (
            ["cat", str(secret)],
            ["cat", f"{link}/admin_token"],
            ["cat", f"{tmp_path}/data/../data/admin_token"],
            ["grep", "-f", str(secret), "/etc/passwd"],
            ["grep", f"--file={secret}", "/etc/passwd"],
            ["grep", "-r", "secret", str(tmp_path)],
            ["grep", "-R", "secret", str(tmp_path)],
            ["diff", "-r", str(common.data_dir), "/etc"],
            ["cat", f"/proc/{os.getpid()}/environ"],
            ["cat", "/proc/1/root/etc/passwd"],
            ["git", "diff", "--no-index", "/dev/null", str(secret)],
        ):
            done = await call("runReadOnly", argv=argv)
            assert "the-fleets-own-secret" not in str(done), argv
            assert done.get("error") == "not_allowed" or confinement == "auto", argv
        inside = await call("runReadOnly", argv=["cat", "admin_token"], cwd=str(common.data_dir))
        assert inside["error"] == "not_allowed"
    hard = tmp_path / "hard"
    hard.hardlink_to(secret)
    assert (await call("runReadOnly", argv=["cat", str(hard)]))["error"] == "not_allowed"


async def test_a_hostile_repository_runs_nothing(call: Call, tmp_path: Path) -> None:
    repository, proof = tmp_path / "repository", tmp_path / "proof"
    setup = (
        f"git init -q {repository} && cd {repository} && echo a > a && git add a && "
        "git -c user.name=a -c user.email=a@b commit -qm a && echo '* filter=evil' > "
        f".gitattributes && git config filter.evil.clean 'touch {proof}; cat' && "
        f"git config core.fsmonitor 'touch {proof}' && echo b > a"
    )
    assert (await call("runCommand", command=setup))["exitCode"] == 0
    for argv in (["git", "status"], ["git", "diff"], ["git", "log", "-p"]):
        refused = await call("runReadOnly", argv=argv, cwd=str(repository))
        assert refused["error"] == "not_allowed" and "filter.evil.clean" in refused["message"]
    await call("runCommand", command=f"git -C {repository} config --remove-section filter.evil")
    proof.unlink(missing_ok=True)
    done = await call("runReadOnly", argv=["git", "-C", str(repository), "status", "--short"])
    assert " M a" in done["stdout"], done
    log = await call("runReadOnly", argv=["git", "log", "--oneline"], cwd=str(repository))
    assert log["stdout"].endswith(" a\n")
    assert not proof.exists()


def test_a_ledger_settles_what_a_killed_life_left_running_and_nothing_else(tmp_path: Path) -> None:
    def started(mark: str) -> subprocess.Popen[bytes]:
        env = {MARK: mark, "PATH": "/usr/bin:/bin"}
        return subprocess.Popen(["sleep", "600"], env=env, start_new_session=True)

    left, meant_to_stay = started("left-behind"), started("a-daemon")
    try:
        never_left = Ledger(tmp_path / "running").entry("left-behind")
        never_left.__enter__()
        with Ledger(tmp_path / "running").entry("a-daemon"):
            pass
        assert Ledger(tmp_path / "running").settle() == 1
        assert left.wait(5) == -signal.SIGKILL
        assert meant_to_stay.poll() is None
        assert Ledger(tmp_path / "running").settle() == 0
        assert Ledger(tmp_path / "never").settle() == 0
    finally:
        for process in (left, meant_to_stay):
            process.kill()
            process.wait()
