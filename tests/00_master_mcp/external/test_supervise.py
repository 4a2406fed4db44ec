"""A server is kept up, restarted with growing pauses, and says how it stands."""

import os
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import psutil
import pytest
import structlog

from flotilla import FlotillaError, NotConfigured, Unavailable
from master.external.child import Child
from master.external.config import ServerEntry, parse_entry
from master.external.launch import Launcher
from master.external.supervise import Pace, Standing, Supervisor, Up

if TYPE_CHECKING:
    from conftest import Den

pytestmark = pytest.mark.anyio

QUICK = Pace(base_s=0.01, cap_s=0.05, failures=3, failed_retry_s=60, steady_s=30, last_lines_s=1)
WITHIN_S = 20
ECHO = """
    import sys
    print("hello", flush=True)
    for line in sys.stdin:
        if line == "die\\n":
            sys.exit("it had enough")
        sys.stdout.write(line)
        sys.stdout.flush()
"""


async def converse(child: Child, up: Up) -> None:
    """Until the lines end; the first one says that it is up."""
    async for line in child.lines():
        if line == b"hello":
            up()


@pytest.fixture
async def keep(bare: "Den") -> AsyncGenerator[Callable[..., Supervisor]]:
    """Make supervisors of a script of ours; all are stopped at the end."""
    made: list[Supervisor] = []

    def keep(script: str = ECHO, session: Any = converse, **more: Any) -> Supervisor:
        more = {"pace": QUICK, "open_child": lambda: bare.running(bare.sealed(script)), **more}
        made.append(Supervisor("toy", session=session, **more))
        return made[-1]

    yield keep
    for each in made:
        with anyio.fail_after(WITHIN_S, shield=True):
            await each.stop()


async def test_it_starts_runs_and_stops(keep: Callable[..., Supervisor]) -> None:
    seen: list[Standing] = []
    kept = keep(changed=seen.append)
    assert kept.standing.state == "stopped"
    with anyio.fail_after(WITHIN_S):
        kept.start()
        kept.start()
        standing = await kept.reached("running")
        assert standing.pid is not None
        assert standing.started_at is not None
        assert standing.protection is not None
        process = psutil.Process(standing.pid)
        await kept.stop()
    assert not process.is_running()
    assert kept.standing.state == "stopped"
    assert kept.standing.pid is None
    assert list(dict.fromkeys(each.state for each in seen)) == ["starting", "running", "stopped"]


async def test_one_that_is_killed_is_started_again(keep: Callable[..., Supervisor]) -> None:
    kept = keep()
    with anyio.fail_after(WITHIN_S):
        kept.start()
        pid = (await kept.reached("running")).pid
        assert pid is not None
        (server,) = psutil.Process(pid).children()
        os.kill(server.pid, signal.SIGKILL)
        assert (await kept.reached("backing_off")).reason == "ended by SIGKILL"
        standing = await kept.reached("running")
    assert (standing.restarts, standing.reason) == (1, None)
    assert standing.pid != pid


async def test_one_that_keeps_dying_has_failed_and_is_tried_seldom(
    keep: Callable[..., Supervisor],
) -> None:
    kept = keep("import sys; sys.exit('no such database')")
    with structlog.testing.capture_logs() as logs:
        with anyio.fail_after(WITHIN_S):
            kept.start()
            standing = await kept.reached("failed")
    assert (standing.restarts, standing.reason) == (2, "code 1: no such database")
    ends = [log for log in logs if log["event"] == "external_server_ended"]
    assert [log["failures"] for log in ends] == [1, 2, 3]
    assert ends[-1]["next_try_s"] == 60


async def test_a_failed_one_that_is_started_tries_at_once(keep: Callable[..., Supervisor]) -> None:
    tries: list[int] = []

    @asynccontextmanager
    async def fails() -> AsyncGenerator[Child]:
        tries.append(1)
        raise Unavailable("not today")
        yield

    kept = keep(open_child=fails)
    with anyio.fail_after(WITHIN_S):
        kept.start()
        await kept.reached("failed")
        assert len(tries) == 3
        kept.start()
        await kept.reached("backing_off")
        assert (await kept.reached("failed")).reason == "not today"
    assert len(tries) == 6


async def test_what_was_up_for_long_has_recovered(keep: Callable[..., Supervisor]) -> None:
    async def short(child: Child, up: Up) -> None:
        async for _ in child.lines():
            up()
            await child.write(b"die")

    kept = keep(session=short, pace=Pace(base_s=0.01, cap_s=0.01, failures=2, steady_s=0))
    with anyio.fail_after(WITHIN_S):
        kept.start()
        while kept.standing.restarts < 4:
            assert kept.standing.state != "failed"
            await anyio.sleep(0.01)


