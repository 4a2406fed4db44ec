"""What the CMDB is told of a project: machines, disks, networks, buckets, and their relations."""

import json
from pathlib import Path
from typing import Any

import pytest

from cmdb import build as build_cmdb
from cmdb.settings import Settings as CmdbSettings
from flotilla import CommonSettings, InvalidArgument, Unavailable
from flotilla.discovery import SeenPage
from google_cloud import build as build_google
from google_cloud.settings import Settings
from tests.backends.google import GoogleServer
from tests.conftest import StartFleet

from .conftest import PROD, TEST, Estate, write_accounts

pytestmark = pytest.mark.anyio
ZONE = "europe-west1-b"


async def gathered(estate: Estate, **within: Any) -> list[SeenPage]:
    source = estate.spoke.discovery
    assert source is not None
    pages: list[SeenPage] = []
    cursor = None
    while True:
        pages.append(await source.page(within, cursor))
        cursor = pages[-1].next_cursor
        if cursor is None:
            return pages


async def test_a_project_is_told_whole_with_its_relations(estate: Estate) -> None:
    machine = estate.world.instance(PROD, ZONE, "web-1")
    estate.world.instance(TEST, ZONE, "elsewhere")
    estate.world.bucket(PROD, "acme-logs")
    pages = await gathered(estate)
    items = {(each.ci_class, each.name): each for page in pages for each in page.items}
    assert set(items) == {
        ("virtual_machine", f"{PROD}/{ZONE}/web-1"),
        ("storage", f"{PROD}/{ZONE}/web-1"),
        ("network", f"{PROD}/default"),
        ("network", f"{PROD}/dmz"),
        ("cloud_resource", f"{PROD}/acme-logs"),
    }
    seen = items["virtual_machine", f"{PROD}/{ZONE}/web-1"]
    assert (seen.key, seen.attributes["instance_uuid"]) == ("instance_uuid", machine["id"])
    assert seen.attributes["account"] == PROD
    assert {
        (each.source.name, each.type, each.target.ci_class, each.target.name)
        for page in pages
        for each in page.relations
    } == {
        (f"{PROD}/{ZONE}/web-1", "uses", "storage", f"{PROD}/{ZONE}/web-1"),
        (f"{PROD}/{ZONE}/web-1", "connects_to", "network", f"{PROD}/default"),
    }


async def test_many_machines_come_page_by_page(estate: Estate) -> None:
    for number in range(620):
        estate.world.instance(PROD, estate.world.zones[number % 4], f"web-{number:03}")
    pages = await gathered(estate)
    names = [each.name for page in pages for each in page.items if each.key == "instance_uuid"]
    assert len(names) == len(set(names)) == 620
    assert max(len(page.items) for page in pages) <= 500


async def test_a_zone_that_does_not_answer_fails_the_whole_source(estate: Estate) -> None:
    estate.world.instance(PROD, ZONE, "web-1")
    estate.world.unreachable = {"us-east1-b"}
    with pytest.raises(Unavailable, match="us-east1-b"):
        await gathered(estate)


async def test_a_scope_is_an_account_and_a_project(estate: Estate) -> None:
    source = estate.spoke.discovery
    assert source is not None
    told = await source.describe({"project": TEST})
    assert told.within == {"account": "default", "project": TEST}
    assert told.covers.attributes == {"provider": "google_cloud", "account": TEST}
    assert told.tool == "cloud.gcp.listInstances"
    with pytest.raises(InvalidArgument):
        await source.describe({"zone": ZONE})


async def test_the_cmdb_takes_over_what_runs_and_sees_what_has_gone(
    start_fleet: StartFleet, tmp_path: Path
) -> None:
    google = GoogleServer(tmp_path)
    key = tmp_path / "key.json"
    key.write_text(google.world.service_account("robot", [PROD]))
    google.world.instance(PROD, ZONE, "web-1")
    async with google.running():
        file = write_accounts(tmp_path / "google_cloud.yaml", {"a": google.account(str(key))})
        common = CommonSettings(data_dir=tmp_path / "data", config_dir=tmp_path)
        spokes = [build_google(Settings(config=file), common), build_cmdb(CmdbSettings(), common)]
        async with start_fleet(spokes, approvals="off") as fleet, fleet.client() as client:

            async def call(tool: str, **arguments: Any) -> Any:
                result = await client.call_tool(f"data.cmdb.{tool}", arguments)
                assert not result.is_error, result.content
                return result.structured_content

            discover = {"service": "google_cloud", "within": {"project": PROD}}
            plan = await call("previewReconcile", source="gcp", discover=discover)
            assert (plan["counts"]["creates"], plan.get("leftOut")) == (4, None), plan
            await call("applyReconcile", planId=plan["planId"], hash=plan["hash"])
            found = await call("searchItems", ciClass="virtual_machine")
            (machine,) = found["items"]
            assert machine["name"] == f"{PROD}/{ZONE}/web-1"
            relations = await call("listRelations", id=machine["id"])
            assert {each["type"] for each in relations["items"]} == {"uses", "connects_to"}
            google.world.instances.clear()
            again = await call("previewReconcile", source="gcp", discover=discover)
            assert again["counts"]["retires"] == 1
            assert machine["name"] in json.dumps(again["retires"])
