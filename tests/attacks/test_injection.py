"""A text is a text: in every place of every tool that takes one, whatever it says."""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

import anyio
import pytest

from tests.chaos.caller import Answered, Caller

from .corpus import payloads
from .given import given, refusal
from .schemas import Spot, put, spots
from .world import HOST, OUTSIDE, World, caller

pytestmark = pytest.mark.anyio

LEFT_OUT = {
    ("os.linux.runCommand", "command"): "a line for a shell is what it takes, once approved",
    ("os.linux.startJob", "command"): "as runCommand",
}
"""Where a text is meant to be more than a text."""
BROKEN = ("internal", "circuit_open", "unavailable", "timeout")
"""Errors that no argument may bring about: something broke, or is kept from everybody."""
AT_ONCE = 12
CALL_S = 25.0
PATHS = ("path", "cwd")
"""Arguments that are absolute paths: they get each text below the folder to play in, too."""
ELSEWHERE = ("os.linux.",)
"""Tools of these that take a host are driven on one over SSH as well."""


async def test_every_tool_does_its_work_before_it_is_attacked(world: World) -> None:
    """A tool that is refused for its other arguments shows nothing about the one attacked."""
    failed = {}
    for tool in sorted(world.listing):
        answer = await world.caller.call(tool, await given(world, tool))
        if answer.code != refusal(tool):
            failed[tool] = answer.error or answer.refusal
    # systemd is played by a program that says nothing, which no status can be read from.
    assert not failed, "give these arguments that they succeed with, in given.py"


def ways(world: World, tool: str, share: int, ticks: Iterator[int]) -> Iterator[Any]:
    """The attacks on one tool: place, kind of text, and the text; `share` of each place's."""
    texts = list(payloads(world.trap, world.closed).items())
    schema = world.listing[tool]["inputSchema"]
    for spot in spots(schema):
        if (tool, str(spot)) in LEFT_OUT:
            continue
        # A prime step, so that each place has others, and together they have all.
        start = next(ticks) * 37
        for turn in range(share):
            kind, text = texts[(start + turn * 17) % len(texts)]
            yield spot, kind, text
            if spot.steps[-1] in PATHS and "\0" not in text:
                yield spot, f"{kind}, below", f"{world.play}/{text}"


class Attack:
    """Drives the tools and looks at what came of it."""

    def __init__(self, world: World, caller: Caller) -> None:
        self._world = world
        self._caller = caller
        self._canaries = world.secrets_of_the_fleet()
        self.calls = 0
        self.places = 0
        self.wrong: list[str] = []

    async def on(self, tool: str, attacks: Sequence[tuple[Spot, str, str]], host: str) -> None:
        limit = anyio.CapacityLimiter(AT_ONCE)
        self.places += len({spot.steps for spot, _, _ in attacks})
        async with anyio.create_task_group() as group:
            for spot, kind, text in attacks:
                await limit.acquire_on_behalf_of(borrower := object())
                group.start_soon(self._one, tool, spot, kind, text, host, limit, borrower)
        if self._world.trap.exists():
            self.wrong.append(f"{tool} ran what it was given")
            self._world.trap.unlink()

    async def _one(
        self,
        tool: str,
        spot: Spot,
        kind: str,
        text: str,
        host: str,
        limit: anyio.CapacityLimiter,
        borrower: object,
    ) -> None:
        schema = self._world.listing[tool]["inputSchema"]
        try:
            base = await given(self._world, tool)
            if host != "local" and str(spot) != "host":
                base["host"] = host
            for arguments in put(schema, base, spot, text):
                place = f"{tool} {spot} ({kind}, {host})"
                with anyio.move_on_after(CALL_S) as scope:
                    self._judge(place, await self._caller.call(tool, arguments), host)
                    self.calls += 1
                if scope.cancelled_caught:
                    self.wrong.append(f"{place}: no answer")
        finally:
            limit.release_on_behalf_of(borrower)

    def _judge(self, place: str, answer: Answered, host: str) -> None:
        if answer.refusal is not None:
            # The hub itself refuses what is no request at all.
            if answer.refusal.get("code") not in (-32602, -32600):
                self.wrong.append(f"{place}: {answer.refusal}")
            return
        if answer.code in BROKEN:
            self.wrong.append(f"{place}: {answer.error}")
        said = json.dumps(answer.result, ensure_ascii=False)
        for what, canary in self._canaries.items():
            # To a host over SSH these files are its own; here it is this very machine.
            if canary in said and not (host != "local" and what == "a protected file"):
                self.wrong.append(f"{place}: shows {what}")


