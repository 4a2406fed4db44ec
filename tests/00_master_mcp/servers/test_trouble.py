"""Servers that crash, hang, go away or tell secrets hurt nobody else."""

import asyncio
import os
import signal
import statistics
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio
import psutil
import pytest

from tests.conftest import until
from tests.everything import Era, serving
from tests.processes import alive

from .conftest import OpenEstate
from .estate import Estate, puppet

pytestmark = pytest.mark.anyio


@pytest.mark.real
async def test_one_that_crashes_in_a_loop_says_why_and_slows_nobody(
    estate: Estate, folder: Path
) -> None:
    async with estate.client() as client:

        async def took_s(calls: int) -> list[float]:
            taken: list[float] = []
            for number in range(calls):
                began = perf_counter()
                answered = await client.call_tool("ext_calm_echo", {"text": str(number)})
                taken.append(perf_counter() - began)
                assert answered.content[0].text == str(number)
            return taken

        await took_s(20)
        before = statistics.median(await took_s(100))
        await estate.add("crashing", puppet(folder, "--crash", "there is no", "database"))
        told = await estate.reached("crashing", "backing_off")
        assert "code 1" in told["reason"]
        assert "there is no database" in told["reason"]
        during: list[float] = []
        with anyio.fail_after(30):
            while (await estate.state("crashing"))["restarts"] < 3:
                during += await took_s(20)
        told = await estate.reached("crashing", "failed", within_s=30)
        # What else the machine does may have begun only then.
        before = max(before, statistics.median(await took_s(100)))
        assert statistics.median(during) < 3 * before + 0.005
        assert max(during) < 1
    assert "there is no database" in told["reason"]
    assert told["restarts"] == 4
    # A person who has mended it need not wait for the next try.
    script = folder / "puppet" / "puppet.py"
    script.write_text(script.read_text().replace('if "--crash" in sys.argv', "if False"))
    await estate.act("crashing", "start")
    await estate.reached("crashing", "running")


async def test_one_that_is_killed_is_back_and_its_callers_were_told(
    estate: Estate, folder: Path
) -> None:
    await estate.add("victim", puppet(folder))
    pid = (await estate.reached("victim", "running"))["pid"]
    async with estate.client() as client:
        ended = await client.call_tool("ext_victim_end", {"words": "goodbye, cruel world"})
        assert ended.is_error
        assert "unavailable" in ended.content[0].text
        with anyio.fail_after(5):
            # At first only that its output ended is known, its last words a moment later.
            while "goodbye, cruel world" not in (await estate.state("victim")).get("reason", ""):
                await anyio.sleep(0.01)
        await estate.reached("victim", "running")
        answered = await client.call_tool("ext_victim_echo", {"text": "back"})
        assert answered.content[0].text == "back"
        now = await estate.state("victim")
        assert now["pid"] != pid
        assert now["restarts"] == 1
        # The tether itself: what is below it must not stay.
        below = psutil.Process(now["pid"]).children(recursive=True)
        os.kill(now["pid"], signal.SIGKILL)
        with anyio.fail_after(20):
            while (await estate.state("victim"))["restarts"] < 2:
                await anyio.sleep(0.02)
        assert not alive(below)
        await estate.reached("victim", "running")
        answered = await client.call_tool("ext_victim_echo", {"text": "again"})
        assert answered.content[0].text == "again"


async def test_the_tools_of_one_that_is_away_stay_listed_as_stale(
    estate: Estate, folder: Path
) -> None:
    await estate.add("fading", puppet(folder))
    await estate.reached("fading", "running")
    async with estate.client() as client:
        script = folder / "puppet" / "puppet.py"
        script.write_text("import sys\nsys.exit('not any more')\n")
        await client.call_tool("ext_fading_end", {"words": "bye"})
        await estate.reached("fading", "backing_off")
        listed = await client.list_tools(cache_mode="refresh")
        marks = {tool.name: tool.meta or {} for tool in listed.tools}
        assert marks["ext_fading_echo"]["io.flotilla/stale"] is True
        assert "io.flotilla/stale" not in marks["ext_calm_echo"]
        refused = await client.call_tool("ext_fading_echo", {"text": "there?"})
        assert refused.is_error
        assert "unavailable" in refused.content[0].text


