"""infra.vmware.cloneVirtualMachine, reconfigureVirtualMachine, migrateVirtualMachine and
deleteVirtualMachine."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from flotilla import Conflict, Context, InvalidArgument, Tool, destroys, writes
from vmware.foresee import preview_of
from vmware.link import Links
from vmware.machines import KIND, VmId, VmName, found
from vmware.names import MoId, VCenterName, decoded, encoded
from vmware.tasks import Task, begun

if TYPE_CHECKING:
    from vmware.reading import Vc

HostId = Annotated[MoId | None, Field(description="`hostId` from listHosts.")]
ClusterId = Annotated[MoId | None, Field(description="`clusterId` from listClusters.")]
DatastoreId = Annotated[MoId | None, Field(description="`datastoreId` from listDatastores.")]

STATE_PATHS = (
    "name",
    "runtime.powerState",
    "config.changeVersion",
    "config.hardware.numCPU",
    "config.hardware.memoryMB",
    "config.cpuHotAddEnabled",
    "config.memoryHotAddEnabled",
)


class Changes:
    """The tools of this file."""

    def __init__(self, links: Links) -> None:
        self._links = links

    def tools(self) -> tuple[Tool, ...]:
        return (
            writes(
                "infra.vmware.cloneVirtualMachine",
                self.clone_virtual_machine,
                title="Clone a machine",
                approval=True,
                preview=preview_of(
                    "cloneVirtualMachine",
                    *("newName", "hostId", "clusterId", "datastoreId", "folderId"),
                    *("powerOn", "template"),
                ),
                cost="the disks of the new machine, and its CPUs and memory while it runs",
            ),
            writes(
                "infra.vmware.reconfigureVirtualMachine",
                self.reconfigure_virtual_machine,
                title="Change a machine",
                approval=True,
                preview=preview_of("reconfigureVirtualMachine", "cpuCount", "memoryMb", "notes"),
            ),
            writes(
                "infra.vmware.migrateVirtualMachine",
                self.migrate_virtual_machine,
                title="Move a machine",
                approval=True,
                preview=preview_of("migrateVirtualMachine", "hostId", "datastoreId"),
            ),
            destroys(
                "infra.vmware.deleteVirtualMachine",
                self.delete_virtual_machine,
                title="Delete a machine",
                preview=preview_of("deleteVirtualMachine"),
                risk="the machine, its disks and its snapshots are gone for good",
            ),
        )

    async def clone_virtual_machine(
        self,
        context: Context,
        new_name: Annotated[str, Field(min_length=1, max_length=80)],
        vcenter: VCenterName = None,
        vm_id: VmId = None,
        name: VmName = None,
        host_id: HostId = None,
        cluster_id: ClusterId = None,
        datastore_id: DatastoreId = None,
        folder_id: Annotated[
            MoId | None, Field(description="A folder of machines; by default that of the source.")
        ] = None,
        power_on: bool = False,
        template: Annotated[bool, Field(description="Make a template of the clone.")] = False,
    ) -> Task:
        """Make a full copy of a virtual machine or template; returns a task with its resultId.

        By default beside its source. A template needs hostId or clusterId to run on. The clone
        keeps the guest's host name and addresses: change them before both run on one network.
        """
        if template and power_on:
            raise InvalidArgument("a template cannot be powered on", hint="Leave one of them out.")

        def start(vc: "Vc") -> Any:
            mo_id = found(vc, vm_id, name)
            values = vc.leaves(KIND, mo_id, ("name", "parent", "config.template"))
            if values.get("config.template") and not (template or host_id or cluster_id):
                raise InvalidArgument(
                    "a template runs nowhere: say where its clone is to run",
                    hint="Pass hostId (listHosts) or clusterId (listClusters).",
                )
            folder = _folder(vc, folder_id, values)
            spec = vc.vim.vm.CloneSpec(
                location=placed(vc, host_id, cluster_id, datastore_id),
                powerOn=power_on,
                template=template,
            )
            vc.changing()
            return vc.ref(KIND, mo_id).CloneVM_Task(
                folder=folder, name=encoded(new_name), spec=spec
            )

        return await begun(self._links.to(vcenter), context.deadline, start)

    async def reconfigure_virtual_machine(
        self,
        context: Context,
        vcenter: VCenterName = None,
        vm_id: VmId = None,
        name: VmName = None,
        cpu_count: Annotated[int | None, Field(ge=1, le=768)] = None,
        memory_mb: Annotated[int | None, Field(ge=4, le=24 * 1024**2, multiple_of=4)] = None,
        notes: Annotated[str | None, Field(min_length=1, max_length=4000)] = None,
        expected_change_version: Annotated[
            str | None,
            Field(max_length=100, description="`changeVersion` that you read; refused if moved."),
        ] = None,
    ) -> Task:
        """Change a machine's number of CPUs, memory or notes; returns a task for getTask.

        A running machine takes more of them only where cpuHotAdd or memoryHotAdd is on, and never
        less: power it off first. Answers conflict when expectedChangeVersion is not the present.
        """
        if cpu_count is None and memory_mb is None and notes is None:
            raise InvalidArgument(
                "nothing to change", hint="Give cpuCount, memoryMb or notes, or several."
            )

        def start(vc: "Vc") -> Any:
            mo_id = found(vc, vm_id, name)
            values = vc.leaves(KIND, mo_id, STATE_PATHS)
            refuse_stale(values.get("config.changeVersion"), expected_change_version)
            refuse_hot(values, cpu_count, memory_mb)
            spec = vc.vim.vm.ConfigSpec(
                changeVersion=expected_change_version,
                numCPUs=cpu_count,
                memoryMB=memory_mb,
                annotation=notes,
            )
            vc.changing()
            return vc.ref(KIND, mo_id).ReconfigVM_Task(spec=spec)

        return await begun(self._links.to(vcenter), context.deadline, start)

    async def migrate_virtual_machine(
        self,
        context: Context,
        vcenter: VCenterName = None,
        vm_id: VmId = None,
        name: VmName = None,
        host_id: HostId = None,
        datastore_id: DatastoreId = None,
    ) -> Task:
        """Move a virtual machine to another host, another datastore, or both, while it runs.

        Returns a task for getTask; moving disks takes long. vCenter refuses what does not fit.
        """
        if host_id is None and datastore_id is None:
            raise InvalidArgument("nowhere to move to", hint="Give hostId, datastoreId or both.")

        def start(vc: "Vc") -> Any:
            mo_id = found(vc, vm_id, name)
            spec = placed(vc, host_id, None, datastore_id)
            vc.changing()
            return vc.ref(KIND, mo_id).RelocateVM_Task(spec=spec)

        return await begun(self._links.to(vcenter), context.deadline, start)

    async def delete_virtual_machine(
        self,
        context: Context,
        vm_id: Annotated[MoId, Field(description="The machine's ID (moId).")],
        name: Annotated[str, Field(min_length=1, max_length=240, description="Its exact name.")],
        vcenter: VCenterName = None,
    ) -> Task:
        """Delete a virtual machine with its disks and snapshots, for good; returns a task.

        It must be powered off, and `vmId` and `name` must both be its own: conflict otherwise.
        """

        def start(vc: "Vc") -> Any:
            values = vc.leaves(KIND, vm_id, ("name", "runtime.powerState"))
            refuse_deletion(vm_id, name, values)
            vc.changing()
            return vc.ref(KIND, vm_id).Destroy_Task()

        return await begun(self._links.to(vcenter), context.deadline, start)


def placed(vc: "Vc", host_id: str | None, cluster_id: str | None, datastore_id: str | None) -> Any:
    """Where a machine is to be: a host or a cluster, with the resource pool it needs."""
    if host_id is not None and cluster_id is not None:
        raise InvalidArgument("give hostId or clusterId, not both")
    spec = vc.vim.vm.RelocateSpec()
    if datastore_id is not None:
        vc.leaves("Datastore", datastore_id, ("name",))
        spec.datastore = vc.ref("Datastore", datastore_id)
    if host_id is not None:
        parent = vc.leaves("HostSystem", host_id, ("name", "parent"))["parent"]
        spec.host = vc.ref("HostSystem", host_id)
        spec.pool = vc.leaves(parent._wsdlName, parent._moId, ("resourcePool",))["resourcePool"]
    if cluster_id is not None:
        values = vc.leaves("ClusterComputeResource", cluster_id, ("resourcePool",))
        spec.pool = values["resourcePool"]
    return spec


def _folder(vc: "Vc", folder_id: str | None, values: dict[str, Any]) -> Any:
    if folder_id is not None:
        vc.leaves("Folder", folder_id, ("name",))
        return vc.ref("Folder", folder_id)
    parent = values.get("parent")
    if parent is None or parent._wsdlName != "Folder":
        # In a vApp a machine has no folder of its own.
        raise InvalidArgument("say where the clone is to stand", hint="Pass folderId.")
    return parent


def refuse_stale(current: str | None, expected: str | None) -> None:
    """Raise Conflict when the machine was changed since the caller looked."""
    if expected is not None and current is not None and current != expected:
        raise Conflict(
            f"the machine is at change version {current}, not {expected}",
            hint="Read it again with getVirtualMachine and decide anew.",
            details={"currentChangeVersion": current},
        )


def refuse_hot(values: dict[str, Any], cpu_count: int | None, memory_mb: int | None) -> None:
    """Raise Conflict for a change that a running machine cannot take, with the reason."""
    if str(values.get("runtime.powerState")) == "poweredOff":
        return
    wanted = (
        ("CPUs", cpu_count, "config.hardware.numCPU", "config.cpuHotAddEnabled", "cpuHotAdd"),
        (
            "memory",
            memory_mb,
            "config.hardware.memoryMB",
            "config.memoryHotAddEnabled",
            "memoryHotAdd",
        ),
    )
    for what, value, path, allowed, switch in wanted:
        now = values.get(path)
        if value is None or now is None or value == now:
            continue
        if value < now:
            why = f"a running machine cannot give up {what}"
        elif not values.get(allowed):
            why = f"the machine runs, and {switch} is off"
        else:
            continue
        raise Conflict(why, hint="Power it off first (shutdownGuest), then change it.")


def refuse_deletion(vm_id: str, name: str, values: dict[str, Any]) -> None:
    """Raise Conflict unless the name is that of the machine, and the machine is off."""
    own = decoded(values.get("name", ""))
    if name not in (own, values.get("name")):
        raise Conflict(
            f"{vm_id} is called {own!r}, not {name!r}",
            hint="vmId and name must both be those of the machine that is to go.",
        )
    state = str(values.get("runtime.powerState"))
    if state != "poweredOff":
        raise Conflict(
            f"{own} is {state}",
            hint="Only a machine that is powered off can be deleted: shut it down first.",
        )
