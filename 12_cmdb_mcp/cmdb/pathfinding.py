"""The shortest way between two items, searched from both ends at once.

A recursive query would walk from one end through most of a large graph before it meets the other,
and cannot remember across depths what it has seen; from both ends, level by level, each side walks
half the distance and no item twice.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

MAX_EDGES = 50_000
"""Relations looked at in one search."""


@dataclass(frozen=True, slots=True)
class Step:
    """A relation as it is walked."""

    relation_id: str
    type: str
    from_id: str
    to_id: str


@dataclass(frozen=True, slots=True)
class Way:
    """The items from start to goal and the relations between them; empty when none was found."""

    item_ids: list[str] = field(default_factory=list[str])
    relation_ids: list[str] = field(default_factory=list[str])
    cut_short: bool = False


Beside = Callable[[Sequence[str], bool, int], Awaitable[list[Step]]]
"""`(ids, backward, at_most)`: the steps that leave those items; backward from the goal's side."""


class _Side:
    """One half of the search: how each item was reached, and the newest level."""

    def __init__(self, start: str) -> None:
        self.reached: dict[str, Step | None] = {start: None}
        self.depths: dict[str, int] = {start: 0}
        self.level = [start]

    def grow(self, steps: Sequence[Step], depth: int) -> None:
        fresh: list[str] = []
        for step in steps:
            if step.to_id not in self.reached:
                self.reached[step.to_id] = step
                self.depths[step.to_id] = depth
                fresh.append(step.to_id)
        self.level = fresh

    def back(self, item_id: str) -> list[Step]:
        """The steps from `item_id` back to this side's start."""
        steps: list[Step] = []
        while (step := self.reached[item_id]) is not None:
            steps.append(step)
            item_id = step.from_id
        return steps


async def shortest(start: str, goal: str, max_depth: int, beside: Beside) -> Way:
    """A way of the fewest relations, at most `max_depth`; the same one every time."""
    if start == goal:
        return Way([start])
    near, far = _Side(start), _Side(goal)
    depths = {True: 0, False: 0}
    looked_at = 0
    while near.level and far.level and sum(depths.values()) < max_depth:
        # The smaller front first: a hub on one side is then walked from the other.
        forward = len(near.level) <= len(far.level)
        side, other = (near, far) if forward else (far, near)
        left = MAX_EDGES - looked_at
        steps = await beside(side.level, not forward, left)
        looked_at += len(steps)
        depths[forward] += 1
        side.grow(steps, depths[forward])
        meetings = [one for one in side.level if one in other.reached]
        if meetings:
            middle = min(meetings, key=lambda one: (other.depths[one], one))
            return _joined(near, far, middle)
        if looked_at >= MAX_EDGES:
            return Way(cut_short=True)
    return Way()


def _joined(near: _Side, far: _Side, middle: str) -> Way:
    first = near.back(middle)[::-1]
    second = far.back(middle)
    return Way(
        [*(step.from_id for step in first), middle, *(step.from_id for step in second)],
        [step.relation_id for step in (*first, *second)],
    )
