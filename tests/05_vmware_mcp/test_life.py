"""The life of virtual machines in a simulated vCenter, through the hub."""

import pytest

from .conftest import Operator

pytestmark = [pytest.mark.anyio, pytest.mark.real]


async def test_a_machine_is_listed_and_powered_off_and_on(operator: Operator) -> None:
    listed = await operator("listVirtualMachines", nameContains="h0_vm10", limit=5)
    names = [each["name"] for each in listed["items"]]
    assert names[0] == "DC0_H0_VM10"
    vm = listed["items"][0]
    assert vm["powerState"] == "poweredOn"
    off = await operator("powerOff", vmId=vm["vmId"])
    assert off["vcenter"] == "main"
    assert off["operation"] == "VirtualMachine.powerOff"
    assert (await operator("getTask", taskId=off["taskId"], waitS=10))["state"] == "success"
    assert (await operator.machine(vm["vmId"]))["powerState"] == "poweredOff"
    error = await operator.refused("conflict", "powerOff", vmId=vm["vmId"])
    assert error["upstreamCode"] == "InvalidPowerState"
    await operator.done("powerOn", name="DC0_H0_VM10")
    assert (await operator.machine(vm["vmId"]))["powerState"] == "poweredOn"
