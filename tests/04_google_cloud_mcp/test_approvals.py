"""A person is asked in their client, reads what would happen, and decides."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import mcp_types as types
import pytest

from .conftest import PROD, Estate, OpenEstate, followed

pytestmark = pytest.mark.anyio
ZONE = "europe-west1-b"
WRITES = {
    "startInstance": {"instance": "web-1"},
    "stopInstance": {"instance": "web-1"},
    "resetInstance": {"instance": "web-1"},
    "setInstanceLabels": {"instance": "web-1", "labels": {"env": "test"}},
    "deleteInstance": {"instance": "web-1", "zone": ZONE, "confirmName": "web-1"},
    "createDiskSnapshot": {"disk": "web-1", "zone": ZONE, "snapshotName": "s-1"},
    "deleteDisk": {"disk": "web-1", "zone": ZONE, "confirmName": "web-1"},
}


@dataclass
class Person:
    decision: str = "allow_once"
    asked: list[str] = field(default_factory=list[str])

    async def __call__(self, _context: Any, params: Any) -> types.ElicitResult:
        self.asked.append(params.message)
        return types.ElicitResult(action="accept", content={"decision": self.decision})


@pytest.fixture(scope="module")
async def watched(
    open_estate: OpenEstate, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[tuple[Estate, Person]]:
    person = Person()
    estate = await open_estate(
        tmp_path_factory.mktemp("watched"),
        approvals="on",
        client={"elicitation_callback": person},
    )
    await estate.call("listInstances")
    yield estate, person


@pytest.fixture
def asking(watched: tuple[Estate, Person]) -> tuple[Estate, Person]:
    estate, person = watched
    estate.world.forget()
    estate.google.tls.asked.clear()
    person.asked.clear()
    person.decision = "allow_once"
    return estate, person


async def test_a_machine_is_deleted_once_a_person_has_read_what_goes_with_it(
    asking: tuple[Estate, Person],
) -> None:
    estate, person = asking
    machine = estate.world.instance(PROD, ZONE, "web-1")
    begun = await estate.call("deleteInstance", **WRITES["deleteInstance"])
    (told,) = person.asked
    assert f"web-1 (instance {machine['id']} in {ZONE}, project {PROD}" in told
    assert "These disks are deleted with it: web-1 (10 GB)." in told
    assert (await followed(estate, begun))["outcome"] == "succeeded"
    assert estate.world.instances == {}


async def test_each_change_is_asked_for_with_its_target_and_not_done_when_denied(
    asking: tuple[Estate, Person],
) -> None:
    estate, person = asking
    person.decision = "deny"
    machine = estate.world.instance(PROD, ZONE, "web-1")
    disk = estate.world.disks[PROD, ZONE, "web-1"]
    for action, arguments in WRITES.items():
        error = await estate.fails(action, **arguments)
        assert error["code"] == "approval_denied", action
        known = disk if "disk" in arguments else machine
        assert f"{known['id']} in {ZONE}" in person.asked[-1], person.asked[-1]
    assert len(person.asked) == len(WRITES)
    assert [each for each in estate.google.paths("POST") if each != "/token"] == []
    assert estate.google.paths("DELETE") == []


async def test_a_new_machine_is_shown_without_its_script(asking: tuple[Estate, Person]) -> None:
    estate, person = asking
    await estate.call(
        "createInstance",
        name="web-9",
        zone=ZONE,
        machineType="e2-standard-2",
        image="debian-cloud/family/debian-12",
        startupScript="echo canary-script-0815",
    )
    (told,) = person.asked
    assert "e2-standard-2 (2 CPUs, 8.0 GB)" in told
    assert "Price unknown." in told
    assert "canary-script-0815" not in told
    assert (PROD, ZONE, "web-9") in estate.world.instances
