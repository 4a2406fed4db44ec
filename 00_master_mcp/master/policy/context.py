"""What a call tells the rules, and of that only what they look at. Pure but for the clock."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from flotilla.json_text import to_json
from master.policy import clock as times
from master.policy.clock import Clock
from master.policy.rules import Rule
from master.policy.tags import named_tags
from master.policy.target import (
    PARAMETERS,
    Parameters,
    Unclear,
    named_numbers,
    named_texts,
    targets_of,
)
from master.profiles import DEFAULT

MAX_CONTEXTS = 64
"""Targets that one call may have together."""
_CLOCK = ("hour", "minute", "weekday", "date")


@dataclass(frozen=True, slots=True)
class Situation:
    """One request as far as rules may know it."""

    arguments: Mapping[str, Any]
    uri: str = ""
    interactive: bool = True
    profile: str = DEFAULT


@dataclass(frozen=True, slots=True)
class Wanted:
    """The parts of the context that some rules look at."""

    targets: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    time: tuple[str, ...] = ()
    utc: tuple[str, ...] = ()
    now: bool = False
    plain: tuple[str, ...] = ()

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> "Wanted":
        paths = frozenset(path for rule in rules for path in rule.looks_at)

        def below(first: str, whole: Iterable[str]) -> tuple[str, ...]:
            if (first,) in paths:
                return tuple(whole)
            return tuple(sorted({path[1] for path in paths if path[0] == first}))

        return cls(
            targets=below("target", PARAMETERS),
            arguments=below("arguments", ()),
            numbers=below("numbers", ()),
            tags=below("tags", ()),
            time=below("time", _CLOCK),
            utc=below("utc", _CLOCK),
            now=("now",) in paths,
            plain=tuple(sorted({path[0] for path in paths} & {"interactive", "profile", "uri"})),
        )


def contexts_of(
    situation: Situation, wanted: Wanted, parameters: Parameters, clock: Clock
) -> list[str]:
    """The contexts, as JSON, in all of which the call must be allowed: one for each target.

    Unclear where it cannot be said what its arguments mean.
    """
    context: dict[str, Any] = {}
    for name in wanted.plain:
        context[name] = getattr(situation, name)
    if wanted.time or wanted.utc or wanted.now:
        _tell_time(context, wanted, clock)
    if not (wanted.targets or wanted.arguments or wanted.numbers or wanted.tags):
        return [to_json(context).decode()]
    arguments = parameters.completed(situation.arguments)
    if wanted.arguments:
        context["arguments"] = named_texts(arguments, wanted.arguments, parameters)
    if wanted.numbers:
        context["numbers"] = named_numbers(arguments, wanted.numbers, parameters)
    if wanted.tags:
        context["tags"] = named_tags(arguments, wanted.tags, parameters)
    if not wanted.targets:
        return [_json(context)]
    targets = targets_of(arguments, wanted.targets, parameters)
    said = [(part, values) for part, values in targets.items() if values]
    count = 1
    for _, values in said:
        count *= len(values)
    if count > MAX_CONTEXTS:
        raise Unclear(f"{count} targets in one call; at most {MAX_CONTEXTS} are judged")
    names = [part for part, _ in said]
    return [
        _json({**context, "target": dict(zip(names, each, strict=True))})
        for each in product(*(values for _, values in said))
    ]


def _tell_time(context: dict[str, Any], wanted: Wanted, clock: Clock) -> None:
    moment = clock.now()
    for name, members, zone in (
        ("time", wanted.time, clock.zone),
        ("utc", wanted.utc, times.UTC),
    ):
        if members:
            shown = times.shown(moment.astimezone(zone))
            context[name] = {member: shown[member] for member in members}
    if wanted.now:
        context["now"] = times.exact(moment)


def _json(context: Mapping[str, Any]) -> str:
    try:
        return to_json(context).decode()
    except (TypeError, ValueError):
        raise Unclear("an argument is no text") from None
