"""Servers come and go while the hub runs, and the clients are told."""

import asyncio
from pathlib import Path

import anyio
import psutil
import pytest
from mcp.shared.exceptions import MCPError

from tests.processes import alive, command_of

from .conftest import OpenEstate
from .estate import Ear, Estate, below, everything, puppet, told_of_tools

pytestmark = pytest.mark.anyio

MODES = {"modern": "2026-07-28", "handshake": "legacy"}
of_both_eras = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


async def names(client: object) -> list[str]:
    listed = await client.list_tools(cache_mode="refresh")  # type: ignore[attr-defined]
    return [tool.name for tool in listed.tools]


@of_both_eras
async def test_tools_are_shown_to_the_fleet_by_server_and_behind_their_own_url_as_they_are(
    estate: Estate, mode: str
) -> None:
    async with estate.client("/mcp", mode) as fleet:
        shown = await names(fleet)
        assert {"ext_calm_echo", "ext_calm_env"} <= set(shown)
        assert not [name for name in shown if name.startswith("ext_off")]
        assert (await fleet.call_tool("ext_calm_echo", {"text": "a"})).content[0].text == "a"
        assert (await fleet.call_tool("ext.calm.echo", {"text": "b"})).content[0].text == "b"
    async with estate.client("/servers/calm/mcp", mode) as alone:
        assert (await names(alone))[:3] == ["echo", "env", "much"]
        assert (await alone.call_tool("echo", {"text": "c"})).content[0].text == "c"
    async with estate.client("/mcp?names=dotted", mode) as dotted:
        assert "ext.calm.echo" in await names(dotted)


async def test_one_that_is_off_has_no_url_until_it_is_started(estate: Estate) -> None:
    answered = await estate.admin.post("/servers/off/mcp", json={})
    assert answered.status_code == 404
    await estate.act("off", "start")
    await estate.reached("off", "running")
    async with estate.client("/servers/off/mcp") as client:
        assert (await client.call_tool("echo", {"text": "on"})).content[0].text == "on"
    assert (await estate.act("off", "stop"))["state"] == "disabled"
    assert (await estate.admin.post("/servers/off/mcp", json={})).status_code == 404


@of_both_eras
async def test_one_that_is_added_is_told_listed_and_reached_and_one_removed_is_gone(
    estate: Estate, folder: Path, mode: str
) -> None:
    ear = Ear()
    async with estate.client("/mcp", mode, message_handler=ear.hear) as client:
        assert not [name for name in await names(client) if name.startswith("ext_guest")]

        async def add() -> None:
            await estate.add("guest", puppet(folder))

        async def remove() -> None:
            await estate.remove("guest")

        if mode == "legacy":
            await add()
            await ear.until("ToolListChangedNotification")
        else:
            await told_of_tools(client, add)
        assert "ext_guest_echo" in await names(client)
        answered = await client.call_tool("ext_guest_echo", {"text": "welcome"})
        assert answered.content[0].text == "welcome"
        async with estate.client("/servers/guest/mcp", mode) as alone:
            assert (await alone.call_tool("echo", {"text": "in"})).content[0].text == "in"
        pid = (await estate.state("guest"))["pid"]
        processes = below(pid)
        ear.heard.clear()
        if mode == "legacy":
            await remove()
            await ear.until("ToolListChangedNotification")
        else:
            await told_of_tools(client, remove)
        assert not [name for name in await names(client) if name.startswith("ext_guest")]
        refused = await client.call_tool("ext_guest_echo", {"text": "gone"})
        assert refused.is_error
        assert "not_found" in refused.content[0].text
    assert alive(processes) == []
    assert (await estate.admin.get("/mcp/servers/guest")).status_code == 404
    assert (await estate.admin.post("/servers/guest/mcp", json={})).status_code == 404


async def test_a_client_of_one_server_is_answered_404_when_that_is_removed(
    estate: Estate, folder: Path
) -> None:
    await estate.add("guest", puppet(folder))
    await estate.reached("guest", "running")
    async with estate.client("/servers/guest/mcp", "2026-07-28") as client:
        assert "echo" in await names(client)
        await estate.remove("guest")
        with pytest.raises(MCPError):
            await client.list_tools(cache_mode="refresh")


