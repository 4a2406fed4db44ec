"""What pods and nodes use of CPU and memory now: topPods, topNodes."""

import re
from typing import Annotated, Literal

from pydantic import Field

from flotilla import Context, Cursor, FlotillaError, Limit, Model, NotAllowed, Page, Tool, reads
from flotilla.context import Deadline
from flotilla.errors import NotConfigured
from k8s.answers import upstream_status
from k8s.api import Cluster, Query
from k8s.clusters import Clusters
from k8s.fitting import fitting_page
from k8s.kinds import NODES
from k8s.objects import Object, members, objects, text
from k8s.parameters import AllNamespaces, ClusterName, LabelSelector, Namespace, scope_of

METRICS = "/apis/metrics.k8s.io/v1beta1"
MAX_NODES_COMPARED = 500
_QUANTITY = re.compile(r"(?P<number>[0-9.]+(?:[eE][+-]?[0-9]+)?)(?P<unit>n|u|m|k|[KMGTPE]i?)?")
_UNITS = {
    "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
    "P": 1e15, "E": 1e18, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
    "Pi": 2.0**50, "Ei": 2.0**60,
}  # fmt: skip

SortBy = Annotated[Literal["cpu", "memory"], Field(description="The most of it comes first.")]


class ContainerUsage(Model):
    """`cpu_millicores` of 1000 a core; memory is the working set."""

    name: str
    cpu_millicores: int
    memory_mib: int


class PodUsage(Model):
    """What the containers of a pod use together, over `window`."""

    namespace: str
    name: str
    cpu_millicores: int
    memory_mib: int
    containers: list[ContainerUsage] | None = None
    window: str | None = None


class NodeUsage(Model):
    """Percents are of what pods may use of the node; left out in clusters of over 500 nodes."""

    name: str
    cpu_millicores: int
    memory_mib: int
    cpu_percent: int | None = None
    memory_percent: int | None = None


class Usage:
    """Asks the metrics API, which metrics-server or an adapter brings."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads("infra.k8s.topPods", self.top_pods, title="Use of pods"),
            reads("infra.k8s.topNodes", self.top_nodes, title="Use of nodes"),
        )

    async def top_pods(
        self,
        context: Context,
        cluster: ClusterName = None,
        namespace: Namespace = None,
        all_namespaces: AllNamespaces = False,
        label_selector: LabelSelector = None,
        sort_by: SortBy = "cpu",
        containers: Annotated[bool, Field(description="Tell of each container too.")] = False,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Page[PodUsage]:
        """List the CPU and memory that pods use now, those that use most first.

        Of one namespace, or of all with allNamespaces. Needs metrics-server in the cluster.
        """
        client = await self._clusters.client(cluster)
        where = scope_of(namespace, all_namespaces, client.namespace)
        path = f"{METRICS}/pods" if where is None else f"{METRICS}/namespaces/{where}/pods"
        found = await _metrics(client, path, {"labelSelector": label_selector}, context.deadline)
        entries = [_pod(each, containers=containers) for each in found]
        entries.sort(key=lambda each: _amount(each, sort_by), reverse=True)
        return fitting_page("k8s_pod_usage", entries, limit=limit, cursor=cursor)

    async def top_nodes(
        self,
        context: Context,
        cluster: ClusterName = None,
        sort_by: SortBy = "cpu",
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Page[NodeUsage]:
        """List the CPU and memory that nodes use now, those that use most first.

        Needs metrics-server in the cluster.
        """
        client = await self._clusters.client(cluster)
        found = await _metrics(client, f"{METRICS}/nodes", {}, context.deadline)
        room = await _room(client, context.deadline) if len(found) <= MAX_NODES_COMPARED else {}
        entries = [_node(each, room) for each in found]
        entries.sort(key=lambda each: _amount(each, sort_by), reverse=True)
        return fitting_page("k8s_node_usage", entries, limit=limit, cursor=cursor)


async def _metrics(cluster: Cluster, path: str, query: Query, due: Deadline) -> list[Object]:
    try:
        return objects(members(await cluster.request("GET", path, due=due, query=query))["items"])
    except FlotillaError as error:
        if upstream_status(error) == 404:
            raise NotConfigured(
                f"cluster {cluster.alias} has no metrics API",
                hint="Install metrics-server, or an adapter that serves metrics.k8s.io.",
                details={"reason": "no_metrics_api"},
            ) from None
        raise
    except KeyError:
        return []


async def _room(cluster: Cluster, due: Deadline) -> dict[str, tuple[float, float]]:
    """What pods may use of each node: cores and bytes; nothing where nodes may not be read."""
    try:
        answer = await cluster.request(
            "GET", NODES.path(), due=due, query={"limit": MAX_NODES_COMPARED}
        )
    except NotAllowed:
        return {}
    found: dict[str, tuple[float, float]] = {}
    for node in objects(members(answer).get("items")):
        free = members(node, "status", "allocatable")
        name = text(members(node, "metadata").get("name"))
        found[name] = (quantity(free.get("cpu")), quantity(free.get("memory")))
    return found


def quantity(value: object) -> float:
    """A resource quantity as a number of cores or bytes; 0 for what is none. Pure.

    Source: Kubernetes API reference, "Quantity".
    """
    found = _QUANTITY.fullmatch(text(value))
    return float(found["number"]) * _UNITS[found["unit"] or ""] if found else 0.0


def _pod(metrics: Object, *, containers: bool) -> PodUsage:
    meta = members(metrics, "metadata")
    used = [_container(each) for each in objects(metrics.get("containers"))]
    return PodUsage(
        namespace=text(meta.get("namespace")),
        name=text(meta.get("name")),
        cpu_millicores=sum(each.cpu_millicores for each in used),
        memory_mib=sum(each.memory_mib for each in used),
        containers=used if containers else None,
        window=text(metrics.get("window")) or None,
    )


def _container(metrics: Object) -> ContainerUsage:
    cpu, memory = _used(metrics)
    return ContainerUsage(name=text(metrics.get("name")), cpu_millicores=cpu, memory_mib=memory)


def _node(metrics: Object, room: dict[str, tuple[float, float]]) -> NodeUsage:
    name = text(members(metrics, "metadata").get("name"))
    cpu, memory = _used(metrics)
    cores, size = room.get(name, (0.0, 0.0))
    return NodeUsage(
        name=name,
        cpu_millicores=cpu,
        memory_mib=memory,
        cpu_percent=round(cpu / cores / 10) if cores else None,
        memory_percent=round(memory * 2**20 / size * 100) if size else None,
    )


def _used(metrics: Object) -> tuple[int, int]:
    usage = members(metrics, "usage")
    cpu, memory = quantity(usage.get("cpu")), quantity(usage.get("memory"))
    return round(cpu * 1000), round(memory / 2**20)


def _amount(usage: PodUsage | NodeUsage, by: str) -> tuple[int, str]:
    return (usage.cpu_millicores if by == "cpu" else usage.memory_mib), usage.name
