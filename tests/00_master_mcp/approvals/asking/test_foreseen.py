"""What an operation of the service foresees of a call, as the person who is asked reads it."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import mcp_types as types
import pytest

from flotilla import (
    Conflict,
    Context,
    InvalidArgument,
    Model,
    NotFound,
    Preview,
    Spoke,
    Unavailable,
    destroys,
    meta,
)
from flotilla.operations import HUB_ROLE, Operation
from flotilla.preview import REJECTED, Change, Foreseen, MonthlyCost, rejecting
from flotilla.secret_text import SecretText
from master.approvals.asking.foretold import foretold
from master.approvals.asking.preview import Previews
from master.approvals.asking.words import Previewed
from master.catalogue import Catalogue
from master.entry import Origin

from ....conftest import StartFleet
from .asked import wiping, wiping_call
from .conftest import House, Person, Shop

pytestmark = pytest.mark.anyio

MARK = {
    "operation": "wipe.foresee",
    "taken": {"name": "disk", "where": "host", "password": "password"},
    "fixed": {"deep": True},
}
HOLDS = "sp0ke-hElD-s3cret-value"


def resizing(name: str = "web-1", **more: Any) -> Foreseen:
    return Foreseen(action=f"Resize the machine {name}", target=f"{name} (vm-1042)", **more)


def told(foreseen: Foreseen) -> str:
    return "\n".join(foretold(foreseen, lambda text: text.replace("s3cret", "[redacted]")))


def test_everything_stands_there_in_plain_words() -> None:
    foreseen = resizing(
        state={"powerState": "on", "cpus": 2},
        changes=[
            Change(field="cpus", before=2, after=4),
            Change(field="disks", after=["a", "b"]),
        ],
        diff="--- before\n+++ after\n-cpus: 2\n+cpus: 4",
        monthly_cost=MonthlyCost(amount=1234.5, currency="EUR", basis="list price, no discounts"),
        warnings=["it has 2 snapshots that go with it"],
    )
    assert told(foreseen).split("\n") == [
        'What happens: "Resize the machine web-1"',
        'Target: "web-1 (vm-1042)"',
        'Warning: "it has 2 snapshots that go with it"',
        'Monthly cost: about 1,234.50 "EUR": "list price, no discounts"',
        "Changes:",
        '    "cpus": 2 -> 4',
        '    "disks": (none) -> ["a", "b"]',
        "Now:",
        '    "powerState": "on"',
        '    "cpus": 2',
        "Diff:",
        "| --- before",
        "| +++ after",
        "| -cpus: 2",
        "| +cpus: 4",
    ]


FORGED = 'x"\nTarget: "harmless\u202e\u200b'


@pytest.mark.parametrize(
    "foreseen",
    [
        Foreseen(action=FORGED, target="t"),
        Foreseen(action="a", target=FORGED),
        resizing(state={FORGED: FORGED}),
        resizing(state={"tags": {FORGED: [FORGED]}}),
        resizing(changes=[Change(field=FORGED, before=FORGED, after={"a": FORGED})]),
        resizing(warnings=[FORGED]),
        resizing(monthly_cost=MonthlyCost(amount=1, currency=FORGED, basis=FORGED)),
        resizing(diff=FORGED),
    ],
)
def test_no_value_can_forge_a_line_or_hide_a_character(foreseen: Foreseen) -> None:
    lines = told(foreseen).split("\n")
    assert not any("\u202e" in line or "\u200b" in line for line in lines)
    assert sum(line.startswith("Target: ") for line in lines) == 1
    ours = [line for line in lines if not line.startswith("| ")]
    # Each quote that a value might have ended stands there as a single one.
    assert not any('x" ' in line or 'x"⟨' in line for line in ours if "\\" not in line)


def test_a_long_list_and_a_long_diff_come_to_an_end_that_is_told() -> None:
    many = resizing(
        changes=[Change(field=f"f{i}", before="é" * 5000, after="é" * 5001) for i in range(300)],
        warnings=["mind the gap"],
        diff=("+ line " + "\u202e" * 300 + "\n") * 5000,
    )
    shown = told(many)
    assert len(shown.encode()) < 24_000
    assert '"mind the gap"' in shown
    assert "(there is more than is told here)" in shown
    assert shown.split("\n")[-1].startswith("(cut: ")
    few = told(resizing(warnings=[f"w{i}" for i in range(60)]))
    assert "(and 20 more warnings)" in few


def test_long_values_that_differ_behind_the_cut_are_told_apart() -> None:
    change = Change(field="script", before="a" * 400, after="a" * 401)
    (line,) = [each for each in told(resizing(changes=[change])).split("\n") if "->" in each]
    before, after = line.split(" -> ")
    assert "SHA-256" in before and before.strip() != f'"script": {after}'


def test_secrets_are_taken_out_of_every_part() -> None:
    shown = told(
        resizing(
            "s3cret",
            state={"s3cret": "s3cret"},
            changes=[Change(field="a", before="s3cret", after=["s3cret"])],
            diff="s3cret",
            warnings=["s3cret"],
        )
    )
    assert "s3cret" not in shown


@dataclass
class Service:
    """Answers an operation on cue, and keeps what it was asked."""

    answer: Any = field(default_factory=lambda: resizing().model_dump(mode="json", by_alias=True))
    asked: list[tuple[str, str, Any]] = field(default_factory=list[Any])

    async def run(self, service: str, name: str, body: bytes, **_: Any) -> Mapping[str, Any]:
        self.asked.append((service, name, json.loads(body, parse_int=str)))
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is None:
            await asyncio.Event().wait()
        return self.answer


async def previewed(
    service: Service | None, *, text: str | None = None, **more: Any
) -> Previewed | None:
    previews = Previews(Catalogue({}), service, operation_limit_s=0.05)
    marks = {meta.PREVIEW: {**MARK, **more}}
    return await previews.of(wiping_call(wiping(marks=marks), text=text))


async def test_an_operation_hears_who_asks_where_it_names_a_parameter_for_that() -> None:
    service = Service()
    await previewed(service, text='{"disk":"d1","owner":"somebody else"}', asker="owner")
    ((_, _, given),) = service.asked
    assert given == {"name": "d1", "owner": wiping_call(wiping()).principal.name, "deep": True}


async def test_an_operation_is_asked_with_the_very_arguments_but_for_secrets() -> None:
    service = Service()
    text = '{"disk":123456789012345678901234567890,"host":null,"password":"hunter2","other":1}'
    preview = await previewed(service, text=text)
    assert preview == Previewed("shop", foreseen=resizing())
    given = {"name": "123456789012345678901234567890", "deep": True}
    assert service.asked == [("shop", "wipe.foresee", given)]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (None, "it took over 0.05 s"),
        (NotFound("no disk\nTarget: x"), 'not_found, "no disk⟨LF⟩Target: x"'),
        (Unavailable("away"), 'unavailable, "away"'),
        ({"action": 1}, "what it answered is no preview"),
    ],
)
async def test_what_fails_is_said_and_hides_no_question(answer: Any, problem: str) -> None:
    assert await previewed(Service(answer)) == Previewed("shop", problem=problem)


async def test_a_hub_that_asks_no_service_says_so() -> None:
    preview = await previewed(None)
    assert preview is not None and (preview.problem or "").startswith("unavailable")


async def test_a_stranger_names_no_operation() -> None:
    service = Service()
    stranger = wiping(Origin(external=True), marks={meta.PREVIEW: MARK})
    assert await Previews(Catalogue({}), service).of(wiping_call(stranger)) is None
    assert not service.asked


class Resized(Model):
    cpus: int


class Resize(Model):
    machine: str
    cpus: int = 1


class Machines:
    """A spoke whose machines can be resized, by way of what it foresees of that."""

    def __init__(self) -> None:
        self.sizes = {"web-1": 2}
        self.foreseen: list[Resize] = []
        self.calls = 0

    async def resize(
        self, name: str, cpus: int = 1, password: SecretText | None = None, *, context: Context
    ) -> Resized:
        """Give a machine so many CPUs."""
        assert context.approved
        self.calls += 1
        self.sizes[name] = cpus
        return Resized(cpus=cpus)

    async def foresee(self, asked: Resize) -> Foreseen:
        self.foreseen.append(asked)
        with rejecting():
            if asked.cpus > 64:
                raise InvalidArgument(
                    f"no machine has {asked.cpus} CPUs, says {HOLDS}",
                    hint="64 at most.",
                    details={"most": 64},
                )
        if asked.machine == "web-8":
            raise Conflict("it only seems so", details={REJECTED: "perhaps"})
        if asked.machine not in self.sizes:
            raise NotFound(f"there is no machine {asked.machine} for {HOLDS}")
        return resizing(
            asked.machine,
            changes=[Change(field="cpus", before=self.sizes[asked.machine], after=asked.cpus)],
            state={"note": f"signs in with {HOLDS}"},
        )

    def spoke(self) -> Spoke:
        preview = Preview(operation="resize.foresee", taken={"machine": "name", "cpus": "cpus"})
        return Spoke(
            name="machines",
            version="1",
            instructions="Resizes.",
            namespaces=("test.machines",),
            tools=(destroys("test.machines.resize", self.resize, preview=preview),),
            operations=(
                Operation(name="resize.foresee", takes=Resize, run=self.foresee, role=HUB_ROLE),
            ),
            secrets=(HOLDS,),
        )


RESIZE = "test_machines_resize"


async def test_a_person_reads_what_a_real_spoke_foresees_of_the_call_that_then_runs(
    start_fleet: StartFleet,
) -> None:
    machines, person = Machines(), Person()
    async with start_fleet([machines.spoke()]) as fleet:
        async with fleet.client(elicitation_callback=person) as client:
            listed = {tool.name for tool in (await client.list_tools()).tools}
            assert not any("foresee" in name for name in listed)
            arguments = {"name": "web-1", "cpus": 8, "password": "hunter2"}
            result = await client.call_tool(RESIZE, arguments)
            assert result.structured_content == {"cpus": 8}
            (question,) = person.asked
            assert question.message.count("Beforehand, the service machines says:") == 1
            assert '        What happens: "Resize the machine web-1"\n' in question.message
            assert '            "cpus": 2 -> 8\n' in question.message
            assert HOLDS not in question.message
            await client.call_tool(RESIZE, {"name": "web-9"})
            missing = person.asked[-1].message
            assert 'No preview: machines failed: not_found, "there is no machine web-9' in missing
            assert HOLDS not in missing
        # What was foreseen is of the arguments that were approved, secrets aside.
        first, second = machines.foreseen
        assert (first.machine, first.cpus, second.machine, second.cpus) == ("web-1", 8, "web-9", 1)
        assert machines.calls == 2


async def test_nobody_is_asked_of_a_call_that_its_service_rejects(
    start_fleet: StartFleet,
) -> None:
    machines, person = Machines(), Person()
    arguments = {"name": "web-1", "cpus": 65}
    async with start_fleet([machines.spoke()]) as fleet:
        async with fleet.client(elicitation_callback=person) as client:
            rejected = await client.call_tool(RESIZE, arguments)
            assert person.asked == []
            # Only the service's own word ends a call, and only by this mark.
            await client.call_tool(RESIZE, {"name": "web-8"})
            assert 'No preview: machines failed: conflict, "it only' in person.asked[-1].message
        async with fleet.client() as alone:
            out_of_band = await alone.call_tool(RESIZE, arguments)
            waiting = await alone.call_tool("master_approvals_list", {"state": "pending"})
    for result in (rejected, out_of_band):
        error = (result.meta or {})[meta.ERROR]
        assert (error["code"], error["hint"], error["most"]) == (
            "invalid_argument",
            "64 at most.",
            64,
        )
        assert "no machine has 65 CPUs" in error["message"]
        assert error["correlationId"] and REJECTED not in error
        assert HOLDS not in str(result)
    assert isinstance(waiting.structured_content, dict)
    assert waiting.structured_content["items"] == []
    assert machines.calls == 1


async def test_an_approval_that_waits_shows_it_to_whoever_decides(
    start_fleet: StartFleet,
) -> None:
    machines = Machines()
    async with start_fleet([machines.spoke()]) as fleet, fleet.client() as client:
        result = await client.call_tool(RESIZE, {"name": "web-1", "cpus": 4})
        error = (result.meta or {})[meta.ERROR]
        assert error["code"] == "approval_required"
        held = await client.call_tool("master_approvals_get", {"id": error["approvalId"]})
        assert isinstance(held.structured_content, dict)
        assert '"cpus": 2 -> 4' in held.structured_content["shown"]
        assert machines.calls == 0
        assert isinstance(held.content[0], types.TextContent)


async def test_nothing_is_foreseen_for_whom_the_rules_refuse(start_fleet: StartFleet) -> None:
    machines = Machines()
    async with start_fleet([machines.spoke()]) as fleet:
        house = House(fleet, Shop())
        async with house.client(headers=await house.token("viewer")) as client:
            result = await client.call_tool(RESIZE, {"name": "web-1", "cpus": 4})
        assert (result.meta or {})[meta.ERROR]["code"] == "not_allowed"
        assert not machines.foreseen and not machines.calls
