"""A server's process: its lines, its end, and that nothing of it stays."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import psutil
import pytest
import structlog

from flotilla import TimedOut, Unavailable
from flotilla.leftovers import Ledger
from flotilla.redaction import Redactor
from master.external.child import Child
from master.external.lines import LineSplitter, TooLong
from tests.processes import alive

if TYPE_CHECKING:
    from conftest import Den

pytestmark = pytest.mark.anyio

mostly_boxed = pytest.mark.parametrize(
    "den", [pytest.param("bare", marks=pytest.mark.real), "boxed"], indirect=True
)
"""Where a hub is started for the test alone: the short run tries it as most machines have it."""
on_both_loops = pytest.mark.parametrize(
    "anyio_backend",
    [
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio", marks=pytest.mark.real),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    ],
)
"""Each closes descriptors in its own way; the short run tries the one that the hub runs under."""

ECHO = """
    import sys
    for line in sys.stdin:
        sys.stdout.write(line)
        sys.stdout.flush()
"""
STUBBORN = """
    import signal, subprocess, sys, time
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    stray = "import time, os; os.setsid(); print('up', flush=True); time.sleep(600)"
    # One that keeps its group, one that leaves it, and one that leaves it without its environment.
    own = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    for env in (None, {}):
        left = subprocess.Popen([sys.executable, "-c", stray], env=env, stdout=subprocess.PIPE)
        left.stdout.readline()
    # And a daemon: its parent is gone.
    middle = subprocess.Popen(
        [sys.executable, "-c", "import subprocess, sys; p = subprocess.Popen([sys.executable, "
         "'-c', 'import time; time.sleep(600)'], env={}, start_new_session=True, stdout=2)"])
    middle.wait()
    print("ready", flush=True)
    time.sleep(600)
