"""How a call that waits for a person is foreseen: read from the vCenter at that moment."""

from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from flotilla import Deadline, cut
from flotilla.operations import Operation
from flotilla.preview import Change, Foreseen
from vmware.foresee import LIMIT_S, Call, operation
from vmware.link import Links
from vmware.machines import KIND, found, names_of, path_of
from vmware.names import decoded
from vmware.snapshots import PATHS as SNAPSHOT_PATHS
from vmware.snapshots import Snapshot, descendants, snapshots_of

if TYPE_CHECKING:
    from vmware.reading import Vc

PATHS = (
    "name",
    "runtime.powerState",
    "runtime.host",
    "config.hardware.numCPU",
    "config.hardware.memoryMB",
    "config.annotation",
    "config.template",
    "config.cpuHotAddEnabled",
    "config.memoryHotAddEnabled",
    "guest.toolsRunningStatus",
    "guest.ipAddress",
    "datastore",
    *SNAPSHOT_PATHS,
)
_SENTENCES = {
    "powerOn": "Power on the virtual machine {name}",
    "powerOff": "Power off the virtual machine {name} at once, without asking its guest",
    "shutdownGuest": "Shut down the guest of the virtual machine {name}",
    "reboot": "Reboot the guest of the virtual machine {name}",
    "createSnapshot": "Take a snapshot of the virtual machine {name}",
    "revertSnapshot": "Set the virtual machine {name} back to a snapshot",
    "removeSnapshot": "Remove a snapshot of the virtual machine {name}",
    "cloneVirtualMachine": "Clone the virtual machine {name}",
    "reconfigureVirtualMachine": "Change the virtual machine {name}",
    "migrateVirtualMachine": "Move the virtual machine {name}",
    "deleteVirtualMachine": "Delete the virtual machine {name} with its disks",
}
NOTES_BYTES = 500


class Foreseer:
    """Answers the operation of `vmware.foresee`."""

    def __init__(self, links: Links) -> None:
        self._links = links

    def operation(self) -> Operation:
        return operation(self.foresee)

    async def foresee(self, call: Call) -> Foreseen:
        link = self._links.to(call.vcenter)
        return await link.use(Deadline.after(LIMIT_S), lambda vc: _foreseen(vc, call))


def _foreseen(vc: "Vc", call: Call) -> Foreseen:
    # A deletion names the machine twice; the ID decides which one it is.
    mo_id = call.vm_id if call.vm_id is not None else found(vc, None, call.name)
    values = vc.leaves(KIND, mo_id, PATHS)
    name = decoded(values.get("name", ""))
    snapshots = snapshots_of(vc.alias, mo_id, values)
    host = values.get("runtime.host")
    named = names_of(vc, [each for each in (host, *(values.get("datastore") or ())) if each])
    sentence = _SENTENCES.get(call.action, f"{call.action} on the virtual machine {{name}}")
    if call.action == "reboot" and call.force:
        sentence = "Reset the virtual machine {name}, without asking its guest"
    return Foreseen(
        action=sentence.format(name=name),
        target=f"{name} ({mo_id} in {vc.alias})",
        state={
            "powerState": str(values.get("runtime.powerState", "unknown")),
            "host": None if host is None else named.get(host._moId, host._moId),
            "folder": path_of(vc, KIND, mo_id),
            "ipAddress": values.get("guest.ipAddress"),
            "tools": values.get("guest.toolsRunningStatus"),
            "snapshotCount": len(snapshots),
        },
        changes=_changes(vc, call, values, named, snapshots),
        warnings=_warnings(call, name, values, snapshots),
    )


