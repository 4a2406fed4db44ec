"""Lists through the hub: one request of the API server a page, and what kubectl would show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.backends.kube.emulator import KubeEmulator
from tests.backends.kube.things import pod

if TYPE_CHECKING:
    from conftest import StartKube

pytestmark = pytest.mark.anyio


async def test_pods_are_listed_as_kubectl_shows_them(start_kube: StartKube) -> None:
    kube = KubeEmulator()
    kube.put("Pod", pod("web-1", node="node-7"))
    kube.put("Pod", pod("web-2", phase="Pending"))
    kube.put("Pod", pod("dns", "kube-system"))
    async with start_kube(kube) as k8s:
        found = await k8s("listPods")
        everywhere = await k8s("listPods", allNamespaces=True)
    assert found["items"][0] == {
        "namespace": "default",
        "name": "web-1",
        "ready": "1/1",
        "status": "Running",
        "restarts": "0",
        "age": "3d4h",
        "ip": "10.1.2.3",
        "node": "node-7",
    }
    assert [each["status"] for each in found["items"]] == ["Running", "Pending"]
    assert [each["namespace"] for each in everywhere["items"]] == [
        "default", "default", "kube-system"
    ]  # fmt: skip
