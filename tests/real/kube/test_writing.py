"""The writing tools through the hub, with somebody who is asked, against a real kube-apiserver."""

import json
from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError

import pytest
import yaml

from flotilla import CommonSettings
from k8s import build
from k8s.settings import Settings
from tests.backends.kube.fleet import KubeClient
from tests.backends.kube.person import Person
from tests.conftest import until
from tests.real.kube.cluster import RealKube
from tests.real.kube.conftest import clusters_in

pytestmark = [pytest.mark.anyio, pytest.mark.real]

APPS = "/apis/apps/v1/namespaces/default/deployments"
PODS = "/api/v1/namespaces/default/pods"


class Desk(KubeClient):
    """A client of the hub with a person at it, who says yes."""

    person: Person

    @property
    def shown(self) -> str:
        return self.person.asked[-1]


@pytest.fixture(scope="module")
async def desk(
    kube: RealKube, k8s: KubeClient, start_fleet_in: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Desk]:
    del k8s  # it lives longer, so it must be there first
    folder = tmp_path_factory.mktemp("writing")
    settings = Settings(config=clusters_in(folder, kube), kubeconfig="none")
    spoke = build(settings, CommonSettings(data_dir=folder / "data"), env={})
    person = Person()
    async with (
        start_fleet_in(folder, [spoke]) as hub,
        hub.client(elicitation_callback=person) as client,
    ):
        found = Desk(client)
        found.person = person
        yield found


