"""Tells the CMDB, by the hub, what really runs in a cluster; a page is a request or two."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from pydantic import Field, JsonValue, ValidationError

from flotilla.context import Deadline
from flotilla.discovery import Covers, Described, Discovery, Seen, SeenPage, SeenRelation
from flotilla.errors import InvalidArgument, NotAllowed
from flotilla.model import Model
from flotilla.paging import decode_cursor, encode_cursor
from k8s.api import Cluster
from k8s.clusters import Clusters
from k8s.kinds import DEPLOYMENTS, NAMESPACES, NODES, PODS, ResourceRef
from k8s.objects import Object, members, objects, text
from k8s.parameters import NamespaceName
from k8s.seen import (
    CLUSTER,
    NAMESPACE,
    PROVIDER,
    cluster_seen,
    deployment_seen,
    machine_of,
    namespace_seen,
    node_seen,
    pod_seen,
)
from k8s.tables import AS_TABLE, parsed_rows

TOOL = "infra.k8s.listPods"
PAGE_S = 30.0
ROWS = 500
NODES_A_PAGE = 100
"""A node's object lists all images that lie on it."""
NODES_TOLD_BY = 10
"""Of which class the machines are is told by so many: one may be too new to have its provider."""
NAMES = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"
MACHINES = ("server", "virtual_machine")

Step = Literal["nodes", "namespaces", "deployments", "pods"]
WHOLE: tuple[Step, ...] = ("nodes", "namespaces", "deployments", "pods")
OF_NAMESPACE: tuple[Step, ...] = ("namespaces", "deployments", "pods")


class Within(Model):
    """Of which cluster, and of which namespace alone; by default of all."""

    cluster: str | None = None
    namespace: NamespaceName | None = None
    all_namespaces: bool = Field(default=True)


class Source:
    """Reads a cluster step by step; the cursor says where it goes on."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters

    def discovery(self) -> Discovery:
        return Discovery(describe=self.describe, page=self.page)

    async def describe(self, within: Mapping[str, Any]) -> Described:
        wanted = _read(within)
        cluster = await self._clusters.client(wanted.cluster)
        attributes = {"provider": PROVIDER, "cluster": cluster.alias}
        understood: dict[str, JsonValue] = {"cluster": cluster.alias}
        only = _only(wanted, cluster)
        if only is None:
            classes = [CLUSTER, *MACHINES, NAMESPACE, "deployment", "pod"]
            understood["allNamespaces"] = True
        else:
            classes = [NAMESPACE, "deployment", "pod"]
            attributes["namespace"] = only
            understood["namespace"] = only
        covers = Covers(ci_classes=classes, attributes=attributes)
        return Described(tool=TOOL, covers=covers, within=understood)

    async def page(self, within: Mapping[str, Any], cursor: str | None) -> SeenPage:
        wanted = _read(within)
        cluster = await self._clusters.client(wanted.cluster)
        only = _only(wanted, cluster)
        steps = WHOLE if only is None else OF_NAMESPACE
        due = Deadline.after(PAGE_S)
        at = _position(steps, cursor) or Position(steps[0], "", await _machine(cluster, due))
        if at.step == "nodes":
            items, relations, more = await _nodes(cluster, at, due)
        elif at.step == "namespaces":
            items, relations, more = await _namespaces(cluster, only, at.token, due)
        elif at.step == "deployments":
            items, relations, more = await _deployments(cluster, only, at.token, due)
        else:
            items, relations, more = await _pods(cluster, only, at, due)
        following = _following(steps, at, more)
        return SeenPage(
            items=items,
            relations=relations,
            next_cursor=None if following is None else encode_cursor("k8s_seen", [*following]),
        )


class Position(NamedTuple):
    """Where a source goes on, and of which class the cluster's machines are."""

    step: Step
    token: str
    machine: str | None


Part = tuple[list[Seen], list[SeenRelation], str]


def _following(steps: tuple[Step, ...], at: Position, more: str) -> Position | None:
    if more:
        return at._replace(token=more)
    if at.step == steps[-1]:
        return None
    return Position(steps[steps.index(at.step) + 1], "", at.machine)


