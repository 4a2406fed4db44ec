"""What runs in a vCenter, in the words of the CMDB: clusters, hosts, stores, networks, machines.

Each page is of one type, in the order of `SOURCES`. A machine's relations name hosts, datastores
and networks, so the names of those are read first and kept for a minute.
"""

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from flotilla import Deadline, InvalidArgument, decode_cursor, encode_cursor
from flotilla.discovery import Covers, Described, Discovery, Seen, SeenEnd, SeenPage, SeenRelation
from flotilla.sizes import strip_invisible
from vmware.inventory import CLUSTER, DATASTORE, GIB, HOST, MIB, NETWORK
from vmware.link import Link, Links
from vmware.listing import after
from vmware.machines import KIND as MACHINE
from vmware.names import decoded

if TYPE_CHECKING:
    from vmware.reading import Read, Vc

TOOL = "infra.vmware.listVirtualMachines"
PROVIDER = "vmware"
PAGE = 500
LIMIT_S = 60.0
NAMES_S = 60.0
MAX_TEXT = 200
LOST = frozenset(("fqdn", "ip"))
"""What a machine has no more when its guest does not run; all else is only not known just now."""


@dataclass(frozen=True, slots=True)
class Named:
    """The names of all objects by their IDs, one of a kind within each type."""

    alias: str
    of: Mapping[str, Mapping[str, str]]

    def end(self, ci_class: str, kind: str, object_: Any) -> SeenEnd | None:
        """The item that an object is; None for one that is not seen."""
        name = self.of[kind].get(getattr(object_, "_moId", ""))
        return None if name is None else SeenEnd(ci_class=ci_class, name=name)


@dataclass(frozen=True, slots=True)
class Source:
    """A type of vSphere, the class of the CMDB that it is, and how an object is told."""

    kind: str
    ci_class: str
    paths: tuple[str, ...]
    tell: "Callable[[Read, Named], tuple[Seen, list[SeenRelation]] | None]"


class Sources:
    """The discovery source of this spoke."""

    def __init__(self, links: Links, clock: Callable[[], float] = monotonic) -> None:
        self._links = links
        self._clock = clock
        self._names: dict[str, tuple[float, Named]] = {}

    def discovery(self) -> Discovery:
        return Discovery(describe=self.describe, page=self.page)

    async def describe(self, within: Mapping[str, Any]) -> Described:
        link = self._link(within)
        return Described(
            tool=TOOL,
            covers=Covers(
                ci_classes=[source.ci_class for source in SOURCES],
                attributes={"provider": PROVIDER, "account": link.alias},
            ),
            within={"vcenter": link.alias},
        )

    async def page(self, within: Mapping[str, Any], cursor: str | None) -> SeenPage:
        link = self._link(within)
        kind = f"discovery|{link.alias}"
        stage, last = (0, "") if cursor is None else _position(decode_cursor(kind, cursor))
        source = SOURCES[stage]
        if cursor is None:
            # A gathering begins: what was made a moment ago belongs to it.
            link.orders.forget()
            self._names.pop(link.alias, None)

        def work(vc: "Vc") -> "tuple[list[Read], str, Named]":
            order = link.orders.order(vc, source.kind)
            refs = order[after(order, last) :][:PAGE]
            reads = vc.these(source.kind, refs, source.paths)
            more = refs[-1][1] if refs and refs[-1] != order[-1] else ""
            return reads, more, self._named(vc)

        reads, more, named = await link.use(Deadline.after(LIMIT_S), work)
        told = [each for read in reads if (each := source.tell(read, named)) is not None]
        position = (stage, more) if more else (stage + 1, "")
        return SeenPage(
            items=[seen for seen, _ in told],
            relations=[relation for _, relations in told for relation in relations],
            next_cursor=encode_cursor(kind, position) if position[0] < len(SOURCES) else None,
        )

    def _link(self, within: Mapping[str, Any]) -> Link:
        unknown = sorted(set(within) - {"vcenter"})
        alias = within.get("vcenter")
        if unknown or not (alias is None or isinstance(alias, str)):
            raise InvalidArgument(
                "a scope of VMware is {vcenter}", hint="Give the alias of one vCenter alone."
            )
        return self._links.to(alias)

    def _named(self, vc: "Vc") -> Named:
        known = self._names.get(vc.alias)
        if known is not None and self._clock() - known[0] < NAMES_S:
            return known[1]
        kinds = [source.kind for source in SOURCES]
        named = Named(
            vc.alias, {kind: unique_names(vc.alias, vc.each(kind, ("name",))) for kind in kinds}
        )
        self._names[vc.alias] = (self._clock(), named)
        return named


def unique_names(alias: str, reads: "Iterable[Read]") -> dict[str, str]:
    """`<vcenter>/<name>` by ID; two of one name, in different folders, have their ID behind it."""
    # The CMDB takes no white space at the ends of a name, as vCenter does, and nothing invisible.
    names = {
        read.mo_id: " ".join(strip_invisible(decoded(read.values["name"])).split()) or read.mo_id
        for read in reads
    }
    often = Counter(names.values())
    return {
        mo_id: f"{alias}/{name}" if often[name] == 1 else f"{alias}/{name} ({mo_id})"
        for mo_id, name in names.items()
    }