async def test_the_tools_of_a_remote_one_that_went_stay_and_come_back_with_it(
    estate: Estate, free_port: Any
) -> None:
    port = free_port()
    async with serving("streamable-http", Era.BOTH, port=port) as served:
        await estate.add("remote", {"url": served.url})
        told = await estate.reached("remote", "running")
        assert told["tools"] > 20
    told = await estate.reached("remote", "backing_off")
    assert told["reason"]
    async with estate.client() as client:
        listed = await client.list_tools(cache_mode="refresh")
        stale = {
            tool.name
            for tool in listed.tools
            if (tool.meta or {}).get("io.flotilla/stale") and tool.name.startswith("ext_remote_")
        }
        assert len(stale) == told["tools"]
        refused = await client.call_tool("ext_remote_test_simple_text", {})
        assert "unavailable" in refused.content[0].text
        async with serving("streamable-http", Era.BOTH, port=port):
            await estate.reached("remote", "running")
            answered = await client.call_tool("ext_remote_test_simple_text", {})
            assert not answered.is_error


async def test_one_that_fell_silent_is_not_said_to_run_and_is_started_anew(
    open_estate: OpenEstate, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A sandbox would hold the output open for as long as it is there itself.
    monkeypatch.setenv("PATH", str(folder))
    async with open_estate(folder, mute=puppet(folder)) as estate:
        told = await estate.reached("mute", "running")
        assert told["protection"]["sandbox"] == "none"
        async with estate.client() as client:
            answered = await client.call_tool("ext_mute_hush", {})
            assert "unavailable" in answered.content[0].text
            now = await estate.state("mute")
            assert now["pid"] == told["pid"], "it has not ended yet"
            assert now["state"] == "backing_off"
            assert now["reason"]
            assert (await estate.reached("mute", "running"))["restarts"] == 1
            again = await client.call_tool("ext_mute_echo", {"text": "back"})
            assert again.content[0].text == "back"


async def health(estate: Estate) -> dict[str, Any]:
    async with estate.client() as client:
        return (await client.call_tool("master_getServiceHealth", {})).structured_content


async def test_service_health_names_external_servers(estate: Estate, folder: Path) -> None:
    await estate.add("crashing", puppet(folder, "--crash", "no"))
    await estate.add("lacking", puppet(folder, env={"KEY": "${env:NOT_SET_AT_ALL}"}))
    await estate.add("distant", {"url": "http://127.0.0.1:1/mcp"})
    await estate.reached("crashing", "backing_off", "failed")
    await estate.reached("lacking", "not_configured")
    told = await health(estate)
    assert told["calm"]["status"] == "healthy"
    assert told["calm"]["latency_ms"] < 1000
    for name in ("crashing", "distant"):
        assert told[name]["status"] == "unreachable"
        assert told[name]["reason"]
    assert told["lacking"]["status"] in ("unreachable", "not_configured")
    assert "off" not in told
    for name in ("crashing", "lacking", "distant"):
        await estate.remove(name)
    assert set(await health(estate)) == {"calm", "master"}


SECRET = "s3cr3t-value-that-nobody-may-see"


@pytest.fixture
async def gossip(estate: Estate, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A puppet that knows a secret by handle."""
    monkeypatch.setenv("PUPPET_SECRET", SECRET)
    told = {"KEY": "${env:PUPPET_SECRET}", "PASSWORD": "a-literal-password"}
    await estate.add("gossip", puppet(folder, env=told))
    await estate.reached("gossip", "running")
    yield estate


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
async def test_a_secret_in_a_result_is_replaced(gossip: Estate, mode: str) -> None:
    async with gossip.client("/mcp", mode) as client:
        for name in ("KEY", "PASSWORD"):
            answered = await client.call_tool("ext_gossip_env", {"name": name})
            assert answered.content[0].text == "it is [redacted] indeed"
        both = await client.call_tool("ext_gossip_echo", {"text": f"{SECRET}!{SECRET}"})
        assert both.content[0].text == "[redacted]![redacted]"


@pytest.mark.parametrize("mode", ["2026-07-28", pytest.param("legacy", marks=pytest.mark.real)])
async def test_a_secret_is_replaced_wherever_it_stands_in_eight_mebibytes(
    gossip: Estate, mode: str
) -> None:
    size = 8 * 1024 * 1024
    async with gossip.client("/mcp", mode) as client:
        asked = {"name": "KEY", "bytes": size}
        answered = await client.call_tool("ext_gossip_much", asked)
    text = answered.content[0].text
    # The server repeats it with two characters between, and cuts the last one off.
    repeated = f"{SECRET}, "
    expected = (repeated * (size // len(SECRET)))[:size].replace(SECRET, "[redacted]")
    assert text == expected


async def test_a_secret_is_in_no_answer_about_the_server_and_in_no_log(
    gossip: Estate, capfd: pytest.CaptureFixture[str]
) -> None:
    async with gossip.client() as client:
        ended = await client.call_tool("ext_gossip_end", {"words": f"I know {SECRET}"})
    assert "unavailable" in ended.content[0].text
    told = await gossip.reached("gossip", "backing_off", "running")
    await gossip.reached("gossip", "running")
    lines: list[str] = []

    def logged() -> bool:
        lines.extend(capfd.readouterr())
        return "I know [redacted]" in "".join(lines)

    await until(logged)
    everywhere = "".join(
        [
            str(told),
            (await gossip.admin.get("/mcp/servers")).text,
            (await gossip.admin.get("/metrics")).text,
            *lines,
        ]
    )
    assert SECRET not in everywhere
    assert "a-literal-password" not in everywhere


async def test_a_server_sees_nothing_of_the_hub_but_the_search_path(
    estate: Estate, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setenv("SOMETHING_OF_THE_HUB", "1")
    await estate.add("bare", puppet(folder, env={"OWN": "1"}))
    await estate.reached("bare", "running")
    async with estate.client("/servers/bare/mcp") as client:
        found = (await client.call_tool("names", {})).content[0].text.split()
    known = {"FLOTILLA_RUN", "HOME", "LANG", "NODE_OPTIONS", "OWN", "PATH", "TMPDIR"}
    # The C library and the shell of the sandbox add their own.
    assert set(found) - {"PWD", "LC_CTYPE", "SHLVL", "_"} == known


@pytest.mark.real
async def test_a_hung_server_holds_up_no_other_and_is_ended_all_the_same(
    open_estate: OpenEstate, folder: Path
) -> None:
    told = {"calm": puppet(folder), "hung": puppet(folder, timeoutS=2)}
    async with open_estate(folder, **told) as estate:
        pid = (await estate.reached("hung", "running"))["pid"]
        await estate.reached("calm", "running")
        inner = psutil.Process(pid).children(recursive=True)
        for each in inner:
            each.suspend()
        async with estate.client() as client:

            async def hang() -> None:
                answered = await client.call_tool("ext_hung_echo", {"text": "?"})
                assert "timeout" in answered.content[0].text

            with anyio.fail_after(10):
                async with anyio.create_task_group() as group:
                    for _ in range(20):
                        group.start_soon(hang)
                    await asyncio.sleep(0.1)
                    took_s: list[float] = []
                    for _ in range(3):
                        began = perf_counter()
                        await client.call_tool("ext_calm_echo", {"text": "a"})
                        took_s.append(perf_counter() - began)
                    # One of them may meet a pause of the machine's.
                    assert sorted(took_s)[-2] < 0.5, took_s
                    assert sum(took_s) < 1.5, "the others hang on"
            assert (await health(estate))["hung"]["status"] == "unreachable"
    assert not alive(inner)
