"""What the reading tools show of simulated vCenters, through the hub."""

from collections.abc import Generator
from pathlib import Path

import anyio
import orjson
import pytest

from tests.backends.vcsim_server import Vcsim
from tests.conftest import until

from .admin import Admin
from .conftest import Operator, OperatorOf, password_file

pytestmark = [pytest.mark.anyio, pytest.mark.real]

MACHINES = 300


@pytest.fixture
def admin(main_vcenter: Vcsim) -> Generator[Admin]:
    made = Admin(main_vcenter)
    yield made
    made.close()


async def test_hundreds_of_machines_are_paged_without_gap_or_repeat(operator: Operator) -> None:
    first = await operator("listVirtualMachines", limit=7)
    assert first["returned"] == 7
    assert first["truncated"]
    assert {"vcenter", "vmId", "name", "powerState", "ipAddress", "hostId"} <= set(
        first["items"][0]
    )
    items = await operator.every("listVirtualMachines", limit=70)
    names = [each["name"] for each in items]
    assert len(names) == len({each["vmId"] for each in items}) >= MACHINES
    second = await operator("listVirtualMachines", limit=7, cursor=first["nextCursor"])
    again = await operator("listVirtualMachines", limit=7, cursor=first["nextCursor"])
    assert second == again
    assert second["total"] == len(items)


async def test_the_largest_page_stays_within_48_kb(operator: Operator) -> None:
    page = await operator("listVirtualMachines", limit=500)
    assert len(orjson.dumps(page)) <= 48 * 1024
    assert page["truncated"]
    items = await operator.every("listVirtualMachines", limit=500)
    assert len({each["vmId"] for each in items}) == len(items) >= MACHINES


async def test_filters_hold_over_all_pages(operator: Operator) -> None:
    part = await operator.every("listVirtualMachines", nameContains="c0_rp0_vm1", limit=20)
    assert len(part) == 61  # 1, 10 to 19 and 100 to 149
    assert all("C0_RP0_VM1" in each["name"] for each in part)
    host = part[0]["hostId"]
    on_host = await operator.every("listVirtualMachines", hostId=host, limit=30)
    assert on_host
    assert {each["hostId"] for each in on_host} == {host}
    off = await operator.every("listVirtualMachines", powerState="suspended")
    assert off == []


async def test_a_cursor_belongs_to_its_list_alone(operator: Operator) -> None:
    page = await operator("listVirtualMachines", limit=5)
    for tool, more in (
        ("listHosts", {}),
        ("listVirtualMachines", {"nameContains": "VM1"}),
    ):
        error = await operator.refused("invalid_argument", tool, cursor=page["nextCursor"], **more)
        assert "nextCursor" in error["hint"]


async def test_a_machine_made_while_paging_is_not_lost_and_one_gone_is_no_error(
    operator: Operator,
) -> None:
    page = await operator("listVirtualMachines", nameContains="DC0_H0_VM9", limit=3)
    source = page["items"][0]
    made = await operator.done(
        "cloneVirtualMachine", vmId=source["vmId"], newName="DC0_H0_VM9-late"
    )
    rest = await operator(
        "listVirtualMachines",
        nameContains="DC0_H0_VM9",
        limit=50,
        cursor=page["nextCursor"],
    )
    assert made["resultId"] in {each["vmId"] for each in rest["items"]}
    await operator.done("deleteVirtualMachine", vmId=made["resultId"], name="DC0_H0_VM9-late")
    names = {each["name"] for each in await operator.every("listVirtualMachines", limit=100)}
    assert "DC0_H0_VM9-late" not in names


async def test_a_machine_is_shown_with_its_disks_and_without_its_secrets(
    operator: Operator, admin: Admin
) -> None:
    listed = await operator("listVirtualMachines", nameContains="DC0_H0_VM50")
    vm_id = listed["items"][0]["vmId"]
    admin.set_extra(vm_id, guestinfo_userdata="CANARY-8f2k", guestinfo_password="CANARY-8f2k")
    shown = await operator.machine(vm_id)
    assert "CANARY" not in orjson.dumps(shown).decode()
    assert shown["folder"] == "DC0/vm"
    assert shown["tools"] == "guestToolsRunning"
    assert shown["ipAddress"].startswith("10.")
    assert shown["disks"][0]["capacityGb"] > 0
    assert shown["adapters"][0]["macAddress"]
    assert shown["instanceUuid"]
    assert shown["datastores"]
    by_name = await operator("getVirtualMachine", name="DC0_H0_VM50")
    assert by_name["vmId"] == vm_id
    await operator.refused("invalid_argument", "getVirtualMachine")
    await operator.refused("not_found", "getVirtualMachine", vmId="vm-999999")
    await operator.refused("not_found", "getVirtualMachine", name="no such machine")


