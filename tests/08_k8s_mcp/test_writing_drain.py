"""Emptying nodes: what is evicted, what is left, what holds it, and where it stops."""

import asyncio
from typing import Any

import pytest

from k8s.eviction import drain_plan
from tests.backends.kube.bare import BareKube, StartBare
from tests.backends.kube.bare import authority as authority
from tests.backends.kube.bare import start_bare as start_bare
from tests.backends.kube.emulator import KubeEmulator
from tests.backends.kube.things import pod
from tests.backends.kube.writing import Writes
from tests.conftest import until

pytestmark = pytest.mark.anyio

OWNED = {"kind": "ReplicaSet", "name": "rs", "uid": "u", "controller": True}
DAEMON = {**OWNED, "kind": "DaemonSet"}


def mirror(name: str) -> dict[str, Any]:
    found = pod(name, "kube-system")
    found["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    return found


def with_data(name: str) -> dict[str, Any]:
    found = pod(name, owner=OWNED)
    found["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}]
    return found


def budget(allowed: int, name: str = "web-pdb") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": allowed},
    }


@pytest.fixture
def kube() -> KubeEmulator:
    found = KubeEmulator()
    for name in ("node-1", "node-2"):
        found.put("Node", {"metadata": {"name": name}, "spec": {}})
    return found


@pytest.fixture
def writes(kube: KubeEmulator) -> Writes:
    return Writes(kube)


def pods_of(kube: KubeEmulator) -> list[str]:
    return [each["metadata"]["name"] for each in kube.store.all(kube.kind("Pod"))]


def unschedulable(kube: KubeEmulator) -> bool:
    node = kube.store.get(kube.kind("Node"), "", "node-1")
    assert node is not None
    return node["spec"].get("unschedulable", False)


def test_the_plan_tells_what_goes_what_stays_and_what_is_refused() -> None:
    done = pod("done", phase="Succeeded")
    done["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}]
    pods = [pod("lone"), pod("web", owner=OWNED), pod("agent", owner=DAEMON), mirror("api"),
            with_data("cache"), done]  # fmt: skip
    plan = drain_plan(pods, force=False, delete_empty_dir=False)
    assert [each.name for each in plan.evict] == ["done", "web"]
    assert {each.name: why for each, why in plan.skipped.items()} == {
        "agent": "daemonset",
        "api": "mirror",
    }
    assert {each.name: why for each, why in plan.refused.items()} == {
        "lone": "unmanaged",
        "cache": "emptyDir",
    }
    forced = drain_plan(pods, force=True, delete_empty_dir=True)
    assert not forced.refused
    assert [each.name for each in forced.loses_data] == ["cache"]
    assert [each.name for each in forced.unmanaged] == ["lone"]


async def test_a_node_is_cordoned_and_emptied_of_what_may_go(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    for each in (pod("web-1", owner=OWNED), pod("agent", owner=DAEMON), mirror("api"),
                 pod("elsewhere", owner=OWNED, node="node-2")):  # fmt: skip
        kube.put("Pod", each)
    async with start_bare(kube) as k8s:
        foreseen = await k8s.foreseen("drainNode", node="node-1")
        assert not unschedulable(kube)
        done = await k8s("drainNode", node="node-1")
        evicted = k8s.asked("POST")
    assert done["state"] == "drained"
    assert done["evicted"] == ["default/web-1"]
    assert done["skipped"] == {"daemonset": ["default/agent"], "mirror": ["kube-system/api"]}
    assert not done["schedulable"]
    assert unschedulable(kube)
    assert pods_of(kube) == ["agent", "elsewhere", "api"]
    assert all(each.endswith("/eviction") for each in evicted)
    assert foreseen.state["podsToEvict"] == 1
    assert foreseen.changes[0].field == "spec.unschedulable"


async def test_pods_that_nothing_starts_again_stop_it_before_anything_happens(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    kube.put("Pod", pod("lone"))
    kube.put("Pod", with_data("cache"))
    kube.put("Pod", pod("web-1", owner=OWNED))
    async with start_bare(kube) as k8s:
        error = await k8s.refused("conflict", "drainNode", node="node-1")
        foreseen = await k8s.foreseen("drainNode", node="node-1")
        assert not unschedulable(kube)
        assert len(pods_of(kube)) == 3
        done = await k8s("drainNode", node="node-1", force=True, deleteEmptyDirData=True)
    assert error["pods"] == [
        {"pod": "default/cache", "reason": "emptyDir"},
        {"pod": "default/lone", "reason": "unmanaged"},
    ]
    assert "it will be refused" in foreseen.warnings[0]
    assert done["state"] == "drained"
    assert pods_of(kube) == []


async def test_a_budget_is_waited_for_and_obeyed(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    for name in ("web-1", "web-2"):
        kube.put("Pod", pod(name, owner=OWNED, labels={"app": "web"}))
    held = kube.put("PodDisruptionBudget", budget(1))
    told: list[str] = []

    async def report(_progress: float, _total: float | None, message: str | None) -> None:
        told.append(message or "")
        if pods_of(kube) == ["web-2"]:
            held["status"]["disruptionsAllowed"] = 1

    async with start_bare(kube, report=report) as k8s:
        foreseen = await k8s.foreseen("drainNode", node="node-1")
        done = await k8s("drainNode", node="node-1")
        tries = len(k8s.asked("web-2/eviction"))
    assert done["state"] == "drained"
    assert done["evicted"] == ["default/web-1", "default/web-2"]
    assert tries >= 2
    assert "1 of 2 pods are gone; node-1 is cordoned" in told
    assert "the budget default/web-pdb lets 1 of its 2 pods here go just now" in foreseen.warnings


async def test_a_budget_that_never_gives_way_is_named_when_time_is_up(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    kube.put("Pod", pod("web-1", owner=OWNED, labels={"app": "web"}))
    kube.put("PodDisruptionBudget", budget(0))
    writes.retry_after = "0.5"
    async with start_bare(kube) as k8s:
        done = await k8s("drainNode", node="node-1", timeoutS=1)
        assert len(k8s.asked("/eviction")) <= 3, "the server says when to ask again"
    assert done["state"] == "timed_out"
    (blocked,) = done["blocked"]
    assert blocked["pod"] == "default/web-1"
    assert "web-pdb" in blocked["reason"]
    assert "stays cordoned" in done["note"]
    assert unschedulable(kube)
    assert pods_of(kube) == ["web-1"]


async def test_two_budgets_over_one_pod_are_told_in_the_servers_words(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    kube.put("Pod", pod("web-1", owner=OWNED, labels={"app": "web"}))
    kube.put("PodDisruptionBudget", budget(1))
    kube.put("PodDisruptionBudget", budget(1, "other"))
    async with start_bare(kube) as k8s:
        done = await k8s("drainNode", node="node-1", timeoutS=1)
    assert done["state"] == "timed_out"
    assert "more than one PodDisruptionBudget" in done["blocked"][0]["reason"]


async def test_a_pod_that_ends_slowly_counts_once_it_is_gone(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    kube.put("Pod", pod("slow", owner=OWNED))
    writes.lingers.add("slow")

    async def report(_progress: float, _total: float | None, _message: str | None) -> None:
        if "slow" in pods_of(kube):
            writes.leave("default", "slow")

    async with start_bare(kube, report=report) as k8s:
        done = await k8s("drainNode", node="node-1")
    assert done["state"] == "drained"
    assert done["evicted"] == ["default/slow"]


async def test_a_server_that_knows_only_the_older_eviction_is_asked_so(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    writes.eviction_versions = ("policy/v1beta1",)
    kube.put("Pod", pod("web-1", owner=OWNED))
    async with start_bare(kube) as k8s:
        done = await k8s("drainNode", node="node-1")
    assert done["state"] == "drained"


async def test_a_cancelled_drain_stops_and_leaves_the_node_cordoned(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    kube.put("Pod", pod("web-1", owner=OWNED, labels={"app": "web"}))
    kube.put("PodDisruptionBudget", budget(0))
    async with start_bare(kube) as k8s:
        task = asyncio.create_task(k8s("drainNode", node="node-1"))
        await until(lambda: k8s.asked("/eviction"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        asked = len(k8s.asked("/eviction"))
        back = await k8s("drainNode", node="node-1", action="uncordon")
        assert len(k8s.asked("/eviction")) == asked
    assert pods_of(kube) == ["web-1"]
    assert back["state"] == "uncordoned"
    assert back["schedulable"]
    assert not unschedulable(kube)


async def test_a_server_that_fails_ends_it_and_says_how_far_it_came(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    kube.put("Pod", pod("web-1", owner=OWNED))
    kube.put("Pod", pod("web-2", owner=OWNED))
    async with start_bare(kube) as k8s:
        k8s.server.faults.hang("web-2/eviction")
        done = await k8s("drainNode", node="node-1", timeoutS=1)
        left = pods_of(kube)
        k8s.server.faults.clear()
        again = await k8s("drainNode", node="node-1")
    assert left == ["web-2"]
    assert done["state"] == "interrupted"
    assert "did not answer in time" in done["note"]
    assert "default/web-2" in [each["pod"] for each in done["blocked"]]
    assert again["state"] == "drained"


async def test_a_server_that_had_no_time_left_to_answer_has_not_failed(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    kube.put("Pod", pod("web-1", owner=OWNED, labels={"app": "web"}))
    kube.put("PodDisruptionBudget", budget(0))
    writes.retry_after = "0.8"
    async with start_bare(kube) as k8s:
        draining = asyncio.create_task(k8s("drainNode", node="node-1", timeoutS=1))
        await until(lambda: len(k8s.asked("/eviction")) == 1)
        k8s.server.faults.hang("/eviction")
        done = await draining
        k8s.server.faults.clear()
    assert done["state"] == "timed_out"
    assert "web-pdb" in done["blocked"][0]["reason"]


async def test_throttling_is_obeyed_and_told(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    kube.put("Pod", pod("web-1", owner=OWNED))
    async with start_bare(kube) as k8s:
        k8s.server.faults.throttle("/eviction", retry_after="0.1", times=2)
        done = await k8s("drainNode", node="node-1")
        assert len(k8s.asked("/eviction")) == 3
    assert done["state"] == "drained"


async def test_only_the_node_that_was_looked_at_is_touched(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    async with start_bare(kube) as k8s:
        await k8s.refused("conflict", "drainNode", node="node-1", action="cordon", uid="another")
        assert not unschedulable(kube)
        await k8s.refused("not_found", "drainNode", node="none")
        await _reader_is_refused(k8s)
    assert not unschedulable(kube)


async def _reader_is_refused(k8s: BareKube) -> None:
    error = await k8s.refused("not_allowed", "drainNode", node="node-1", cluster="reader")
    assert error["upstreamStatus"] == 403
