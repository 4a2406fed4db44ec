"""infra.vmware.listVirtualMachines and getVirtualMachine, and how a call names a machine."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from flotilla import (
    Context,
    Cursor,
    InvalidArgument,
    Limit,
    Model,
    NotFound,
    Page,
    Tool,
    cut,
    reads,
)
from flotilla.paging import DEFAULT_LIMIT
from vmware.link import Links
from vmware.listing import Listing, page
from vmware.names import MoId, VCenterName, decoded, encoded

if TYPE_CHECKING:
    from vmware.reading import Read, Vc

KIND = "VirtualMachine"
MAX_CANDIDATES = 20
NOTES_BYTES = 4096

PowerState = Literal["poweredOn", "poweredOff", "suspended"]
VmId = Annotated[
    MoId | None,
    Field(description="The machine's ID at its vCenter (moId), such as vm-1042."),
]
VmName = Annotated[
    str | None,
    Field(min_length=1, max_length=240, description="Its exact name, instead of vmId."),
]


class Machine(Model):
    """A virtual machine in a list."""

    vcenter: str
    vm_id: str
    name: str
    power_state: str
    cpu_count: int | None
    memory_mb: int | None
    guest_os: str | None
    ip_address: str | None
    host_id: str | None
    template: bool


class Disk(Model):
    label: str
    capacity_gb: float
    file: str | None
    thin: bool | None


class Adapter(Model):
    label: str
    network: str | None
    mac_address: str | None
    connected: bool | None


class MachineDetails(Machine):
    """A virtual machine with what it has, where it runs and what its guest says.

    `changeVersion` goes into reconfigureVirtualMachine as `expectedChangeVersion`.
    """

    folder: str
    host: str | None
    guest_host_name: str | None
    tools: str | None
    uuid: str | None
    instance_uuid: str | None
    cores_per_socket: int | None
    cpu_hot_add: bool
    memory_hot_add: bool
    boot_time: datetime | None
    notes: str
    notes_truncated: bool
    disks: list[Disk]
    adapters: list[Adapter]
    networks: list[str]
    datastores: list[str]
    snapshot_count: int
    change_version: str | None


ROW_PATHS = (
    "name",
    "runtime.powerState",
    "runtime.host",
    "config.hardware.numCPU",
    "config.hardware.memoryMB",
    "config.template",
    "summary.config.guestFullName",
    "guest.ipAddress",
)
DETAIL_PATHS = (
    *ROW_PATHS,
    "parent",
    "guest.hostName",
    "guest.toolsRunningStatus",
    "config.uuid",
    "config.instanceUuid",
    "config.hardware.numCoresPerSocket",
    "config.cpuHotAddEnabled",
    "config.memoryHotAddEnabled",
    "config.annotation",
    "config.changeVersion",
    "config.hardware.device",
    "runtime.bootTime",
    "network",
    "datastore",
    "snapshot.rootSnapshotList",
)


class Machines:
    """The tools of this file."""

    def __init__(self, links: Links) -> None:
        self._links = links

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads(
                "infra.vmware.listVirtualMachines",
                self.list_virtual_machines,
                title="List virtual machines",
                untrusted=True,
            ),
            reads(
                "infra.vmware.getVirtualMachine",
                self.get_virtual_machine,
                title="Show a virtual machine",
                untrusted=True,
            ),
        )

    async def list_virtual_machines(
        self,
        context: Context,
        vcenter: VCenterName = None,
        name_contains: Annotated[
            str | None,
            Field(min_length=1, max_length=240, description="Part of the name, in any case."),
        ] = None,
        power_state: PowerState | None = None,
        template: bool | None = None,
        host_id: Annotated[
            MoId | None, Field(description="Only those on this host (listHosts).")
        ] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[Machine]:
        """List the virtual machines and templates of a vCenter: state, size, address and host.

        `name`, `ipAddress` and the like come from the guests. Filters are applied before paging.
        getVirtualMachine shows one in full.
        """
        wanted = {
            "runtime.powerState": power_state,
            "config.template": template,
            "runtime.host": host_id,
        }
        exact = {path: value for path, value in wanted.items() if value is not None}
        part = None if name_contains is None else name_contains.casefold()

        def keep(read: "Read") -> bool:
            held = all(_plain(read.values.get(path)) == value for path, value in exact.items())
            return held and (
                part is None or part in decoded(read.values.get("name", "")).casefold()
            )

        link = self._links.to(vcenter)
        listing = Listing(
            name=f"machines|{part}|{exact}",
            kind=KIND,
            paths=ROW_PATHS,
            shape=lambda read: Machine(**row(link.alias, read.mo_id, read.values)),
            keep=keep if exact or part is not None else None,
            keep_paths=(*exact, *(("name",) if part is not None else ())),
        )
        return await link.use(
            context.deadline, lambda vc: page(vc, link.orders, listing, limit, cursor)
        )

    async def get_virtual_machine(
        self,
        context: Context,
        vcenter: VCenterName = None,
        vm_id: VmId = None,
        name: VmName = None,
    ) -> MachineDetails:
        """Show a virtual machine, by vmId or by its exact name: hardware, guest, place, disks.

        Its advanced settings (extraConfig, guestinfo) are never shown: they often hold secrets.
        """
        link = self._links.to(vcenter)

        def work(vc: "Vc") -> MachineDetails:
            return details(vc, found(vc, vm_id, name))

        return await link.use(context.deadline, work)


def row(alias: str, mo_id: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a Machine, from its leaf paths."""
    return {
        "vcenter": alias,
        "vm_id": mo_id,
        "name": decoded(values.get("name", "")),
        "power_state": str(values.get("runtime.powerState", "unknown")),
        "cpu_count": values.get("config.hardware.numCPU"),
        "memory_mb": values.get("config.hardware.memoryMB"),
        "guest_os": values.get("summary.config.guestFullName"),
        "ip_address": values.get("guest.ipAddress"),
        "host_id": _plain(values.get("runtime.host")),
        "template": bool(values.get("config.template")),
    }


