"""Which clusters there are."""

import asyncio

from flotilla.model import Model
from flotilla.paging import Cursor, Limit, Page
from flotilla.tool import Tool, reads
from k8s.clusters import Clusters
from k8s.fitting import fitting_page


class ContextEntry(Model):
    """A cluster that calls may name; `problem` says why it cannot be used."""

    cluster: str
    server: str
    default_namespace: str
    source: str
    """`k8s.yaml`, `kubeconfig` or `in-cluster`."""
    current: bool
    """It is the kubeconfig's current context, which is never taken for a call that names none."""
    problem: str | None = None


class Contexts:
    """Tells of the clusters that are set up; asks none of them."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters

    def tools(self) -> tuple[Tool, ...]:
        return (reads("infra.k8s.listContexts", self.list_contexts, title="List clusters"),)

    async def list_contexts(self, limit: Limit = 50, cursor: Cursor = None) -> Page[ContextEntry]:
        """List the Kubernetes clusters (contexts) that other tools take as `cluster`.

        No cluster is asked. Where there is one alone, or one called `default`, `cluster` may be
        left out.
        """
        entries = [
            ContextEntry(
                cluster=known.cluster,
                server=known.server,
                default_namespace=known.namespace,
                source=known.source,
                current=known.current,
                problem=known.problem,
            )
            for known in await asyncio.to_thread(self._clusters.known)
        ]
        return fitting_page("k8s_contexts", entries, limit=limit, cursor=cursor)
