"""What is decided without a vCenter: names, faults, guards, trees, pages, the file."""

import inspect
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from pydantic.alias_generators import to_snake

from flotilla import (
    CommonSettings,
    Conflict,
    FlotillaError,
    InvalidArgument,
    Misconfigured,
    Model,
    NotAllowed,
    NotConfigured,
    NotFound,
    TooLarge,
    UpstreamError,
)
from vmware import build, changes, discovery, foreseen, inventory, machines, tasks
from vmware.changes import refuse_deletion, refuse_hot, refuse_stale
from vmware.discovery import unique_names
from vmware.faults import fault_error, task_failed
from vmware.foresee import OPERATION, Call
from vmware.listing import Orders, after, fitting
from vmware.names import decoded, encoded
from vmware.performance import counter_row
from vmware.reading import Read
from vmware.settings import Settings
from vmware.snapshots import descendants, snapshots_of
from vmware.vcenters import load
from vmware.vsphere import VERSION, support, type_of


@pytest.mark.parametrize(
    ("written", "kept"),
    [("web-1", "web-1"), ("50% a/b", "50%25 a%2fb"), ("c:\\vm", "c:%5cvm"), ("Größe", "Größe")],
)
def test_names_are_written_as_vcenter_keeps_them_and_read_as_people_wrote_them(
    written: str, kept: str
) -> None:
    assert encoded(written) == kept
    assert decoded(kept) == written


def test_only_the_three_escapes_of_vcenter_are_read() -> None:
    assert decoded("a%41%2Fb%25") == "a%41/b%"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("InvalidPowerState", Conflict),
        ("TaskInProgress", Conflict),
        ("ConcurrentAccess", Conflict),
        ("DuplicateName", Conflict),
        ("NoPermission", NotAllowed),
        ("InvalidLogin", NotConfigured),
        ("ManagedObjectNotFound", NotFound),
        ("NoDiskSpace", TooLarge),
        ("InvalidArgument", InvalidArgument),
        ("SomethingOfVersion12", UpstreamError),
    ],
)
def test_a_fault_is_an_error_of_ours_that_keeps_its_name(
    fault: str, kind: type[FlotillaError]
) -> None:
    error = fault_error(fault, "words of vCenter", {"privilegeId": "VM.X", "secret": "no"})
    assert type(error) is kind
    assert error.details == {"upstreamCode": fault, "privilegeId": "VM.X"}
    assert "words of vCenter" in error.message


def test_a_failed_task_says_why_in_our_code_and_in_vcenters() -> None:
    told = task_failed("NoDiskSpace", "the disk is full")
    assert (told["code"], told["fault"]) == ("too_large", "NoDiskSpace")
    assert "listDatastores" in told["hint"]


RUNNING = {
    "runtime.powerState": "poweredOn",
    "config.hardware.numCPU": 2,
    "config.hardware.memoryMB": 2048,
    "config.cpuHotAddEnabled": True,
    "config.memoryHotAddEnabled": False,
}


@pytest.mark.parametrize(
    ("cpu_count", "memory_mb", "part"),
    [
        (4, None, None),
        (1, None, "cannot give up CPUs"),
        (None, 4096, "memoryHotAdd is off"),
        (None, 2048, None),
        (2, 2048, None),
    ],
)
def test_a_running_machine_takes_no_more_than_it_can(
    cpu_count: int | None, memory_mb: int | None, part: str | None
) -> None:
    if part is None:
        refuse_hot(RUNNING, cpu_count, memory_mb)
    else:
        with pytest.raises(Conflict, match=part):
            refuse_hot(RUNNING, cpu_count, memory_mb)
    refuse_hot({**RUNNING, "runtime.powerState": "poweredOff"}, cpu_count, memory_mb)


def test_a_stale_change_is_refused_and_none_asked_for_is_not() -> None:
    refuse_stale("v2", None)
    refuse_stale("v2", "v2")
    with pytest.raises(Conflict) as told:
        refuse_stale("v2", "v1")
    assert told.value.details == {"currentChangeVersion": "v2"}


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("web-2", "poweredOff"),
        ("web-1", "poweredOn"),
        ("web-1", "suspended"),
        ("WEB-1", "poweredOff"),
    ],
)
def test_a_deletion_is_refused_unless_name_and_state_are_right(name: str, state: str) -> None:
    with pytest.raises(Conflict):
        refuse_deletion("vm-1", name, {"name": "web-1", "runtime.powerState": state})


def test_a_deletion_is_let_through_by_the_name_as_written_or_as_kept() -> None:
    values = {"name": "50%25", "runtime.powerState": "poweredOff"}
    refuse_deletion("vm-1", "50%", values)
    refuse_deletion("vm-1", "50%25", values)


