"""Programs in a runner are servers like all others: calls, progress, questions, large lines."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import types

from tests.processes import alive

from ..servers.estate import everything, puppet
from .conftest import SECRET, OpenEstate
from .lodging import RunnerProcess

pytestmark = pytest.mark.anyio

of_both_eras = pytest.mark.parametrize(
    "mode",
    [
        pytest.param("2026-07-28", id="modern"),
        pytest.param("legacy", id="handshake", marks=pytest.mark.real),
    ],
)


@pytest.fixture
def runner(lasting_runner: RunnerProcess) -> RunnerProcess:
    return lasting_runner


async def said(client: Any, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result
    return result.content[0].text


@of_both_eras
async def test_calls_progress_and_questions_pass_through_the_runner(
    open_estate: OpenEstate, mode: str
) -> None:
    done: list[float] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        done.append(progress)

    async def fill(context: Any, params: Any) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"name": "Ada"})

    async with open_estate(all=everything()) as estate:
        await estate.reached("all", "running")
        async with estate.client("/servers/all/mcp", mode, elicitation_callback=fill) as client:
            arguments = {"steps": 3, "intervalMs": 10}
            await client.call_tool("slow_progress", arguments, progress_callback=note)
            hello = await said(client, "test_input_required_result_elicitation")
    assert done == [1, 2, 3]
    assert hello == "Hello, Ada!"


async def test_two_programs_run_at_once_below_the_runner_and_end_with_the_hub(
    open_estate: OpenEstate, runner: RunnerProcess, folder: Path
) -> None:
    async with open_estate(a=puppet(folder), b=puppet(folder)) as estate:
        pids = {(await estate.reached(name, "running"))["pid"] for name in ("a", "b")}
        programs = runner.programs()
        assert pids < {each.pid for each in programs}
        async with estate.client() as client, anyio.create_task_group() as tasks:
            for number in range(20):
                for name in ("a", "b"):
                    tasks.start_soon(_echoes, client, f"ext_{name}_echo", f"{name}{number}")
    assert alive(programs) == []


async def _echoes(client: Any, tool: str, text: str) -> None:
    assert await said(client, tool, text=text) == text


async def test_a_line_of_32_megabytes_passes_and_small_ones_meanwhile(
    open_estate: OpenEstate, folder: Path
) -> None:
    length = 32 * 1024 * 1024
    env = {"WORD": "0123456789abcdef"}
    async with open_estate(big=puppet(folder, env=env, timeoutS=60)) as estate:
        await estate.reached("big", "running")
        async with estate.client("/servers/big/mcp") as client:
            much = await said(client, "much", name="WORD", bytes=length)
            assert len(much) > length - 100
            assert await said(client, "echo", text="x" * 3_000_000) == "x" * 3_000_000


async def test_a_line_beyond_the_limit_fails_its_own_call_alone(
    open_estate: OpenEstate, folder: Path
) -> None:
    env = {"WORD": "0123456789abcdef"}
    async with open_estate(big=puppet(folder, env=env, timeoutS=60)) as estate:
        pid = (await estate.reached("big", "running"))["pid"]
        async with estate.client("/servers/big/mcp") as client:
            arguments = {"name": "WORD", "bytes": 66 * 1024 * 1024}
            result = await client.call_tool("much", arguments)
            assert result.is_error
            assert "too_large" in result.content[0].text
            assert await said(client, "echo", text="on") == "on"
        assert (await estate.state("big"))["pid"] == pid


async def test_a_secret_is_resolved_in_the_runner_and_never_reaches_the_hub(
    open_estate: OpenEstate, runner: RunnerProcess, folder: Path
) -> None:
    assert SECRET not in os.environ.values()
    entry = puppet(folder, env={"TOKEN": "${env:RUNNERS_SECRET}"})
    async with open_estate(gossip=entry) as estate:
        await estate.reached("gossip", "running")
        async with estate.client("/servers/gossip/mcp") as client:
            assert await said(client, "env", name="TOKEN") == "it is [redacted] indeed"
            much = await said(client, "much", name="TOKEN", bytes=1_000_000)
            assert SECRET not in much
            assert "[redacted], [redacted]" in much
        state = await estate.state("gossip")
        assert state["entry"]["env"] == ["TOKEN"]
        assert SECRET not in json.dumps(state)


async def test_what_is_missing_in_the_runner_is_shown_by_the_hub(
    open_estate: OpenEstate, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_HUBS_OWN", "of no use there")
    lacking = puppet(folder, env={"KEY": "${env:THE_HUBS_OWN}"})
    told = {"lacking": lacking, "absent": {"command": "no-such-program"}}
    async with open_estate(**told) as estate:
        state = await estate.reached("lacking", "not_configured")
        assert "environment variable THE_HUBS_OWN" in state["reason"]
        state = await estate.reached("absent", "not_configured")
        assert "there is no program 'no-such-program'" in state["reason"]


async def test_why_a_program_ended_is_told_and_its_standard_error_stays_in_the_runners_log(
    open_estate: OpenEstate, runner: RunnerProcess, folder: Path
) -> None:
    async with open_estate(crashing=puppet(folder, "--crash", "there is no", "database")) as estate:
        state = await estate.reached("crashing", "backing_off", "failed")
        assert state["reason"] == "code 1: there is no database"
        assert '"line":"there is no database"' in runner.log


@pytest.mark.real
@pytest.mark.real
async def test_one_that_is_stopped_is_gone_with_what_it_hid(
    open_estate: OpenEstate, runner: RunnerProcess, folder: Path
) -> None:
    async with open_estate(hiding=puppet(folder)) as estate:
        await estate.reached("hiding", "running")
        async with estate.client("/servers/hiding/mcp") as client:
            assert await said(client, "daemon") == "up"
            await said(client, "ignore")
        programs = runner.programs()
        assert len(programs) >= 3
        await estate.act("hiding", "stop")
        assert alive(programs) == []
        assert runner.programs() == []


@pytest.mark.real
async def test_a_runner_that_is_stopped_ends_its_programs_first(
    open_estate: OpenEstate, runner: RunnerProcess, folder: Path
) -> None:
    async with open_estate(a=puppet(folder)) as estate:
        await estate.reached("a", "running")
        programs = runner.programs()
        await runner.kill(signal.SIGTERM)
        assert alive(programs) == []
        assert runner.process is not None
        assert runner.process.returncode == 0
    await runner.start()


@pytest.mark.real
async def test_how_it_is_shut_in_is_told(open_estate: OpenEstate, folder: Path) -> None:
    async with open_estate(a=puppet(folder)) as estate:
        protection = (await estate.reached("a", "running"))["protection"]
        assert protection["sandbox"] in ("bubblewrap", "none")
        assert protection["memory"].startswith("1024 MB")
