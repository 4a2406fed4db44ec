"""Every tool that only looks, through the hub: it shows what is there, in pages, and no more."""

import pytest

from .conftest import PROD, TEST, Estate, OpenEstate

pytestmark = pytest.mark.anyio
ZONE = "europe-west1-b"


async def test_projects_are_those_that_the_account_may_see_and_all_accounts_are_named(
    estate: Estate,
) -> None:
    found = await estate.call("listProjects")
    assert [each["projectId"] for each in found["items"]] == [PROD, TEST]
    assert found["items"][0]["default"] is True
    assert found["items"][0]["state"] == "ACTIVE"
    assert found["accounts"] == ["default", "other"]
    other = await estate.call("listProjects", account="other")
    assert [each["projectId"] for each in other["items"]] == ["other-lab"]


async def test_zones_are_listed_with_their_state(estate: Estate) -> None:
    estate.world.unreachable = {"us-east1-b"}
    found = {each["name"]: each for each in (await estate.call("listZones"))["items"]}
    assert found[ZONE] == {"name": ZONE, "region": "europe-west1", "status": "UP"}
    assert found["us-east1-b"]["status"] == "DOWN"


async def test_a_page_ends_where_it_is_asked_to_and_goes_on_from_there(estate: Estate) -> None:
    names = [f"web-{number:03}" for number in range(25)]
    for number, name in enumerate(names):
        estate.world.instance(PROD, estate.world.zones[number % 3], name)
    seen: list[str] = []
    cursor = None
    for _ in range(3):
        page = await estate.call("listInstances", limit=10, cursor=cursor)
        seen += [each["name"] for each in page["items"]]
        cursor = page.get("nextCursor")
    assert (sorted(seen), cursor) == (names, None)
    assert len(estate.google.paths("GET", "/aggregated/instances")) == 3, "one request a page"


async def test_instances_are_asked_for_by_zone_state_and_label(estate: Estate) -> None:
    estate.world.instance(PROD, ZONE, "web-1", labels={"env": "prod", "app": "web"})
    estate.world.instance(PROD, ZONE, "web-2", labels={"env": "test"}, status="TERMINATED")
    estate.world.instance(PROD, "us-central1-a", "db-1", labels={"env": "prod"})

    async def names(**asked: object) -> list[str]:
        return [each["name"] for each in (await estate.call("listInstances", **asked))["items"]]

    assert await names(zone=ZONE) == ["web-1", "web-2"]
    assert await names(status="TERMINATED") == ["web-2"]
    assert await names(labels={"env": "prod", "app": "web"}) == ["web-1"]
    assert await names(filter='labels.env = "prod" AND name != "db-1"') == ["web-1"]
    assert await names(project=TEST) == []


async def test_a_filter_cannot_break_out_of_its_brackets(estate: Estate) -> None:
    for text in ('name = "a") (status = "RUNNING"', 'name = "a', "(name = a", "a\nb"):
        error = await estate.fails("listInstances", filter=text, status="RUNNING")
        assert error["code"] == "invalid_argument", text
    assert estate.google.paths("GET", "/instances") == []


async def test_zones_that_google_cannot_reach_are_named(estate: Estate) -> None:
    estate.world.instance(PROD, ZONE, "web-1")
    estate.world.instance(PROD, "us-east1-b", "web-2")
    estate.world.unreachable = {"us-east1-b"}
    found = await estate.call("listInstances")
    assert [each["name"] for each in found["items"]] == ["web-1"]
    assert found["unreachable"] == ["us-east1-b"]
    error = await estate.fails("getInstance", instance="web-2")
    assert (error["code"], error["unreachable"]) == ("unavailable", ["us-east1-b"])


