"""A cluster's objects in the words of the CMDB. Pure.

Cluster, nodes, namespaces, deployments and pods; a node belongs to the cluster, a pod runs on its
node and is one of its deployment's, namespaces contain what is in them. Names are qualified by the
cluster's alias: two clusters may call everything alike.
"""

import hashlib
from collections.abc import Sequence

from pydantic import JsonValue

from flotilla.discovery import Seen, SeenEnd, SeenRelation
from k8s.objects import Object, members, objects, text
from k8s.tables import Row, shown
from k8s.usage import quantity

PROVIDER = "kubernetes"
CLUSTER = "kubernetes_cluster"
NAMESPACE = "kubernetes_object"
MAX_NAME_CHARS = 200
MAX_TEXT_CHARS = 200
OF_MACHINES = frozenset(("metal3", "kind", "k3s", ""))
"""Schemes of a node's providerID behind which no virtual machine of a cloud stands."""


def name_of(*parts: str) -> str:
    """A name of one kind: `prod/shop/web`. One too long for the CMDB ends in a hash of itself."""
    whole = "/".join(parts)
    if len(whole) <= MAX_NAME_CHARS:
        return whole
    mark = hashlib.sha256(whole.encode()).hexdigest()[:12]
    return f"{whole[: MAX_NAME_CHARS - 13]}~{mark}"


def cluster_seen(alias: str, server: str, version: str, nodes: int | None) -> Seen:
    more: dict[str, JsonValue] = {
        "cluster_type": "kubernetes",
        "api_server": server,
        "version": version or None,
        "node_count": nodes,
    }
    return Seen(ci_class=CLUSTER, name=name_of(alias), attributes=_attributes(alias, more))


def machine_of(nodes: Sequence[Object]) -> str | None:
    """The class of a cluster's machines, by some of its nodes: virtual ones where the provider of
    any is a cloud or hypervisor, else servers. None where there is no node to tell by.

    One class for all: a pod says its node's name alone, and must find it under one class.
    """
    if not nodes:
        return None
    schemes = {text(members(one, "spec").get("providerID")).partition("://")[0] for one in nodes}
    return "server" if schemes <= OF_MACHINES else "virtual_machine"


def node_seen(alias: str, node: Object, machine: str) -> tuple[Seen, SeenRelation]:
    meta, status = members(node, "metadata"), members(node, "status")
    info, size = members(status, "nodeInfo"), members(status, "capacity")
    provider_id = text(members(node, "spec").get("providerID"))
    name = text(meta.get("name"))
    addresses = objects(status.get("addresses"))
    inside = [text(each.get("address")) for each in addresses if each.get("type") == "InternalIP"]
    more: dict[str, JsonValue] = {
        "ip": inside[0] if inside else None,
        "os": text(info.get("osImage")) or None,
        "os_version": text(info.get("kernelVersion")) or None,
        "cpu_count": round(quantity(size.get("cpu"))) or None,
        "memory_mb": round(quantity(size.get("memory")) / 2**20) or None,
        "resource_id": provider_id or text(meta.get("uid")) or None,
        "region": _label(meta, "topology.kubernetes.io/region"),
        "zone": _label(meta, "topology.kubernetes.io/zone"),
        "kubelet_version": text(info.get("kubeletVersion")) or None,
    }
    if machine == "virtual_machine":
        more["instance_uuid"] = text(info.get("systemUUID")) or None
    seen = Seen(
        ci_class=machine,
        name=name_of(alias, name),
        attributes=_attributes(alias, more),
    )
    cluster = SeenEnd(ci_class=CLUSTER, name=name_of(alias))
    return seen, SeenRelation(source=_end(seen), type="member_of", target=cluster)


def namespace_seen(alias: str, namespace: str) -> tuple[Seen, SeenRelation]:
    more: dict[str, JsonValue] = {"kind": "Namespace", "namespace": namespace}
    seen = Seen(
        ci_class=NAMESPACE, name=name_of(alias, namespace), attributes=_attributes(alias, more)
    )
    cluster = SeenEnd(ci_class=CLUSTER, name=name_of(alias))
    return seen, SeenRelation(source=cluster, type="contains", target=_end(seen))


def deployment_seen(alias: str, row: Row) -> tuple[Seen, SeenRelation]:
    wanted = row.cells.get("Ready", "").partition("/")[2]
    more: dict[str, JsonValue] = {
        "kind": "Deployment",
        "namespace": row.namespace,
        "replicas": int(wanted) if wanted.isdigit() else None,
        "image": (shown(row.cells, "Images") or "")[:MAX_TEXT_CHARS] or None,
    }
    seen = Seen(
        ci_class="deployment",
        name=name_of(alias, row.namespace, row.name),
        attributes=_attributes(alias, more),
    )
    return seen, _contained(alias, row.namespace, seen)


def pod_seen(
    alias: str, row: Row, meta: Object, machine: str | None
) -> tuple[Seen, list[SeenRelation]]:
    """`machine` is the class of the cluster's nodes; where it is not known, none is related."""
    node = shown(row.cells, "Node")
    more: dict[str, JsonValue] = {
        "kind": "Pod",
        "namespace": row.namespace,
        "node": node,
        "ip": shown(row.cells, "IP"),
        "status": shown(row.cells, "Status"),
        "resource_id": text(meta.get("uid")) or None,
    }
    seen = Seen(
        ci_class="pod",
        name=name_of(alias, row.namespace, row.name),
        attributes=_attributes(alias, more),
    )
    relations: list[SeenRelation] = []
    if node is not None and machine is not None:
        place = SeenEnd(ci_class=machine, name=name_of(alias, node))
        relations.append(SeenRelation(source=_end(seen), type="runs_on", target=place))
    owner = deployment_of(meta)
    if owner is None:
        relations.append(_contained(alias, row.namespace, seen))
    else:
        target = SeenEnd(ci_class="deployment", name=name_of(alias, row.namespace, owner))
        relations.append(SeenRelation(source=_end(seen), type="member_of", target=target))
    return seen, relations


def deployment_of(meta: Object) -> str | None:
    """The deployment of a pod: its ReplicaSet is called after it and the template's hash."""
    mark = text(members(meta, "labels").get("pod-template-hash"))
    for owner in objects(meta.get("ownerReferences")):
        name = text(owner.get("name"))
        if owner.get("kind") == "ReplicaSet" and mark and name.endswith(f"-{mark}"):
            return name.removesuffix(f"-{mark}")
    return None


def _contained(alias: str, namespace: str, seen: Seen) -> SeenRelation:
    place = SeenEnd(ci_class=NAMESPACE, name=name_of(alias, namespace))
    return SeenRelation(source=place, type="contains", target=_end(seen))


def _end(seen: Seen) -> SeenEnd:
    return SeenEnd(ci_class=seen.ci_class, name=seen.name)


def _label(meta: Object, name: str) -> str | None:
    return text(members(meta, "labels").get(name)) or None


def _attributes(alias: str, more: dict[str, JsonValue]) -> dict[str, JsonValue]:
    # With its nulls: an address that a pod has no more is not to stay in the CMDB.
    return {"provider": PROVIDER, "cluster": alias[:MAX_TEXT_CHARS], **more}