def loose_options(calls: Sequence[Sequence[str]], texts: Sequence[str]) -> list[Sequence[str]]:
    """Calls of programs in which a text of ours stands where an option is looked for."""
    return [
        call
        for call in calls
        if any(
            word in texts
            and word != "--"
            and word.startswith("-")
            and "--" not in call[: call.index(word)]
            for word in call[1:]
        )
    ]


@pytest.mark.parametrize(
    ("share", "hosts"),
    [
        pytest.param(1, ("local",), id="some"),
        pytest.param(20, ("local",), id="many", marks=pytest.mark.real),
        pytest.param(10, (HOST,), id="over-ssh", marks=pytest.mark.real),
    ],
)
async def test_no_text_is_run_followed_or_asked_as_a_question(
    world: World,
    share: int,
    hosts: Sequence[str],
    capsys: pytest.CaptureFixture[str],
    record_property: Callable[[str, object], None],
) -> None:
    attack = Attack(world, world.caller)
    ticks = count()
    driven = 0
    for host in hosts:
        for tool in sorted(world.listing):
            takes_host = "host" in world.listing[tool]["inputSchema"].get("properties", {})
            if host != "local" and not (takes_host and tool.startswith(ELSEWHERE)):
                continue
            driven += 1
            await attack.on(tool, list(ways(world, tool, share, ticks)), host)
    record_property("driven", f"{driven} tools, {attack.places} places, {attack.calls} calls")
    with capsys.disabled():
        print(f"\n{driven} tools, {attack.places} places, {attack.calls} calls")
    texts = list(payloads(world.trap, world.closed).values())
    attack.wrong += [f"an option: {call}" for call in loose_options(world.played(), texts)]
    assert not attack.wrong, "\n".join(attack.wrong[:40])
    assert {call[0] for call in world.played()} >= {"systemctl", "journalctl"}
    assert world.outside.read_text() == OUTSIDE
    # What the attacks stored is there as text, and the tables too.
    assert (await world.caller.call("data.cmdb.searchItems", {"limit": 1})).code is None
    assert (await world.caller.call("security.secrets.listSecrets", {})).code is None


@pytest.mark.parametrize("share", [1, pytest.param(4, marks=pytest.mark.real)])
async def test_no_argument_talks_the_policy_round(world: World, share: int) -> None:
    """A viewer that writes: whatever stands in the arguments, the answer is no."""
    token = await world.token(f"thief-{share}", "viewer")
    ticks = count()
    async with caller(world.fleet, token) as thief:
        for tool, listed in world.listing.items():
            if listed["annotations"]["readOnlyHint"] or tool == "master.tools.call":
                continue
            base = await given(world, tool)
            for spot, kind, text in ways(world, tool, share, ticks):
                for arguments in put(listed["inputSchema"], base, spot, text):
                    answer = await thief.call(tool, arguments)
                    assert answer.code == "not_allowed", (tool, str(spot), kind, answer)
                    inner = {"name": tool, "arguments": arguments}
                    answer = await thief.call("master.tools.call", inner)
                    assert answer.code == "not_allowed", (tool, str(spot), kind, answer)
    assert not world.trap.exists()


def test_the_detector_of_options_finds_one() -> None:
    assert loose_options([["apt-get", "install", "-oX"]], ["-oX"])
    assert not loose_options([["apt-get", "install", "--", "-oX"]], ["-oX"])
    assert not loose_options([["journalctl", "--unit=-oX"]], ["-oX"])


def test_places_are_found_however_deep_a_schema_has_them() -> None:
    schema = {
        "$defs": {"Row": {"type": "object", "properties": {"op": {"enum": ["eq"]}, "v": {}}}},
        "type": "object",
        "properties": {
            "rows": {"type": "array", "items": {"$ref": "#/$defs/Row"}},
            "env": {"type": "object", "additionalProperties": {"type": "string"}},
            "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
            "n": {"type": "integer"},
        },
    }
    found = {str(spot): spot for spot in spots(schema)}
    assert set(found) == {"rows.[].op", "rows.[].v", "env.{key}", "env.{value}", "either"}
    assert put(schema, {"n": 1}, found["rows.[].v"], "!") == [{"n": 1, "rows": [{"v": "!"}]}]
    kept = {"rows": [{"op": "eq"}]}
    assert put(schema, kept, found["rows.[].v"], "!") == [
        {"rows": [{"op": "eq"}, {"op": "eq", "v": "!"}]},
        {"rows": [{"op": "eq", "v": "!"}]},
    ]
    assert put(schema, {"env": {"A": "b"}}, found["env.{value}"], "!") == [{"env": {"A": "!"}}]
    assert put(schema, {}, found["env.{key}"], "!") == [{"env": {"!": "x"}}]