async def test_an_instance_is_found_by_its_name_over_zones_and_by_its_id(estate: Estate) -> None:
    made = estate.world.instance(PROD, "us-central1-a", "web-1")
    for name in ("web-1", made["id"]):
        found = await estate.call("getInstance", instance=name)
        assert (found["id"], found["zone"]) == (made["id"], "us-central1-a")
        assert found["disks"] == [
            {
                "name": "web-1",
                "deviceName": "web-1",
                "boot": True,
                "autoDelete": True,
                "sizeGb": 10,
                "mode": "READ_WRITE",
                "kind": "PERSISTENT",
            }
        ]
    assert (await estate.fails("getInstance", instance="web-9"))["code"] == "not_found"


async def test_a_name_in_two_zones_must_be_told_apart(estate: Estate) -> None:
    estate.world.instance(PROD, ZONE, "web-1")
    estate.world.instance(PROD, "us-central1-a", "web-1", status="TERMINATED")
    error = await estate.fails("stopInstance", instance="web-1")
    assert (error["code"], error["zones"]) == ("invalid_argument", [ZONE, "us-central1-a"])
    found = await estate.call("getInstance", instance="web-1", zone="us-central1-a")
    assert found["status"] == "TERMINATED"


async def test_disks_are_listed_with_who_uses_them(estate: Estate) -> None:
    estate.world.instance(PROD, ZONE, "web-1")
    estate.world.disk(PROD, "us-central1-a", "spare", 200)
    found = {each["name"]: each for each in (await estate.call("listDisks"))["items"]}
    assert found["web-1"]["usedBy"] == ["web-1"]
    assert (found["spare"]["usedBy"], found["spare"]["sizeGb"], found["spare"]["zone"]) == (
        [],
        200,
        "us-central1-a",
    )
    one = await estate.call("listDisks", zone=ZONE)
    assert [each["name"] for each in one["items"]] == ["web-1"]


async def test_machine_types_and_images_leave_out_what_is_deprecated(estate: Estate) -> None:
    kinds = await estate.call("listMachineTypes", zone=ZONE)
    assert [each["name"] for each in kinds["items"]] == [
        "e2-medium",
        "e2-standard-2",
        "n2-standard-8",
    ]
    assert kinds["items"][2]["memoryMb"] == 32768
    family = await estate.call("listMachineTypes", zone=ZONE, family="e2")
    assert [each["name"] for each in family["items"]] == ["e2-medium", "e2-standard-2"]
    every = await estate.call("listMachineTypes", zone=ZONE, includeDeprecated=True)
    assert every["items"][-1]["deprecated"] == "DEPRECATED"

    images = await estate.call("listImages", family="debian-12")
    assert [each["reference"] for each in images["items"]] == [
        f"{PROD}/debian-12-bookworm-v20240501"
    ]
    both = await estate.call("listImages", includeDeprecated=True)
    assert len(both["items"]) == 2


async def test_networks_and_firewall_rules_are_listed(estate: Estate) -> None:
    networks = await estate.call("listNetworks")
    assert [each["name"] for each in networks["items"]] == ["default", "dmz"]
    assert networks["items"][0]["subnetworks"] == ["europe-west1/default"]
    rules = await estate.call("listFirewallRules", network="default")
    (ssh,) = rules["items"]
    assert (ssh["allowed"], ssh["sourceRanges"], ssh["priority"]) == (
        ["tcp:22"],
        ["0.0.0.0/0"],
        65534,
    )
    every = await estate.call("listFirewallRules")
    assert (every["items"][1]["denied"], every["items"][1]["disabled"]) == (["all"], True)


