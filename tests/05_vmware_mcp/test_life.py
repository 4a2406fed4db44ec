"""The life of virtual machines in a simulated vCenter, through the hub."""

from pathlib import Path

import pytest

from tests.backends.vcsim_server import Vcsim

from .conftest import Operator, OperatorOf, password_file

pytestmark = [pytest.mark.anyio, pytest.mark.real]


async def vm(operator: Operator, name: str) -> str:
    """The ID of the one machine of that name."""
    listed = await operator("listVirtualMachines", nameContains=name)
    (found,) = [each for each in listed["items"] if each["name"] == name]
    return found["vmId"]


async def test_a_machine_is_listed_and_powered_off_and_on(operator: Operator) -> None:
    vm_id = await vm(operator, "DC0_H0_VM10")
    off = await operator("powerOff", vmId=vm_id)
    assert off["vcenter"] == "main"
    assert off["operation"] == "VirtualMachine.powerOff"
    assert off["targetId"] == vm_id
    assert (await operator("getTask", taskId=off["taskId"], waitS=10))["state"] == "success"
    assert (await operator.machine(vm_id))["powerState"] == "poweredOff"
    error = await operator.refused("conflict", "powerOff", vmId=vm_id)
    assert error["upstreamCode"] == "InvalidPowerState"
    await operator.done("powerOn", name="DC0_H0_VM10")
    assert (await operator.machine(vm_id))["powerState"] == "poweredOn"


async def test_a_whole_life_with_a_person_who_sees_each_step(
    operator_of: OperatorOf, main_vcenter: Vcsim, tmp_path: Path
) -> None:
    entry = main_vcenter.entry(password_file(tmp_path))
    async with operator_of({"main": entry}, approvals="on") as operator:
        vm_id = await vm(operator, "DC0_H0_VM20")
        asked = operator.person.asked

        snapshot = await operator.done("createSnapshot", vmId=vm_id, snapshotName="before")
        assert f"DC0_H0_VM20 ({vm_id} in main)" in asked[-1]
        assert "Take a snapshot of the virtual machine DC0_H0_VM20" in asked[-1]
        (kept,) = (await operator("listSnapshots", vmId=vm_id))["items"]
        assert (kept["snapshotId"], kept["name"]) == (snapshot["resultId"], "before")

        await operator.done("powerOff", vmId=vm_id)
        assert "poweredOn" in asked[-1]
        await operator.done("reconfigureVirtualMachine", vmId=vm_id, cpuCount=4, memoryMb=64)
        assert "cpuCount" in asked[-1]
        assert "memoryMb" in asked[-1]
        changed = await operator.machine(vm_id)
        assert (changed["cpuCount"], changed["memoryMb"]) == (4, 64)

        clone = await operator.done("cloneVirtualMachine", vmId=vm_id, newName="copy-of-20")
        made = await operator.machine(clone["resultId"])
        assert (made["name"], made["cpuCount"]) == ("copy-of-20", 4)

        await operator.done("deleteVirtualMachine", vmId=vm_id, name="DC0_H0_VM20")
        assert "it has 1 snapshots that go with it" in asked[-1]
        assert len(asked) == 5
        await operator.refused("not_found", "getVirtualMachine", vmId=vm_id)
        assert (await operator.machine(clone["resultId"]))["name"] == "copy-of-20"


async def test_snapshots_are_a_tree_that_can_be_gone_back_in_and_cut(operator: Operator) -> None:
    vm_id = await vm(operator, "DC0_H0_VM30")
    made: list[str] = []
    for name in ("one", "two", "three"):
        task = await operator.done(
            "createSnapshot", vmId=vm_id, snapshotName=name, description=f"taken as {name}"
        )
        made.append(task["resultId"])
    tree = (await operator("listSnapshots", vmId=vm_id))["items"]
    assert [(each["name"], each["depth"]) for each in tree] == [
        ("one", 0),
        ("two", 1),
        ("three", 2),
    ]
    assert [each.get("parentId") for each in tree] == [None, made[0], made[1]]
    assert [each["current"] for each in tree] == [False, False, True]
    assert tree[0]["description"] == "taken as one"
    assert tree[0]["sizeMb"] is not None

    await operator.done("revertSnapshot", vmId=vm_id, snapshotId=made[0])
    tree = (await operator("listSnapshots", vmId=vm_id))["items"]
    assert [each["current"] for each in tree] == [True, False, False]

    other = await vm(operator, "DC0_H0_VM31")
    for tool in ("revertSnapshot", "removeSnapshot"):
        await operator.refused("not_found", tool, vmId=other, snapshotId=made[0])
    await operator.done("removeSnapshot", vmId=vm_id, snapshotId=made[1], withChildren=True)
    (left,) = (await operator("listSnapshots", vmId=vm_id))["items"]
    assert left["name"] == "one"
    assert (await operator.machine(vm_id))["snapshotCount"] == 1