def deployment(name: str, image: str = "shop:1", replicas: int = 2) -> dict[str, Any]:
    labels = {"app": name}
    pod = {"containers": [{"name": "app", "image": image, "ports": [{"containerPort": 80}]}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def manifest(*documents: dict[str, Any]) -> str:
    # Through JSON, so that what occurs twice is written twice: aliases are not taken.
    return "---\n".join(yaml.safe_dump(json.loads(json.dumps(each))) for each in documents)


def image_of(kube: RealKube, name: str) -> str:
    live = kube.ask("GET", f"{APPS}/{name}")
    return live["spec"]["template"]["spec"]["containers"][0]["image"]


async def settled(kube: RealKube, name: str, revision: int, replicas: int, updated: int) -> None:
    """Return once the controller is done with a Deployment whose pods never run.

    Until then it goes on writing to it, and what is changed meanwhile is a conflict or a change
    that was not ours.
    """
    noted = "deployment.kubernetes.io/revision"

    def is_so() -> bool:
        live = kube.ask("GET", f"{APPS}/{name}")
        metadata, status = live["metadata"], live.get("status", {})
        seen = [status.get(key) for key in ("observedGeneration", "replicas", "updatedReplicas")]
        revised = metadata.get("annotations", {}).get(noted)
        return (seen, revised) == ([metadata["generation"], replicas, updated], str(revision))

    await until(is_so, within_s=30)


async def test_a_deployment_lives_its_life_and_every_step_is_shown_first(
    kube: RealKube, desk: Desk
) -> None:
    made = await desk("applyManifest", manifest=manifest(deployment("life")))
    assert made["applied"][0]["state"] == "new"
    assert "+  replicas: 2" in desk.shown
    assert kube.ask("GET", f"{APPS}/life")["spec"]["replicas"] == 2
    await settled(kube, "life", revision=1, replicas=2, updated=2)
    again = await desk("diffManifest", manifest=manifest(deployment("life")))
    assert (again["documents"][0]["state"], again["clean"]) == ("unchanged", True)

    await desk("applyManifest", manifest=manifest(deployment("life", "shop:2")))
    assert "-      - image: shop:1" in desk.shown
    assert "+      - image: shop:2" in desk.shown
    assert "all of its pods are replaced" in desk.shown
    assert image_of(kube, "life") == "shop:2"
    # One of the new pods comes before one of the old may go.
    await settled(kube, "life", revision=2, replicas=3, updated=1)

    scaled = await desk("scaleDeployment", name="life", replicas=3, currentReplicas=2)
    assert (scaled["before"], scaled["replicas"]) == (2, 3)
    assert "from 2 to 3 replicas" in desk.shown
    assert kube.ask("GET", f"{APPS}/life")["spec"]["replicas"] == 3

    back = await desk("rollbackDeployment", name="life")
    assert (back["fromRevision"], back["toRevision"]) == (2, 1)
    assert image_of(kube, "life") == "shop:1"
    assert kube.ask("GET", f"{APPS}/life")["spec"]["replicas"] == 3

    restarted = await desk("restartDeployment", name="life")
    live = kube.ask("GET", f"{APPS}/life")
    notes = live["spec"]["template"]["metadata"]["annotations"]
    assert notes["kubectl.kubernetes.io/restartedAt"] == restarted["restartedAt"]
    assert restarted["generation"] == live["metadata"]["generation"]
    status = await desk("getRolloutStatus", name="life")
    assert status["desired"] == 3

    uid = live["metadata"]["uid"]
    await desk.refused("conflict", "deleteResource", kind="deployment", name="life", uid="another")
    await desk("deleteResource", kind="deployment", name="life", uid=uid, waitS=20)
    assert f"(uid {uid})" in desk.shown
    assert "pods go with it" in desk.shown
    await until(lambda: not kube.has(f"{APPS}/life"), within_s=30)


async def test_fields_of_another_manager_are_a_conflict_that_names_it(
    kube: RealKube, desk: Desk
) -> None:
    await desk("applyManifest", manifest=manifest(deployment("fields")))
    path = f"{APPS}/fields?fieldManager=autoscaler"

    def is_scaled() -> bool:
        live = kube.ask("GET", f"{APPS}/fields")
        live["spec"]["replicas"] = 7
        try:
            kube.ask("PUT", path, live)
        except HTTPError as error:
            if error.code != HTTPStatus.CONFLICT:
                raise
            # Somebody of the cluster wrote to it in between.
            return False
        return True

    await until(is_scaled)
    wanted = manifest(deployment("fields"))
    told = await desk("diffManifest", manifest=wanted)
    error = await desk.refused("conflict", "applyManifest", manifest=wanted)
    assert error["conflicts"] == [{"manager": "autoscaler", "field": ".spec.replicas"}]
    assert "is managed by autoscaler" in desk.shown
    assert told["documents"][0]["conflicts"] == error["conflicts"]
    assert "-  replicas: 7\n+  replicas: 2\n" in told["documents"][0]["diff"]
    assert kube.ask("GET", f"{APPS}/fields")["spec"]["replicas"] == 7
    await desk("applyManifest", manifest=wanted, force=True)
    live = kube.ask("GET", f"{APPS}/fields")
    assert live["spec"]["replicas"] == 2
    assert "flotilla" in {each["manager"] for each in live["metadata"]["managedFields"]}


async def test_a_namespace_a_kind_and_what_is_in_them_come_in_one_manifest(
    kube: RealKube, desk: Desk
) -> None:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "boats.harbour.example.com"},
        "spec": {
            "group": "harbour.example.com",
            "scope": "Namespaced",
            "names": {"plural": "boats", "singular": "boat", "kind": "Boat"},
            "versions": [
                {
                    "name": "v1", "served": True, "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }  # fmt: skip
    # No boat: this server is older than its Go, and falls over a dry run of a custom resource. The
    # emulator has the case.
    settings = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "boats", "namespace": "harbour"},
        "data": {"oars": "4"},
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "harbour"}}
    text = manifest(settings, definition, namespace)
    told = await desk("diffManifest", manifest=text)
    assert [each["state"] for each in told["documents"]] == ["new", "new", "later"]
    done = await desk("applyManifest", manifest=text)
    assert len(done["applied"]) == 3
    path = "/api/v1/namespaces/harbour/configmaps/boats"
    assert kube.ask("GET", path)["data"] == {"oars": "4"}
    await desk("deleteResource", kind="crd", name="boats.harbour.example.com")
    assert "EVERY object of the kind" in desk.shown
    gone = await desk("deleteResource", kind="ns", name="harbour", waitS=30)
    assert "EVERYTHING" in desk.shown
    assert gone["state"] in ("gone", "terminating")
    await until(lambda: not kube.has("/api/v1/namespaces/harbour"), within_s=60)


async def test_what_asks_for_the_node_or_for_all_rights_is_not_applied(
    kube: RealKube, k8s: KubeClient
) -> None:
    bad = deployment("bad")
    bad["spec"]["template"]["spec"]["hostNetwork"] = True
    await k8s.refused("not_allowed", "applyManifest", manifest=manifest(bad))
    await k8s("applyManifest", manifest=manifest(deployment("good")))
    pod = {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}
    for patch_type in ("merge", "strategic"):
        error = await k8s.refused(
            "not_allowed", "patchResource", kind="deploy", name="good", patchType=patch_type,
            patch=json.dumps({"spec": {"template": {"spec": pod}}}),
        )  # fmt: skip
        assert error["fields"][0]["path"] == "spec.template.spec.volumes[0].hostPath"
    step = {"op": "add", "path": "/spec/template/spec/hostPID", "value": True}
    await k8s.refused(
        "not_allowed", "patchResource", kind="deploy", name="good", patchType="json",
        patch=json.dumps([step]),
    )  # fmt: skip
    group = "rbac.authorization.k8s.io"
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "mine"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "system:node"},
        "subjects": [{"apiGroup": group, "kind": "Group", "name": "system:authenticated"}],
    }
    await k8s.refused("not_allowed", "applyManifest", manifest=manifest(binding))
    assert "volumes" not in kube.ask("GET", f"{APPS}/good")["spec"]["template"]["spec"]
    assert not kube.has(f"{APPS}/bad")
    assert not kube.has(f"/apis/{group}/v1/clusterrolebindings/mine")


