"""Pods: listPods, getPod."""

from typing import Annotated

from pydantic import Field

from flotilla import Context, Cursor, Limit, Model, NotAllowed, Page, Tool, reads
from k8s.clusters import Clusters
from k8s.events import newest_first, read_events
from k8s.kinds import PODS
from k8s.objects import members, text
from k8s.parameters import (
    AllNamespaces,
    ClusterName,
    FieldSelector,
    LabelSelector,
    Namespace,
    ObjectName,
    scope_of,
)
from k8s.pod_detail import PodDetail, detail_of
from k8s.tables import Row, Wanted, paged, shown

MAX_EVENTS = 10
MAX_EVENTS_READ = 500

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
        return (
            reads("infra.k8s.listPods", self.list_pods, title="List pods", untrusted=True),
            reads("infra.k8s.getPod", self.get_pod, title="Read a pod", untrusted=True),
        )

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
        where = scope_of(namespace, all_namespaces, client.namespace)
        fields = [field_selector] if field_selector else []
        if node:
            fields.append(f"spec.nodeName={node}")
        wanted = Wanted(
            path=PODS.path(where),
            namespace=where,
            labels=label_selector,
            fields=",".join(fields),
        )
        return await paged(client, wanted, _entry, limit=limit, cursor=cursor, due=context.deadline)

    async def get_pod(
        self,
        context: Context,
        name: ObjectName,
        cluster: ClusterName = None,
        namespace: Namespace = None,
    ) -> PodDetail:
        """Read one pod in short: containers with their states and last runs, and its last events.

        It says why a pod does not run: what each container waits for or ended with, conditions that
        do not hold, events of the scheduler and the kubelet. Secrets are left out. The whole object
        is in getResource, what it printed in getPodLogs.
        """
        client = await self._clusters.client(cluster)
        where = namespace or client.namespace
        found = members(await client.request("GET", PODS.path(where, name), due=context.deadline))
        uid = text(members(found, "metadata").get("uid"))
        try:
            told, _ = await read_events(
                client,
                where,
                f"involvedObject.kind=Pod,involvedObject.name={name}",
                context.deadline,
                MAX_EVENTS_READ,
            )
        except NotAllowed:
            return detail_of(found, None)
        # One of the same name may have been there before it.
        own = [each for each in told if members(each, "involvedObject").get("uid") in (uid, None)]
        return detail_of(found, newest_first(own)[:MAX_EVENTS])


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
