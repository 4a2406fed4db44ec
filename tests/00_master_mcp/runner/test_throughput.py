"""What the way through the runner costs, against the same program beside the hub."""

import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio
import pytest

from flotilla.identity import Signer, open_signing_key
from master.external.config import ServerEntry, parse_entry
from master.external.den import Den
from master.external.here import Here
from master.external.process import Process, Starter
from master.external.runner.client import RunnerElsewhere
from master.external.runner.messages import AUDIENCE
from master.upstream.authority import Signed

from ..servers.estate import PYTHON
from .lodging import RunnerProcess

pytestmark = pytest.mark.anyio

ECHO = "import sys\nfor line in sys.stdin.buffer: sys.stdout.buffer.write(line); sys.stdout.flush()"


async def in_turn(process: Process, line: bytes, count: int) -> float:
    """Seconds for so many lines there and back, one after the other."""
    lines = process.lines()
    started = perf_counter()
    for _ in range(count):
        await process.write(line)
        assert len(await anext(lines)) == len(line)
    return perf_counter() - started


async def at_once(process: Process, line: bytes, count: int) -> float:
    """Seconds for so many lines there and back, written as fast as they are taken."""
    lines = process.lines()

    async def write() -> None:
        for _ in range(count):
            await process.write(line)

    started = perf_counter()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        for _ in range(count):
            assert len(await anext(lines)) == len(line)
    return perf_counter() - started


async def best(starter: Starter, entry: ServerEntry, carry: Any, *amount: Any) -> float:
    async with starter.open("echo", entry) as started:
        await carry(started.process, b"warm", 50)
        return min([await carry(started.process, *amount) for _ in range(3)])


@pytest.mark.parametrize(
    ("carry", "line_bytes", "count", "at_most"),
    # Alone a line waits for another process and a socket, each way, beside the hub only for a pipe.
    [(in_turn, 1_000, 500, 25), (at_once, 1_000, 5_000, 10), (at_once, 1_000_000, 30, 5)],
    ids=["1 KB in turn", "1 KB at once", "1 MB at once"],
)
async def test_the_way_through_the_runner_costs_little(
    runner: RunnerProcess,
    folder: Path,
    carry: Callable[..., Any],
    line_bytes: int,
    count: int,
    at_most: float,
) -> None:
    entry = parse_entry("echo", {"command": PYTHON, "args": ["-c", ECHO]})
    den = Den(folder / "external", hidden=(), closed=(), env=dict(os.environ), secrets=())
    here = Here(den.launcher)
    signer = Signer(open_signing_key(folder / "data/hub"))
    there = RunnerElsewhere(runner.url, Signed(AUDIENCE, signer))
    amount = b"x" * line_bytes, count
    with anyio.fail_after(90):
        beside = await best(here, entry, carry, *amount)
        away = await best(there, entry, carry, *amount)
    per_line = f"{beside / count * 1e6:.0f} us beside the hub, {away / count * 1e6:.0f} us away"
    print(f"{count} lines of {line_bytes} bytes: {per_line}, ratio {away / beside:.2f}")
    assert away / beside < at_most