async def test_values_of_secrets_are_not_shown_to_whoever_decides(
    kube: RealKube, desk: Desk
) -> None:
    def secret(value: str) -> str:
        metadata = {"name": "shown", "namespace": "default"}
        return manifest(
            {"apiVersion": "v1", "kind": "Secret", "metadata": metadata,
             "stringData": {"note": value}}
        )  # fmt: skip

    await desk("applyManifest", manifest=secret("first-canary-77"))
    await desk("applyManifest", manifest=secret("second-canary-77"))
    assert "first-canary-77" not in desk.shown
    assert "Zmlyc3QtY2FuYXJ5" not in desk.shown
    assert "-  note: (hidden, " in desk.shown
    live = kube.ask("GET", "/api/v1/namespaces/default/secrets/shown")
    assert live["data"] == {"note": "c2Vjb25kLWNhbmFyeS03Nw=="}


async def test_a_reader_of_rbac_changes_nothing(kube: RealKube, k8s: KubeClient) -> None:
    await k8s("applyManifest", manifest=manifest(deployment("kept")))
    where = {"cluster": "reader"}
    for tool, more in (
        ("applyManifest", {"manifest": manifest(deployment("kept", "evil:1"))}),
        ("patchResource", {"kind": "deploy", "name": "kept", "patch": "spec: {replicas: 0}"}),
        ("scaleDeployment", {"name": "kept", "replicas": 0}),
        ("restartDeployment", {"name": "kept"}),
        ("deleteResource", {"kind": "deploy", "name": "kept"}),
    ):
        error = await k8s.refused("not_allowed", tool, **where, **more)
        assert error["upstreamStatus"] == 403, tool
    live = kube.ask("GET", f"{APPS}/kept")
    assert live["spec"]["replicas"] == 2
    assert "annotations" not in live["spec"]["template"]["metadata"]


async def test_a_node_is_drained_as_its_budget_allows(kube: RealKube, desk: Desk) -> None:
    kube.ask("POST", "/api/v1/nodes", {"metadata": {"name": "drained"}})
    await desk("applyManifest", manifest=manifest(deployment("held")))
    listed = f"{PODS}?labelSelector=app%3Dheld"
    await until(lambda: len(kube.ask("GET", listed)["items"]) == 2, within_s=30)
    for pod in kube.ask("GET", listed)["items"]:
        _run_on(kube, pod["metadata"]["name"], "drained")
    kube.ask(
        "POST",
        "/apis/policy/v1beta1/namespaces/default/poddisruptionbudgets",
        {
            "metadata": {"name": "held-pdb"},
            "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "held"}}},
        },
    )
    budget = "/apis/policy/v1beta1/namespaces/default/poddisruptionbudgets/held-pdb"
    await until(lambda: _healthy(kube.ask("GET", budget)) == 2, within_s=30)

    blocked = await desk("drainNode", node="drained", gracePeriodS=0, timeoutS=2)
    assert "held-pdb lets 0 of its 2 pods here go" in desk.shown
    assert blocked["state"] == "timed_out"
    assert "held-pdb" in blocked["blocked"][0]["reason"]
    node = kube.ask("GET", "/api/v1/nodes/drained")
    assert node["spec"]["unschedulable"] is True

    kube.ask("DELETE", budget)
    done = await desk("drainNode", node="drained", gracePeriodS=0, timeoutS=20)
    assert done["state"] == "drained"
    assert len(done["evicted"]) == 2
    left = kube.ask("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Ddrained")["items"]
    assert left == []
    back = await desk("drainNode", node="drained", action="uncordon")
    assert back["schedulable"]
    assert "unschedulable" not in kube.ask("GET", "/api/v1/nodes/drained")["spec"]


def _run_on(kube: RealKube, name: str, node: str) -> None:
    """What a scheduler and a kubelet would have done."""
    binding = {"metadata": {"name": name}, "target": {"kind": "Node", "name": node}}
    kube.ask("POST", f"{PODS}/{name}/binding", {"apiVersion": "v1", "kind": "Binding", **binding})
    pod = kube.ask("GET", f"{PODS}/{name}")
    pod["status"] |= {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    kube.ask("PUT", f"{PODS}/{name}/status", pod)


def _healthy(budget: Any) -> int:
    return budget.get("status", {}).get("currentHealthy", 0)


async def test_a_pod_is_deleted_and_waited_for(kube: RealKube, desk: Desk) -> None:
    container = {"name": "app", "image": "shop:1"}
    made = kube.ask(
        "POST", PODS, {"metadata": {"name": "lone"}, "spec": {"containers": [container]}}
    )
    uid = made["metadata"]["uid"]
    done = await desk("deletePod", name="lone", uid=uid, gracePeriodS=0, waitS=20)
    assert "nothing starts another one in its place" in desk.shown
    assert (done["state"], done["uid"]) == ("gone", uid)
    assert not kube.has(f"{PODS}/lone")
