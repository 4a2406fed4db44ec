"""What runs in a cluster comes into the CMDB whole, once, and then as it changes."""

from typing import Any

import pytest

from tests.backends.kube.emulator import KubeEmulator
from tests.backends.kube.things import deployment, node, pod

from .world import World

pytestmark = pytest.mark.anyio

WEB = "main/shop/web"


def web_pod(name: str, on: str = "node-1", mark: str = "5d4f8c7b9") -> dict[str, Any]:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"web-{mark}", "uid": "u1"}
    labels = {"app": "web", "pod-template-hash": mark}
    return pod(f"web-{mark}-{name}", "shop", node=on, labels=labels, owner=owner)


def shop(kube: KubeEmulator) -> None:
    """Two nodes, a deployment of two pods, a pod by itself, and one that waits for a node."""
    for name in ("node-1", "node-2"):
        kube.put("Node", node(name))
    for name in ("default", "shop"):
        kube.put("Namespace", {"metadata": {"name": name}})
    kube.put("Deployment", deployment("web", "shop", replicas=2))
    kube.put("Pod", web_pod("a"))
    kube.put("Pod", web_pod("b", "node-2"))
    kube.put("Pod", pod("lonely"))
    waiting = pod("waiting", phase="Pending")
    del waiting["spec"]["nodeName"], waiting["status"]["podIP"]
    kube.put("Pod", waiting)


async def test_a_cluster_comes_in_with_what_runs_on_what(world: World) -> None:
    shop(world.kubes["main"])
    shown = await world.book.take("k8s", cluster="main")
    assert shown["counts"]["creates"] == 1 + 2 + 2 + 1 + 4
    assert await world.book.links("pod", f"{WEB}-5d4f8c7b9-b") == {
        (f"{WEB}-5d4f8c7b9-b", "runs_on", "main/node-2"),
        (f"{WEB}-5d4f8c7b9-b", "member_of", WEB),
    }
    assert ("main/node-1", "member_of", "main") in await world.book.links("server", "main/node-1")
    suffering = await world.book.suffering("server", "main/node-1")
    assert {f"{WEB}-5d4f8c7b9-a", WEB, "main/default/lonely"} <= suffering
    assert f"{WEB}-5d4f8c7b9-b" not in suffering
    waiting = await world.book.links("pod", "main/default/waiting")
    assert waiting == {("main/default", "contains", "main/default/waiting")}


async def test_only_what_has_changed_is_shown_and_history_says_so(world: World) -> None:
    kube = world.kubes["main"]
    shop(kube)
    await world.book.take("k8s", cluster="main")
    before = await world.book.item("pod", "main/default/waiting")
    # A rollout: another template, another pod; and the one that waited has found a node.
    kube.store.remove(kube.kind("Pod"), "shop", "web-5d4f8c7b9-a")
    kube.put("Pod", web_pod("c", "node-2", "66b6c48dd5"))
    kube.put("Pod", pod("waiting", node="node-2"))
    shown = await world.book.preview("k8s", cluster="main")
    assert [each["name"] for each in shown["retires"]] == [f"{WEB}-5d4f8c7b9-a"]
    assert [each["name"] for each in shown["creates"]] == [f"{WEB}-66b6c48dd5-c"]
    (update,) = shown["updates"]
    assert {each["field"] for each in update["changes"]} == {
        "attributes.ip", "attributes.node", "attributes.status",
    }  # fmt: skip
    await world.book.apply(shown)
    told = await world.book.history(before["id"])
    assert [each["action"] for each in told][-2:] == ["updated", "related"]
    # A namesake on another node, as of a StatefulSet: it runs there and nowhere else. And one that
    # has ended has no address any more.
    kube.store.remove(kube.kind("Pod"), "default", "waiting")
    kube.put("Pod", pod("waiting", node="node-1"))
    ended = pod("lonely", phase="Failed")
    del ended["status"]["podIP"]
    kube.put("Pod", ended)
    await world.book.take("k8s", cluster="main")
    after = await world.book.item("pod", "main/default/lonely")
    assert "ip" not in after["attributes"]
    assert after["attributes"]["status"] == "Failed"
    links = await world.book.links("pod", "main/default/waiting")
    assert {name for _, kind, name in links if kind == "runs_on"} == {"main/node-1"}


async def test_a_node_that_its_cloud_has_not_named_yet_makes_no_servers_of_machines(
    world: World,
) -> None:
    kube = world.kubes["main"]
    shop(kube)
    for name in ("node-1", "node-2"):
        known = node(name)
        known["spec"]["providerID"] = f"azure:///{name}"
        kube.put("Node", known)
    await world.book.take("k8s", cluster="main")
    fresh = node("a-new-one")
    del fresh["spec"]["providerID"]
    kube.put("Node", fresh)
    shown = await world.book.take("k8s", cluster="main")
    assert [(each["ciClass"], each["name"]) for each in shown["creates"]] == [
        ("virtual_machine", "main/a-new-one")
    ]
    assert (shown["retires"], shown.get("relationsEnded")) == ([], None)


async def test_a_cluster_says_nothing_of_another_one_nor_a_namespace_of_others(
    world: World,
) -> None:
    for kube in world.kubes.values():
        shop(kube)
    await world.book.take("k8s", cluster="main")
    shown = await world.book.take("k8s", cluster="other")
    assert (shown["counts"]["creates"], shown["retires"]) == (10, [])
    again = await world.book.preview("k8s", cluster="main")
    assert (again["counts"]["unchanged"], again["counts"]["retires"]) == (10, 0)
    kube = world.kubes["main"]
    kube.store.remove(kube.kind("Pod"), "default", "lonely")
    part = await world.book.preview("k8s", cluster="main", namespace="shop")
    assert (part["counts"]["unchanged"], part["counts"]["retires"]) == (4, 0)