async def test_buckets_and_objects_are_listed_by_folders_and_pages(estate: Estate) -> None:
    estate.world.bucket(PROD, "acme-logs", ["2024/a.log", "2024/b.log", "2025/c.log", "readme"])
    estate.world.bucket(TEST, "acme-other")
    (bucket,) = (await estate.call("listBuckets"))["items"]
    assert (bucket["name"], bucket["publicAccessPrevention"], bucket["uniformAccess"]) == (
        "acme-logs",
        "enforced",
        True,
    )
    top = await estate.call("listObjects", bucket="acme-logs", delimiter="/")
    assert [(each["name"], each["folder"]) for each in top["items"]] == [
        ("2024/", True),
        ("2025/", True),
        ("readme", False),
    ]
    inside = await estate.call("listObjects", bucket="acme-logs", prefix="2024/", limit=1)
    assert [each["name"] for each in inside["items"]] == ["2024/a.log"]
    assert inside["items"][0]["sizeBytes"] == 100
    rest = await estate.call(
        "listObjects", bucket="acme-logs", prefix="2024/", cursor=inside["nextCursor"]
    )
    assert [each["name"] for each in rest["items"]] == ["2024/b.log"]
    error = await estate.fails("listObjects", bucket="acme-none")
    assert (error["code"], error["upstreamStatus"]) == ("not_found", 404)


async def test_a_page_never_outgrows_48_kb_and_loses_nothing(estate: Estate) -> None:
    for number in range(120):
        labels = {f"label-{at:02}": "x" * 60 for at in range(12)}
        zone = estate.world.zones[number % 4]
        estate.world.instance(PROD, zone, f"web-{number:03}", labels=labels)
    seen: list[str] = []
    cursor = None
    for turn in range(40):
        limit = 500 if turn % 2 == 0 else 7
        page = await estate.call("listInstances", limit=limit, cursor=cursor)
        seen += [each["name"] for each in page["items"]]
        cursor = page.get("nextCursor")
        if cursor is None:
            break
    assert sorted(seen) == [f"web-{number:03}" for number in range(120)]


async def test_a_cursor_serves_only_the_list_that_gave_it(estate: Estate) -> None:
    for name in ("web-1", "web-2"):
        estate.world.instance(PROD, ZONE, name)
    page = await estate.call("listInstances", limit=1)
    for asked in ({"project": TEST}, {"status": "RUNNING"}):
        error = await estate.fails("listInstances", cursor=page["nextCursor"], **asked)
        assert error["code"] == "invalid_argument"


async def test_two_accounts_stand_side_by_side(estate: Estate) -> None:
    estate.world.instance(PROD, ZONE, "ours")
    estate.world.instance("other-lab", ZONE, "theirs")
    ours = await estate.call("listInstances")
    theirs = await estate.call("listInstances", account="other")
    assert [each["name"] for each in ours["items"]] == ["ours"]
    assert [each["name"] for each in theirs["items"]] == ["theirs"]
    error = await estate.fails("listInstances", account="other", project=PROD)
    assert (error["code"], error["reason"], error["upstreamRequestId"]) == (
        "not_allowed",
        "forbidden",
        "request-403",
    )
    error = await estate.fails("listInstances", account="nobody")
    assert error["code"] == "not_found"


async def test_an_account_shows_the_buckets_of_its_own_projects_alone(
    open_estate: OpenEstate, tmp_path_factory: pytest.TempPathFactory
) -> None:
    estate = await open_estate(tmp_path_factory.mktemp("bounded"), projects=[PROD])
    estate.world.bucket(PROD, "acme-logs", ["a.log"])
    estate.world.bucket(PROD, "acme-logs-old", ["b.log"])
    estate.world.bucket(TEST, "acme-other", ["secret-plan"])
    found = await estate.call("listObjects", bucket="acme-logs")
    assert [each["name"] for each in found["items"]] == ["a.log"]
    error = await estate.fails("listObjects", bucket="acme-other")
    assert error["code"] == "not_found"
    for action in ("listObjects", "listInstances"):
        asked = {"bucket": "acme-other"} if action == "listObjects" else {}
        error = await estate.fails(action, project=TEST, **asked)
        assert (error["code"], error["reason"]) == ("not_allowed", "project_not_allowed")
    error = await estate.fails(
        "getOperation", operationId=f"projects/{TEST}/zones/{ZONE}/operations/operation-1"
    )
    assert error["reason"] == "project_not_allowed"
    assert [each["projectId"] for each in (await estate.call("listProjects"))["items"]] == [PROD]
