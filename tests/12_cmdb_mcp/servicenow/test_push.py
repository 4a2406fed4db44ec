"""Telling ServiceNow of our items: shown beforehand, judged by its rules, truly reported."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.conftest import until

if TYPE_CHECKING:
    from pathlib import Path

    from cmdb.settings import Settings
    from tests.backends.servicenow_server import ServiceNow

pytestmark = pytest.mark.anyio


def named(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in told["items"]}


async def made(cmdb: Any, name: str, ci_class: str = "server", **attributes: Any) -> dict[str, Any]:
    one = await cmdb("createItem", ciClass=ci_class, name=name, attributes=attributes)
    return {"id": one["id"], "expectedVersion": one["version"]}


async def as_it_is(cmdb: Any, *items: dict[str, Any]) -> list[dict[str, Any]]:
    """All items that there are, or these, at the versions that they have now."""
    found = (await cmdb("searchItems", sort="createdAt", limit=500))["items"]
    wanted = {one["id"] for one in items} or {one["id"] for one in found}
    return [
        {"id": one["id"], "expectedVersion": one["version"]} for one in found if one["id"] in wanted
    ]


async def many(cmdb: Any, count: int) -> list[dict[str, Any]]:
    rows = [{"ciClass": "application", "name": f"app-{number:03}"} for number in range(count)]
    await cmdb("importItems", content=json.dumps(rows))
    found = (await cmdb("searchItems", ciClass="application", limit=500))["items"]
    return [{"id": one["id"], "expectedVersion": one["version"]} for one in found]


def commits(instance: ServiceNow) -> list[Any]:
    asked = [one for one in instance.server.asked if "/identifyreconcile" in one.path]
    return [one for one in asked if "/query" not in one.path]


async def test_a_person_sees_what_would_change_and_the_items_are_pushed_through_the_hub(
    instance: ServiceNow, through_hub: Any
) -> None:
    there = instance.add("cmdb_ci_linux_server", name="web", serial_number="S1", ram="4096")
    async with through_hub(instance) as hub:
        web = await made(hub, "web-01", serial_number="S1", memory_mb=8192)
        shop = await made(hub, "shop", "application", version="2")
        await hub("createRelation", sourceId=shop["id"], type="runs_on", targetId=web["id"])
        told = await hub("previewServiceNowPush", items=[web, shop])
        assert told["counts"] == {"update": 1, "insert": 1}
        assert named(told)["web-01"]["sysId"] == there
        assert named(told)["web-01"]["matchedBy"] == "cmdb_ci_hardware rule (serial_number)"
        assert named(told)["web-01"]["changes"] == [
            {"field": "name", "before": "web", "after": "web-01"},
            {"field": "ram", "before": "4096", "after": "8192"},
        ]
        assert not hub.person.asked
        assert not commits(instance)
        assert instance.rows[there]["name"] == "web"

        hub.person.decision = "deny"
        await hub.refused("approval_denied", "pushServiceNow", items=[web, shop])
        assert not commits(instance)
        hub.person.decision = "allow_once"
        done = await hub("pushServiceNow", items=[web, shop])
        question = hub.person.asked[-1]
        assert '"web-01.ram": "4096" -> "8192"' in question and there in question
        assert '"shop.version": (none) -> "2"' in question
        assert "make 1 CIs, change 1 CIs, draw 1 relations" in question
        assert (done["committed"], done["counts"]) == (True, {"update": 1, "insert": 1})
        assert (done["relationsMade"], done["relationErrors"]) == (1, [])
        assert (instance.rows[there]["name"], instance.rows[there]["ram"]) == ("web-01", "8192")
        made_there = named(done)["shop"]["sysId"]
        assert instance.rows[made_there]["version"] == "2"
        assert instance.rows[made_there]["discovery_source"] == "Other Automated"
        (line,) = instance.of("cmdb_rel_ci")
        assert (line["parent"], line["child"]) == (made_there, there)
        held = await hub("getItem", id=shop["id"])
        assert held["attributes"]["servicenow_sys_id"] == made_there
        assert held["version"] == named(done)["shop"]["version"] == 2
        entry = (await hub("getHistory", id=shop["id"]))["items"][0]
        assert entry["tool"] == "pushServiceNow dev"

        again = await hub("pushServiceNow", items=await as_it_is(hub, web, shop))
        assert again["counts"] == {"unchanged": 2}
        assert (again["relationsMade"], again["relationsUnchanged"]) == (0, 1)
        assert len(instance.of("cmdb_rel_ci")) == 1
        assert (await hub("getItem", id=shop["id"]))["version"] == 2


async def test_a_stale_version_or_a_strange_item_sends_nothing(
    instance: ServiceNow, now: Any
) -> None:
    web, pod = await made(now, "web", serial_number="S1"), await made(now, "c", "container")
    await now("updateItem", id=web["id"], attributes={"os": "x"}, expectedVersion=1)
    error = await now.refused("conflict", "pushServiceNow", items=[web])
    assert error["items"] == [{"id": web["id"], "version": 2, "expectedVersion": 1}]
    ghost = {"id": "ci_none", "expectedVersion": 1}
    await now.refused("not_found", "pushServiceNow", items=[ghost])
    error = await now.refused("invalid_argument", "pushServiceNow", items=[pod])
    assert "not mapped" in error["message"]
    twice = [{**web, "expectedVersion": 2}] * 2
    await now.refused("invalid_argument", "pushServiceNow", items=twice)
    assert not [one for one in instance.server.asked if "identify" in one.path]


async def test_what_the_rules_refuse_is_told_and_holds_up_no_other(
    instance: ServiceNow, now: Any
) -> None:
    instance.identification.all_or_nothing = True
    for _ in range(2):
        instance.add("cmdb_ci_server", name="x", serial_number="DOUBLE")
    bad = await made(now, "bad", serial_number="DOUBLE")
    good = await made(now, "good", serial_number="S9")
    app = await made(now, "app", "application")
    await now("createRelation", sourceId=app["id"], type="runs_on", targetId=bad["id"])
    await now("createRelation", sourceId=app["id"], type="runs_on", targetId=good["id"])
    told = await now("pushServiceNow", items=[bad, good, app])
    assert told["counts"] == {"error": 1, "insert": 2}
    assert told["items"][0]["name"] == "bad"
    assert "DUPLICATE_RECORDS" in told["items"][0]["errors"][0]
    assert told["relationsMade"] == 1
    assert "1 relations of refused items" in told["relationErrors"][0]
    assert "servicenow_sys_id" not in (await now("getItem", id=bad["id"]))["attributes"]
    assert {row["name"] for row in instance.of("cmdb_ci_server")} == {"x", "good"}


async def test_a_data_source_that_it_does_not_know_does_nothing_and_says_so(
    instance: ServiceNow, connected: Any
) -> None:
    async with connected(instance, data_source="Nobody") as cmdb:
        web = await made(cmdb, "web", serial_number="S1")
        told = await cmdb("pushServiceNow", items=[web])
        assert told["counts"] == {"error": 1}
        assert "invalid data source" in told["items"][0]["errors"][0]
        assert not commits(instance)


async def test_an_item_that_is_linked_is_not_pushed_onto_another_ci(
    instance: ServiceNow, now: Any
) -> None:
    instance.add("cmdb_ci_server", name="web", serial_number="S1")
    await now("pullServiceNow", ciClass="server")
    (web,) = (await now("searchItems"))["items"]
    # Its serial number is that of another machine now.
    other = instance.add("cmdb_ci_server", name="other", serial_number="S2")
    await now("updateItem", id=web["id"], attributes={"serial_number": "S2"}, expectedVersion=1)
    told = await now("pushServiceNow", items=[{"id": web["id"], "expectedVersion": 2}])
    assert told["counts"] == {"error": 1}
    assert other in told["items"][0]["errors"][0]
    assert instance.rows[other]["name"] == "other"


async def test_what_was_pulled_is_pushed_back_without_a_second_line_or_another_class(
    instance: ServiceNow, now: Any
) -> None:
    host = instance.add("cmdb_ci_linux_server", name="host", serial_number="S1")
    guest = instance.add("cmdb_ci_vmware_instance", name="guest", vm_inst_id="v1")
    instance.relate(guest, "Hosted on::Hosts", host)
    await now("pullServiceNow", ciClass="server")
    await now("pullServiceNow", ciClass="virtual_machine")
    items = [
        {"id": one["id"], "expectedVersion": one["version"]}
        for one in (await now("searchItems"))["items"]
    ]
    told = await now("pushServiceNow", items=items)
    assert told["counts"] == {"unchanged": 2}
    assert (told["relationsMade"], told["relationsUnchanged"]) == (0, 1)
    assert len(instance.of("cmdb_rel_ci")) == 1
    (_, body) = commits(instance)[0].path, json.loads(commits(instance)[0].body)
    assert {one["className"] for one in body["items"]} == {
        "cmdb_ci_linux_server",
        "cmdb_ci_vmware_instance",
    }


async def test_fields_that_a_rule_keeps_are_told_and_what_does_not_show_is_not_said_to_be_done(
    instance: ServiceNow, now: Any
) -> None:
    sys_id = instance.add("cmdb_ci_server", name="web", serial_number="S1", ram="1")
    instance.identification.masked = {"ram"}
    web = await made(now, "web", serial_number="S1", memory_mb=2, os="Linux")
    told = await now("pushServiceNow", items=[web])
    assert told["counts"] == {"update": 1}
    assert told["items"][0]["masked"] == ["ram"]
    assert (instance.rows[sys_id]["ram"], instance.rows[sys_id]["os"]) == ("1", "Linux")
    instance.identification.loses_values = True
    (again,) = await as_it_is(now, web)
    await now(
        "updateItem",
        id=web["id"],
        attributes={"os": "BSD"},
        expectedVersion=again["expectedVersion"],
    )
    told = await now("pushServiceNow", items=await as_it_is(now, web))
    assert told["counts"] == {"unconfirmed": 1}
    assert told["items"][0]["changes"] == [{"field": "os", "before": "Linux", "after": "BSD"}]


async def test_many_items_go_in_batches_with_relations_across_them(
    instance: ServiceNow, now: Any
) -> None:
    web = await made(now, "web", serial_number="S")
    apps = await many(now, 120)
    for one in apps[::10]:
        await now("createRelation", sourceId=one["id"], type="runs_on", targetId=web["id"])
    told = await now("pushServiceNow", items=[web, *apps])
    assert told["counts"] == {"insert": 121}
    assert told["relationsMade"] == 12
    assert len(instance.of("cmdb_rel_ci")) == 12
    assert len(instance.of("cmdb_ci_appl")) == 120
    assert len(commits(instance)) == 4
    assert len(json.dumps(told)) < 48 * 1024
    again = await now("previewServiceNowPush", items=await as_it_is(now, web, *apps))
    assert again["counts"] == {"unchanged": 121}
    assert again["relationsUnchanged"] == 12


async def test_a_push_that_breaks_half_way_says_what_is_done_what_is_not_and_what_is_unknown(
    instance: ServiceNow, now: Any
) -> None:
    apps = await many(now, 150)
    # The second commit's answer is lost, after ServiceNow has taken it.
    commit = r"POST /api/now/identifyreconcile\?"
    instance.identification.after_commit = lambda number: (
        instance.server.faults.drop(commit) if number == 1 else None
    )
    told = await now("pushServiceNow", items=apps)
    assert told["counts"] == {"unknown": 50, "notSent": 50, "insert": 50}
    assert told["stoppedBy"].startswith("unavailable")
    assert len(instance.of("cmdb_ci_appl")) == 100
    again = await now("previewServiceNowPush", items=await as_it_is(now, *apps))
    assert again["counts"] == {"unchanged": 100, "insert": 50}
    done = await now("pushServiceNow", items=await as_it_is(now, *apps))
    assert done["counts"] == {"unchanged": 100, "insert": 50}
    assert len(instance.of("cmdb_ci_appl")) == 150


async def test_a_lost_answer_of_the_only_batch_is_an_error_that_says_it_may_be_done(
    instance: ServiceNow, now: Any
) -> None:
    web = await made(now, "web", serial_number="S1")
    commit = r"POST /api/now/identifyreconcile\?"
    for break_it in (
        lambda: instance.server.faults.drop(commit),
        lambda: instance.server.faults.garble(commit),
        lambda: instance.server.faults.fail(commit, 500),
    ):
        break_it()
        result = await now.raw("pushServiceNow", items=await as_it_is(now, web))
        error = json.loads(result["content"][0]["text"])["error"]
        assert (error["outcome"], result["isError"]) == ("unknown", True)
        assert "preview again" in error["hint"]
    assert len(instance.of("cmdb_ci_server")) == 1
    told = await now("pushServiceNow", items=await as_it_is(now, web))
    assert told["counts"] == {"unchanged": 1}
    # Turned away unread: nothing is unknown, and nothing was done.
    instance.server.faults.fail(commit, 403)
    error = await now.refused("not_allowed", "pushServiceNow", items=await as_it_is(now, web))
    assert "outcome" not in error


async def test_an_item_of_another_instance_is_not_linked_anew(
    instance: ServiceNow, now: Any
) -> None:
    web = await made(now, "web", serial_number="S1", servicenow_instance="elsewhere")
    error = await now.refused("conflict", "pushServiceNow", items=[web])
    assert error["reason"] == "other_instance"


async def test_pulling_and_pushing_are_alike_on_either_database(
    instance: ServiceNow, opened: Any, settings: Settings, tmp_path: Path, servicenow_file: Any
) -> None:
    for number in range(250):
        instance.add("cmdb_ci_server", name=f"web-{number}", serial_number=f"S{number}")
    known = settings.model_copy(update={"servicenow_config": servicenow_file(instance)})
    async with opened(known, tmp_path) as cmdb:
        assert (await cmdb("pullServiceNow", ciClass="server"))["created"] == 250
        only = [{"field": "name", "op": "in", "value": ["web-1", "web-2"]}]
        told = await cmdb("pullServiceNow", ciClass="server", conditions=only)
        assert (told["read"], told["unchanged"]) == (2, 2)
        assert (await cmdb("pullServiceNow", ciClass="server"))["unchanged"] == 250
        told = await cmdb("pushServiceNow", items=(await as_it_is(cmdb))[:60])
        assert told["counts"] == {"unchanged": 60}


async def test_a_class_that_takes_no_other_attributes_is_pushed_and_told_that_it_is_not_linked(
    instance: ServiceNow, now: Any
) -> None:
    closed = {"properties": {}, "additionalProperties": False}
    await now("defineClass", name="application", parent="software", attributeSchema=closed)
    app = await made(now, "shop", "application")
    told = await now("pushServiceNow", items=[app])
    assert told["counts"] == {"insert": 1}
    assert "not kept here" in told["items"][0]["warnings"][0]
    assert (await now("getItem", id=app["id"]))["version"] == 1
    # ServiceNow knows it by our ID all the same.
    assert (await now("pushServiceNow", items=[app]))["counts"] == {"unchanged": 1}
    assert (await now("validateAll"))["items"] == []


async def test_relations_across_batches_that_are_lost_are_said_to_be_unknown(
    instance: ServiceNow, now: Any
) -> None:
    web = await made(now, "web", serial_number="S")
    apps = await many(now, 60)
    for one in apps[-2:]:
        await now("createRelation", sourceId=one["id"], type="runs_on", targetId=web["id"])
    commit = r"POST /api/now/identifyreconcile\?"
    instance.identification.after_commit = lambda number: (
        instance.server.faults.drop(commit) if number == 2 else None
    )
    told = await now("pushServiceNow", items=[web, *apps])
    assert told["counts"] == {"insert": 61}
    assert "2 relations may or may not be there" in told["relationErrors"][0]
    assert told["stoppedBy"].startswith("unavailable")


async def test_a_push_that_is_cancelled_keeps_the_sys_ids_of_what_was_done(
    instance: ServiceNow, now: Any
) -> None:
    apps = await many(now, 60)
    # The first batch is done; the second one's answer does not come.
    instance.identification.after_commit = lambda _: instance.server.faults.hang("/query")

    async def push() -> None:
        await now.raw("pushServiceNow", items=apps)

    def asked() -> int:
        return len([one for one in instance.server.asked if "/query" in one.path])

    async with anyio.create_task_group() as group:
        group.start_soon(push)
        await until(lambda: asked() == 2)
        group.cancel_scope.cancel()
    held = (await now("searchItems", ciClass="application", limit=500))["items"]
    assert len([one for one in held if "servicenow_sys_id" in one["attributes"]]) == 50
