"""A hub that has been called for long holds no more than one that has been called for a while."""

import asyncio
import sys
from pathlib import Path

import anyio
import pytest

pytestmark = [pytest.mark.anyio, pytest.mark.real]

ROOT = Path(__file__).resolve().parents[2]
CALLS = 9000


async def test_memory_tasks_and_sockets_stay_flat() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "benchmarks" / "soak.py"),
        *("--calls", str(CALLS), "--check"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        with anyio.fail_after(110):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    assert process.returncode == 0, said.decode()
