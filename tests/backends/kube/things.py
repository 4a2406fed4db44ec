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
