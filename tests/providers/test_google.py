"""What a Google Cloud project has comes into the CMDB whole, once, and then as it changes."""

import pytest

from .world import LAB, PROD, World

pytestmark = pytest.mark.anyio

ZONE, FAR = "europe-west1-b", "us-central1-a"
WEB = f"{PROD}/{ZONE}/web"


def estate(world: World) -> None:
    """Two machines, a disk that nobody uses yet, and a bucket."""
    google = world.google.world
    outer = {"accessConfigs": [{"name": "External NAT", "natIP": "192.0.2.7"}]}
    google.instance(PROD, ZONE, "web")["networkInterfaces"][0] |= outer
    google.instance(PROD, FAR, "web")
    google.disk(PROD, ZONE, "data", 200)["labels"] = {"owner": "ada"}
    google.bucket(PROD, "acme-logs")


async def test_a_project_comes_in_with_what_belongs_to_what(world: World) -> None:
    estate(world)
    shown = await world.book.take("google_cloud")
    names = {(each["ciClass"], each["name"]) for each in shown["creates"]}
    assert {("virtual_machine", WEB), ("virtual_machine", f"{PROD}/{FAR}/web")} <= names
    assert {("storage", f"{PROD}/{ZONE}/data"), ("cloud_resource", f"{PROD}/acme-logs")} <= names
    assert await world.book.links("virtual_machine", WEB) == {
        (WEB, "uses", WEB),
        (WEB, "connects_to", f"{PROD}/default"),
    }
    assert await world.book.suffering("storage", WEB) == {WEB}
    machine = await world.book.item("virtual_machine", WEB)
    assert len(machine["attributes"]["ips"]) == 2


async def test_only_what_has_changed_is_shown_and_history_says_so(world: World) -> None:
    estate(world)
    google = world.google.world
    await world.book.take("google_cloud")
    before = await world.book.item("virtual_machine", WEB)
    # It is stopped: Google takes its outer address away, and the operator its labels.
    web = google.instances[PROD, ZONE, "web"]
    web |= {"status": "TERMINATED", "labels": {}}
    web["networkInterfaces"][0].pop("accessConfigs")
    web["networkInterfaces"][0]["networkIP"] = ""
    data = google.disks[PROD, ZONE, "data"]
    web["disks"].append({"source": data["selfLink"], "type": "PERSISTENT", "index": 1})
    del google.instances[PROD, FAR, "web"]
    shown = await world.book.preview("google_cloud")
    assert [each["name"] for each in shown["retires"]] == [f"{PROD}/{FAR}/web"]
    (update,) = shown["updates"]
    changed = {each["field"]: each for each in update["changes"]}
    wanted = {"attributes.ip", "attributes.ips", "attributes.status", "attributes.tags"}
    assert set(changed) == wanted
    assert "after" not in changed["attributes.ip"]
    (link,) = shown["relations"]
    assert link["target"]["name"] == f"{PROD}/{ZONE}/data"
    await world.book.apply(shown)
    again = await world.book.preview("google_cloud")
    assert not any(again[kind] for kind in ("creates", "updates", "retires", "relations"))
    after = await world.book.item("virtual_machine", WEB)
    assert "ip" not in after["attributes"]
    told = await world.book.history(before["id"])
    assert [each["action"] for each in told][-2:] == ["updated", "related"]
    # The second disk is taken off again.
    web["disks"].pop()
    shown = await world.book.take("google_cloud")
    assert [each["type"] for each in shown["relationsEnded"]] == ["uses"]


@pytest.mark.real
async def test_a_machine_made_anew_under_its_name_is_told_as_one(world: World) -> None:
    estate(world)
    await world.book.take("google_cloud")
    google = world.google.world
    del google.instances[PROD, ZONE, "web"]
    made = google.instance(PROD, ZONE, "web")
    shown = await world.book.take("google_cloud")
    assert (shown["creates"], shown["retires"]) == ([], [])
    after = await world.book.item("virtual_machine", WEB)
    assert after["attributes"]["instance_uuid"] == made["id"]


@pytest.mark.real
async def test_an_account_says_nothing_of_another_one(world: World) -> None:
    estate(world)
    await world.book.take("google_cloud", account="default")
    world.google.world.instance(LAB, ZONE, "web")
    shown = await world.book.take("google_cloud", account="lab")
    assert shown["retires"] == []
    again = await world.book.preview("google_cloud", project=PROD)
    assert (again["counts"]["retires"], again["counts"]["unchanged"]) == (0, len(EVERYTHING))


EVERYTHING = ("web", "web", "its disk", "its disk", "data", "default", "dmz", "acme-logs")
