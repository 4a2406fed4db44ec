"""A virtual machine goes through its life, followed to the end of each operation."""

from typing import Any

import pytest

from tests.backends.azure.estate import FAR_SIZE

from .conftest import House, Person, Tools, furnished

pytestmark = pytest.mark.anyio

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKx0AZ6oT0hU1yqkXv5kXH3Qk0Yy0Vb5J5wYkVZ2h9pQ ada@home"
PASSWORD = "Correct-Horse-9-canary"


def machine_id(group_id: str, name: str) -> str:
    return f"{group_id}/providers/Microsoft.Compute/virtualMachines/{name}".lower()


async def to_the_end(tools: Tools, begun: dict[str, Any]) -> dict[str, Any]:
    assert begun["status"] == "running"
    return await tools("getOperation", operationId=begun["operationId"], waitS=10)


async def test_machines_are_listed_and_one_is_told_whole(house: House) -> None:
    furnished(house.estate, "web", {"web-1": "running", "web-2": "deallocated"})
    async with house.tools() as tools:
        plain = await tools("listVirtualMachines", resourceGroup="web")
        power = await tools("listVirtualMachines", resourceGroup="web", powerState=True)
        told = await tools("getVirtualMachine", name="web-1", resourceGroup="web")
        await tools.refused("not_found", "getVirtualMachine", name="no", resourceGroup="web")
        asked = {"name": "../web-1", "resourceGroup": "web"}
        await tools.refused("invalid_argument", "getVirtualMachine", **asked)
    assert [each["name"] for each in plain["items"]] == ["web-1", "web-2"]
    assert plain["items"][0]["size"] == "Standard_D2s_v5"
    assert [each["powerState"] for each in power["items"]] == ["running", "deallocated"]
    assert (told["powerState"], told["privateIps"]) == ("running", ["10.0.0.4"])
    assert told["disks"][0]["deletedWithMachine"] is False


async def test_a_machine_goes_through_its_life(house: House) -> None:
    group = furnished(house.estate, "life")
    me = machine_id(group, "app-1")
    subnet = f"{group}/providers/Microsoft.Network/virtualNetworks/main/subnets/default"
    target = {"name": "app-1", "resourceGroup": "life"}
    async with house.tools() as tools:
        begun = await tools(
            "createVirtualMachine",
            **target,
            location="westeurope",
            size="Standard_D2s_v5",
            image="Canonical:ubuntu-24_04-lts:server:latest",
            subnetId=subnet,
            adminUsername="azureuser",
            sshPublicKey=KEY,
            tags={"owner": "ada"},
        )
        assert house.estate.power[me] == "starting"
        assert (await to_the_end(tools, begun))["status"] == "succeeded"
        assert (await tools("getVirtualMachine", **target))["powerState"] == "running"
        made = house.estate.resources[me]
        assert made["tags"] == {"owner": "ada"}
        linux = made["properties"]["osProfile"]["linuxConfiguration"]
        assert linux["ssh"]["publicKeys"][0]["keyData"] == KEY
        assert "publicIPAddress" not in str(
            house.estate.resources[
                f"{group.lower()}/providers/microsoft.network/networkinterfaces/app-1-nic"
            ]
        )

        begun = await tools("restartVirtualMachine", **target)
        assert (await to_the_end(tools, begun))["status"] == "succeeded"
        begun = await tools("stopVirtualMachine", **target)
        assert house.estate.power[me] == "running"  # nothing is done before Azure says so
        now = await tools("getOperation", operationId=begun["operationId"])
        assert (now["status"], now["target"].lower()) == ("running", me)
        assert (await to_the_end(tools, begun))["status"] == "succeeded"
        assert house.estate.power[me] == "deallocated"
        begun = await tools("resizeVirtualMachine", **target, size=FAR_SIZE)
        assert (await to_the_end(tools, begun))["status"] == "succeeded"
        assert (await tools("getVirtualMachine", **target))["size"] == FAR_SIZE
        begun = await tools("startVirtualMachine", **target)
        assert (await to_the_end(tools, begun))["status"] == "succeeded"
        assert house.estate.power[me] == "running"
        begun = await tools("stopVirtualMachine", **target, deallocate=False)
        assert (await to_the_end(tools, begun))["status"] == "succeeded"
        assert house.estate.power[me] == "stopped"

        wrong = {**target, "confirmName": "app-2"}
        await tools.refused("invalid_argument", "deleteVirtualMachine", **wrong)
        assert me in house.estate.resources
        begun = await tools("deleteVirtualMachine", **target, confirmName="app-1")
        assert me in house.estate.resources
        assert (await to_the_end(tools, begun))["status"] == "succeeded"
        assert me not in house.estate.resources
        await tools.refused("not_found", "deleteVirtualMachine", **target, confirmName="app-1")


