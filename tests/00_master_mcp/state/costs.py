"""What the shared state costs a call, embedded and in Redis, beside the driver's own client.

PYTHONPATH=.:00_master_mcp .venv/bin/python tests/00_master_mcp/state/costs.py
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop
from redis.asyncio import Redis

from flotilla.fleet import HubLimits
from flotilla.resilience import Breaker, RateLimit
from master.state.opened import open_state
from master.state.seam import SharedState
from master.state.shared.scripts import TAKE
from tests.backends.redis_server import RedisServer, redis_program

CALLS = 4000
AT_ONCE = 100
LIMIT = RateLimit(per_minute=10_000_000, burst=1_000_000)
Operation = Callable[[], Awaitable[Any]]


async def cost_us(operation: Operation, at_once: int) -> tuple[float, float]:
    """Microseconds of time and of CPU for each of `CALLS`, so many of them at once; best of 5."""
    rounds = list[tuple[float, float]]()

    async def caller() -> None:
        for _ in range(CALLS // at_once):
            await operation()

    for _ in range(5):
        begun, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(caller() for _ in range(at_once)))
        rounds.append((time.perf_counter() - begun, time.process_time() - cpu))
    return tuple(min(each) / CALLS * 1e6 for each in zip(*rounds, strict=True))  # type: ignore[return-value]


async def report(state: SharedState) -> None:
    circuit = state.circuits.of("weather", Breaker(failures=1_000_000))
    generation = await state.cache.get("os.linux", "a")
    assert isinstance(generation, int)
    await state.cache.put("os.linux", "a", generation, b"x" * 2000, 600)

    async def fail_and_succeed() -> None:
        ticket = await circuit.admit()
        await circuit.failed(ticket, "refused")
        await circuit.succeeded(ticket)

    async def admit_and_succeed() -> None:
        await circuit.succeeded(await circuit.admit())

    operations: dict[str, Operation] = {
        "limits.take": lambda: state.limits.take("alice:weather", LIMIT),
        "circuit.admit + succeeded": admit_and_succeed,
        "circuit.failed + succeeded": fail_and_succeed,
        "cache.get, 2 kB found": lambda: state.cache.get("os.linux", "a"),
        "cache.get, not found": lambda: state.cache.get("os.linux", "b"),
    }
    for name, operation in operations.items():
        await tell(f"{state.kind} {name}", operation)


async def tell(name: str, operation: Operation) -> None:
    alone, crowd = await cost_us(operation, 1), await cost_us(operation, AT_ONCE)
    print(
        f"{name:36} alone {alone[0]:7.2f} us ({alone[1]:6.2f} CPU)   "
        f"{AT_ONCE} at once {crowd[0]:7.2f} us ({crowd[1]:6.2f} CPU)"
    )


async def main() -> None:
    await report(open_state(None, HubLimits()))
    program = redis_program()
    assert program, "install redis-server"
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(program, Path(folder))
        server.start()
        try:
            shared = open_state(server.url, HubLimits())
            async with shared.running(), Redis.from_url(server.url) as driver:
                await report(shared)
                sha = await driver.script_load(TAKE.source)
                await tell(
                    "redis-py's client, the same take",
                    lambda: driver.evalsha(sha, 1, "flotilla:rate:bob", 6.0, 1_000_000),
                )
        finally:
            server.stop()


if __name__ == "__main__":
    uvloop.run(main())
