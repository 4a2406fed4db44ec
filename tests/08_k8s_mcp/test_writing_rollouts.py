"""Scaling, restarting and rolling back workloads."""

import copy
from datetime import datetime
from typing import Any

import pytest

from tests.backends.kube.bare import StartBare
from tests.backends.kube.bare import authority as authority
from tests.backends.kube.bare import start_bare as start_bare
from tests.backends.kube.emulator import KubeEmulator
from tests.backends.kube.writing import Writes

pytestmark = pytest.mark.anyio

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
REVISION = "deployment.kubernetes.io/revision"


def workload(kind: str = "Deployment", image: str = "shop:3", **spec: Any) -> dict[str, Any]:
    labels = {"app": "web"}
    return {
        "metadata": {"name": "web", "namespace": "default", "generation": 4},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "app", "image": image}]},
            },
            **spec,
        },
        "status": {"replicas": 3},
    }


def with_history(kube: KubeEmulator, *images: str, **spec: Any) -> dict[str, Any]:
    """A Deployment with a ReplicaSet for each of its images; the last one is current."""
    live = kube.put("Deployment", workload(image=images[-1], **spec))
    owner = {"kind": "Deployment", "name": "web", "uid": live["metadata"]["uid"]}
    for revision, image in enumerate(images, start=1):
        template = copy.deepcopy(live["spec"]["template"])
        template["spec"]["containers"][0]["image"] = image
        template["metadata"]["labels"] = {"app": "web", "pod-template-hash": f"h{revision}"}
        kube.put(
            "ReplicaSet",
            {
                "metadata": {
                    "name": f"web-h{revision}",
                    "namespace": "default",
                    "labels": {"app": "web"},
                    "annotations": {REVISION: str(revision)},
                    "ownerReferences": [{**owner, "controller": True}],
                },
                "spec": {"replicas": 0, "template": template},
            },
        )
    return live


@pytest.fixture
def kube() -> KubeEmulator:
    return KubeEmulator()


@pytest.fixture
def writes(kube: KubeEmulator) -> Writes:
    return Writes(kube)


def kept(kube: KubeEmulator, kind: str = "Deployment") -> Any:
    return kube.store.get(kube.kind(kind), "default", "web")


def image(kube: KubeEmulator) -> str:
    return kept(kube)["spec"]["template"]["spec"]["containers"][0]["image"]


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "ReplicaSet"])
async def test_a_workload_is_scaled_by_its_scale(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes, kind: str
) -> None:
    kube.put(kind, workload(kind))
    async with start_bare(kube) as k8s:
        foreseen = await k8s.foreseen("scaleDeployment", name="web", replicas=1, kind=kind)
        done = await k8s("scaleDeployment", name="web", replicas=1, kind=kind)
        sent = k8s.asked("PATCH")
    live = kept(kube, kind)
    assert live["spec"]["replicas"] == 1
    assert (done["before"], done["replicas"], done["generation"]) == (3, 1, 5)
    assert done["uid"] == live["metadata"]["uid"]
    assert "/web/scale?" in sent[0]
    assert foreseen.changes[0].before == 3
    assert foreseen.changes[0].after == 1
    assert live["metadata"]["uid"] in foreseen.target
    assert "2 of its pods are ended" in foreseen.warnings