async def test_an_approval_shows_the_target_the_change_and_the_cost(house: House) -> None:
    group = furnished(house.estate, "shown", {"db-1": "running"})
    target = {"name": "db-1", "resourceGroup": "shown"}
    person = Person("deny")
    async with house.tools(person) as tools:
        await tools.refused("approval_denied", "stopVirtualMachine", **target)
        await tools.refused("approval_denied", "resizeVirtualMachine", **target, size=FAR_SIZE)
        size = "Standard_D4s_v5"
        await tools.refused("approval_denied", "resizeVirtualMachine", **target, size=size)
        await tools.refused("approval_denied", "deleteVirtualMachine", **target, confirmName="db-1")
        subnet = f"{group}/providers/Microsoft.Network/virtualNetworks/main/subnets/default"
        await tools.refused(
            "approval_denied",
            "createVirtualMachine",
            name="db-2",
            resourceGroup="shown",
            location="westeurope",
            size=size,
            image="Canonical:ubuntu-24_04-lts:server:latest",
            subnetId=subnet,
            adminUsername="azureuser",
            adminPassword=PASSWORD,
            publicIp=True,
        )
    stop, far, resize, delete, create = person.asked
    assert machine_id(group, "db-1") in stop.lower()
    assert "deallocated" in stop
    assert "deallocated first" in far
    assert "restarted by this" in resize
    assert "140.16" in resize  # 730 hours of 0.192
    assert "70.08" in resize
    assert "These stay and are paid for: db-1-os" in delete
    assert "140.16" in create
    assert "public address" in create
    assert PASSWORD not in create
    assert house.estate.power[machine_id(group, "db-1")] == "running"
    assert machine_id(group, "db-2") not in house.estate.resources


async def test_what_was_made_for_a_machine_that_azure_refuses_is_deleted_again(
    house: House,
) -> None:
    group = furnished(house.estate, "half", {"there": "running"})
    subnet = f"{group}/providers/Microsoft.Network/virtualNetworks/main/subnets/default"
    asked = {
        "resourceGroup": "half",
        "location": "westeurope",
        "image": "Canonical:ubuntu-24_04-lts:server:latest",
        "subnetId": subnet,
        "adminUsername": "azureuser",
    }
    before = set(house.estate.resources)
    async with house.tools() as tools:
        wrong = {"name": "new", "size": "Standard_Z1", "adminPassword": PASSWORD, "publicIp": True}
        error = await tools.refused("invalid_argument", "createVirtualMachine", **asked, **wrong)
        assert error["upstreamCode"] == "InvalidParameter"
        assert error["upstreamRequestId"]
        assert PASSWORD not in str(error)
        both = {"name": "new", "size": "Standard_B2s", "adminPassword": "x", "sshPublicKey": KEY}
        await tools.refused("invalid_argument", "createVirtualMachine", **asked, **both)
        known = {"name": "there", "size": "Standard_B2s", "adminPassword": PASSWORD}
        await tools.refused("conflict", "createVirtualMachine", **asked, **known)
    for operation in house.estate.operations.values():
        while operation.look() == "InProgress":
            pass
    assert set(house.estate.resources) == before


async def test_what_azure_refuses_or_fails_is_not_reported_as_done(house: House) -> None:
    group = furnished(house.estate, "failing", {"f-1": "deallocated"})
    target = {"name": "f-1", "resourceGroup": "failing"}
    async with house.tools() as tools:
        error = await tools.refused("conflict", "restartVirtualMachine", **target)
        assert error["upstreamCode"] == "OperationNotAllowed"
        house.estate.fail_next = {"code": "AllocationFailed", "message": "No room for it."}
        begun = await tools("startVirtualMachine", **target)
        ended = await to_the_end(tools, begun)
    assert ended["status"] == "failed"
    assert ended["error"] == {"code": "AllocationFailed", "message": "No room for it."}
    assert house.estate.power[machine_id(group, "f-1")] == "deallocated"


async def test_a_wait_reports_progress_and_ends_with_the_time(house: House) -> None:
    furnished(house.estate, "slow", {"s-1": "running"})
    house.estate.looks = 1000
    told: list[str | None] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append(message)

    async with house.tools() as tools:
        begun = await tools("stopVirtualMachine", name="s-1", resourceGroup="slow")
        asked = {"operationId": begun["operationId"], "waitS": 0.5}
        result = await tools.client.call_tool(
            "cloud_azure_getOperation", asked, progress_callback=hear
        )
        await tools.refused("invalid_argument", "getOperation", operationId="made-up")
    state = result.structured_content
    assert state is not None
    assert state["status"] == "running"
    assert "goes on in Azure" in state["note"]
    assert told
    assert "goes on in Azure" in str(told[0])
