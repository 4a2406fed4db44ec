"""What a cluster consists of: listNamespaces, listNodes, listDeployments, listApiResources."""

from typing import Annotated

from pydantic import Field

from flotilla import Context, Cursor, Limit, Model, Page, Tool, reads
from k8s.clusters import Clusters
from k8s.fitting import fitting_page
from k8s.kinds import NAMESPACES, NODES
from k8s.parameters import (
    AllNamespaces,
    ClusterName,
    FieldSelector,
    LabelSelector,
    Namespace,
    scope_of,
)
from k8s.tables import Row, Wanted, paged, shown


class NamespaceEntry(Model):
    """A namespace."""

    name: str
    status: str
    age: str


class NodeEntry(Model):
    """A node as `kubectl get nodes -o wide` shows it; `status` says SchedulingDisabled too."""

    name: str
    status: str
    roles: str | None
    age: str
    version: str
    internal_ip: str | None = None
    external_ip: str | None = None
    os_image: str | None = None
    kernel: str | None = None
    container_runtime: str | None = None


class DeploymentEntry(Model):
    """A deployment; `ready` is ready of wanted replicas, `2/3`."""

    namespace: str
    name: str
    ready: str
    up_to_date: str
    available: str
    age: str
    images: str | None = None


class ApiResource(Model):
    """A kind; `name` is what other tools take as `kind`."""

    name: str
    kind: str
    api_version: str
    namespaced: bool
    short_names: tuple[str, ...]
    verbs: tuple[str, ...]


class Inventory:
    """Lists what has a tool of its own, and all kinds there are."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads("infra.k8s.listNamespaces", self.list_namespaces, title="List namespaces"),
            reads("infra.k8s.listNodes", self.list_nodes, title="List nodes"),
            reads("infra.k8s.listDeployments", self.list_deployments, title="List deployments"),
            reads("infra.k8s.listApiResources", self.list_api_resources, title="List kinds"),
        )

    async def list_namespaces(
        self,
        context: Context,
        cluster: ClusterName = None,
        label_selector: LabelSelector = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Page[NamespaceEntry]:
        """List the namespaces of a cluster."""
        client = await self._clusters.client(cluster)
        wanted = Wanted(path=NAMESPACES.path(), labels=label_selector)
        return await paged(
            client, wanted, _namespace, limit=limit, cursor=cursor, due=context.deadline
        )

    async def list_nodes(
        self,
        context: Context,
        cluster: ClusterName = None,
        label_selector: LabelSelector = None,
        field_selector: FieldSelector = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Page[NodeEntry]:
        """List nodes with status, roles, version, addresses and what they run on.

        Their use of CPU and memory is in topNodes, conditions and taints in getResource.
        """
        client = await self._clusters.client(cluster)
        wanted = Wanted(path=NODES.path(), labels=label_selector, fields=field_selector)
        return await paged(client, wanted, _node, limit=limit, cursor=cursor, due=context.deadline)

    async def list_deployments(
        self,
        context: Context,
        cluster: ClusterName = None,
        namespace: Namespace = None,
        all_namespaces: AllNamespaces = False,
        label_selector: LabelSelector = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Page[DeploymentEntry]:
        """List deployments with their replicas and images; getRolloutStatus says how one goes on.

        Of one namespace, or of all with allNamespaces.
        """
        client = await self._clusters.client(cluster)
        where = scope_of(namespace, all_namespaces, client.namespace)
        base = "/apis/apps/v1"
        wanted = Wanted(
            path=f"{base}/deployments"
            if where is None
            else f"{base}/namespaces/{where}/deployments",
            namespace=where,
            labels=label_selector,
        )
        return await paged(
            client, wanted, _deployment, limit=limit, cursor=cursor, due=context.deadline
        )

    async def list_api_resources(
        self,
        context: Context,
        cluster: ClusterName = None,
        group: Annotated[
            str | None, Field(max_length=253, description="Only of this API group; `` is the core.")
        ] = None,
        namespaced: bool | None = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Page[ApiResource]:
        """List the kinds that the cluster's API has, custom resources too, with their verbs."""
        client = await self._clusters.client(cluster)
        found = [
            ApiResource(
                name=ref.name,
                kind=ref.kind,
                api_version=ref.api_version,
                namespaced=ref.namespaced,
                short_names=ref.short_names,
                verbs=ref.verbs,
            )
            for ref in await client.resources(due=context.deadline)
            if group in (None, ref.group) and namespaced in (None, ref.namespaced)
        ]
        return fitting_page("k8s_kinds", found, limit=limit, cursor=cursor)


def _namespace(row: Row) -> NamespaceEntry:
    cells = row.cells
    return NamespaceEntry(name=row.name, status=cells.get("Status", ""), age=cells.get("Age", ""))


def _node(row: Row) -> NodeEntry:
    cells = row.cells
    return NodeEntry(
        name=row.name,
        status=cells.get("Status", ""),
        roles=shown(cells, "Roles"),
        age=cells.get("Age", ""),
        version=cells.get("Version", ""),
        internal_ip=shown(cells, "Internal-IP"),
        external_ip=shown(cells, "External-IP"),
        os_image=shown(cells, "OS-Image"),
        kernel=shown(cells, "Kernel-Version"),
        container_runtime=shown(cells, "Container-Runtime"),
    )


def _deployment(row: Row) -> DeploymentEntry:
    cells = row.cells
    return DeploymentEntry(
        namespace=row.namespace,
        name=row.name,
        ready=cells.get("Ready", ""),
        up_to_date=cells.get("Up-to-date", ""),
        available=cells.get("Available", ""),
        age=cells.get("Age", ""),
        images=shown(cells, "Images"),
    )
