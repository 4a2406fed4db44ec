"""A virtual machine goes through its life, followed to the end of each operation."""

import pytest

from tests.backends.azure.estate import SUBSCRIPTION

from .conftest import House

pytestmark = pytest.mark.anyio

WEB_1 = (
    f"/subscriptions/{SUBSCRIPTION}/resourcegroups/web/providers/"
    "microsoft.compute/virtualmachines/web-1"
)


async def test_machines_are_listed_and_one_is_told_whole(house: House) -> None:
    async with house.tools() as tools:
        listed = await tools("listVirtualMachines")
        told = await tools("getVirtualMachine", name="web-1", resourceGroup="web")
    assert [each["name"] for each in listed["items"]] == ["web-1", "web-2"]
    assert listed["items"][0]["size"] == "Standard_D2s_v5"
    assert (told["powerState"], told["privateIps"]) == ("running", ["10.0.0.4"])
    assert told["disks"][0]["deletedWithMachine"] is False


async def test_a_machine_is_stopped_and_started_and_followed_to_the_end(house: House) -> None:
    async with house.tools() as tools:
        begun = await tools("stopVirtualMachine", name="web-1", resourceGroup="web")
        assert begun["status"] == "running"
        assert house.estate.power[WEB_1] == "running"  # nothing is done before Azure says so
        now = await tools("getOperation", operationId=begun["operationId"])
        assert (now["status"], now["target"].lower()) == ("running", WEB_1)
        ended = await tools("getOperation", operationId=begun["operationId"], waitS=10)
        assert ended["status"] == "succeeded"
        assert house.estate.power[WEB_1] == "deallocated"
        begun = await tools("startVirtualMachine", name="web-1", resourceGroup="web")
        ended = await tools("getOperation", operationId=begun["operationId"], waitS=10)
        assert ended["status"] == "succeeded"
    assert house.estate.power[WEB_1] == "running"
