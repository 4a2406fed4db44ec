"""infra.vmware.listHosts, getHost, listClusters, listDatastores and listNetworks."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import Field

from flotilla import Context, Cursor, InvalidArgument, Limit, Model, NotFound, Page, Tool, reads
from flotilla.paging import DEFAULT_LIMIT
from vmware.link import Links
from vmware.listing import Listing, page
from vmware.machines import names_of, path_of
from vmware.names import MoId, VCenterName, decoded, encoded

if TYPE_CHECKING:
    from vmware.reading import Read, Vc

Item = TypeVar("Item", bound=Model)

HOST = "HostSystem"
CLUSTER = "ClusterComputeResource"
DATASTORE = "Datastore"
NETWORK = "Network"

GIB = 1024**3
MIB = 1024**2


class Host(Model):
    """A host in a list; `parentId` is its cluster, or its own place where it stands alone."""

    vcenter: str
    host_id: str
    name: str
    state: str
    power_state: str
    maintenance: bool
    parent_id: str | None
    version: str | None
    cpu_cores: int | None
    cpu_used_mhz: int | None
    cpu_total_mhz: int | None
    memory_used_mb: int | None
    memory_total_mb: int | None


class HostDetails(Host):
    """A host with its hardware and what it holds."""

    folder: str
    vendor: str | None
    model: str | None
    cpu_model: str | None
    serial_number: str | None
    uuid: str | None
    build: str | None
    boot_time: datetime | None
    alarm_state: str
    machine_count: int
    datastores: list[str]
    networks: list[str]


class Cluster(Model):
    """A cluster in a list; `drs` and `ha` say whether it balances and restarts machines."""

    vcenter: str
    cluster_id: str
    name: str
    alarm_state: str
    host_count: int | None
    effective_host_count: int | None
    cpu_cores: int | None
    cpu_total_mhz: int | None
    memory_total_mb: int | None
    drs: bool | None
    ha: bool | None


class Datastore(Model):
    """A datastore in a list."""

    vcenter: str
    datastore_id: str
    name: str
    type: str | None
    accessible: bool
    maintenance: str | None
    capacity_gb: float | None
    free_gb: float | None
    shared: bool | None


class Network(Model):
    """A network or port group in a list; `type` is that of vSphere."""

    vcenter: str
    network_id: str
    name: str
    type: str
    accessible: bool | None


HOST_PATHS = (
    "name",
    "parent",
    "runtime.connectionState",
    "runtime.powerState",
    "runtime.inMaintenanceMode",
    "summary.config.product.version",
    "summary.hardware.numCpuCores",
    "summary.hardware.cpuMhz",
    "summary.hardware.memorySize",
    "summary.quickStats.overallCpuUsage",
    "summary.quickStats.overallMemoryUsage",
)
HOST_DETAIL_PATHS = (
    *HOST_PATHS,
    "summary.config.product.build",
    "summary.hardware.vendor",
    "summary.hardware.model",
    "summary.hardware.cpuModel",
    "summary.hardware.uuid",
    "hardware.systemInfo.serialNumber",
    "summary.overallStatus",
    "runtime.bootTime",
    "vm",
    "datastore",
    "network",
)
CLUSTER_PATHS = (
    "name",
    "overallStatus",
    "summary.numHosts",
    "summary.numEffectiveHosts",
    "summary.numCpuCores",
    "summary.totalCpu",
    "summary.totalMemory",
    "configuration.drsConfig.enabled",
    "configuration.dasConfig.enabled",
)
DATASTORE_PATHS = (
    "name",
    "summary.type",
    "summary.accessible",
    "summary.maintenanceMode",
    "summary.capacity",
    "summary.freeSpace",
    "summary.multipleHostAccess",
)
NETWORK_PATHS = ("name", "summary.accessible")


class Inventory:
    """The tools of this file."""

    def __init__(self, links: Links) -> None:
        self._links = links

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads("infra.vmware.listHosts", self.list_hosts, title="List hosts"),
            reads("infra.vmware.getHost", self.get_host, title="Show a host"),
            reads("infra.vmware.listDatastores", self.list_datastores, title="List datastores"),
            reads("infra.vmware.listNetworks", self.list_networks, title="List networks"),
            reads("infra.vmware.listClusters", self.list_clusters, title="List clusters"),
        )

    async def list_hosts(
        self,
        context: Context,
        vcenter: VCenterName = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[Host]:
        """List the ESXi hosts of a vCenter with their state and how loaded they are.

        `hostId` goes into migrateVirtualMachine and cloneVirtualMachine.
        """
        return await self._page(context, vcenter, HOST, HOST_PATHS, host_row, limit, cursor)

    async def get_host(
        self,
        context: Context,
        vcenter: VCenterName = None,
        host_id: Annotated[MoId | None, Field(description="`hostId` from listHosts.")] = None,
        name: Annotated[
            str | None, Field(min_length=1, max_length=240, description="Its exact name instead.")
        ] = None,
    ) -> HostDetails:
        """Show an ESXi host, by hostId or by name: hardware, load, datastores and networks."""
        if (host_id is None) == (name is None):
            raise InvalidArgument("give either hostId or name", hint="listHosts has both.")
        link = self._links.to(vcenter)

        def work(vc: "Vc") -> HostDetails:
            return host_details(vc, host_id or _host_named(vc, name or ""))

        return await link.use(context.deadline, work)

    async def list_clusters(
        self,
        context: Context,
        vcenter: VCenterName = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[Cluster]:
        """List the clusters of a vCenter with their size; hosts outside of any are not among them.

        `clusterId` goes into cloneVirtualMachine.
        """
        return await self._page(
            context, vcenter, CLUSTER, CLUSTER_PATHS, cluster_row, limit, cursor
        )

    async def list_datastores(
        self,
        context: Context,
        vcenter: VCenterName = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[Datastore]:
        """List the datastores of a vCenter with their capacity and what is free."""
        return await self._page(
            context, vcenter, DATASTORE, DATASTORE_PATHS, datastore_row, limit, cursor
        )

    async def list_networks(
        self,
        context: Context,
        vcenter: VCenterName = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[Network]:
        """List the networks and distributed port groups of a vCenter."""
        return await self._page(
            context, vcenter, NETWORK, NETWORK_PATHS, network_row, limit, cursor
        )

    async def _page(
        self,
        context: Context,
        vcenter: str | None,
        kind: str,
        paths: Sequence[str],
        shape: "Callable[[str, Read], Item]",
        limit: int,
        cursor: str | None,
    ) -> Page[Item]:
        link = self._links.to(vcenter)
        listing = Listing(
            name=kind, kind=kind, paths=paths, shape=lambda read: shape(link.alias, read)
        )
        return await link.use(
            context.deadline, lambda vc: page(vc, link.orders, listing, limit, cursor)
        )


def host_row(alias: str, read: "Read") -> Host:
    return Host(**_host_members(alias, read.mo_id, read.values))


def _host_members(alias: str, mo_id: str, values: dict[str, Any]) -> dict[str, Any]:
    cores, mhz = values.get("summary.hardware.numCpuCores"), values.get("summary.hardware.cpuMhz")
    memory = values.get("summary.hardware.memorySize")
    parent = values.get("parent")
    return {
        "vcenter": alias,
        "host_id": mo_id,
        "name": decoded(values.get("name", "")),
        "state": str(values.get("runtime.connectionState", "unknown")),
        "power_state": str(values.get("runtime.powerState", "unknown")),
        "maintenance": bool(values.get("runtime.inMaintenanceMode")),
        "parent_id": None if parent is None else parent._moId,
        "version": values.get("summary.config.product.version"),
        "cpu_cores": cores,
        "cpu_used_mhz": values.get("summary.quickStats.overallCpuUsage"),
        "cpu_total_mhz": cores * mhz if cores and mhz else None,
        "memory_used_mb": values.get("summary.quickStats.overallMemoryUsage"),
        "memory_total_mb": None if memory is None else memory // MIB,
    }


def host_details(vc: "Vc", mo_id: str) -> HostDetails:
    values = vc.leaves(HOST, mo_id, HOST_DETAIL_PATHS)
    return HostDetails(
        **_host_members(vc.alias, mo_id, values),
        folder=path_of(vc, HOST, mo_id),
        vendor=values.get("summary.hardware.vendor"),
        model=values.get("summary.hardware.model"),
        cpu_model=values.get("summary.hardware.cpuModel"),
        serial_number=values.get("hardware.systemInfo.serialNumber"),
        uuid=values.get("summary.hardware.uuid"),
        build=values.get("summary.config.product.build"),
        boot_time=values.get("runtime.bootTime"),
        alarm_state=str(values.get("summary.overallStatus", "gray")),
        machine_count=len(values.get("vm") or ()),
        datastores=sorted(names_of(vc, values.get("datastore") or ()).values()),
        networks=sorted(names_of(vc, values.get("network") or ()).values()),
    )


def _host_named(vc: "Vc", name: str) -> str:
    held = {name, encoded(name)}
    same = [read.mo_id for read in vc.each(HOST, ("name",)) if read.values.get("name") in held]
    if not same:
        raise NotFound(f"no host of {vc.alias} is called {name!r}", hint="listHosts names them.")
    if len(same) > 1:
        raise InvalidArgument(
            f"{len(same)} hosts of {vc.alias} are called {name!r}",
            hint="Pass the hostId of the one that is meant.",
            details={"candidates": [{"hostId": mo_id} for mo_id in same]},
        )
    return same[0]


def cluster_row(alias: str, read: "Read") -> Cluster:
    values = read.values
    memory = values.get("summary.totalMemory")
    return Cluster(
        vcenter=alias,
        cluster_id=read.mo_id,
        name=decoded(values.get("name", "")),
        alarm_state=str(values.get("overallStatus", "gray")),
        host_count=values.get("summary.numHosts"),
        effective_host_count=values.get("summary.numEffectiveHosts"),
        cpu_cores=values.get("summary.numCpuCores"),
        cpu_total_mhz=values.get("summary.totalCpu"),
        memory_total_mb=None if memory is None else memory // MIB,
        drs=values.get("configuration.drsConfig.enabled"),
        ha=values.get("configuration.dasConfig.enabled"),
    )


def datastore_row(alias: str, read: "Read") -> Datastore:
    values = read.values
    maintenance = values.get("summary.maintenanceMode")
    return Datastore(
        vcenter=alias,
        datastore_id=read.mo_id,
        name=decoded(values.get("name", "")),
        type=values.get("summary.type"),
        accessible=bool(values.get("summary.accessible")),
        maintenance=None if maintenance is None else str(maintenance),
        capacity_gb=_gb(values.get("summary.capacity")),
        free_gb=_gb(values.get("summary.freeSpace")),
        shared=values.get("summary.multipleHostAccess"),
    )


def network_row(alias: str, read: "Read") -> Network:
    return Network(
        vcenter=alias,
        network_id=read.mo_id,
        name=decoded(read.values.get("name", "")),
        type=read.ref[0],
        accessible=read.values.get("summary.accessible"),
    )


def _gb(size: int | None) -> float | None:
    return None if size is None else round(size / GIB, 2)
