"""Deleting one object, and what an approval says goes with it."""

from typing import Any

import pytest

from tests.backends.kube.bare import StartBare
from tests.backends.kube.bare import authority as authority
from tests.backends.kube.bare import start_bare as start_bare
from tests.backends.kube.emulator import KubeEmulator
from tests.backends.kube.things import pod
from tests.backends.kube.writing import Writes

pytestmark = pytest.mark.anyio

OWNED = {"kind": "ReplicaSet", "name": "rs", "uid": "u", "controller": True}


@pytest.fixture
def kube() -> KubeEmulator:
    return KubeEmulator()


@pytest.fixture
def writes(kube: KubeEmulator) -> Writes:
    return Writes(kube)


def put(kube: KubeEmulator, kind: str, name: str, where: str = "default", **more: Any) -> Any:
    metadata = {"name": name, **({"namespace": where} if where else {})}
    return kube.put(kind, {"metadata": {**metadata, **more.pop("metadata", {})}, **more})


def there(kube: KubeEmulator, kind: str, name: str, where: str = "default") -> bool:
    return kube.store.get(kube.kind(kind), where, name) is not None


async def test_an_object_is_deleted_and_gone(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    uid = put(kube, "ConfigMap", "a")["metadata"]["uid"]
    put(kube, "ConfigMap", "b")
    async with start_bare(kube) as k8s:
        foreseen = await k8s.foreseen("deleteResource", kind="cm", name="a", uid=uid)
        assert there(kube, "ConfigMap", "a")
        done = await k8s("deleteResource", kind="cm", name="a", uid=uid, propagation="orphan")
        await k8s.refused("not_found", "deleteResource", kind="cm", name="a")
        sent = [each.body for each in k8s.server.asked if each.method == "DELETE"]
    assert (done["state"], done["uid"]) == ("gone", uid)
    assert not there(kube, "ConfigMap", "a")
    assert there(kube, "ConfigMap", "b")
    assert foreseen.target == f"ConfigMap default/a in main (uid {uid})"
    assert b'"propagationPolicy":"Orphan"' in sent[-1]
    assert uid.encode() in sent[-1], "the very one that was looked at"


async def test_another_object_of_the_same_name_is_left_alone(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    put(kube, "ConfigMap", "a")
    kube.put("Pod", pod("web"))
    async with start_bare(kube) as k8s:
        for tool, more in (("deleteResource", {"kind": "cm", "name": "a"}), (
            "deletePod", {"name": "web"}
        )):  # fmt: skip
            error = await k8s.refused("conflict", tool, **more, uid="the-one-before")
            assert error["reason"] == "uid_changed"
        assert not k8s.asked("DELETE")
    assert there(kube, "ConfigMap", "a")
    assert there(kube, "Pod", "web")


async def test_one_that_comes_between_looking_and_deleting_is_left_alone(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    put(kube, "ConfigMap", "a")
    async with start_bare(kube) as k8s:
        delete = kube.verbs["DELETE", ""]

        async def recreated(ask: Any) -> Any:
            kube.store.remove(ask.kind, "default", "a")
            put(kube, "ConfigMap", "a")
            return await delete(ask)

        kube.verbs["DELETE", ""] = recreated
        error = await k8s.refused("conflict", "deleteResource", kind="cm", name="a")
    assert "UID" in error["message"]
    assert there(kube, "ConfigMap", "a")


async def test_what_finalizers_hold_is_terminating_and_names_them(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    put(kube, "ConfigMap", "a", metadata={"finalizers": ["example.org/backup"]})
    async with start_bare(kube) as k8s:
        foreseen = await k8s.foreseen("deleteResource", kind="cm", name="a")
        done = await k8s("deleteResource", kind="cm", name="a")
    assert done["state"] == "terminating"
    assert done["finalizers"] == ["example.org/backup"]
    assert done["deletionAskedAt"]
    assert "it waits for example.org/backup before it is gone" in foreseen.warnings
    assert "does not say which uid" in foreseen.warnings[-1]


async def test_a_pod_is_deleted_and_waited_for(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    kube.put("Pod", pod("slow"))
    writes.lingers.add("slow")

    async def report(_progress: float, _total: float | None, _message: str | None) -> None:
        if there(kube, "Pod", "slow"):
            writes.leave("default", "slow")

    async with start_bare(kube, report=report) as k8s:
        done = await k8s("deletePod", name="slow", gracePeriodS=5, waitS=20)
        (sent,) = [each.body for each in k8s.server.asked if each.method == "DELETE"]
    assert done["state"] == "gone"
    assert b'"gracePeriodSeconds":5' in sent


async def test_a_pod_that_has_not_ended_is_terminating(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    kube.put("Pod", pod("slow"))
    writes.lingers.add("slow")
    async with start_bare(kube) as k8s:
        done = await k8s("deletePod", name="slow")
    assert (done["state"], done["gracePeriodS"]) == ("terminating", 30)


async def test_a_lost_answer_says_that_it_is_not_known_whether_it_was_deleted(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    kube.put("Pod", pod("web"))
    async with start_bare(kube) as k8s:
        k8s.server.faults.drop("DELETE")
        error = await k8s.refused("unavailable", "deletePod", name="web")
    assert error["uncertain"] is True
    assert "not known" in error["message"]


async def test_a_reader_deletes_nothing(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    kube.put("Pod", pod("web"))
    async with start_bare(kube) as k8s:
        await k8s.refused("not_allowed", "deletePod", name="web", cluster="reader")
        await k8s.refused(
            "not_allowed", "deleteResource", kind="pods", name="web", cluster="reader"
        )
        foreseen = await k8s.foreseen("deletePod", name="web", cluster="reader")
    assert there(kube, "Pod", "web")
    assert "the server would not take it" in foreseen.warnings[0]


async def test_a_namespace_shows_all_that_goes_with_it(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    put(kube, "Namespace", "shop", "")
    for name in ("a", "b", "c"):
        kube.put("Pod", pod(name, "shop"))
    put(kube, "Secret", "s", "shop")
    async with start_bare(kube) as k8s:
        foreseen = await k8s.foreseen("deleteResource", kind="ns", name="shop")
    (warning,) = [each for each in foreseen.warnings if "EVERYTHING" in each]
    assert "3 pods" in warning
    assert "1 secrets" in warning


async def test_a_definition_a_node_and_a_claim_show_what_goes_with_them(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    spec = {
        "group": "stable.example.com",
        "names": {"plural": "crontabs", "kind": "CronTab"},
        "versions": [{"name": "v1", "served": True}],
    }
    put(kube, "CustomResourceDefinition", "crontabs.stable.example.com", "", spec=spec)
    for name in ("x", "y"):
        put(kube, "CronTab", name, spec={})
    put(kube, "Node", "node-1", "", spec={})
    kube.put("Pod", pod("web"))
    put(kube, "PersistentVolumeClaim", "data", spec={"volumeName": "pv-1"})
    put(kube, "PersistentVolume", "pv-1", "", spec={
        "persistentVolumeReclaimPolicy": "Delete",
        "claimRef": {"namespace": "default", "name": "data"},
    })  # fmt: skip
    async with start_bare(kube) as k8s:
        told = {
            kind: (await k8s.foreseen("deleteResource", kind=kind, name=name)).warnings
            for kind, name in (
                ("crd", "crontabs.stable.example.com"),
                ("node", "node-1"),
                ("pvc", "data"),
                ("pv", "pv-1"),
            )
        }
    assert "2 CronTab" in told["crd"][0]
    assert told["node"][0].startswith("1 pods are on this node")
    assert told["pvc"][0] == "the data on volume pv-1 is DELETED with it"
    assert "the claim default/data is bound to it" in told["pv"]


async def test_what_controls_a_pod_and_what_it_loses_is_told(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    lone, owned = pod("lone"), pod("owned", owner=OWNED, labels={"app": "web"})
    lone["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}]
    kube.put("Pod", lone)
    kube.put("Pod", owned)
    put(kube, "Deployment", "web", spec={"selector": {"matchLabels": {"app": "web"}}})
    async with start_bare(kube) as k8s:
        first = await k8s.foreseen("deletePod", name="lone", gracePeriodS=0)
        second = await k8s.foreseen("deletePod", name="owned")
        third = await k8s.foreseen("deleteResource", kind="deploy", name="web")
    assert "nothing starts another one in its place" in first.warnings
    assert "the data in its emptyDir volumes is lost" in first.warnings
    assert any("forgotten at once" in each for each in first.warnings)
    assert "its ReplicaSet starts another one in its place" in second.warnings
    assert third.warnings[0] == "1 pods go with it"


async def test_a_hanging_server_ends_the_call_at_its_deadline(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    kube.put("Pod", pod("web"))
    async with start_bare(kube, deadline_s=1) as k8s:
        k8s.server.faults.hang("DELETE")
        error = await k8s.refused("timeout", "deletePod", name="web")
        k8s.server.faults.clear()
    assert error["uncertain"] is True
