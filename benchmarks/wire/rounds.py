"""Rounds of bursts, all ways in each round, so that what else the machine does hits all alike."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from wire.callers import Job
from wire.load import Burst, Lanes, Part, Way, piece, whole

WARM_UP_CALLS = 20
MIN_CALLS = 20
PIECES = 10


@dataclass(frozen=True)
class Point:
    """What is measured for every way: a job, with so many calls in flight."""

    job: Job
    in_flight: int
    calls: int
    within_s: float | None = None
    """A slower way makes fewer calls, so that a burst takes no longer."""


@dataclass
class Series:
    """The bursts of one way at one point, one for each round."""

    point: Point
    way: str
    bursts: list[Burst] = field(default_factory=list[Burst])

    def values(self, of: str) -> list[float]:
        return [getattr(each, of) for each in self.bursts]

    def figures(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "call": self.point.job.label,
            "in_flight": self.point.in_flight,
            "way": self.way,
            "bursts": [asdict(each) for each in self.bursts],
        }

    def median(self, of: str) -> float:
        return statistics.median(self.values(of))

    def mean(self, of: str) -> float:
        return statistics.mean(self.values(of))


@dataclass(frozen=True)
class Ratio:
    """A ratio that was taken in each round by itself."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def ratio(over: Sequence[float], under: Sequence[float]) -> Ratio:
    """Of each round of `over` to the same round of `under`; rounds without sense are left out."""
    found = [a / b for a, b in zip(over, under, strict=True) if b > 0]
    if not found:
        return Ratio(float("nan"), float("nan"), float("nan"))
    return Ratio(statistics.median(found), min(found), max(found))


def ratio_of_sums(over: Sequence[float], under: Sequence[float]) -> Ratio:
    """Like `ratio`, but the middle is that of all rounds together: for what is counted coarsely."""
    found = ratio(over, under)
    total = sum(over) / sum(under) if sum(under) else float("nan")
    return Ratio(total, found.low, found.high)


async def measured(ways: Sequence[Way], points: Sequence[Point], rounds: int) -> list[Series]:
    """All series, after a warm-up of each way with each job."""
    series = {(point, way.name): Series(point, way.name) for point in points for way in ways}
    lanes = Lanes()
    try:
        rates: dict[tuple[Job, str], float] = {}
        for job in {point.job: None for point in points}:
            for way in ways:
                warm = whole([await piece(way, job, WARM_UP_CALLS, lanes.of(way, 1))])
                rates[job, way.name] = warm.calls_a_second
        for number in range(rounds):
            # Another one begins in each round: what the one before left behind hits each in turn.
            start = number % len(ways)
            turns = [*ways[start:], *ways[:start]]
            for point in points:
                calls = {way.name: _calls(point, rates[point.job, way.name]) for way in ways}
                for name, done in (await _in_turn(turns, point, calls, lanes)).items():
                    series[point, name].bursts.append(done)
    finally:
        lanes.close()
    return list(series.values())


async def _in_turn(
    ways: Sequence[Way], point: Point, calls: Mapping[str, int], lanes: Lanes
) -> dict[str, Burst]:
    """A burst of each way, in pieces by turns: what disturbs the machine lasts longer than one."""
    pieces = max(1, min(PIECES, min(calls.values()) // (4 * point.in_flight)))
    parts: dict[str, list[Part]] = {way.name: [] for way in ways}
    for _ in range(pieces):
        for way in ways:
            count = calls[way.name] // pieces
            part = await piece(way, point.job, count, lanes.of(way, point.in_flight))
            parts[way.name].append(part)
    return {name: whole(done) for name, done in parts.items()}


def _calls(point: Point, calls_a_second: float) -> int:
    if point.within_s is None:
        return point.calls
    fits = int(point.within_s * calls_a_second)
    return max(MIN_CALLS, point.in_flight, min(point.calls, fits))
