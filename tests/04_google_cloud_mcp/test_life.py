"""An instance goes through its life, by the hub, and Google is seen to have done it."""

import pytest

from .conftest import PROD, Estate, followed

pytestmark = pytest.mark.anyio
ZONE = "europe-west1-b"


async def test_instances_are_listed_over_all_zones(estate: Estate) -> None:
    estate.world.instance(PROD, ZONE, "web-1")
    estate.world.instance(PROD, "us-central1-a", "web-2", status="TERMINATED")
    listed = await estate.call("listInstances")
    assert [(each["name"], each["zone"], each["status"]) for each in listed["items"]] == [
        ("web-1", ZONE, "RUNNING"),
        ("web-2", "us-central1-a", "TERMINATED"),
    ]
    assert listed["unreachable"] == []
    assert "nextCursor" not in listed or listed["nextCursor"] is None


async def test_an_instance_is_stopped_and_started_and_the_operation_followed_to_its_end(
    estate: Estate,
) -> None:
    machine = estate.world.instance(PROD, ZONE, "web-1")
    begun = await estate.call("stopInstance", instance="web-1")
    assert (begun["outcome"], begun["action"]) == ("running", "stop")
    assert machine["status"] == "STOPPING"
    ended = await followed(estate, begun)
    assert (ended["outcome"], ended["status"], machine["status"]) == (
        "succeeded",
        "DONE",
        "TERMINATED",
    )
    assert ended["targetId"] == machine["id"]
    assert (await followed(estate, await estate.call("startInstance", instance="web-1")))[
        "outcome"
    ] == "succeeded"
    assert machine["status"] == "RUNNING"