"""


async def answer(child: Child, ask: Any) -> Any:
    """Write a line of JSON, and read the next one."""
    await child.write(json.dumps(ask).encode())
    return json.loads(await anext(child.lines()))


def below(child: Child) -> list[psutil.Process]:
    """All that was started for it, the tether and the sandbox included."""
    tether = psutil.Process(child.pid)
    return [tether, *tether.children(recursive=True)]


async def gone(processes: list[psutil.Process], within_s: float) -> None:
    with anyio.fail_after(within_s):
        while alive(processes):
            await anyio.sleep(0.02)


@on_both_loops
async def test_lines_go_in_and_come_out_whole(den: "Den") -> None:
    async with den.running(den.sealed(ECHO)) as child:
        with anyio.fail_after(20):
            for number in range(50):
                told = {"number": number, "text": "é" * number * 100}
                assert await answer(child, told) == told


async def test_a_line_of_megabytes_passes_in_both_directions(den: "Den") -> None:
    line = b"x" * 9_000_000
    async with den.running(den.sealed(ECHO)) as child:
        with anyio.fail_after(30):
            await child.write(line)
            assert await anext(child.lines()) == line


async def test_many_writers_never_mix_their_lines(den: "Den") -> None:
    async with den.running(den.sealed(ECHO)) as child:
        sent = [str(number).encode() * 20_000 for number in range(10, 40)]
        found: list[bytes] = []
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                for line in sent:
                    group.start_soon(child.write, line)
                found += [await anext(child.lines()) for _ in sent]
    assert sorted(found) == sorted(sent)


@on_both_loops
async def test_a_writer_that_is_cancelled_leaves_no_half_line_behind(bare: "Den") -> None:
    pausing = """
        import sys
        sys.stdin.buffer.read(1)
        print("go", flush=True)
        for line in sys.stdin.buffer:
            print(len(line), flush=True)
    """
    async with bare.running(bare.sealed(pausing)) as child:
        with anyio.fail_after(20):
            for _ in range(3):
                with anyio.move_on_after(0.05):
                    await child.write(b"x" * 3_000_000)
            lines = child.lines()
            assert await anext(lines) == b"go"
            first, second = await anext(lines), b""
            await child.write(b"end")
            while second != b"4":
                second = await anext(lines)
                assert second in (b"3000001", b"4")
            assert first == b"3000000"


async def test_a_server_that_reads_nothing_holds_nobody_for_ever(den: "Den") -> None:
    async with den.running(den.sealed("import time; time.sleep(600)")) as child:
        with anyio.fail_after(10):
            await child.write(b"x" * 3_000_000, timeout_s=5)
            with pytest.raises(TimedOut, match="toy reads nothing"):
                await child.write(b"y", timeout_s=0.2)


async def test_an_over_long_line_is_reported_and_the_next_ones_come(den: "Den") -> None:
    script = """
        import sys
        print("before")
        for _ in range(300):
            sys.stdout.write("y" * 10_000)
        print()
        print("after", flush=True)
    """
    told: list[TooLong] = []
    running = den.running(
        den.sealed(script),
        max_line_bytes=1_000_000,
        too_long=told.append,
    )
    async with running as child:
        with anyio.fail_after(10):
            assert [line async for line in child.lines()] == [b"before", b"after"]
    assert told == [TooLong(3_000_000, b"y" * 4096, b"y" * 256)]


async def test_a_server_that_writes_without_end_waits_for_its_reader(bare: "Den") -> None:
    script = """
        while True:
            print("z" * 100_000)
    """
    before = psutil.Process().memory_info().rss
    async with bare.running(bare.sealed(script)) as child:
        with anyio.fail_after(20):
            lines = child.lines()
            for _ in range(200):
                await anext(lines)
            server = below(child)[-1]
            written = -1
            # While we would read on, it would write on.
            while written != (written := server.io_counters().write_chars):
                await anyio.sleep(0.2)
            assert psutil.Process().memory_info().rss - before < 40_000_000


async def test_a_closed_input_is_how_a_good_server_is_asked_to_end(den: "Den") -> None:
    script = """
        import sys
        print("ready", flush=True)
        sys.stdin.read()
        sys.exit(7)
    """
    async with den.running(den.sealed(script), grace_s=5) as child:
        with anyio.fail_after(20):
            assert await anext(child.lines()) == b"ready"
            ended = await child.end()
    assert (ended.code, ended.reason) == (7, "code 7")


async def test_a_server_that_ignores_its_input_gets_a_sigterm(den: "Den") -> None:
    script = """
        import signal, sys, time
        def bye(*_):
            sys.exit(9)
        signal.signal(signal.SIGTERM, bye)
        print("ready", flush=True)
        time.sleep(600)
    """
    async with den.running(den.sealed(script), grace_s=2) as child:
        with anyio.fail_after(20):
            assert await anext(child.lines()) == b"ready"
            assert (await child.end()).code == 9


async def test_nothing_that_it_started_is_left_however_it_hid(den: "Den") -> None:
    async with den.running(den.sealed(STUBBORN)) as child:
        with anyio.fail_after(20):
            assert await anext(child.lines()) == b"ready"
        processes = below(child)
        assert len(alive(processes)) >= 6
        with anyio.fail_after(15):
            ended = await child.end()
        assert ended.reason.startswith("ended by SIGKILL")
        assert not alive(processes)


async def test_when_it_ends_by_itself_its_daemons_end_too(den: "Den") -> None:
    script = """
        import subprocess, sys
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                         start_new_session=True, env={}, stdout=subprocess.DEVNULL)
        print("ready", flush=True)
        sys.stdin.readline()
        sys.exit(3)
    """
    async with den.running(den.sealed(script)) as child:
        with anyio.fail_after(20):
            assert await anext(child.lines()) == b"ready"
            processes = below(child)
            await child.write(b"go")
            assert (await child.wait()).code == 3
            await gone(processes, 5)


@on_both_loops
async def test_a_cancellation_waits_until_nothing_runs_any_more(den: "Den") -> None:
    processes: list[psutil.Process] = []
    started = anyio.Event()

    async def use() -> None:
        async with den.running(den.sealed(STUBBORN)) as child:
            assert await anext(child.lines()) == b"ready"
            processes.extend(below(child))
            started.set()
            await anyio.sleep_forever()

    task = asyncio.create_task(use())
    with anyio.fail_after(30):
        await started.wait()
        for _ in range(3):
            task.cancel()
            await anyio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
    assert processes
    assert not alive(processes)


@on_both_loops
async def test_no_descriptor_and_no_zombie_stays_after_cancellations_at_any_moment(
    bare: "Den",
) -> None:
    me = psutil.Process()

    async def use() -> None:
        async with bare.running(bare.sealed(ECHO)) as child:
            await child.write(b"a")
            await anext(child.lines())
            await anyio.sleep_forever()

    async def cancelled_after(pause_s: float) -> None:
        task = asyncio.create_task(use())
        await anyio.sleep(pause_s)
        task.cancel()
        await asyncio.wait([task])

    await cancelled_after(0.2)
    before = me.num_fds()
    with anyio.fail_after(60):
        for step in range(8):
            await cancelled_after(step * 0.02)
    assert me.num_fds() == before
    assert not [each for each in me.children() if each.status() == "zombie"]


async def test_writing_to_one_that_has_ended_says_so(den: "Den") -> None:
    async with den.running(den.sealed("pass")) as child:
        with anyio.fail_after(10):
            await child.wait()
            with pytest.raises(Unavailable, match="toy has ended"):
                await child.write(b"x")
            assert [line async for line in child.lines()] == []


async def test_what_it_says_on_standard_error_is_logged_redacted_and_bounded(den: "Den") -> None:
    script = """
        import sys
        print("the key is canary-4711-secret", file=sys.stderr)
        print("l" * 10_000, file=sys.stderr)
        for number in range(1_000):
            print("line", number, file=sys.stderr)
        sys.exit("the last word")
    """
    with structlog.testing.capture_logs() as logs:
        sealed = den.sealed(script)
        async with den.running(sealed, redactor=Redactor(["canary-4711-secret"])) as child:
            with anyio.fail_after(10):
                await child.wait()
                ended = await child.end()
    said = [log for log in logs if log["event"] == "external_stderr"]
    assert said[0] == {
        "event": "external_stderr",
        "log_level": "info",
        "server": "toy",
        "line": "the key is [redacted]",
    }
    assert (len(said[1]["line"]), said[1]["bytes"]) == (4096, 10_000)
    assert 100 <= len(said) <= 120
    assert ended.last_words.endswith("line 999 | the last word")


async def test_a_program_that_cannot_run_says_why(den: "Den", tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/nonexistent/interpreter\n")
    broken.chmod(0o755)
    async with den.running(den.sealed_command(str(broken), readable=[str(broken)])) as child:
        with anyio.fail_after(10):
            await child.wait()
            ended = await child.end()
    assert ended.code == 126
    assert "cannot run" in ended.last_words
    assert "No such file or directory" in ended.last_words


async def test_when_its_tether_is_killed_the_server_dies_with_it(boxed: "Den") -> None:
    async with boxed.running(boxed.sealed(STUBBORN)) as child:
        with anyio.fail_after(20):
            assert await anext(child.lines()) == b"ready"
            processes = below(child)
            os.kill(child.pid, signal.SIGKILL)
            assert (await child.wait()).reason.startswith("ended by SIGKILL")
            await gone(processes, 5)


HUB = """
    import asyncio, json, os, sys, types
    sys.path[:0] = json.loads(sys.argv[1])
    # Without the rest of the hub, whose import takes seconds.
    sys.modules["master"] = types.ModuleType("master")
    sys.modules["master"].__path__ = [sys.path[1] + "/master"]
    from pathlib import Path
    from flotilla.leftovers import Ledger
    from flotilla.redaction import Redactor
    from master.external.child import running
    from master.external.sandbox import Protection, Sealed
    told = json.loads(sys.argv[2])
    sealed = Sealed("toy", told["mark"], tuple(told["argv"]), told["order"].encode(),
                    Protection.model_validate(told["protection"]), 0)
    async def main():
        ledger = Ledger(Path(told["ledger"]))
        async with running(sealed, redactor=Redactor(), ledger=ledger) as child:
            print((await anext(child.lines())).decode(), child.pid, flush=True)
            await asyncio.sleep(600)
    asyncio.run(main())
