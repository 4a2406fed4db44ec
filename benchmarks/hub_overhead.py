"""What the hub adds to a call, against a direct call and a bare byte gateway in the same run.

    python benchmarks/hub_overhead.py [--rounds 7] [--upstream fast|spoke] [--json FILE] [--check]

Everything runs on loopback: an echo, the hub before it with authentication, metrics and correlation
on, and a gateway that only carries bytes. The ways take turns in rounds; a ratio is taken in each
round by itself and told as median (lowest to highest). Quote the ratios: machines are noisy.

The echo is `fast`, a plain ASGI server of the 2026-07-28 revision of our own, or `spoke`, the
fleet's own kind on the SDK's server, which is slower itself than what stands before it. Both verify
the hub's signed token. `--check` makes the exit code 1 when a criterion is missed.
"""

# ruff: noqa: E402 - the repository goes on the path before what is imported from it.

import argparse
import asyncio
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import uvloop
from wire.fleet import Fleet, Upstream
from wire.jobs import LARGE_ARGUMENTS, LARGE_RESULT, SMALL, STREAMED
from wire.load import Way
from wire.processes import Program, Programs, programs
from wire.report import machine, save, table
from wire.rounds import Point, Ratio, Series, measured, ratio, ratio_of_sums

MAX_ADDED = 1.5
"""Of what the gateway adds to the median of a call."""
MIN_RATE = 0.67
"""Of the gateway's calls a second with 16 in flight."""
SETTLE_S = 3.0
HUBS = ("hub, 2026-07-28", "hub, handshake")


@dataclass(frozen=True)
class Memory:
    """Resident megabytes of one program."""

    at_rest: float
    peak: float
    after: float


@dataclass(frozen=True)
class Criterion:
    way: str
    what: str
    found: Ratio
    limit: float
    met: bool


@dataclass(frozen=True)
class Found:
    series: list[Series]
    memory: dict[str, Memory]
    start_s: dict[str, list[float]]


