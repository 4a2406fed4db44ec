"""A hub that is killed at any moment loses no row that was waited for."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT

from .conftest import Site

pytestmark = pytest.mark.anyio

WRITER = """
import asyncio, os, sys
from pathlib import Path
from flotilla.redaction import Redactor
from master.audit.opened import open_book
from master.audit.seam import Row
from master.audit.settings import AuditSettings
from master.database.opened import open_database, place_of

def row(tool):
    return Row(kind="call", principal="ann", tool=tool)

async def main(folder, turn):
    place = place_of(None, folder)
    database = open_database(place)
    book = open_book(place, database, folder, Redactor(), AuditSettings())
    async with database.opened(), book.running():
        async def writer(name):
            for number in range(10**9):
                tool = f"{turn}.{name}.{number}"
                await book.keep(row(tool))
                # One write: a kill tears no line.
                os.write(1, f"kept {tool}\\n".encode())
        async def noter():
            # While the machine stands still, nothing here grows older.
            time, awake_s = asyncio.get_running_loop().time, 0.0
            for number in range(10**9):
                began = time()
                tool = f"{turn}.noted.{number}"
                book.note(row(tool))
                os.write(1, f"noted {awake_s} {tool}\\n".encode())
                await asyncio.sleep(0.001)
                awake_s += min(time() - began, 0.02)
        await asyncio.gather(noter(), *(writer(name) for name in "abc"))

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


async def survive(site: Site, turns: int) -> None:
    chance = random.Random(20)
    kept: list[str] = []
    noted: list[str] = []
    for turn in range(turns):
        # Every other one long enough for what was only noted to be on the disk as well.
        after_s = chance.uniform(0.5, 0.8) if turn % 2 == 0 else chance.uniform(0.0, 0.25)
        told = _killed(site.folder, turn, after_s)
        kept += [line[1] for line in told if line[0] == "kept"]
        last = max((float(line[1]) for line in told if line[0] == "noted"), default=0.0)
        # What was noted in the last tenth of a second may be lost, and on a machine as busy as
        # this one a little more.
        noted += [line[2] for line in told if line[0] == "noted" and float(line[1]) < last - 0.3]
    async with site.hub() as hub:
        links = await hub.rows.links(0, 1_000_000)
        there = {link.columns["tool"] for link in links}
        assert len(kept) >= turns
        assert noted
        assert [tool for tool in kept if tool not in there] == []
        assert [tool for tool in noted if tool not in there] == []
        assert (await hub.verify()).fault is None


def _killed(folder: Path, turn: int, after_s: float) -> list[list[str]]:
    """Run a writer, kill it some time after the first row that it waited for; what it said, by
    words."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "00_master_mcp")])
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), str(turn)],
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path},
    ) as writer:
        assert writer.stdout is not None
        said = bytearray()
        while not said.startswith(b"kept") and b"\nkept" not in said:
            line = writer.stdout.readline()
            assert line, "the writer ended by itself"
            said += line
        killing = time.monotonic() + after_s
        os.set_blocking(writer.stdout.fileno(), False)
        while time.monotonic() < killing:
            said += writer.stdout.read() or b""
            time.sleep(0.002)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        os.set_blocking(writer.stdout.fileno(), True)
        said += writer.stdout.read()
    return [line.split() for line in said.decode().splitlines()]


@pytest.mark.real
async def test_a_kill_loses_no_row_that_was_waited_for(swift: Site) -> None:
    await survive(swift, 1)


@pytest.mark.real
async def test_twenty_kills_at_random_moments_lose_no_row_that_was_waited_for(swift: Site) -> None:
    await survive(swift, 20)
