"""Objects for the emulator, as kubelets and controllers would have reported them."""

from collections.abc import Mapping
from typing import Any


def pod(
    name: str,
    namespace: str = "default",
    *,
    node: str = "node-1",
    phase: str = "Running",
    labels: Mapping[str, str] | None = None,
    owner: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A pod with one container `app`, as a kubelet would have reported it."""
    running = phase == "Running"
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": dict(labels or {"app": name}),
            **({"ownerReferences": [dict(owner)]} if owner else {}),
        },
        "spec": {
            "nodeName": node,
            "containers": [{"name": "app", "image": "registry.test/app:1.2", **more}],
        },
        "status": {
            "phase": phase,
            "podIP": "10.1.2.3",
            "containerStatuses": [
                {
                    "name": "app",
                    "ready": running,
                    "restartCount": 0,
                    "image": "registry.test/app:1.2",
                    "state": {"running": {"startedAt": "2026-01-02T03:04:06Z"}} if running else {},
                }
            ],
        },
    }


def deployment(
    name: str, namespace: str = "default", *, replicas: int = 3, updated: int = 3, ready: int = 3
) -> dict[str, Any]:
    """A deployment of which the controller has seen the last change."""
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "generation": 2,
            "annotations": {"deployment.kubernetes.io/revision": "2"},
            "labels": {"app": name},
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "app", "image": "registry.test/app:1.2"}]},
            },
        },
        "status": {
            "observedGeneration": 2,
            "replicas": replicas,
            "updatedReplicas": updated,
            "readyReplicas": ready,
            "availableReplicas": ready,
        },
    }


def node(name: str, *, ready: bool = True) -> dict[str, Any]:
    """A node of 4 cores and 8 GiB."""
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {"providerID": f"kind://{name}"},
        "status": {
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
            "capacity": {"cpu": "4", "memory": "8Gi"},
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.5"}],
            "nodeInfo": {
                "kubeletVersion": "v1.31.0",
                "osImage": "Debian GNU/Linux 12",
                "kernelVersion": "6.1.0",
                "containerRuntimeVersion": "containerd://1.7.2",
                "systemUUID": "8d6f1c2e-0000-4000-8000-000000000001",
            },
        },
    }


def event(
    name: str,
    about: tuple[str, str],
    reason: str,
    message: str,
    *,
    at: str,
    type_: str = "Warning",
    count: int = 1,
    namespace: str = "default",
) -> dict[str, Any]:
    """An event about (kind, name), last told at `at`."""
    kind, thing = about
    return {
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": {"kind": kind, "name": thing, "namespace": namespace},
        "reason": reason,
        "message": message,
        "type": type_,
        "count": count,
        "lastTimestamp": at,
        "source": {"component": "kubelet"},
    }