async def test_a_running_machine_takes_only_what_can_be_added_hot(operator: Operator) -> None:
    vm_id = await vm(operator, "DC0_H0_VM32")
    error = await operator.refused("conflict", "reconfigureVirtualMachine", vmId=vm_id, cpuCount=8)
    assert "cpuHotAdd is off" in error["message"]
    assert (await operator.machine(vm_id))["cpuCount"] == 1
    # Notes need nothing of the hardware.
    await operator.done("reconfigureVirtualMachine", vmId=vm_id, notes="owned by payments")
    assert (await operator.machine(vm_id))["notes"] == "owned by payments"


async def test_a_change_of_what_has_changed_meanwhile_is_refused(operator: Operator) -> None:
    vm_id = await vm(operator, "DC0_H0_VM33")
    seen = (await operator.machine(vm_id))["changeVersion"]
    error = await operator.refused(
        "conflict",
        "reconfigureVirtualMachine",
        vmId=vm_id,
        notes="stale",
        expectedChangeVersion="2020-01-01T00:00:00Z",
    )
    assert error["currentChangeVersion"] == seen
    await operator.done(
        "reconfigureVirtualMachine", vmId=vm_id, notes="fresh", expectedChangeVersion=seen
    )
    assert (await operator.machine(vm_id))["notes"] == "fresh"
    await operator.refused("invalid_argument", "reconfigureVirtualMachine", vmId=vm_id)


async def test_only_a_machine_that_is_off_and_meant_twice_is_deleted(operator: Operator) -> None:
    vm_id = await vm(operator, "DC0_H0_VM34")
    for name, part in (("DC0_H0_VM35", "is called 'DC0_H0_VM34'"), ("DC0_H0_VM34", "poweredOn")):
        error = await operator.refused("conflict", "deleteVirtualMachine", vmId=vm_id, name=name)
        assert part in error["message"]
    assert (await operator.machine(vm_id))["name"] == "DC0_H0_VM34"


async def test_a_machine_moves_to_another_host_and_datastore(operator: Operator) -> None:
    vm_id = await vm(operator, "DC0_C0_RP0_VM40")
    hosts = (await operator("listHosts"))["items"]
    stores = (await operator("listDatastores"))["items"]
    before = await operator.machine(vm_id)
    parent = next(each["parentId"] for each in hosts if each["hostId"] == before["hostId"])
    target = next(
        each for each in hosts if each["parentId"] == parent and each["hostId"] != before["hostId"]
    )
    store = next(each for each in stores if each["name"] not in before["datastores"])
    await operator.done(
        "migrateVirtualMachine",
        vmId=vm_id,
        hostId=target["hostId"],
        datastoreId=store["datastoreId"],
    )
    after = await operator.machine(vm_id)
    assert (after["hostId"], after["host"]) == (target["hostId"], target["name"])
    assert after["datastores"] == [store["name"]]
    await operator.refused("invalid_argument", "migrateVirtualMachine", vmId=vm_id)
    await operator.refused("not_found", "migrateVirtualMachine", vmId=vm_id, hostId="host-99999")


async def test_a_clone_goes_where_it_is_sent_and_may_be_a_template(operator: Operator) -> None:
    vm_id = await vm(operator, "DC0_C0_RP0_VM41")
    (cluster,) = (await operator("listClusters"))["items"]
    store = (await operator("listDatastores"))["items"][-1]
    task = await operator.done(
        "cloneVirtualMachine",
        vmId=vm_id,
        newName="golden 100%",
        clusterId=cluster["clusterId"],
        datastoreId=store["datastoreId"],
        template=True,
    )
    made = await operator.machine(task["resultId"])
    assert (made["name"], made["template"]) == ("golden 100%", True)
    assert made["datastores"] == [store["name"]]
    # Found by the name that a person gives, though vCenter keeps it escaped.
    assert (await operator("getVirtualMachine", name="golden 100%"))["vmId"] == task["resultId"]
    error = await operator.refused(
        "invalid_argument", "cloneVirtualMachine", vmId=task["resultId"], newName="x"
    )
    assert "clusterId" in error["hint"]


async def test_a_guest_is_asked_to_shut_down_and_a_machine_is_reset(operator: Operator) -> None:
    vm_id = await vm(operator, "DC0_H0_VM36")
    reset = await operator("reboot", vmId=vm_id, force=True)
    assert (reset["asked"], reset["powerState"]) == ("reset", "poweredOn")
    events = await operator("listEvents", vmId=vm_id, types=["VmPoweredOffEvent"])
    assert [each["targetId"] for each in events["items"]] == [vm_id]
    told = await operator("shutdownGuest", vmId=vm_id)
    assert told["asked"] == "shutdown"
    assert (await operator.machine(vm_id))["powerState"] == "poweredOff"
    error = await operator.refused("conflict", "shutdownGuest", vmId=vm_id)
    assert error["existingState"] == "poweredOff"