def points(upstream: Upstream, calls: int) -> list[Point]:
    large = max(8, calls // 20)
    chosen = [
        Point(SMALL, 1, calls),
        Point(SMALL, 16, calls * 3),
        Point(SMALL, 64, calls * 3),
        Point(SMALL, 256, calls * 4),
        Point(STREAMED, 1, calls),
        Point(STREAMED, 16, calls * 3),
        Point(LARGE_ARGUMENTS, 1, large),
        Point(LARGE_ARGUMENTS, 16, large * 2),
    ]
    if upstream == "fast":
        chosen += [Point(LARGE_RESULT, 1, large), Point(LARGE_RESULT, 16, large * 2)]
    return chosen


async def run(started: Programs, upstream: Upstream, rounds: int, calls: int, starts: int) -> Found:
    fleet = Fleet(started, upstream)
    await fleet.start_echo()
    start_s: dict[str, list[float]] = {"hub": [], "byte gateway": []}
    between: dict[str, Program] = {}
    for number in range(starts):
        for name, start in (("hub", fleet.start_hub), ("byte gateway", fleet.start_gateway)):
            between[name], took_s = await start()
            start_s[name].append(took_s)
            if number < starts - 1:
                between[name].stop()
    at_rest = {name: program.rss_mb() for name, program in between.items()}
    ways: list[Way] = fleet.ways(between["hub"], between["byte gateway"])
    for way in ways:
        await way.caller.open()
    series = await measured(ways, points(upstream, calls), rounds)
    for way in ways:
        await way.caller.close()
    # What is only waiting to be given back is no memory in use.
    await asyncio.sleep(SETTLE_S)
    memory = {
        name: Memory(at_rest[name], program.peak_mb(), program.rss_mb())
        for name, program in between.items()
    }
    return Found(series, memory, start_s)


def one(series: list[Series], label: str, in_flight: int, way: str) -> Series:
    return next(
        each
        for each in series
        if (each.point.job.label, each.point.in_flight, each.way) == (label, in_flight, way)
    )


def added(series: list[Series], label: str, way: str) -> list[float]:
    """What a way adds to the median of a direct call, in each round."""
    own = one(series, label, 1, way).values("median_ms")
    direct = one(series, label, 1, "direct").values("median_ms")
    return [a - b for a, b in zip(own, direct, strict=True)]


def ratios(series: list[Series], label: str, way: str) -> tuple[Ratio, Ratio, Ratio]:
    """Added median, rate at 16 and CPU a call at 16, of a way to those of the byte gateway."""
    gateway = "byte gateway"
    own, bare = (one(series, label, 16, name) for name in (way, gateway))
    return (
        ratio(added(series, label, way), added(series, label, gateway)),
        ratio(own.values("calls_a_second"), bare.values("calls_a_second")),
        # The kernel counts CPU by hundredths of a second.
        ratio_of_sums(own.values("cpu_ms"), bare.values("cpu_ms")),
    )


def criteria(series: list[Series]) -> list[Criterion]:
    found: list[Criterion] = []
    for way in HUBS:
        more, rate, _ = ratios(series, SMALL.label, way)
        found += [
            Criterion(way, "added median", more, MAX_ADDED, more.median <= MAX_ADDED),
            Criterion(way, "rate at 16", rate, MIN_RATE, rate.median >= MIN_RATE),
        ]
    return found


def tell(found: Found) -> None:
    series = found.series
    rows = [
        [
            each.point.job.label,
            str(each.point.in_flight),
            each.way,
            f"{each.median('median_ms'):.2f}",
            f"{each.median('p95_ms'):.2f}",
            f"{each.median('calls_a_second'):.0f}",
            f"{each.mean('cpu_ms'):.2f}" if each.way != "direct" else "",
            f"{each.median('load_share') * 100:.0f} %",
        ]
        for each in series
    ]
    heads = "call|in flight|way|median ms|p95 ms|calls/s|CPU ms a call between|load's own CPU"
    print(table(heads.split("|"), rows), end="\n\n")
    for label in dict.fromkeys(each.point.job.label for each in series):
        for way in HUBS:
            more, rate, cpu = ratios(series, label, way)
            print(
                f"{label}, {way}: {more} x the gateway's added time, {rate} x its rate, "
                f"{cpu} x its CPU"
            )
    print()
    for name, memory in found.memory.items():
        seconds = ", ".join(f"{each:.2f}" for each in found.start_s[name])
        print(
            f"{name}: {memory.at_rest:.0f} MB at rest, {memory.peak:.0f} MB peak, "
            f"{memory.after:.0f} MB after; ready {seconds} s after its start"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=400, help="a burst's, one by one")
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--upstream", choices=["fast", "spoke"], default="fast")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--check", action="store_true", help="exit 1 when a criterion is missed")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="hub-overhead-") as folder,
        programs(Path(folder)) as started,
    ):
        found = uvloop.run(run(started, given.upstream, given.rounds, given.calls, given.starts))
    print(f"{given.rounds} rounds, upstream {given.upstream}; {machine()}\n")
    tell(found)
    judged = criteria(found.series)
    print()
    for each in judged:
        sign = "at most" if each.what == "added median" else "at least"
        verdict = "met" if each.met else "MISSED"
        print(f"{each.way}: {each.what} {each.found} x, {sign} {each.limit} asked: {verdict}")
    if given.json is not None:
        save(
            given.json,
            "hub_overhead",
            upstream=given.upstream,
            rounds=given.rounds,
            series=[each.figures() for each in found.series],
            memory={name: asdict(each) for name, each in found.memory.items()},
            start_s=found.start_s,
            criteria=[asdict(each) for each in judged],
        )
    if given.check and not all(each.met for each in judged):
        sys.exit(1)


if __name__ == "__main__":
    main()
