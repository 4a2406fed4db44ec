"""Bursts of calls over one way, and what they took."""

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter, process_time

from wire.callers import Caller, Job
from wire.connection import Connection
from wire.processes import Program

PIECE_S = 60.0
"""A piece that takes longer is broken off with TimeoutError."""


@dataclass(frozen=True)
class Way:
    """One way of a call: by which client, and which program stands between."""

    name: str
    caller: Caller
    between: Program | None


@dataclass(frozen=True)
class Burst:
    """What a burst took; `load_share` is the CPU of the load generator as a part of one core."""

    calls: int
    median_ms: float
    p95_ms: float
    calls_a_second: float
    cpu_ms: float
    """Of the program between, for each call; 0 where there is none."""
    load_share: float


class Lanes:
    """The open connections of the ways, kept from burst to burst as a client keeps them."""

    def __init__(self) -> None:
        self._open: dict[str, list[Connection]] = {}

    def of(self, way: Way, count: int) -> Sequence[Connection]:
        lanes = self._open.setdefault(way.name, [])
        lanes += [way.caller.lane() for _ in range(count - len(lanes))]
        return lanes[:count]

    def close(self) -> None:
        for lanes in self._open.values():
            for lane in lanes:
                lane.close()


@dataclass(frozen=True)
class Part:
    """A piece of a burst: the seconds of each call, and what the piece took as a whole."""

    took_s: Sequence[float]
    wall_s: float
    cpu_s: float
    own_cpu_s: float


def whole(parts: Sequence[Part]) -> Burst:
    """One burst of its pieces."""
    took = sorted(each for part in parts for each in part.took_s)
    wall_s = sum(part.wall_s for part in parts)
    return Burst(
        calls=len(took),
        median_ms=statistics.median(took) * 1e3,
        p95_ms=took[int(len(took) * 0.95)] * 1e3,
        calls_a_second=len(took) / wall_s,
        cpu_ms=sum(part.cpu_s for part in parts) / len(took) * 1e3,
        load_share=sum(part.own_cpu_s for part in parts) / wall_s,
    )


async def piece(way: Way, job: Job, calls: int, lanes: Sequence[Connection]) -> Part:
    """So many calls, one after the other on each lane; raises what the first bad answer raises."""
    took: list[float] = []
    left = calls

    async def run(lane: Connection) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            started = perf_counter()
            await way.caller.call(lane, job)
            took.append(perf_counter() - started)

    cpu, own, started = _cpu_s(way), process_time(), perf_counter()
    async with asyncio.timeout(PIECE_S), asyncio.TaskGroup() as group:
        for lane in lanes:
            group.create_task(run(lane))
    wall_s = perf_counter() - started
    return Part(took, wall_s, _cpu_s(way) - cpu, process_time() - own)


def _cpu_s(way: Way) -> float:
    return 0.0 if way.between is None else way.between.cpu_s()
