"""Pods: listPods, getPod."""

from typing import Annotated

from pydantic import Field

from flotilla import Context, Cursor, Limit, Model, Page, Tool, reads
from k8s.clusters import Clusters
from k8s.parameters import AllNamespaces, ClusterName, FieldSelector, LabelSelector, Namespace
from k8s.tables import Row, Wanted, shown, table_page

PATH = "/api/v1"

NodeName = Annotated[str | None, Field(max_length=253, description="Only pods on this node.")]


class PodEntry(Model):
    """A pod as `kubectl get pods -o wide` shows it."""

    namespace: str
    name: str
    ready: str
    """Ready containers of all: `1/2`."""
    status: str
    restarts: str
    age: str
    ip: str | None = None
    node: str | None = None


class Pods:
    """Reads pods."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters

    def tools(self) -> tuple[Tool, ...]:
        return (reads("infra.k8s.listPods", self.list_pods, title="List pods", untrusted=True),)

    async def list_pods(
        self,
        context: Context,
        cluster: ClusterName = None,
        namespace: Namespace = None,
        all_namespaces: AllNamespaces = False,
        label_selector: LabelSelector = None,
        field_selector: FieldSelector = None,
        node: NodeName = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Page[PodEntry]:
        """List pods with their readiness, status, restarts, age, IP and node.

        Of one namespace, or of all with allNamespaces. `status` is what kubectl shows, such as
        Running, Pending, CrashLoopBackOff or Terminating; getPod says why.
        """
        client = await self._clusters.client(cluster)
        where = None if all_namespaces else namespace or client.namespace
        fields = [field_selector] if field_selector else []
        if node:
            fields.append(f"spec.nodeName={node}")
        wanted = Wanted(
            path=f"{PATH}/pods" if where is None else f"{PATH}/namespaces/{where}/pods",
            namespace=where,
            labels=label_selector,
            fields=",".join(fields),
        )
        page = await table_page(client, wanted, limit=limit, cursor=cursor, due=context.deadline)
        return Page[PodEntry](
            items=[_entry(row) for row in page.rows],
            returned=len(page.rows),
            next_cursor=page.next_cursor,
            total=page.total,
            truncated=page.next_cursor is not None,
        )


def _entry(row: Row) -> PodEntry:
    return PodEntry(
        namespace=row.namespace,
        name=row.name,
        ready=row.cells.get("Ready", ""),
        status=row.cells.get("Status", ""),
        restarts=row.cells.get("Restarts", ""),
        age=row.cells.get("Age", ""),
        ip=shown(row.cells, "IP"),
        node=shown(row.cells, "Node"),
    )