def _seen(
    ci_class: str, read: "Read", named: Named, kind: str, attributes: dict[str, Any]
) -> Seen | None:
    name = named.of[kind].get(read.mo_id)
    if name is None:
        # Made after the names were read: the next reconciliation sees it.
        return None
    given = {
        "provider": PROVIDER,
        "account": named.alias,
        "resource_id": f"{named.alias}/{read.mo_id}",
        **{
            key: _short(value)
            for key, value in attributes.items()
            if value is not None or key in LOST
        },
    }
    key = "instance_uuid" if "instance_uuid" in given else "resource_id"
    return Seen(ci_class=ci_class, name=name, key=key, attributes=given)


def _cluster(read: "Read", named: Named) -> tuple[Seen, list[SeenRelation]] | None:
    attributes = {"cluster_type": "vSphere", "node_count": read.values.get("summary.numHosts")}
    seen = _seen("cluster", read, named, CLUSTER, attributes)
    return None if seen is None else (seen, [])


def _host(read: "Read", named: Named) -> tuple[Seen, list[SeenRelation]] | None:
    values = read.values
    memory = values.get("summary.hardware.memorySize")
    attributes = {
        "manufacturer": values.get("summary.hardware.vendor"),
        "model": values.get("summary.hardware.model"),
        "serial_number": values.get("hardware.systemInfo.serialNumber"),
        "os": "VMware ESXi",
        "os_version": values.get("summary.config.product.version"),
        "cpu_count": values.get("summary.hardware.numCpuCores"),
        "memory_mb": None if memory is None else memory // MIB,
        "status": str(values.get("runtime.connectionState", "unknown")),
    }
    seen = _seen("server", read, named, HOST, attributes)
    if seen is None:
        return None
    return seen, _relations(
        seen, ("member_of", named.end("cluster", CLUSTER, values.get("parent")))
    )


def _datastore(read: "Read", named: Named) -> tuple[Seen, list[SeenRelation]] | None:
    values = read.values
    capacity = values.get("summary.capacity")
    attributes = {
        "storage_type": values.get("summary.type"),
        "capacity_gb": None if capacity is None else round(capacity / GIB, 2),
    }
    seen = _seen("storage", read, named, DATASTORE, attributes)
    return None if seen is None else (seen, [])


def _network(read: "Read", named: Named) -> tuple[Seen, list[SeenRelation]] | None:
    seen = _seen("network", read, named, NETWORK, {"network_type": read.ref[0]})
    return None if seen is None else (seen, [])


def _machine(read: "Read", named: Named) -> tuple[Seen, list[SeenRelation]] | None:
    values = read.values
    if values.get("config.template"):
        return None  # nothing of it runs, and nothing can until it is cloned
    attributes = {
        "hypervisor": "VMware vSphere",
        "instance_uuid": values.get("config.instanceUuid"),
        "os": values.get("summary.config.guestFullName"),
        "fqdn": values.get("guest.hostName"),
        "ip": _address(values.get("guest.ipAddress")),
        "cpu_count": values.get("config.hardware.numCPU"),
        "memory_mb": values.get("config.hardware.memoryMB"),
        "status": str(values.get("runtime.powerState", "unknown")),
    }
    seen = _seen("virtual_machine", read, named, MACHINE, attributes)
    if seen is None:
        return None
    return seen, _relations(
        seen,
        ("runs_on", named.end("server", HOST, values.get("runtime.host"))),
        *(
            ("uses", named.end("storage", DATASTORE, each))
            for each in values.get("datastore") or ()
        ),
        *(
            ("connects_to", named.end("network", NETWORK, each))
            for each in values.get("network") or ()
        ),
    )


def _relations(seen: Seen, *found: tuple[str, SeenEnd | None]) -> list[SeenRelation]:
    source = SeenEnd(ci_class=seen.ci_class, name=seen.name)
    return [
        SeenRelation(source=source, type=type_, target=target)
        for type_, target in found
        if target is not None
    ]


SOURCES: tuple[Source, ...] = (
    Source(CLUSTER, "cluster", ("name", "summary.numHosts"), _cluster),
    Source(
        HOST,
        "server",
        (
            "name",
            "parent",
            "runtime.connectionState",
            "summary.config.product.version",
            "summary.hardware.vendor",
            "summary.hardware.model",
            "summary.hardware.numCpuCores",
            "summary.hardware.memorySize",
            "hardware.systemInfo.serialNumber",
        ),
        _host,
    ),
    Source(
        DATASTORE,
        "storage",
        # Not the free space, which is another at each look: what is used is no configuration.
        ("name", "summary.type", "summary.capacity"),
        _datastore,
    ),
    Source(NETWORK, "network", ("name",), _network),
    Source(
        MACHINE,
        "virtual_machine",
        (
            "name",
            "config.template",
            "config.instanceUuid",
            "config.hardware.numCPU",
            "config.hardware.memoryMB",
            "summary.config.guestFullName",
            "guest.hostName",
            "guest.ipAddress",
            "runtime.powerState",
            "runtime.host",
            "datastore",
            "network",
        ),
        _machine,
    ),
)


def _address(value: Any) -> str | None:
    """What a guest calls its address, if it is one."""
    try:
        return str(ipaddress.ip_address(str(value)))
    except ValueError:
        return None


def _short(value: Any) -> Any:
    return value[:MAX_TEXT] if isinstance(value, str) else value


def _position(position: Any) -> tuple[int, str]:
    match position:
        case [int(stage), str(last)] if 0 <= stage < len(SOURCES):
            return stage, last
        case _:
            raise InvalidArgument("cursor is not one that this source gave out")