async def test_scaling_from_another_number_than_the_caller_believes_is_a_conflict(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    kube.put("Deployment", workload())
    async with start_bare(kube) as k8s:
        error = await k8s.refused(
            "conflict", "scaleDeployment", name="web", replicas=9, currentReplicas=2
        )
        assert error["replicas"] == 3
        assert kept(kube)["spec"]["replicas"] == 3
        await k8s("scaleDeployment", name="web", replicas=9, currentReplicas=3)
        await k8s.refused("invalid_argument", "scaleDeployment", name="web", replicas=100_000)
        await k8s.refused("not_found", "scaleDeployment", name="none", replicas=1)
    assert kept(kube)["spec"]["replicas"] == 9


@pytest.mark.parametrize("changes", ["status", "spec", "status without end"])
async def test_scaling_from_a_number_stands_what_controllers_write_meanwhile(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes, changes: str
) -> None:
    kube.put("Deployment", workload())
    read, reads = kube.verbs["GET", "scale"], 0

    async def read_before_a_change(ask: Any) -> Any:
        nonlocal reads
        reads += 1
        answer = await read(ask)
        live = copy.deepcopy(kept(kube))
        if reads < 4 or changes == "status without end":
            live.setdefault("status", {})["replicas"] = reads
            if changes == "spec" and reads == 3:
                live["spec"]["replicas"] = 5
            kube.put("Deployment", live)
        return answer

    kube.verbs["GET", "scale"] = read_before_a_change
    async with start_bare(kube) as k8s:
        asked = {"name": "web", "replicas": 9, "currentReplicas": 3}
        if changes == "status":
            assert (await k8s("scaleDeployment", **asked))["replicas"] == 9
        else:
            error = await k8s.refused("conflict", "scaleDeployment", **asked)
            assert (error.get("replicas") == 5) == (changes == "spec")
    assert kept(kube)["spec"]["replicas"] == {"status": 9, "spec": 5}.get(changes, 3)
    assert reads == (5 if changes == "status without end" else 4)


async def test_what_is_scaled_to_nothing_is_told_so_beforehand(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    kube.put("Deployment", workload())
    async with start_bare(kube) as k8s:
        foreseen = await k8s.foreseen("scaleDeployment", name="web", replicas=0)
        same = await k8s.foreseen("scaleDeployment", name="web", replicas=3)
    assert "no replica is left" in foreseen.warnings[0]
    assert same.warnings == ["it changes nothing"]
    assert kept(kube)["spec"]["replicas"] == 3


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
async def test_a_restart_changes_the_template_and_nothing_else(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes, kind: str
) -> None:
    before = copy.deepcopy(kube.put(kind, workload(kind)))
    async with start_bare(kube) as k8s:
        foreseen = await k8s.foreseen("restartDeployment", name="web", kind=kind)
        assert kept(kube, kind)["spec"] == before["spec"]
        done = await k8s("restartDeployment", name="web", kind=kind)
    live = kept(kube, kind)
    at = live["spec"]["template"]["metadata"]["annotations"].pop(RESTARTED_AT)
    assert done["restartedAt"] == at
    assert datetime.fromisoformat(at).tzinfo is not None
    del live["spec"]["template"]["metadata"]["annotations"]
    assert live["spec"] == before["spec"]
    assert foreseen.state == {"running": 3, "images": ["shop:3"]}


async def test_what_is_paused_is_neither_restarted_nor_rolled_back(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    with_history(kube, "shop:1", "shop:2", paused=True)
    async with start_bare(kube) as k8s:
        for tool in ("restartDeployment", "rollbackDeployment"):
            error = await k8s.refused("conflict", tool, name="web")
            assert error["reason"] == "paused"
        assert not k8s.asked("PATCH")


async def test_a_strategy_that_leaves_a_gap_is_told_beforehand(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    kube.put("Deployment", workload(strategy={"type": "Recreate"}))
    async with start_bare(kube) as k8s:
        foreseen = await k8s.foreseen("restartDeployment", name="web")
    assert any("Recreate" in each for each in foreseen.warnings)


async def test_a_rollback_takes_back_the_template_before_and_lists_all_revisions(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    with_history(kube, "shop:1", "shop:2", "shop:3")
    async with start_bare(kube) as k8s:
        foreseen = await k8s.foreseen("rollbackDeployment", name="web")
        assert image(kube) == "shop:3"
        done = await k8s("rollbackDeployment", name="web")
    assert image(kube) == "shop:2"
    assert kept(kube)["spec"]["replicas"] == 3
    assert kept(kube)["spec"]["template"]["metadata"]["labels"] == {"app": "web"}
    assert (done["fromRevision"], done["toRevision"]) == (3, 2)
    assert [(each["revision"], each["images"]) for each in done["revisions"]] == [
        (3, ["shop:3"]),
        (2, ["shop:2"]),
        (1, ["shop:1"]),
    ]
    assert [each["current"] for each in done["revisions"]] == [True, False, False]
    assert foreseen.diff is not None
    assert "shop:3\n" in foreseen.diff
    assert foreseen.changes[0].after == ["shop:2"]
    assert "all of its pods are replaced" in foreseen.warnings[0]


async def test_a_rollback_goes_to_the_revision_that_is_asked_for_or_nowhere(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    with_history(kube, "shop:1", "shop:2", "shop:3")
    async with start_bare(kube) as k8s:
        error = await k8s.refused("not_found", "rollbackDeployment", name="web", toRevision=9)
        assert "3, 2, 1" in error["hint"]
        same = await k8s.refused("conflict", "rollbackDeployment", name="web", toRevision=3)
        assert same["reason"] == "unchanged"
        await k8s("rollbackDeployment", name="web", toRevision=1)
    assert image(kube) == "shop:1"


async def test_a_revision_that_wants_the_node_is_not_gone_back_to(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    with_history(kube, "shop:1", "shop:2")
    old = kube.store.get(kube.kind("ReplicaSet"), "default", "web-h1")
    assert old is not None
    old["spec"]["template"]["spec"]["hostNetwork"] = True
    async with start_bare(kube) as k8s:
        error = await k8s.refused("not_allowed", "rollbackDeployment", name="web")
    assert error["fields"][0]["path"] == "spec.template.spec.hostNetwork"
    assert image(kube) == "shop:2"


async def test_replica_sets_of_others_are_no_revisions(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    with_history(kube, "shop:1", "shop:2")
    strange = kube.store.get(kube.kind("ReplicaSet"), "default", "web-h1")
    assert strange is not None
    strange["metadata"]["ownerReferences"][0]["uid"] = "another"
    async with start_bare(kube) as k8s:
        await k8s.refused("not_found", "rollbackDeployment", name="web")


async def test_a_template_that_changed_since_it_was_looked_at_is_not_overwritten(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    with_history(kube, "shop:1", "shop:2")
    once = writes._kept

    def meanwhile(ask: Any, live: Any, *more: Any) -> Any:
        found = once(ask, live, *more)
        if ask.query.get("dryRun") == "All":
            kept(kube)["spec"]["template"]["spec"]["containers"][0]["image"] = "hotfix:1"
        return found

    writes._kept = meanwhile  # pyright: ignore[reportAttributeAccessIssue]
    async with start_bare(kube) as k8s:
        error = await k8s.refused("conflict", "rollbackDeployment", name="web")
    assert error["reason"] == "template_changed"
    assert image(kube) == "hotfix:1"
