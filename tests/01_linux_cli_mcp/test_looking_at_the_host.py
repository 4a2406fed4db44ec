"""What the typed tools say of this very machine, against what Python itself knows of it."""

import os
import platform
import shutil
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from linux_cli.procfs import open_ports_of, stat_of
from tests.conftest import until

Call = Callable[..., Awaitable[dict[str, Any]]]

pytestmark = pytest.mark.anyio


async def test_the_system_is_described_truly(call: Call) -> None:
    info = await call("getSystemInfo")
    assert info["hostname"] == socket.gethostname()
    assert info["kernel"] == platform.release()
    assert info.get("architecture", platform.machine()) == platform.machine()
    assert info["cpuCount"] == psutil.cpu_count()
    assert info["memoryTotalBytes"] == psutil.virtual_memory().total
    assert abs(datetime.fromisoformat(info["bootedAt"]).timestamp() - psutil.boot_time()) < 2
    assert info["osName"] and len(info["loadAverage"]) == 3


async def test_processes_are_described_truly(call: Call) -> None:
    with subprocess.Popen(["sleep", "321.5"]) as child:
        real = psutil.Process(child.pid)
        # It is loaded first.
        await until(lambda: real.status() == psutil.STATUS_SLEEPING)
        page = await call("listProcesses", nameContains="SLEEP 321.5")
        [found] = page["items"]
        assert (found["pid"], found["parentPid"]) == (child.pid, os.getpid())
        assert (found["name"], found["command"]) == ("sleep", "sleep 321.5")
        assert found["user"] == real.username() and found["threads"] == 1
        assert found["state"] == "sleeping"
        assert abs(found["memoryBytes"] - real.memory_info().rss) < 1024 * 1024
        assert abs(datetime.fromisoformat(found["startedAt"]).timestamp() - real.create_time()) < 2
        child.kill()


async def test_processes_are_sorted_filtered_and_paged(call: Call) -> None:
    pids = [one["pid"] for one in (await call("listProcesses", sortBy="pid", limit=500))["items"]]
    assert pids == sorted(pids) and os.getpid() in pids
    by_memory = (await call("listProcesses", sortBy="memory"))["items"]
    sizes = [one["memoryBytes"] for one in by_memory]
    assert sizes == sorted(sizes, reverse=True)
    assert (await call("listProcesses", user="nobody-at-all"))["items"] == []
    first = await call("listProcesses", sortBy="pid", limit=2)
    after = await call("listProcesses", sortBy="pid", limit=2, cursor=first["nextCursor"])
    assert [one["pid"] for one in first["items"] + after["items"]] == pids[:4]
    other = await call("listProcesses", sortBy="cpu", cursor=first["nextCursor"])
    assert other["error"] == "invalid_argument"


async def test_disks_are_described_truly(call: Call, tmp_path: Path) -> None:
    [disk] = (await call("getDiskUsage", path=str(tmp_path)))["items"]
    real = shutil.disk_usage(tmp_path)
    assert disk["totalBytes"] == real.total
    assert abs(disk["availableBytes"] - real.free) < 1024**3
    every = (await call("getDiskUsage", limit=500))["items"]
    assert disk["mountPoint"] in [one["mountPoint"] for one in every]


async def test_open_ports_are_found_with_their_process(call: Call) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        datagrams.bind(("127.0.0.1", 0))
        for one, protocol in ((server, "tcp"), (datagrams, "udp")):
            port = one.getsockname()[1]
            [found] = (await call("listOpenPorts", port=port, protocol=protocol))["items"]
            assert (found["protocol"], found["address"]) == (protocol, "127.0.0.1")
            assert (found["pid"], found["process"]) == (os.getpid(), psutil.Process().name())
    left = (await call("listOpenPorts", port=port, protocol="udp"))["items"]
    assert [each for each in left if each.get("pid") == os.getpid()] == []


def test_addresses_of_both_families_are_read() -> None:
    row = "0: {} 00000000:0000 0A 0:0 00:0 0 0 0 77 1\n"
    four = open_ports_of("tcp", "head\n" + row.format("0100007F:1F90"))
    six = open_ports_of("tcp6", "head\n" + row.format("00000000000000000000000001000000:0050"))
    assert (four[0].address, four[0].port) == ("127.0.0.1", 8080)
    assert (six[0].address, six[0].port) == ("::1", 80)


def test_a_process_may_have_any_name() -> None:
    stat = stat_of("7 (a) (b c) S 1 " + " ".join(str(number) for number in range(5, 53)))
    assert stat is not None and (stat.name, stat.state, stat.parent) == ("a) (b c", "sleeping", 1)
    assert stat_of("") is None and stat_of("7 (x) S") is None


async def test_a_process_is_killed(call: Call) -> None:
    with subprocess.Popen(["sleep", "300"]) as child:
        real = psutil.Process(child.pid)
        # It is loaded first.
        await until(lambda: real.status() == psutil.STATUS_SLEEPING)
        [found] = [
            one
            for one in (await call("listProcesses", nameContains="sleep 300", limit=500))["items"]
            if one["pid"] == child.pid
        ]
        ticks = found["startTicks"]
        wrong = await call("killProcess", pid=child.pid, expectedStartTicks=ticks + 1)
        assert wrong["error"] == "conflict" and child.poll() is None
        done = await call("killProcess", pid=child.pid, expectedStartTicks=ticks)
        assert done == {"pid": child.pid, "signal": "TERM", "ended": True}
        assert child.wait(5) == -signal.SIGTERM
    assert (await call("killProcess", pid=child.pid))["error"] == "not_found"


async def test_a_process_that_ignores_a_signal_is_said_to_live(call: Call) -> None:
    command = ["sh", "-c", "trap '' HUP; echo; exec sleep 300"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline() == b"\n"
        assert not (await call("killProcess", pid=child.pid, signal="HUP"))["ended"]
        child.kill()


@pytest.mark.parametrize("who", ["init", "self", "parent"])
async def test_the_spoke_and_what_carries_it_are_not_killed(call: Call, who: str) -> None:
    pid = {"init": 1, "self": os.getpid(), "parent": os.getppid()}[who]
    done = await call("killProcess", pid=pid, signal="USR1")
    assert done["error"] in ("not_allowed", "invalid_argument")


async def test_times_are_in_utc(call: Call) -> None:
    info = await call("getSystemInfo")
    assert datetime.fromisoformat(info["bootedAt"]).utcoffset() == UTC.utcoffset(None)