async def test_what_is_missing_is_told_and_not_tried_again(
    keep: Callable[..., Supervisor],
) -> None:
    @asynccontextmanager
    async def lacks() -> AsyncGenerator[Child]:
        raise NotConfigured("it needs A", hint="Set A.")
        yield

    kept = keep(open_child=lacks)
    with anyio.fail_after(WITHIN_S):
        kept.start()
        assert (await kept.reached("not_configured")).reason == "it needs A. Set A."


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Unavailable("it speaks no MCP"), "it speaks no MCP"),
        (ZeroDivisionError("ours"), "its session broke (ZeroDivisionError)"),
        (None, "its session ended"),
    ],
)
async def test_a_session_that_ends_first_gets_a_new_child(
    keep: Callable[..., Supervisor], error: FlotillaError | None, reason: str
) -> None:
    sessions: list[int] = []

    async def ends(child: Child, up: Up) -> None:
        sessions.append(child.pid)
        if len(sessions) == 1:
            if error is not None:
                raise error
            return
        await converse(child, up)

    kept = keep(session=ends)
    with anyio.fail_after(WITHIN_S):
        kept.start()
        assert (await kept.reached("backing_off")).reason == reason
        await kept.reached("running")
    assert len(sessions) == 2
    assert not psutil.pid_exists(sessions[0])


async def test_stopping_while_it_starts_leaves_nothing(keep: Callable[..., Supervisor]) -> None:
    kept = keep("import time; time.sleep(600)")
    me = psutil.Process()
    before = set(me.children(recursive=True))
    with anyio.fail_after(WITHIN_S):
        for pause_s in (0, 0.001, 0.05, 0.3):
            kept.start()
            await anyio.sleep(pause_s)
            await kept.stop("disabled")
            assert set(me.children(recursive=True)) == before
    assert kept.standing.state == "disabled"


def entry(**told: Any) -> ServerEntry:
    return parse_entry("toy", told)


async def test_a_launcher_goes_all_the_way_from_an_entry_to_a_server(
    den: "Den", tmp_path: Path
) -> None:
    script = tmp_path / "server.py"
    script.write_text("import os\nprint(os.environ['KEY'], flush=True)\nos.read(0, 1)\n")
    launcher = Launcher(
        tmp_path / "external", den.means, env={"PATH": "/usr/bin:/bin", "THE_KEY": "canary-4711"}
    )
    told = entry(
        command="python3", args=[str(script)], readable=[str(script)], env={"KEY": "${THE_KEY}"}
    )
    with anyio.fail_after(WITHIN_S):
        async with launcher.open("toy", told) as child:
            assert await anext(child.lines()) == b"canary-4711"
            (mark,) = (tmp_path / "external" / ".running").iterdir()
        assert not mark.exists()
        with pytest.raises(NotConfigured, match="THE_OTHER"):
            async with launcher.open("toy", entry(command="a", env={"K": "${THE_OTHER}"})):
                pass
        with pytest.raises(NotConfigured, match="external server toy: there is no program"):
            async with launcher.open("toy", entry(command="nonexistent-program")):
                pass


async def test_a_server_is_fetched_once_with_the_network_and_without_its_secrets(
    den: "Den", tmp_path: Path
) -> None:
    bin_folder = tmp_path / "venv" / "bin"
    bin_folder.mkdir(parents=True)
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    npx = bin_folder / "npx"
    # Writes down how it was run, as the real one writes its cache.
    npx.write_text('#!/bin/sh\n{ echo "$@"; env; } >> "$HOME/runs"\necho ready\n')
    npx.chmod(0o755)
    launcher = Launcher(
        tmp_path / "external", den.means, env={"PATH": f"{bin_folder}:/usr/bin:/bin"}
    )
    told = entry(
        command="npx",
        args=["-y", "a@1.0.0", "arg"],
        env={"KEY": "canary-4711", "npm_config_registry": "http://r"},
    )
    with anyio.fail_after(WITHIN_S):
        for _ in range(2):
            async with launcher.open("toy", told) as child:
                assert await anext(child.lines()) == b"ready"
                await child.wait()
    runs = (tmp_path / "external" / "toy" / "home" / "runs").read_text().split("-y ")[1:]
    assert [run.partition("\n")[0] for run in runs] == [
        "--package=a@1.0.0 -c true",
        "a@1.0.0 arg",
        "a@1.0.0 arg",
    ]
    fetched, first, _ = runs
    assert "canary-4711" not in fetched
    assert "npm_config_registry=http://r" in fetched
    assert "npm_config_offline" not in fetched
    assert "npm_config_offline=true" in first
    assert "KEY=canary-4711" in first


async def test_a_server_that_cannot_be_fetched_says_why(boxed: "Den", tmp_path: Path) -> None:
    bin_folder = tmp_path / "venv" / "bin"
    bin_folder.mkdir(parents=True)
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    (bin_folder / "npx").write_text("#!/bin/sh\necho 'no such package' >&2\nexit 4\n")
    (bin_folder / "npx").chmod(0o755)
    launcher = Launcher(tmp_path / "external", boxed.means, env={"PATH": str(bin_folder)})
    with anyio.fail_after(WITHIN_S):
        with pytest.raises(Unavailable, match=r"cannot fetch .* toy: code 4: no such package"):
            async with launcher.open("toy", entry(command="npx", args=["a@1.0.0"])):
                pass
