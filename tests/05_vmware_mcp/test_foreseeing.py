"""What a person reads before each change of a simulated vCenter."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from tests.backends.vcsim_server import Vcsim

from .conftest import Operator, OperatorOf, password_file

pytestmark = [pytest.mark.anyio, pytest.mark.real]


@pytest.fixture
async def asking(
    operator_of: OperatorOf, lab_vcenter: Vcsim, tmp_path: Path
) -> AsyncGenerator[Operator]:
    """A client whose person is asked each time."""
    entry = lab_vcenter.entry(password_file(tmp_path))
    async with operator_of({"lab": entry}, approvals="on") as opened:
        yield opened


async def question(operator: Operator, tool: str, **arguments: Any) -> str:
    """What was asked for a call, however it ended."""
    await operator.client.call_tool(f"infra.vmware.{tool}", arguments)
    return operator.person.asked[-1]


async def vm_of(operator: Operator, name: str) -> dict[str, Any]:
    return await operator("getVirtualMachine", name=name)


async def test_every_change_names_the_machine_its_id_its_vcenter_and_its_state(
    asking: Operator,
) -> None:
    vm = await vm_of(asking, "DC0_H0_VM0")
    calls: dict[str, dict[str, Any]] = {
        "createSnapshot": {"snapshotName": "s"},
        "reconfigureVirtualMachine": {"notes": "n"},
        "cloneVirtualMachine": {"newName": "foreseen-clone"},
        "migrateVirtualMachine": {"hostId": "host-99999"},
        "powerOff": {},
        "powerOn": {},
        "reboot": {"force": True},
        "shutdownGuest": {},
        "revertSnapshot": {"snapshotId": "snapshot-99999"},
        "removeSnapshot": {"snapshotId": "snapshot-99999"},
        "deleteVirtualMachine": {"name": "another"},
    }
    for tool, more in calls.items():
        told = await question(asking, tool, vmId=vm["vmId"], **more)
        assert f"DC0_H0_VM0 ({vm['vmId']} in lab)" in told, (tool, told)
        assert "powered" in told, (tool, told)
        assert vm["host"] in told, (tool, told)
    assert len(asking.person.asked) == len(calls)


async def test_a_change_is_shown_from_what_to_what(asking: Operator) -> None:
    vm = await vm_of(asking, "DC0_C0_RP0_VM0")
    hosts = (await asking("listHosts"))["items"]
    target = next(
        each
        for each in hosts
        if each["hostId"] != vm["hostId"] and each["name"].startswith("DC0_C0")
    )
    told = await question(asking, "migrateVirtualMachine", vmId=vm["vmId"], hostId=target["hostId"])
    assert vm["host"] in told
    assert f"{target['name']} ({target['hostId']})" in told
    told = await question(asking, "reconfigureVirtualMachine", vmId=vm["vmId"], cpuCount=8)
    assert "cpuCount" in told
    assert "8" in told
    assert "it runs, and CPUs cannot be added to it now" in told


async def test_what_is_lost_is_said_first(asking: Operator) -> None:
    vm = await vm_of(asking, "DC0_C0_RP0_VM1")
    made = [
        (await asking.done("createSnapshot", vmId=vm["vmId"], snapshotName=name))["resultId"]
        for name in ("first", "second")
    ]
    assert "it has 1 snapshots already" in asking.person.asked[-1]
    told = await question(asking, "revertSnapshot", vmId=vm["vmId"], snapshotId=made[0])
    assert "everything since the snapshot 'first'" in told
    told = await question(
        asking, "removeSnapshot", vmId=vm["vmId"], snapshotId=made[0], withChildren=True
    )
    assert f"first ({made[0]})" in told
    assert f"second ({made[1]})" in told


async def test_a_call_that_will_be_refused_is_told_so(asking: Operator) -> None:
    vm = await vm_of(asking, "DC0_H0_VM1")
    told = await question(asking, "deleteVirtualMachine", vmId=vm["vmId"], name="DC0_H0_VM0")
    assert "it is poweredOn: the call will be refused" in told
    assert "not 'DC0_H0_VM0': the call will be refused" in told
    told = await question(asking, "revertSnapshot", vmId=vm["vmId"], snapshotId="snapshot-99999")
    assert "it has no snapshot snapshot-99999: the call will be refused" in told