def tree(name: str, *children: Any) -> Any:
    return SimpleNamespace(
        snapshot=SimpleNamespace(_moId=f"snapshot-{name}"),
        name=name,
        description="",
        createTime=datetime(2026, 1, 1, tzinfo=UTC),
        state="poweredOff",
        quiesced=False,
        childSnapshotList=list(children),
    )


def test_a_tree_of_snapshots_is_told_parents_first_with_what_hangs_below() -> None:
    values = {
        "snapshot.rootSnapshotList": [tree("a", tree("b", tree("c")), tree("d")), tree("e")],
        "snapshot.currentSnapshot": SimpleNamespace(_moId="snapshot-c"),
        "layoutEx.snapshot": [
            SimpleNamespace(key=SimpleNamespace(_moId="snapshot-b"), dataKey=1, memoryKey=2)
        ],
        "layoutEx.file": [
            SimpleNamespace(key=1, size=1024**2),
            SimpleNamespace(key=2, size=512 * 1024**2),
        ],
    }
    told = snapshots_of("main", "vm-1", values)
    assert [(each.name, each.depth) for each in told] == [
        ("a", 0),
        ("b", 1),
        ("c", 2),
        ("d", 1),
        ("e", 0),
    ]
    assert [each.name for each in told if each.current] == ["c"]
    assert {each.name: each.size_mb for each in told}["b"] == 513.0
    assert [each.name for each in descendants(told, "snapshot-a")] == ["b", "c", "d"]
    assert [each.name for each in descendants(told, "snapshot-b")] == ["c"]
    assert snapshots_of("main", "vm-1", {}) == []


def test_percentages_are_made_of_hundredths_and_other_units_stay() -> None:
    row = counter_row("cpu.usage.average", "percent", [150, 250, 1000])
    assert (row.minimum, row.average, row.maximum, row.latest) == (1.5, 4.67, 10.0, 10.0)
    assert counter_row("mem.active.average", "kiloBytes", [2048]).latest == 2048


class Counted:
    """A vCenter of which only the order is asked."""

    def __init__(self) -> None:
        self.refs = [("VirtualMachine", f"vm-{number}") for number in (10, 9, 100, 2)]
        self.asked = 0

    def order(self, _kind: str) -> list[tuple[str, str]]:
        self.asked += 1
        return list(self.refs)


def test_an_order_counts_up_is_kept_for_a_minute_and_forgotten_after_a_change() -> None:
    at = [0.0]
    orders, vcenter = Orders(lambda: at[0]), Counted()
    order = orders.order(vcenter, "VirtualMachine")  # type: ignore[arg-type]
    assert [mo_id for _, mo_id in order] == ["vm-2", "vm-9", "vm-10", "vm-100"]
    assert after(order, "vm-9") == 2
    assert after(order, "vm-50") == 3  # that has gone meanwhile
    assert after(order, "") == 0
    orders.order(vcenter, "VirtualMachine")  # type: ignore[arg-type]
    assert vcenter.asked == 1
    at[0] = 61
    orders.order(vcenter, "VirtualMachine")  # type: ignore[arg-type]
    assert vcenter.asked == 2
    orders.forget()
    orders.order(vcenter, "VirtualMachine")  # type: ignore[arg-type]
    assert vcenter.asked == 3


def test_what_lists_have_begun_does_not_grow_without_end() -> None:
    orders = Orders()
    first = orders.begin(["vm-1"])
    assert orders.begun(first) == {"vm-1"}
    for _ in range(600):
        orders.begin(["vm-2"])
    assert orders.begun(first) == frozenset()


class Line(Model):
    text: str


def test_a_page_holds_what_fits_and_one_at_least() -> None:
    lines = [Line(text="x" * 90) for _ in range(10)]
    assert fitting(lines, 1_000_000) == 10
    assert fitting(lines, 350) == 3
    assert fitting(lines, 10) == 1
    assert fitting([]) == 0


def test_two_of_one_name_are_told_apart_by_their_ids() -> None:
    reads = [
        Read(("VirtualMachine", mo_id), {"name": name})
        for mo_id, name in (("vm-1", "web"), ("vm-2", "web"), ("vm-3", "a%2fb"))
    ]
    assert unique_names("main", reads) == {
        "vm-1": "main/web (vm-1)",
        "vm-2": "main/web (vm-2)",
        "vm-3": "main/a/b",
    }


