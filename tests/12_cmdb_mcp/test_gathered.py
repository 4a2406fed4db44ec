"""What a source tells, brought page by page: planned whole, never taken for more than it says."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from cmdb.gatherings import DROP, PAGE
from cmdb.seed_classes import FORMER, SEED_CLASSES, mark_of
from cmdb.seeding import seed
from cmdb.settings import Settings
from cmdb.tables import ci_class
from flotilla import FlotillaError
from flotilla.operations import HUB_ROLE

if TYPE_CHECKING:
    from conftest import Cmdb

pytestmark = pytest.mark.anyio

one_database = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
"""Of what is decided before either database is asked."""
OURS = {"provider": "cloud", "account": "one"}


def machine(name: str, uuid: str | None = None, **attributes: Any) -> Any:
    return {
        "ciClass": "virtual_machine",
        "name": name,
        "key": "instance_uuid",
        "attributes": {**OURS, "instance_uuid": uuid or f"id-{name}", **attributes},
    }


def host(name: str, **attributes: Any) -> Any:
    return {"ciClass": "server", "name": name, "attributes": {**OURS, **attributes}}


def runs(machine: str, on: str) -> Any:
    return {
        "source": {"ciClass": "virtual_machine", "name": machine},
        "type": "runs_on",
        "target": {"ciClass": "server", "name": on},
    }


class Hub:
    """Brings pages as the hub does, by the operations of the spoke."""

    def __init__(self, cmdb: Cmdb) -> None:
        self.cmdb = cmdb
        self._by_name = {each.name: each for each in cmdb.spoke.operations}

    async def run(self, name: str, body: Any) -> Any:
        operation = self._by_name[name]
        assert operation.role == HUB_ROLE
        return await operation.run(operation.takes.model_validate(body))

    async def bring(
        self,
        *pages: list[Any],
        relations: tuple[Any, ...] = (),
        covers: Any = None,
        principal: str = "alice",
        complete: bool = True,
    ) -> str:
        gathering = secrets.token_urlsafe(32)
        for number, items in enumerate(pages):
            is_last = number == len(pages) - 1
            body = {
                "gathering": gathering,
                "principal": principal,
                "source": "toys",
                "covers": covers
                or {"ciClasses": ["virtual_machine", "server"], "attributes": OURS},
                "page": number,
                "items": items,
                "relations": list(relations) if is_last else [],
                "complete": complete and is_last,
            }
            await self.run(PAGE, body)
        return gathering

    async def planned(self, *pages: list[Any], mass: bool = False, **more: Any) -> Any:
        gathering = await self.bring(*pages, **more)
        return await self.cmdb(
            "previewReconcile",
            source="toys",
            discover={"service": "toys"},
            gathering=gathering,
            allowMassRetirement=mass,
        )

    async def applied(self, *pages: list[Any], **more: Any) -> Any:
        plan = await self.planned(*pages, **more)
        await self.cmdb("applyReconcile", planId=plan["planId"], hash=plan["hash"])
        return plan

    async def live(self, ci_class: str = "virtual_machine") -> dict[str, Any]:
        found = await self.cmdb("searchItems", ciClass=ci_class, limit=500)
        return {each["name"]: each for each in found["items"]}


@pytest.fixture
def hub(cmdb: Cmdb) -> Hub:
    return Hub(cmdb)


def counts(plan: Any) -> tuple[int, ...]:
    return tuple(plan["counts"][name] for name in ("creates", "updates", "retires", "unchanged"))


async def test_pages_come_in_with_their_relations_and_a_second_look_changes_nothing(
    hub: Hub,
) -> None:
    pages = ([machine("a"), host("h1")], [machine("b"), host("h2")])
    links = (runs("a", "h1"), runs("b", "h2"))
    plan = await hub.applied(*pages, relations=links)
    assert counts(plan) == (4, 0, 0, 0) and plan["counts"]["relations"] == 2
    again = await hub.planned(*pages, relations=links)
    assert counts(again) == (0, 0, 0, 4) and again["counts"]["relations"] == 0
    assert "relationsEnded" not in again and "leftOut" not in again


async def test_what_moves_is_renamed_or_goes_is_seen_as_that(hub: Hub) -> None:
    machines = [machine(f"m{i}") for i in range(4)]
    hosts = [host("h1"), host("h2")]
    await hub.applied([*machines, *hosts], relations=(runs("m0", "h1"), runs("m1", "h1")))
    before = await hub.live()
    renamed = machine("m1-new", "id-m1")
    plan = await hub.applied(
        [machines[0], renamed, machines[2], *hosts],
        relations=(runs("m0", "h2"), runs("m1-new", "h1")),
    )
    assert counts(plan) == (0, 1, 1, 4)
    assert plan["counts"]["relationsEnded"] == 1
    after = await hub.live()
    assert set(after) == {"m0", "m1-new", "m2"}
    assert after["m1-new"]["id"] == before["m1"]["id"]
    for name, on in (("m0", "h2"), ("m1-new", "h1")):
        found = await hub.cmdb("listRelations", id=after[name]["id"])
        assert [each["target"]["name"] for each in found["items"]] == [on]


@one_database
async def test_a_name_that_one_gives_up_goes_to_a_new_one_in_the_same_plan(hub: Hub) -> None:
    await hub.applied([machine("web", "id-1")])
    first = (await hub.live())["web"]["id"]
    plan = await hub.applied([machine("web", "id-2"), machine("web-old", "id-1")])
    assert counts(plan) == (1, 1, 0, 0)
    live = await hub.live()
    assert live["web-old"]["id"] == first and live["web"]["id"] != first


async def test_two_sources_with_the_same_names_leave_each_others_items_alone(hub: Hub) -> None:
    theirs = {"provider": "cloud", "account": "two"}
    await hub.applied([machine("web"), host("h1")])
    other = {**machine("web", "id-x"), "attributes": {**theirs, "instance_uuid": "id-x"}}
    # Not even a key that both give tells that two accounts mean one machine.
    same_key = {**other, "name": "web-2", "attributes": {**theirs, "instance_uuid": "id-web"}}
    covers = {"ciClasses": ["virtual_machine"], "attributes": theirs}
    plan = await hub.applied([other, same_key], covers=covers)
    assert counts(plan) == (1, 0, 0, 0)
    assert plan["leftOut"] == 1 and "another source's" in plan["problems"][0]
    live = await hub.live()
    assert live["web"]["attributes"]["account"] == "one"
    assert live["web-2"]["attributes"]["account"] == "two"
    # And what the first source sees no more is no matter of the second.
    again = await hub.planned([same_key], covers=covers)
    assert counts(again) == (0, 0, 0, 1)


@one_database
async def test_an_item_of_nobodys_is_taken_over_by_its_name(hub: Hub) -> None:
    made = await hub.cmdb.item("web", "virtual_machine", owner="ops")
    plan = await hub.applied([machine("web")])
    assert counts(plan) == (0, 1, 0, 0)
    held = await hub.cmdb("getItem", id=made)
    assert held["attributes"]["owner"] == "ops" and held["attributes"]["account"] == "one"


@one_database
@pytest.mark.parametrize("left", [0, 13])
async def test_a_source_that_lost_sight_retires_nothing_unless_that_is_said(
    hub: Hub, left: int
) -> None:
    await hub.applied([machine(f"m{i}") for i in range(20)])
    rest = [machine(f"m{i}") for i in range(left)]
    gathering = await hub.bring(rest)
    arguments: dict[str, Any] = {
        "source": "toys",
        "discover": {"service": "toys"},
        "gathering": gathering,
    }
    if left:  # seven of twenty is too few to be asked about
        gone = await hub.cmdb("previewReconcile", **arguments)
        assert gone["counts"]["retires"] == 7
        rest = rest[:9]
        arguments["gathering"] = await hub.bring(rest)
    error = await hub.cmdb.refused("conflict", "previewReconcile", **arguments)
    assert (error["reason"], error["covered"]) == ("mass_retirement", 20)
    plan = await hub.cmdb("previewReconcile", **arguments, allowMassRetirement=True)
    assert plan["counts"]["retires"] == 20 - len(rest)


@one_database
async def test_pods_that_others_have_replaced_are_no_mass_that_went(hub: Hub) -> None:
    covers = {"ciClasses": ["pod"], "attributes": OURS}

    def pods(first: int, last: int) -> list[Any]:
        names = [f"p{number}" for number in range(first, last)]
        return [{"ciClass": "pod", "name": name, "attributes": dict(OURS)} for name in names]

    await hub.applied(pods(0, 20), covers=covers)
    replaced = await hub.planned(pods(20, 40), covers=covers)
    assert counts(replaced) == (20, 0, 20, 0)
    gathering = await hub.bring(pods(20, 28), covers=covers)
    error = await hub.cmdb.refused(
        "conflict",
        "previewReconcile",
        source="toys",
        discover={"service": "toys"},
        gathering=gathering,
    )
    assert error["retires"] == 12


@one_database
async def test_a_source_that_lost_sight_of_one_class_retires_none_of_it(hub: Hub) -> None:
    machines = [machine(f"m{number}") for number in range(60)]
    await hub.applied([*machines, *(host(f"h{number}") for number in range(11))])
    gathering = await hub.bring(machines)
    error = await hub.cmdb.refused(
        "conflict",
        "previewReconcile",
        source="toys",
        discover={"service": "toys"},
        gathering=gathering,
    )
    assert (error["retires"], error["covered"]) == (11, 11)


@one_database
async def test_the_last_item_of_a_source_does_not_go_silently(hub: Hub) -> None:
    await hub.applied([machine("only")])
    gathering = await hub.bring([])
    await hub.cmdb.refused(
        "conflict",
        "previewReconcile",
        source="toys",
        discover={"service": "toys"},
        gathering=gathering,
    )


async def test_what_does_not_fit_is_told_and_neither_planned_nor_retired(hub: Hub) -> None:
    await hub.applied([machine("a"), machine("b"), machine("c"), host("h1")])
    bad = [
        machine("a", ip="nonsense"),  # does not fit its class
        machine("b\u0000"),  # no name; its key is that of nothing
        {**machine("c"), "attributes": {**OURS, "account": "two", "instance_uuid": "id-c"}},
        machine("d" * 300, "id-b"),  # a name too long, of a machine that is there
        {"ciClass": "nonsense", "name": "x", "attributes": {}},
        {**machine("e"), "key": "no_such"},
        machine("h1-twin", "id-twin"),
        machine("h1-twin", "id-twin"),
    ]
    plan = await hub.planned(
        [*bad, host("h1")],
        relations=(runs("a", "h1"), runs("nowhere", "h1"), runs("h1-twin", "h1")),
    )
    assert counts(plan) == (1, 0, 0, 1)
    assert plan["counts"]["relations"] == 2  # `a` is there, if not as it was told
    assert plan["leftOut"] == 8
    told = "\n".join(plan["problems"])
    assert "no virtual_machine named 'nowhere'" in told and "does not fit class" in told


@one_database
async def test_only_a_whole_gathering_of_ones_own_is_planned_with(hub: Hub) -> None:
    def arguments(gathering: str) -> dict[str, Any]:
        return {"source": "x", "discover": {"service": "toys"}, "gathering": gathering}

    broken = await hub.bring([machine("a")], complete=False)
    await hub.cmdb.refused("conflict", "previewReconcile", **arguments(broken))
    others = await hub.bring([machine("a")], principal="bob")
    await hub.cmdb.refused("not_found", "previewReconcile", **arguments(others))
    await hub.cmdb.refused("not_found", "previewReconcile", **arguments("x" * 43))
    mine = await hub.bring([machine("a")])
    named = {**arguments(mine), "discover": {"service": "others"}}
    await hub.cmdb.refused("invalid_argument", "previewReconcile", **named)
    boundless = await hub.bring([], covers={"ciClasses": ["server"], "attributes": {}})
    await hub.cmdb.refused("invalid_argument", "previewReconcile", **arguments(boundless))
    await hub.run(DROP, {"gathering": mine})
    await hub.cmdb.refused("not_found", "previewReconcile", **arguments(mine))


@one_database
async def test_items_and_a_source_are_not_given_together(hub: Hub) -> None:
    gathering = await hub.bring([])
    given: dict[str, Any] = {"discover": {"service": "toys"}, "gathering": gathering}
    scope = {"ciClasses": ["server"]}
    for more in (
        {},
        {**given, "items": []},
        {**given, "scope": scope},
        {"discover": {"service": "toys"}},
    ):
        await hub.cmdb.refused("invalid_argument", "previewReconcile", source="x", **more)


@one_database
async def test_pages_come_in_turn_and_none_after_the_last(hub: Hub) -> None:
    whole = await hub.bring([machine("a")])
    page = {
        "gathering": whole, "principal": "alice", "source": "toys",
        "covers": {"ciClasses": [], "attributes": {}},
        "items": [], "relations": [], "complete": True,
    }  # fmt: skip
    for number in (0, 1, 5):
        with pytest.raises(FlotillaError) as raised:
            await hub.run(PAGE, {**page, "page": number})
        assert raised.value.code == "invalid_argument"


@one_database
async def test_a_discovery_of_a_callers_own_does_not_retire_most_of_a_scope_either(
    cmdb: Cmdb,
) -> None:
    items = [{"ciClass": "server", "name": f"s{i}", "attributes": {}} for i in range(12)]
    plan = await cmdb("previewReconcile", source="scan", items=items)
    await cmdb("applyReconcile", planId=plan["planId"])
    given: dict[str, Any] = {"source": "scan", "items": [], "scope": {"ciClasses": ["server"]}}
    await cmdb.refused("conflict", "previewReconcile", **given)
    gone = await cmdb("previewReconcile", **given, allowMassRetirement=True)
    assert gone["counts"]["retires"] == 12


async def test_an_older_database_learns_what_the_classes_gained(
    settings: Settings, tmp_path: Any, opened: Any
) -> None:
    gained = ("provider", "account", "region", "zone", "cluster", "resource_id", "resource_type")
    compute = next(each for each in SEED_CLASSES if each.name == "compute")
    was = {
        **compute.attribute_schema,
        "properties": {
            name: part
            for name, part in compute.attribute_schema["properties"].items()
            if name not in gained
        },
    }
    assert mark_of(was) in FORMER["compute"]
    for changed, expected in (
        ("stored_otherwise", False),
        (None, True),
        ("owned", False),
        ("meant_otherwise", False),
    ):
        async with opened(settings, tmp_path) as cmdb:
            store = cmdb.spoke.tools[0].run.__self__._store
            schema: dict[str, Any] = dict(was)
            if changed == "owned":
                schema = {**was, "title": "as people have it"}
            async with store.write() as connection:
                await connection.execute(
                    update(ci_class)
                    .where(ci_class.c.name == "compute")
                    .values(attribute_schema=schema)
                )
            if changed == "meant_otherwise":
                meant = {"properties": {"zone": {"type": "integer"}}}
                await cmdb("defineClass", name="cell", parent="compute", attributeSchema=meant)
            if changed == "stored_otherwise":
                stored = await cmdb.item("odd", region=["eu", "us"])
            async with store.write() as connection:
                await seed(connection)
                query = select(ci_class.c.attribute_schema).where(ci_class.c.name == "compute")
                now = (await connection.execute(query)).scalar_one()
            if changed == "stored_otherwise":
                await cmdb("retireItem", id=stored, expectedVersion=1)
        assert ("resource_id" in now["properties"]) is expected