async def test_a_name_of_two_is_refused_with_both(operator: Operator, admin: Admin) -> None:
    listed = await operator("listVirtualMachines", nameContains="DC0_H0_VM6", limit=3)
    two = [each["vmId"] for each in listed["items"][:2]]
    for vm_id in two:
        admin.rename(vm_id, "twins")
    error = await operator.refused("invalid_argument", "powerOff", name="twins")
    assert {each["vmId"] for each in error["candidates"]} == set(two)
    assert error["candidates"][0]["folder"] == "DC0/vm"
    assert (await operator.machine(two[0]))["powerState"] == "poweredOn"


async def test_hosts_clusters_datastores_and_networks_are_listed(operator: Operator) -> None:
    hosts = (await operator("listHosts"))["items"]
    assert len(hosts) == 4
    assert all(each["state"] == "connected" and each["cpuTotalMhz"] for each in hosts)
    host = await operator("getHost", hostId=hosts[0]["hostId"])
    assert host["name"] == hosts[0]["name"]
    assert host["machineCount"] > 0
    assert host["datastores"]
    assert (await operator("getHost", name=host["name"]))["hostId"] == host["hostId"]
    await operator.refused("not_found", "getHost", hostId="host-99999")
    (cluster,) = (await operator("listClusters"))["items"]
    assert (cluster["name"], cluster["hostCount"]) == ("DC0_C0", 3)
    stores = (await operator("listDatastores"))["items"]
    assert [each["accessible"] for each in stores] == [True, True]
    assert all(each["capacityGb"] > 0 for each in stores)
    networks = (await operator("listNetworks", limit=2))["items"]
    assert len(networks) == 2
    kinds = {each["type"] for each in await operator.every("listNetworks", limit=1)}
    assert {"Network", "DistributedVirtualPortgroup"} <= kinds


async def test_events_come_newest_first_in_pages_and_of_one_machine(operator: Operator) -> None:
    listed = await operator("listVirtualMachines", nameContains="DC0_H0_VM70")
    vm_id = listed["items"][0]["vmId"]
    await operator.done("powerOff", vmId=vm_id)
    await operator.done("powerOn", vmId=vm_id)
    own = (await operator("listEvents", vmId=vm_id, limit=2))["items"]
    assert [each["type"] for each in own] == ["VmPoweredOnEvent", "VmStartingEvent"]
    assert own[0]["targetId"] == vm_id
    only = await operator("listEvents", vmId=vm_id, types=["VmPoweredOffEvent"])
    assert [each["type"] for each in only["items"]] == ["VmPoweredOffEvent"]
    assert (await operator("listEvents", vmId=vm_id, since="2099-01-01T00:00:00Z"))["items"] == []


async def test_all_events_of_a_vcenter_are_paged_without_gap_or_repeat(
    operator_of: OperatorOf, lab_vcenter: Vcsim, tmp_path: Path
) -> None:
    async with operator_of({"lab": lab_vcenter.entry(password_file(tmp_path))}) as operator:
        # Whoever logs in makes events; so their number stands still while they are read.
        whole = (await operator("listEvents", limit=500))["items"]
        numbers = [each["eventId"] for each in whole]
        assert len(numbers) > 20
        assert numbers == sorted(numbers, reverse=True)
        paged = await operator.every("listEvents", limit=7)
        assert [each["eventId"] for each in paged] == numbers


async def test_a_task_is_followed_with_progress_to_its_end_and_its_failure(
    operator: Operator, main_vcenter: Vcsim
) -> None:
    listed = await operator("listVirtualMachines", nameContains="DC0_H0_VM80")
    vm_id = listed["items"][0]["vmId"]
    task_id = main_vcenter.start_task(vm_id)
    main_vcenter.progress(task_id, 40)
    running = await operator("getTask", taskId=task_id)
    assert (running["state"], running["progressPercent"]) == ("running", 40)
    told: list[float] = []

    async def report(progress: float, total: float | None, message: str | None) -> None:
        told.append(progress)
        if progress == 40:
            main_vcenter.end_task(task_id, full_datastore="LocalDS_0")

    with anyio.fail_after(20):
        result = await operator.client.call_tool(
            "infra.vmware.getTask",
            {"taskId": task_id, "waitS": 15},
            progress_callback=report,
        )
    assert result.structured_content is not None
    ended = result.structured_content
    assert ended["state"] == "error"
    assert (ended["error"]["code"], ended["error"]["fault"]) == ("too_large", "NoDiskSpace")
    assert told[-1] == 100
    recent = (await operator("listTasks"))["items"]
    assert task_id in [each["taskId"] for each in recent]
    times = [each["queuedAt"] for each in recent]
    assert times == sorted(times, reverse=True)
    await operator.refused("not_found", "getTask", taskId="task-999999")