READING = """
    listVirtualMachines getVirtualMachine listHosts getHost listDatastores listNetworks listClusters
    listSnapshots listEvents listTasks getTask getPerformance
"""
WRITING = """
    powerOn shutdownGuest powerOff reboot createSnapshot cloneVirtualMachine
    reconfigureVirtualMachine migrateVirtualMachine
"""
DESTROYING = "revertSnapshot removeSnapshot deleteVirtualMachine"


def test_the_tools_are_those_of_the_catalogue_and_every_change_is_foreseen(tmp_path: Path) -> None:
    spoke = build(Settings(config=tmp_path / "none.yaml"), CommonSettings(data_dir=tmp_path))
    assert spoke.not_configured is not None
    kinds = {
        tool.name.removeprefix("infra.vmware."): (tool.read_only, tool.destructive)
        for tool in spoke.tools
    }
    assert kinds == {
        **dict.fromkeys(READING.split(), (True, False)),
        **dict.fromkeys(WRITING.split(), (False, False)),
        **dict.fromkeys(DESTROYING.split(), (False, True)),
    }
    for tool in spoke.tools:
        assert tool.approval == (not tool.read_only)
        if tool.preview is None:
            assert tool.read_only
            continue
        assert tool.preview.operation == OPERATION
        # What a person is shown is asked by names that the tool and the operation have.
        given = set(inspect.signature(tool.run).parameters)
        assert {to_snake(name) for name in tool.preview.taken.values()} <= given
        assert {to_snake(name) for name in tool.preview.taken} <= set(Call.model_fields)


def test_pyvmomi_is_loaded_at_the_first_call_and_not_at_the_start() -> None:
    asked = "import sys, vmware; print('pyVmomi' in sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", asked],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert told.stdout.strip() == "False"


PATHS = [
    *(("VirtualMachine", path) for path in machines.DETAIL_PATHS),
    *(("VirtualMachine", path) for path in (*changes.STATE_PATHS, *foreseen.PATHS)),
    *(("HostSystem", path) for path in inventory.HOST_DETAIL_PATHS),
    *(("ClusterComputeResource", path) for path in inventory.CLUSTER_PATHS),
    *(("Datastore", path) for path in inventory.DATASTORE_PATHS),
    *(("Network", path) for path in inventory.NETWORK_PATHS),
    *(("Task", path) for path in tasks.PATHS),
    *((source.kind, path) for source in discovery.SOURCES for path in source.paths),
    ("TaskManager", "recentTask"),
    ("PerformanceManager", "perfCounter"),
    ("EventHistoryCollector", "latestPage"),
    ("SessionManager", "currentSession.key"),
    ("ComputeResource", "resourcePool"),
    ("ContainerView", "view"),
]


@pytest.mark.parametrize(("kind", "path"), sorted(set(PATHS)))
def test_every_path_that_is_asked_for_is_one_of_the_version_that_is_spoken(
    kind: str, path: str
) -> None:
    """A vCenter refuses the whole of a request for one path that it does not know."""
    at: Any = type_of(kind)
    for name in path.split("."):
        info = at._GetPropertyInfo(name)
        assert support.IsChildVersion(VERSION, info.version), f"{name} needs {info.version}"
        at = info.type


ENTRY = {"host": "vc.internal", "user": "u", "password": "secret:vc"}


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"password": "hunter2"}, "password"),
        ({"verify": False}, "loopback"),
        ({"thumbprint": "12:34"}, "SHA-256"),
        ({"thumbprint": "ab" * 32, "ca_file": "/ca.pem"}, "not both"),
        ({"host": "https://vc"}, "host"),
        ({"insecure": True}, "insecure"),
        ({"port": 0}, "port"),
    ],
)
def test_a_wrong_entry_is_named_and_its_values_are_not(
    change: dict[str, Any], part: str, tmp_path: Path
) -> None:
    file = tmp_path / "vmware.yaml"
    file.write_text(yaml.safe_dump({"vcenters": {"main": {**ENTRY, **change}}}))
    with pytest.raises(Misconfigured, match=part) as told:
        load(file)
    assert "vcenters.main" in str(told.value)
    assert "hunter2" not in str(told.value)


def test_no_verifying_is_for_loopback_and_several_vcenters_need_their_secrets(
    tmp_path: Path,
) -> None:
    file = tmp_path / "vmware.yaml"
    lab = {**ENTRY, "host": "127.0.0.1", "verify": False, "password": "/run/secrets/lab"}
    file.write_text(yaml.safe_dump({"vcenters": {"main": ENTRY, "lab": lab}}))
    vcenters = load(file)
    assert vcenters.needs() == ("vc",)
    assert not vcenters.chosen("lab")[1].verify
    with pytest.raises(InvalidArgument, match="which vcenter"):
        vcenters.chosen(None)
    assert len(load(tmp_path / "none.yaml")) == 0
