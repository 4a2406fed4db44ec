"""Objects as the rows that an API server prints for kubectl (`as=Table;v=v1;g=meta.k8s.io`)."""

from collections.abc import Callable, Sequence
from typing import Any

from tests.backends.kube.kinds import Kind

Object = dict[str, Any]
AGE = "3d4h"


def column(name: str, type_: str = "string", priority: int = 0) -> dict[str, Any]:
    format_ = "name" if name == "Name" else ""
    return {
        "name": name, "type": type_, "format": format_, "description": name, "priority": priority,
    }  # fmt: skip


def table(
    kind: Kind, things: Sequence[Object], metadata: Object, include: str = "Metadata"
) -> Object:
    columns, cells = _PRINTERS.get((kind.group, kind.kind), _PLAIN)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": columns,
        "rows": [
            {
                "cells": cells(thing),
                "object": {
                    "None": None,
                    "Metadata": partial(thing),
                    "Object": thing,
                }[include],
            }
            for thing in things
        ],
    }


def partial(thing: Object) -> Object:
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": thing["metadata"],
    }


def _pod(pod: Object) -> list[Any]:
    states = pod.get("status", {}).get("containerStatuses", [])
    wanted = len(pod["spec"]["containers"])
    ready = sum(bool(each.get("ready")) for each in states)
    shown = pod.get("status", {}).get("phase", "Pending")
    for each in states:
        waiting = each.get("state", {}).get("waiting")
        if waiting and waiting.get("reason"):
            shown = waiting["reason"]
    if "deletionTimestamp" in pod["metadata"]:
        shown = "Terminating"
    restarts = sum(each.get("restartCount", 0) for each in states)
    told = f"{restarts} (4h ago)" if restarts else "0"
    ip = pod.get("status", {}).get("podIP", "<none>")
    node = pod["spec"].get("nodeName", "<none>")
    return [
        pod["metadata"]["name"], f"{ready}/{wanted}", shown, told, AGE, ip, node, "<none>", "<none>"
    ]  # fmt: skip


def _node(node: Object) -> list[Any]:
    conditions = node.get("status", {}).get("conditions", [])
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    state = "Ready" if ready else "NotReady"
    if node.get("spec", {}).get("unschedulable"):
        state += ",SchedulingDisabled"
    info = node.get("status", {}).get("nodeInfo", {})
    addresses = {
        each["type"]: each["address"] for each in node.get("status", {}).get("addresses", [])
    }
    return [
        node["metadata"]["name"], state, "<none>", AGE, info.get("kubeletVersion", ""),
        addresses.get("InternalIP", "<none>"), addresses.get("ExternalIP", "<none>"),
        info.get("osImage", ""), info.get("kernelVersion", ""),
        info.get("containerRuntimeVersion", ""),
    ]  # fmt: skip


def _deployment(thing: Object) -> list[Any]:
    status = thing.get("status", {})
    containers = thing["spec"]["template"]["spec"]["containers"]
    wanted = thing["spec"].get("replicas", 1)
    return [
        thing["metadata"]["name"], f"{status.get('readyReplicas', 0)}/{wanted}",
        status.get("updatedReplicas", 0), status.get("availableReplicas", 0), AGE,
        ",".join(each["name"] for each in containers),
        ",".join(each["image"] for each in containers), "app=" + thing["metadata"]["name"],
    ]  # fmt: skip


_PLAIN: tuple[list[Object], Callable[[Object], list[Any]]] = (
    [column("Name"), column("Age")],
    lambda thing: [thing["metadata"]["name"], AGE],
)

_PRINTERS: dict[tuple[str, str], tuple[list[Object], Callable[[Object], list[Any]]]] = {
    ("", "Pod"): (
        [
            column("Name"), column("Ready"), column("Status"), column("Restarts"), column("Age"),
            column("IP", priority=1), column("Node", priority=1),
            column("Nominated Node", priority=1), column("Readiness Gates", priority=1),
        ],
        _pod,
    ),
    ("", "Node"): (
        [
            column("Name"), column("Status"), column("Roles"), column("Age"), column("Version"),
            column("Internal-IP", priority=1), column("External-IP", priority=1),
            column("OS-Image", priority=1), column("Kernel-Version", priority=1),
            column("Container-Runtime", priority=1),
        ],
        _node,
    ),
    ("apps", "Deployment"): (
        [
            column("Name"), column("Ready"), column("Up-to-date", "integer"),
            column("Available", "integer"), column("Age"), column("Containers", priority=1),
            column("Images", priority=1), column("Selector", priority=1),
        ],
        _deployment,
    ),
    ("", "Namespace"): (
        [column("Name"), column("Status"), column("Age")],
        lambda thing: [
            thing["metadata"]["name"], thing.get("status", {}).get("phase", "Active"), AGE
        ],
    ),
    ("", "Secret"): (
        [column("Name"), column("Type"), column("Data"), column("Age")],
        lambda thing: [
            thing["metadata"]["name"], thing.get("type", "Opaque"), len(thing.get("data", {})), AGE
        ],
    ),
    # A printer column of a custom resource can show anything that its author chose.
    ("stable.example.com", "CronTab"): (
        [column("Name"), column("Spec"), column("Password"), column("Age")],
        lambda thing: [
            thing["metadata"]["name"], thing["spec"].get("cronSpec"),
            thing["spec"].get("password"), AGE,
        ],
    ),
}  # fmt: skip
