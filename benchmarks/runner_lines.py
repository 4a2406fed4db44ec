"""What a line costs that goes to a program in the runner, against one to a program beside the hub.

usage: python3 benchmarks/runner_lines.py

The program gives back what it is told. Both ways run in this process and in the same run; the least
of three rounds counts. Quote the ratio: machines are noisy.
"""

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "00_master_mcp"), str(ROOT / "benchmarks")]

import uvloop  # noqa: E402
from wire.fleet import READY_S, answers, clean_env  # noqa: E402
from wire.processes import MODULE_ENV, Programs, free_port, programs  # noqa: E402

from flotilla.identity import Signer, open_signing_key  # noqa: E402
from master.external.config import ServerEntry, parse_entry  # noqa: E402
from master.external.den import Den  # noqa: E402
from master.external.here import Here  # noqa: E402
from master.external.process import Process, Starter  # noqa: E402
from master.external.runner.client import RunnerElsewhere  # noqa: E402
from master.external.runner.messages import AUDIENCE  # noqa: E402
from master.upstream.authority import Signed  # noqa: E402

ECHO = "import sys\nfor line in sys.stdin.buffer: sys.stdout.buffer.write(line); sys.stdout.flush()"
ROUNDS = 3

Carry = Callable[[Process, bytes, int], Awaitable[float]]


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
    writing = asyncio.create_task(write())
    for _ in range(count):
        assert len(await anext(lines)) == len(line)
    await writing
    return perf_counter() - started


WORK: dict[str, tuple[Carry, int, int]] = {
    "1 KB, one at a time": (in_turn, 1_000, 500),
    "1 KB, as fast as taken": (at_once, 1_000, 5_000),
    "1 MB, as fast as taken": (at_once, 1_000_000, 30),
}


async def best(
    starter: Starter, entry: ServerEntry, carry: Carry, line: bytes, count: int
) -> float:
    async with starter.open("echo", entry) as echo:
        await carry(echo.process, b"warm", 50)
        return min([await carry(echo.process, line, count) for _ in range(ROUNDS)])


async def main(started: Programs) -> None:
    folder, port = started.folder, free_port()
    signer = Signer(open_signing_key(folder / "hub"))
    env = {
        **clean_env(),
        **MODULE_ENV,
        "FLOTILLA_DATA_DIR": str(folder / "runner"),
        "FLOTILLA_HUB_PUBLIC_KEY": str(folder / "hub" / "public_key.pem"),
        "FLOTILLA_RUNNER_PORT": str(port),
    }
    url = f"http://127.0.0.1:{port}"
    runner = started.start(
        "runner", [sys.executable, str(ROOT / "00_master_mcp" / "runner.py")], env
    )
    await runner.until(lambda: answers(f"{url}/health"), READY_S)
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable
    entry = parse_entry("echo", {"command": python, "args": ["-c", ECHO]})
    den = Den(folder / "external", hidden=(), closed=(), env=dict(os.environ), secrets=())
    here, there = Here(den.launcher), RunnerElsewhere(url, Signed(AUDIENCE, signer))
    print("| lines | µs beside the hub | µs in the runner | ratio |")
    print("|---|---|---|---|")
    for name, (carry, line_bytes, count) in WORK.items():
        line = b"x" * line_bytes
        beside = await best(here, entry, carry, line, count) / count * 1e6
        away = await best(there, entry, carry, line, count) / count * 1e6
        print(f"| {name} | {beside:.0f} | {away:.0f} | {away / beside:.1f} |")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name, programs(Path(name)) as found:
        uvloop.run(main(found))