def _changes(
    vc: "Vc",
    call: Call,
    values: dict[str, Any],
    named: dict[str, str],
    snapshots: list[Snapshot],
) -> list[Change]:
    changes: list[Change] = []

    def add(field: str, before: JsonValue, after: JsonValue) -> None:
        if before != after:
            changes.append(Change(field=field, before=before, after=after))

    if call.cpu_count is not None:
        add("cpuCount", values.get("config.hardware.numCPU"), call.cpu_count)
    if call.memory_mb is not None:
        add("memoryMb", values.get("config.hardware.memoryMB"), call.memory_mb)
    if call.notes is not None:
        before = str(values.get("config.annotation") or "")
        add("notes", cut(before, NOTES_BYTES)[0], cut(call.notes, NOTES_BYTES)[0])
    if call.new_name is not None:
        add("newMachine", None, call.new_name)
    if call.snapshot_name is not None:
        add("newSnapshot", None, call.snapshot_name)
    if call.action == "migrateVirtualMachine":
        host = values.get("runtime.host")
        before = None if host is None else named.get(host._moId)
        if call.host_id is not None:
            add("host", before, _name(vc, "HostSystem", call.host_id))
        if call.datastore_id is not None:
            held: list[JsonValue] = [
                named.get(each._moId) for each in values.get("datastore") or ()
            ]
            add("datastores", held, [_name(vc, "Datastore", call.datastore_id)])
    if call.action == "cloneVirtualMachine":
        for field, kind, mo_id in (
            ("host", "HostSystem", call.host_id),
            ("cluster", "ClusterComputeResource", call.cluster_id),
            ("datastore", "Datastore", call.datastore_id),
            ("folder", "Folder", call.folder_id),
        ):
            if mo_id is not None:
                add(field, None, _name(vc, kind, mo_id))
    if call.action in ("powerOn", "powerOff", "shutdownGuest"):
        state = str(values.get("runtime.powerState", "unknown"))
        add("powerState", state, "poweredOn" if call.action == "powerOn" else "poweredOff")
    for snapshot in _lost(call, snapshots):
        add("snapshot", f"{snapshot.name} ({snapshot.snapshot_id})", None)
    return changes


def _lost(call: Call, snapshots: list[Snapshot]) -> list[Snapshot]:
    """The snapshots that would be gone afterwards."""
    if call.action == "deleteVirtualMachine":
        return snapshots
    if call.action != "removeSnapshot" or call.snapshot_id is None:
        return []
    below = descendants(snapshots, call.snapshot_id) if call.with_children else []
    return [each for each in snapshots if each.snapshot_id == call.snapshot_id] + below


def _warnings(
    call: Call, name: str, values: dict[str, Any], snapshots: list[Snapshot]
) -> list[str]:
    warnings: list[str] = []
    state = str(values.get("runtime.powerState", "unknown"))
    tools = values.get("guest.toolsRunningStatus")
    if call.action == "deleteVirtualMachine":
        if state != "poweredOff":
            warnings.append(f"it is {state}: the call will be refused")
        if call.name is not None and call.name != name:
            warnings.append(f"it is called {name!r}, not {call.name!r}: the call will be refused")
        if snapshots:
            warnings.append(f"it has {len(snapshots)} snapshots that go with it")
    asks_guest = call.action == "shutdownGuest" or (call.action == "reboot" and not call.force)
    if asks_guest and tools not in (None, "guestToolsRunning"):
        warnings.append("VMware Tools do not run in it: the guest cannot be asked")
    if call.snapshot_id is not None:
        chosen = next((each for each in snapshots if each.snapshot_id == call.snapshot_id), None)
        if chosen is None:
            warnings.append(f"it has no snapshot {call.snapshot_id}: the call will be refused")
        elif call.action == "revertSnapshot":
            taken = (
                "" if chosen.created_at is None else f" of {chosen.created_at:%Y-%m-%d %H:%M} UTC"
            )
            warnings.append(
                f"everything since the snapshot {chosen.name!r}{taken} is lost: disks go back to it"
            )
        elif call.action == "removeSnapshot" and chosen.child_count and not call.with_children:
            warnings.append(
                f"its {chosen.child_count} children stay; its changes are merged into them"
            )
    if call.action == "createSnapshot" and snapshots:
        warnings.append(f"it has {len(snapshots)} snapshots already; each slows it down")
    if call.action == "cloneVirtualMachine" and call.power_on:
        warnings.append("the clone starts with the host name and addresses of its source")
    if call.action == "reconfigureVirtualMachine" and state != "poweredOff":
        hot = {
            "CPUs": call.cpu_count is None or bool(values.get("config.cpuHotAddEnabled")),
            "memory": call.memory_mb is None or bool(values.get("config.memoryHotAddEnabled")),
        }
        warnings += [
            f"it runs, and {what} cannot be added to it now" for what, can in hot.items() if not can
        ]
    return warnings


def _name(vc: "Vc", kind: str, mo_id: str) -> str:
    read = vc.these(kind, [(kind, mo_id)], ("name",))
    return f"{decoded(read[0].values['name'])} ({mo_id})" if read else f"{mo_id} (not found)"
