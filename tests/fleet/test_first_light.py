"""The fleet as a person starts it, operated by a client that nobody here wrote."""

import os
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence

import anyio
import httpx2
import psutil
import pytest
from mcp import Client
from mcp.client.sse import sse_client

from flotilla import meta
from tests.conftest import LaunchedFleet, launched_in, service_numbers
from tests.processes import command_of

pytestmark = pytest.mark.anyio

CALLS = 2000
IN_FLIGHT = 32
FEW = "00,01,12"
"""The services that the tests call: each that starts costs a second."""
SLEEP = f"sleep 4713.{os.getpid()}"
"""A command that nothing else on the machine runs, so that a leftover one is ours."""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def few(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[LaunchedFleet]:
    """A fleet of FEW, for the tests that leave it as it is."""
    async with launched_in(tmp_path_factory.mktemp("few"), "--services", FEW) as fleet:
        yield fleet


def structured(result):
    assert not result.is_error, result.content
    return result.structured_content


def code_of(result) -> str:
    assert result.is_error
    return result.meta[meta.ERROR]["code"]


async def operate(client: Client, run: str) -> None:
    """What every client must be able to do: look at this machine, keep its CMDB."""
    names = [tool.name for tool in (await client.list_tools()).tools]
    assert {"os_linux_getSystemInfo", "data_cmdb_createItem", "master_listServices"} <= set(names)
    assert structured(await client.call_tool("os_linux_getSystemInfo", {}))
    ids = {}
    for kind, name in (("server", f"rack-{run}"), ("application", f"shop-{run}")):
        made = structured(
            await client.call_tool(
                "data_cmdb_createItem", {"ciClass": kind, "name": name, "attributes": {}}
            )
        )
        ids[kind] = made["id"]
    link = {"sourceId": ids["application"], "type": "runs_on", "targetId": ids["server"]}
    structured(await client.call_tool("data_cmdb_createRelation", link))
    asked = {"id": ids["server"], "direction": "downstream", "depth": 2}
    impact = structured(await client.call_tool("data_cmdb_analyzeImpact", asked))
    assert ids["application"] in str(impact)


async def test_each_transport_and_era_operates_the_machine_and_the_cmdb(few) -> None:
    for mode in ("2026-07-28", "legacy", "auto"):
        async with few.client(mode=mode) as client:
            await operate(client, mode)
    async with Client(sse_client(f"{few.url}/sse", headers=few.headers)) as client:
        await operate(client, "sse")
    token = few.headers["Authorization"].removeprefix("Bearer ")
    assert token not in "\n".join(few.told)
    logs = "".join(log.read_text() for log in (few.data_dir / "logs").iterdir())
    assert "call_answered" in logs
    assert token not in logs


async def test_the_doors_are_shut(few) -> None:
    await assert_shut(few, [int(number) for number in FEW.split(",")])


@pytest.mark.real
async def test_the_doors_of_every_service_are_shut(launch_fleet) -> None:
    async with launch_fleet() as fleet:
        await assert_shut(fleet, service_numbers())


async def assert_shut(fleet, numbers: Sequence[int]) -> None:
    """Nobody without a token is let in, and at a service not even the hub's own admin."""
    async with httpx2.AsyncClient() as http:
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}

        async def status(url: str, **headers: str) -> int:
            return (await http.post(f"{url}/mcp", json=ping, headers=headers)).status_code

        assert await status(fleet.url) == 401
        assert await status(fleet.url, authorization="Bearer flt_nonsense") == 401
        assert await status(fleet.url, **fleet.headers, host="fleet.example") == 421
        for number in set(numbers) - {0}:
            assert await status(fleet.url_of(number)) == 401
            assert await status(fleet.url_of(number), **fleet.headers) == 401