async def _machine(cluster: Cluster, due: Deadline) -> str | None:
    try:
        answer = await _listed(cluster, NODES.path(), "", due, limit=NODES_TOLD_BY)
    except NotAllowed:
        # Whoever may see a namespace alone can still tell of what is in it.
        return None
    return machine_of(objects(answer.get("items")))


async def _nodes(cluster: Cluster, at: Position, due: Deadline) -> Part:
    answer = await _listed(cluster, NODES.path(), at.token, due, limit=NODES_A_PAGE)
    machine = at.machine or "server"
    found = [node_seen(cluster.alias, node, machine) for node in objects(answer.get("items"))]
    items, relations = [seen for seen, _ in found], [relation for _, relation in found]
    if not at.token:
        version = members(await cluster.request("GET", "/version", due=due))
        rest = members(answer, "metadata").get("remainingItemCount")
        count = len(found) + (rest if isinstance(rest, int) else 0)
        told = text(version.get("gitVersion"))
        items.insert(0, cluster_seen(cluster.alias, cluster.server, told, count))
    return items, relations, _more(answer)


async def _namespaces(cluster: Cluster, only: str | None, token: str, due: Deadline) -> Part:
    if only is not None:
        await cluster.request("GET", NAMESPACES.path(name=only), due=due)
        seen, relation = namespace_seen(cluster.alias, only)
        return [seen], [relation], ""
    answer = await _listed(cluster, NAMESPACES.path(), token, due, accept=NAMES)
    names = [text(members(each, "metadata").get("name")) for each in objects(answer.get("items"))]
    found = [namespace_seen(cluster.alias, name) for name in names]
    return [seen for seen, _ in found], [relation for _, relation in found], _more(answer)


async def _deployments(cluster: Cluster, only: str | None, token: str, due: Deadline) -> Part:
    answer = await _rows(cluster, DEPLOYMENTS, only, token, due)
    _, _, rows = parsed_rows(answer, cluster.alias)
    found = [deployment_seen(cluster.alias, row) for row in rows]
    return [seen for seen, _ in found], [relation for _, relation in found], _more(answer)


async def _pods(cluster: Cluster, only: str | None, at: Position, due: Deadline) -> Part:
    answer = await _rows(cluster, PODS, only, at.token, due)
    _, _, rows = parsed_rows(answer, cluster.alias)
    metas = [members(each, "object", "metadata") for each in objects(answer.get("rows"))]
    items: list[Seen] = []
    relations: list[SeenRelation] = []
    for row, meta in zip(rows, metas, strict=True):
        seen, its = pod_seen(cluster.alias, row, meta, at.machine)
        items.append(seen)
        relations += its
    return items, relations, _more(answer)


async def _rows(
    cluster: Cluster, ref: ResourceRef, only: str | None, token: str, due: Deadline
) -> Object:
    return await _listed(cluster, ref.path(only), token, due, accept=AS_TABLE)


async def _listed(
    cluster: Cluster,
    path: str,
    token: str,
    due: Deadline,
    *,
    accept: str = "application/json",
    limit: int = ROWS,
) -> Object:
    query = {"limit": limit, "continue": token or None}
    return members(await cluster.request("GET", path, due=due, query=query, accept=accept))


def _more(answer: Object) -> str:
    return text(members(answer, "metadata").get("continue"))


def _read(within: Mapping[str, Any]) -> Within:
    try:
        return Within.model_validate(within)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidArgument(
            f"within.{place}: {first['msg']}", hint="It takes `cluster` and `namespace`."
        ) from None


def _only(wanted: Within, cluster: Cluster) -> str | None:
    """The one namespace that is meant, as listPods would take it; None for all."""
    if wanted.namespace is not None or not wanted.all_namespaces:
        return wanted.namespace or cluster.namespace
    return None


def _position(steps: tuple[Step, ...], cursor: str | None) -> Position | None:
    if cursor is None:
        return None
    try:
        step, token, machine = decode_cursor("k8s_seen", cursor)
    except (TypeError, ValueError):
        step = token = machine = None
    if step in steps and isinstance(token, str) and machine in (None, *MACHINES):
        return Position(step, token, machine)
    raise InvalidArgument("cursor is not one that this source gave out")