def found(vc: "Vc", vm_id: str | None, name: str | None) -> str:
    """The ID of the machine that a call means; NotFound, or InvalidArgument with the candidates.

    A name costs a look at all names: some tenths of a second for ten thousand machines.
    """
    if (vm_id is None) == (name is None):
        raise InvalidArgument("give either vmId or name", hint="listVirtualMachines has both.")
    if vm_id is not None:
        return vm_id
    assert name is not None
    held = {name, encoded(name)}
    same = [read for read in vc.each(KIND, ("name",)) if read.values.get("name") in held]
    if len(same) == 1:
        return same[0].mo_id
    if not same:
        raise NotFound(
            f"no virtual machine of {vc.alias} is called {name!r}",
            hint="Find it with listVirtualMachines and nameContains.",
        )
    candidates = [
        {"vmId": read.mo_id, "folder": path_of(vc, KIND, read.mo_id)}
        for read in same[:MAX_CANDIDATES]
    ]
    raise InvalidArgument(
        f"{len(same)} virtual machines of {vc.alias} are called {name!r}",
        hint="Pass the vmId of the one that is meant.",
        details={"candidates": candidates},
    )


def details(vc: "Vc", mo_id: str) -> MachineDetails:
    values = vc.leaves(KIND, mo_id, DETAIL_PATHS)
    notes, notes_cut = cut(str(values.get("config.annotation") or ""), NOTES_BYTES)
    host = values.get("runtime.host")
    devices: Iterable[Any] = values.get("config.hardware.device") or ()
    disks, adapters = _hardware(devices)
    return MachineDetails(
        **row(vc.alias, mo_id, values),
        folder=path_of(vc, KIND, mo_id),
        host=None if host is None else names_of(vc, [host]).get(host._moId),
        guest_host_name=values.get("guest.hostName"),
        tools=values.get("guest.toolsRunningStatus"),
        uuid=values.get("config.uuid"),
        instance_uuid=values.get("config.instanceUuid"),
        cores_per_socket=values.get("config.hardware.numCoresPerSocket"),
        cpu_hot_add=bool(values.get("config.cpuHotAddEnabled")),
        memory_hot_add=bool(values.get("config.memoryHotAddEnabled")),
        boot_time=values.get("runtime.bootTime"),
        notes=notes,
        notes_truncated=notes_cut,
        disks=disks,
        adapters=adapters,
        networks=sorted(names_of(vc, values.get("network") or ()).values()),
        datastores=sorted(names_of(vc, values.get("datastore") or ()).values()),
        snapshot_count=_count(values.get("snapshot.rootSnapshotList") or ()),
        change_version=values.get("config.changeVersion") or None,
    )


def names_of(vc: "Vc", objects: Iterable[Any]) -> dict[str, str]:
    """The names of managed objects by their IDs, one request for each type among them."""
    by_kind: dict[str, list[tuple[str, str]]] = {}
    for each in objects:
        by_kind.setdefault(each._wsdlName, []).append((each._wsdlName, each._moId))
    return {
        read.mo_id: decoded(read.values["name"])
        for kind, refs in by_kind.items()
        for read in vc.these(kind, refs, ("name",))
    }


def path_of(vc: "Vc", kind: str, mo_id: str) -> str:
    """Where it stands in the inventory: `DC0/vm/web`, without its own name."""
    names: list[str] = []
    at: tuple[str, str] | None = (kind, mo_id)
    # A path of vCenter is a handful of folders; the bound is against a loop in broken data.
    for step in range(64):
        read = vc.these(at[0], [at], ("name", "parent"))
        if not read:
            break
        parent = read[0].values.get("parent")
        if step and parent is not None:
            names.append(decoded(read[0].values.get("name", "")))
        if parent is None:
            break
        at = (parent._wsdlName, parent._moId)
    return "/".join(reversed(names))


def _hardware(devices: Iterable[Any]) -> tuple[list[Disk], list[Adapter]]:
    disks: list[Disk] = []
    adapters: list[Adapter] = []
    for device in devices:
        label = str(device.deviceInfo.label if device.deviceInfo is not None else device.key)
        backing = getattr(device, "backing", None)
        capacity_kb = getattr(device, "capacityInKB", None)
        if capacity_kb is not None:
            disks.append(
                Disk(
                    label=label,
                    capacity_gb=round(capacity_kb / 1024**2, 3),
                    file=getattr(backing, "fileName", None) or None,
                    thin=getattr(backing, "thinProvisioned", None),
                )
            )
        elif hasattr(device, "macAddress"):
            connectable = getattr(device, "connectable", None)
            adapters.append(
                Adapter(
                    label=label,
                    network=getattr(backing, "deviceName", None)
                    or getattr(getattr(backing, "port", None), "portgroupKey", None),
                    mac_address=device.macAddress or None,
                    connected=getattr(connectable, "connected", None),
                )
            )
    return disks, adapters


def _count(trees: Iterable[Any]) -> int:
    return sum(1 + _count(tree.childSnapshotList or ()) for tree in trees)


def _plain(value: Any) -> Any:
    return getattr(value, "_moId", value)