@pytest.mark.real
async def test_a_storm_with_cancelled_calls_leaves_nothing_behind(launch_fleet) -> None:
    env = {"FLOTILLA_APPROVALS": "off", "LINUX_CLI_MAX_PROCESSES": "64"}
    async with launch_fleet("--services", FEW, **env) as fleet:
        await storm(fleet, 400)
        await rest(fleet)
        before = {each.pid: each.memory_info().rss for each in fleet.processes()}
        outcomes = await storm(fleet, CALLS)
        assert outcomes == {"right": CALLS - CALLS * 3 // 10, "cancelled": CALLS * 3 // 10}
        await rest(fleet)
        after = {each.pid: each.memory_info().rss for each in fleet.processes()}
        assert after.keys() == before.keys()
        grown = sum(after.values()) - sum(before.values())
        assert grown < 24 * 2**20, f"{grown / 2**20:.1f} MiB more after {CALLS} calls"


async def storm(fleet, calls: int) -> Counter[str]:
    """Calls at 32 in flight over a client of each era, three in ten cancelled while they run."""
    outcomes: Counter[str] = Counter()

    async def one(client: Client, number: int) -> None:
        if number % 10 < 3:
            with anyio.move_on_after(0.05) as scope:
                await client.call_tool("os_linux_runCommand", {"command": SLEEP})
            outcomes["cancelled" if scope.cancelled_caught else "odd"] += 1
            return
        argv = ["echo", f"call {number}"]
        result = await client.call_tool("os_linux_runReadOnly", {"argv": argv})
        told = (result.structured_content or {}).get("stdout")
        outcomes["right" if told == f"call {number}\n" else f"wrong: {result.content}"] += 1

    async def worker(client: Client, numbers) -> None:
        for number in numbers:
            await one(client, number)

    with anyio.fail_after(100):
        async with (
            fleet.client(mode="2026-07-28") as modern,
            fleet.client(mode="legacy") as handshake,
            anyio.create_task_group() as group,
        ):
            numbers = iter(range(calls))
            for turn in range(IN_FLIGHT):
                group.start_soon(worker, handshake if turn % 2 else modern, numbers)
    return outcomes


async def rest(fleet) -> None:
    """Return once nothing is left of calls: a program of one that was cancelled ends after it."""
    with anyio.fail_after(10):
        while await busy(fleet):
            await anyio.sleep(0.05)


async def busy(fleet) -> list[str]:
    """What still runs, waits or is open in the fleet."""
    left = [
        line
        for number in (0, 1)
        for line in (await fleet.metrics(number)).splitlines()
        if line.startswith(("mcp_calls_running{", "mcp_sessions_open{"))
        and not line.endswith(" 0.0")
    ]
    return left + [each for each in map(command_of, fleet.processes()) if SLEEP in each]


async def test_a_killed_spoke_hurts_its_own_caller_alone_and_comes_back(launch_fleet) -> None:
    env = {"FLOTILLA_APPROVALS": "off"}
    few = ("--isolate", "--services", FEW)
    async with launch_fleet(*few, **env) as fleet, fleet.client() as client:
        results = []

        async def hang() -> None:
            results.append(await client.call_tool("os_linux_runCommand", {"command": SLEEP}))

        async with anyio.create_task_group() as group:
            group.start_soon(hang)
            with anyio.fail_after(10):
                while not any(SLEEP in command_of(each) for each in fleet.processes()):
                    await anyio.sleep(0.01)
            fleet.process_of("01_linux_cli_mcp/mcp_server.py").kill()
            killed_at = time.monotonic()
            items = await client.call_tool("data_cmdb_searchItems", {})
            assert not items.is_error
        assert time.monotonic() - killed_at < 1
        (result,) = results
        assert code_of(result) == "unavailable"
        assert result.meta[meta.ERROR]["correlationId"]
        with anyio.fail_after(20):
            while (await client.call_tool("os_linux_getSystemInfo", {})).is_error:
                await anyio.sleep(0.05)
        health = structured(await client.call_tool("master_getServiceHealth", {}))
        assert {each["status"] for each in health.values()} == {"healthy"}
        orphans = [each.pid for each in psutil.process_iter() if SLEEP in command_of(each)]
        assert not orphans, "what the killed spoke had started must not outlive it"
