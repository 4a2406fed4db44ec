"""How many engines are asked at a time, and for how long anyone is waited for. Pure.

ask `at_once` ──▶ one failed, or is `late_s` late: ask the next one in its stead
             └──▶ `enough` answered, one of them with results: the rest have `grace_s` more
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Patience with several engines at once; times in seconds."""

    at_once: int = 3
    enough: int = 2
    """Answers after which the slower ones only have the grace; never more than could be asked."""
    grace_s: float = 0.5
    late_s: float = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """How it stands; moments are seconds of one clock."""

    out_since: Sequence[float]
    """When each engine that has not answered yet was asked."""
    answered: int = 0
    """With results or without: an empty list is an answer."""
    with_results: bool = False
    enough_since: float | None = None
    more: int = 0
    """Engines that could still be asked."""


@dataclass(frozen=True, slots=True)
class Step:
    """What to do now: ask so many more, then wait until then; None: it is over."""

    ask: int
    until: float | None


def is_enough(race: Race, pace: Pace) -> bool:
    """Whether what came is an answer that need not wait for the slowest."""
    return race.with_results and race.answered >= pace.enough


def next_step(race: Race, pace: Pace, now: float, due: float) -> Step:
    """The next step of a search that must be over by `due`."""
    if now >= due or race.answered >= pace.at_once:
        return Step(0, None)
    if race.enough_since is not None:
        # Who is out may still come in; nobody else is troubled.
        end = min(due, race.enough_since + pace.grace_s)
        return Step(0, end if race.out_since and now < end else None)
    prompt = [since for since in race.out_since if now < since + pace.late_s]
    ask = max(0, min(race.more, pace.at_once - race.answered - len(prompt)))
    if not ask and not race.out_since:
        return Step(0, None)
    turns_late = [since + pace.late_s for since in prompt]
    if ask:
        turns_late.append(now + pace.late_s)
    return Step(ask, min([due, *turns_late]))
