"""Relations, impact, ways and orphans."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Cmdb

pytestmark = pytest.mark.anyio


async def reached(cmdb: Cmdb, id_: str, direction: str, depth: int = 3) -> dict[str, int]:
    told = await cmdb("analyzeImpact", id=id_, direction=direction, depth=depth)
    return {one["name"]: one["distance"] for one in told["items"]}


@pytest.mark.parametrize(
    ("source", "kind", "target", "rests_on"),
    [
        ("application", "runs_on", "server", ("a", "b")),
        ("application", "depends_on", "database", ("a", "b")),
        ("rack", "contains", "server", ("b", "a")),
        ("application", "uses", "storage", ("a", "b")),
        ("server", "member_of", "cluster", ("b", "a")),
        ("database", "backed_up_by", "storage", ("a", "b")),
        ("server", "connects_to", "network_device", None),
    ],
)
async def test_every_type_knows_who_rests_on_whom(
    cmdb: Cmdb, source: str, kind: str, target: str, rests_on: tuple[str, str] | None
) -> None:
    ids = {"a": await cmdb.item("a", source), "b": await cmdb.item("b", target)}
    await cmdb.relate(ids["a"], kind, ids["b"])
    if rests_on is None:
        for one in ids.values():
            assert await reached(cmdb, one, "upstream") == {}
            assert await reached(cmdb, one, "downstream") == {}
        return
    dependent, provider = rests_on
    assert await reached(cmdb, ids[dependent], "upstream") == {provider: 1}
    assert await reached(cmdb, ids[dependent], "downstream") == {}
    assert await reached(cmdb, ids[provider], "downstream") == {dependent: 1}


async def test_impact_tells_distance_path_and_relation_and_survives_a_cycle(cmdb: Cmdb) -> None:
    rack, server = await cmdb.item("rack", "rack"), await cmdb.item("server")
    vm, app = await cmdb.item("vm", "virtual_machine"), await cmdb.item("app", "application")
    await cmdb.relate(rack, "contains", server)
    await cmdb.relate(vm, "runs_on", server)
    last = await cmdb.relate(app, "runs_on", vm)
    await cmdb.relate(server, "depends_on", app)  # a cycle
    await cmdb.relate(app, "uses", server)  # a shorter way
    assert await reached(cmdb, rack, "downstream", 10) == {"server": 1, "app": 2, "vm": 2}
    assert await reached(cmdb, rack, "downstream", 1) == {"server": 1}
    assert await reached(cmdb, server, "downstream", 10) == {"app": 1, "vm": 1}
    told = await cmdb("analyzeImpact", id=app, direction="upstream", depth=10)
    by_name = {one["name"]: one for one in told["items"]}
    assert by_name["vm"]["via"] == {"relationId": last, "type": "runs_on", "fromId": app}
    assert by_name["rack"]["path"] == [app, server, rack]
    assert (told["total"], told["truncated"]) == (3, False)


async def test_impact_is_cut_at_the_limit_nearest_first(cmdb: Cmdb) -> None:
    server = await cmdb.item("server")
    near = [await cmdb.item(f"near-{n}", "application") for n in range(4)]
    far = await cmdb.item("far", "service")
    for app in near:
        await cmdb.relate(app, "runs_on", server)
        await cmdb.relate(far, "uses", app)
    told = await cmdb("analyzeImpact", id=server, limit=3)
    assert [one["distance"] for one in told["items"]] == [1, 1, 1]
    assert (told["total"], told["truncated"]) == (5, True)


async def test_a_path_is_a_shortest_one_with_its_relations(cmdb: Cmdb) -> None:
    ids = [await cmdb.item(f"s{n}") for n in range(6)]
    for left, right in pairwise(ids):
        await cmdb.relate(left, "connects_to", right)
    shortcut = await cmdb.relate(ids[4], "connects_to", ids[1])
    way = await cmdb("findPath", sourceId=ids[0], targetId=ids[4])
    assert [one["name"] for one in way["items"]] == ["s0", "s1", "s4"]
    assert way["relations"][1]["id"] == shortcut
    assert (way["found"], way["length"]) == (True, 2)
    way = await cmdb("findPath", sourceId=ids[0], targetId=ids[4], direction="upstream")
    assert (way["found"], way["items"]) == (False, [])
    assert not (await cmdb("findPath", sourceId=ids[0], targetId=ids[5], maxDepth=2))["found"]
    same = await cmdb("findPath", sourceId=ids[0], targetId=ids[0])
    assert (same["found"], same["length"]) == (True, 0)


async def test_a_directed_path_goes_only_its_way(cmdb: Cmdb) -> None:
    server, vm = await cmdb.item("server"), await cmdb.item("vm", "virtual_machine")
    app = await cmdb.item("app", "application")
    await cmdb.relate(vm, "runs_on", server)
    await cmdb.relate(app, "runs_on", vm)
    up = await cmdb("findPath", sourceId=app, targetId=server, direction="upstream")
    assert [one["name"] for one in up["items"]] == ["app", "vm", "server"]
    down = await cmdb("findPath", sourceId=app, targetId=server, direction="downstream")
    assert not down["found"]
    down = await cmdb("findPath", sourceId=server, targetId=app, direction="downstream")
    assert [one["name"] for one in down["items"]] == ["server", "vm", "app"]


async def test_orphans_are_items_without_a_live_relation(cmdb: Cmdb) -> None:
    alone, server = await cmdb.item("alone"), await cmdb.item("server")
    app = await cmdb.item("app", "application")
    relation = await cmdb.relate(app, "runs_on", server)
    assert [one["id"] for one in (await cmdb("findOrphans"))["items"]] == [alone]
    await cmdb("deleteRelation", id=relation)
    page = await cmdb("findOrphans", limit=2)
    rest = await cmdb("findOrphans", limit=2, cursor=page["nextCursor"])
    assert [one["id"] for one in page["items"] + rest["items"]] == [alone, server, app]
    only = await cmdb("findOrphans", ciClass="software")
    assert [one["id"] for one in only["items"]] == [app]


async def test_a_relation_keeps_to_the_classes_of_its_type(cmdb: Cmdb) -> None:
    rack, server = await cmdb.item("rack", "rack"), await cmdb.item("server")
    app = await cmdb.item("app", "application")
    arguments: dict[str, Any] = {"sourceId": rack, "type": "runs_on", "targetId": server}
    error = await cmdb.refused("invalid_argument", "createRelation", **arguments)
    assert "software" in error["hint"]
    arguments = {"sourceId": app, "type": "eats", "targetId": server}
    error = await cmdb.refused("invalid_argument", "createRelation", **arguments)
    assert "backed_up_by" in error["hint"]
    arguments = {"sourceId": app, "type": "uses", "targetId": app}
    await cmdb.refused("invalid_argument", "createRelation", **arguments)
    existing = await cmdb.relate(app, "uses", server)
    arguments = {"sourceId": app, "type": "uses", "targetId": server}
    error = await cmdb.refused("conflict", "createRelation", **arguments)
    assert error["existingId"] == existing
    ended = await cmdb("deleteRelation", id=existing)
    assert ended["target"]["name"] == "server"
    await cmdb.refused("conflict", "deleteRelation", id=existing)
    assert await cmdb.relate(app, "uses", server) != existing


async def test_relations_are_listed_by_end_and_type_in_pages(cmdb: Cmdb) -> None:
    app, server = await cmdb.item("app", "application"), await cmdb.item("server")
    other = await cmdb.item("other", "application")
    runs = await cmdb.relate(app, "runs_on", server)
    uses = await cmdb.relate(app, "uses", server)
    third = await cmdb.relate(other, "uses", app)

    async def listed(**arguments: Any) -> list[str]:
        return [one["id"] for one in (await cmdb("listRelations", **arguments))["items"]]

    assert await listed(id=app) == [runs, uses, third]
    assert await listed(id=app, end="source") == [runs, uses]
    assert await listed(id=app, end="target") == [third]
    assert await listed(type="uses") == [uses, third]
    first = await cmdb("listRelations", limit=2)
    assert await listed(cursor=first["nextCursor"]) == [third]