"""
ROOT = Path(__file__).parents[3]


@pytest.fixture
def anothers_hub(den: "Den") -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A hub in a process of its own with a stubborn server, and the tether's number."""
    sealed = den.sealed(STUBBORN)
    told: dict[str, Any] = {
        "mark": sealed.mark,
        "argv": sealed.argv,
        "order": sealed.order.decode(),
        "protection": sealed.protection.model_dump(),
        "ledger": str(den.folder / "ledger"),
    }
    path = json.dumps([str(ROOT), str(ROOT / "00_master_mcp")])
    hub = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HUB), path, json.dumps(told)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert hub.stdout is not None
    word, number = hub.stdout.readline().split()
    assert word == "ready"
    yield hub, int(number)
    hub.kill()
    hub.wait()
    hub.stdout.close()


@mostly_boxed
async def test_no_process_outlives_a_hub_that_was_killed(
    anothers_hub: tuple[subprocess.Popen[str], int],
) -> None:
    hub, number = anothers_hub
    tether = psutil.Process(number)
    processes = [tether, *tether.children(recursive=True)]
    assert len(alive(processes)) >= 6
    hub.kill()
    hub.wait()
    await gone(processes, 6)


@mostly_boxed
async def test_what_outlived_hub_and_tether_is_ended_at_the_next_start(
    anothers_hub: tuple[subprocess.Popen[str], int], den: "Den"
) -> None:
    hub, number = anothers_hub
    tether = psutil.Process(number)
    inner = tether.children(recursive=True)
    # Both at once, as the kernel does when memory runs out; the tether first, or it would act.
    os.kill(number, signal.SIGKILL)
    hub.kill()
    hub.wait()
    Ledger(den.folder / "ledger").settle()
    left = alive(inner)
    if den.means.bwrap is not None:
        await gone(inner, 5)
    else:
        # Only what cleared its environment escapes both, and only without the sandbox.
        await anyio.sleep(0.2)
        for each in (left := alive(inner)):
            assert not each.environ(), each.cmdline()
            each.kill()
    assert len(left) <= 3
    assert not list((den.folder / "ledger").iterdir())


def test_lines_are_split_wherever_the_reads_fall() -> None:
    whole = b"one\r\ntwo\n\n" + b"l" * 28 + b"!?\nthree\nrest"
    for step in range(1, len(whole) + 1):
        splitter = LineSplitter(20)
        pieces = [whole[at : at + step] for at in range(0, len(whole), step)]
        one, two, long, three = [line for piece in pieces for line in splitter.feed(piece)]
        assert (one, two, three, splitter.end()) == (b"one", b"two", b"three", b"rest")
        assert isinstance(long, TooLong)
        assert long.length == 30
        assert set(long.beginning) <= set(b"l!?")
        assert long.beginning[:1] == b"l"
        assert long.ending.endswith(b"ll!?")