async def test_a_call_in_flight_is_answered_when_its_server_is_stopped(
    estate: Estate,
) -> None:
    await estate.add("slow", everything())
    await estate.reached("slow", "running")
    async with estate.client("/servers/slow/mcp") as client:
        began = asyncio.Event()

        async def progressed(*_: object) -> None:
            began.set()

        async def call() -> None:
            asked = {"steps": 1000, "intervalMs": 50}
            answered = await client.call_tool("slow_progress", asked, progress_callback=progressed)
            assert answered.is_error
            assert "unavailable" in answered.content[0].text

        with anyio.fail_after(15):
            async with anyio.create_task_group() as group:
                group.start_soon(call)
                await began.wait()
                await estate.act("slow", "stop")


async def test_starting_one_that_runs_leaves_it_alone(estate: Estate) -> None:
    before = await estate.state("calm")
    assert (await estate.act("calm", "start"))["pid"] == before["pid"]
    async with estate.client() as client:
        assert (await client.call_tool("ext_calm_echo", {"text": "a"})).content[0].text == "a"


async def test_many_changes_at_once_come_out_in_order(estate: Estate, folder: Path) -> None:
    entry = puppet(folder)

    async def coming_and_going(name: str) -> None:
        for _ in range(2):
            await estate.add(name, entry)
            await estate.act(name, "stop")
            await estate.act(name, "start")
            await estate.remove(name)

    before = len(psutil.Process().children(recursive=True))
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for number in range(4):
                group.start_soon(coming_and_going, f"one-{number}")
    assert await estate.names() == ["calm", "off"]
    assert len(psutil.Process().children(recursive=True)) == before


@pytest.mark.real
async def test_a_stop_ends_all_that_a_server_started_however_it_hides(
    estate: Estate, folder: Path
) -> None:
    await estate.add("hydra", puppet(folder))
    pid = (await estate.reached("hydra", "running"))["pid"]
    async with estate.client("/servers/hydra/mcp") as client:
        for _ in range(3):
            assert (await client.call_tool("daemon", {})).content[0].text == "up"
        await client.call_tool("ignore", {})
    processes = below(pid)
    sleepers = [each for each in processes if "time.sleep(600)" in command_of(each)]
    assert len(sleepers) == 3
    with anyio.fail_after(15):
        told = await estate.act("hydra", "stop")
    assert told["state"] == "disabled"
    assert "pid" not in told
    assert alive(processes) == []
    assert "hydra" in await estate.names()


async def test_the_end_of_the_hub_leaves_no_process(open_estate: OpenEstate, folder: Path) -> None:
    before = set(psutil.Process().children(recursive=True))
    told = {
        "plain": puppet(folder),
        "stubborn": puppet(folder),
        "crashing": puppet(folder, "--crash", "no"),
    }
    async with open_estate(folder, **told) as estate:
        for name in ("plain", "stubborn"):
            await estate.reached(name, "running")
        async with estate.client() as client:
            await client.call_tool("ext_plain_daemon", {})
            await client.call_tool("ext_stubborn_ignore", {})
        started = [each for each in psutil.Process().children(recursive=True) if each not in before]
        assert len(started) >= 5
    assert alive(started) == []
    assert set(psutil.Process().children(recursive=True)) <= before
    assert list((folder / "data" / "external" / ".running").iterdir()) == []


async def test_what_was_changed_survives_a_restart_of_the_hub(
    open_estate: OpenEstate, folder: Path
) -> None:
    told = {name: puppet(folder) for name in ("kept", "stopped", "removed")}
    told["enabled"] = puppet(folder, disabled=True)
    async with open_estate(folder, **told) as estate:
        await estate.add("added", puppet(folder, env={"COLOUR": "a-shade-of-green"}))
        await estate.act("stopped", "stop")
        await estate.act("enabled", "start")
        await estate.remove("removed")
        await estate.reached("added", "running")
        before = {
            each["name"]: each["entry"]
            for each in (await estate.admin.get("/mcp/servers")).json()["servers"]
        }
    async with open_estate(folder, **told) as estate:
        servers = (await estate.admin.get("/mcp/servers")).json()["servers"]
        assert {each["name"]: each["entry"] for each in servers} == before
        assert {each["name"]: each["origin"] for each in servers} == {
            "kept": "file",
            "stopped": "file",
            "enabled": "file",
            "added": "runtime",
        }
        for name in ("kept", "enabled", "added"):
            await estate.reached(name, "running")
        assert (await estate.state("stopped"))["state"] == "disabled"
        async with estate.client("/servers/added/mcp") as client:
            answered = await client.call_tool("env", {"name": "COLOUR"})
        assert "a-shade-of-green" not in (await estate.admin.get("/mcp/servers/added")).text
        assert answered.content[0].text.startswith("it is ")
    stored = folder / "data" / "hub" / "servers.json"
    assert stored.stat().st_mode & 0o077 == 0