async def test_to_stop_waiting_leaves_the_task_going(
    operator: Operator, main_vcenter: Vcsim
) -> None:
    listed = await operator("listVirtualMachines", nameContains="DC0_H0_VM81")
    task_id = main_vcenter.start_task(listed["items"][0]["vmId"])
    seen = anyio.Event()

    async def report(progress: float, total: float | None, message: str | None) -> None:
        seen.set()

    async def wait() -> None:
        await operator.client.call_tool(
            "infra.vmware.getTask",
            {"taskId": task_id, "waitS": 60},
            progress_callback=report,
        )

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await seen.wait()
            group.cancel_scope.cancel()
    assert (await operator("getTask", taskId=task_id, waitS=0.3))["state"] == "running"
    main_vcenter.end_task(task_id)
    assert (await operator("getTask", taskId=task_id, waitS=10))["state"] == "success"


async def test_performance_is_a_small_table_with_units(operator: Operator) -> None:
    listed = await operator("listVirtualMachines", nameContains="DC0_H0_VM82")
    vm_id = listed["items"][0]["vmId"]
    table = await operator("getPerformance", vmId=vm_id, minutes=5)
    assert table["sampleCount"] == 15
    rows = {each["counter"]: each for each in table["counters"]}
    usage = rows["cpu.usage.average"]
    assert usage["unit"] == "percent"
    assert 0 <= usage["minimum"] <= usage["average"] <= usage["maximum"] <= 100
    one = await operator(
        "getPerformance", vmId=vm_id, counters=["mem.consumed.average", "no.such.counter"]
    )
    assert [each["counter"] for each in one["counters"]] == ["mem.consumed.average"]
    assert one["missing"] == ["no.such.counter"]
    host = (await operator("listHosts"))["items"][0]
    assert (await operator("getPerformance", hostId=host["hostId"]))["counters"]
    await operator.refused("invalid_argument", "getPerformance")
    await operator.done("powerOff", vmId=vm_id)
    error = await operator.refused("conflict", "getPerformance", vmId=vm_id)
    assert "powered off" in error["message"]


async def test_two_vcenters_stand_side_by_side(
    operator_of: OperatorOf, main_vcenter: Vcsim, lab_vcenter: Vcsim, tmp_path: Path
) -> None:
    secret = password_file(tmp_path)
    entries = {"prod": main_vcenter.entry(secret), "lab": lab_vcenter.entry(secret)}
    async with operator_of(entries) as operator:
        error = await operator.refused("invalid_argument", "listVirtualMachines")
        assert "prod, lab" in error["hint"]
        error = await operator.refused("not_found", "listHosts", vcenter="elsewhere")
        assert "prod, lab" in error["hint"]
        lab = (await operator("listVirtualMachines", vcenter="lab", powerState="poweredOn"))[
            "items"
        ]
        assert 0 < len(lab) < 20
        assert {each["vcenter"] for each in lab} == {"lab"}
        vm_id = lab[0]["vmId"]
        await operator.done("powerOff", vcenter="lab", vmId=vm_id)
        assert (await operator.machine(vm_id, vcenter="lab"))["powerState"] == "poweredOff"
        prod = await operator("listVirtualMachines", vcenter="prod", powerState="poweredOff")
        assert lab[0]["name"] not in [each["name"] for each in prod["items"]]
        await operator.done("powerOn", vcenter="lab", vmId=vm_id)


async def test_a_session_that_ended_is_made_anew_and_logged_out_at_the_end(
    operator_of: OperatorOf, lab_vcenter: Vcsim, tmp_path: Path
) -> None:
    admin = Admin(lab_vcenter)
    try:
        async with operator_of({"lab": lab_vcenter.entry(password_file(tmp_path))}) as operator:
            page = await operator("listVirtualMachines", limit=1)
            assert admin.end_sessions() == 1
            rest = await operator("listVirtualMachines", cursor=page["nextCursor"])
            assert rest["returned"] == rest["total"] - 1
            assert admin.end_sessions() == 1
            await operator.done("reconfigureVirtualMachine", name="DC0_H0_VM1", notes="anew")
            assert (await operator("getVirtualMachine", name="DC0_H0_VM1"))["notes"] == "anew"
            assert len(admin.sessions()) == 1
        await until(lambda: not admin.sessions())
    finally:
        admin.close()
