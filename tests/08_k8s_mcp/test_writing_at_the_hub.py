"""Each tool that changes a cluster, through the hub: asked for, shown, allowed, and done."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.backends.kube.bare import spoke_of
from tests.backends.kube.emulator import KubeEmulator
from tests.backends.kube.fleet import KubeFleet
from tests.backends.kube.person import Person
from tests.backends.kube.things import pod
from tests.backends.kube.writing import Out, Writes
from tests.backends.tls_server import TlsServer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import StartFleet

pytestmark = pytest.mark.anyio

OWNED = {"kind": "ReplicaSet", "name": "rs", "uid": "u", "controller": True}


class Desk(KubeFleet):
    """With the person who is asked."""

    person: Person
    writes: Writes

    def live(self, kind: str, name: str) -> Any:
        where = "" if kind == "Node" else "default"
        return self.kube.store.get(self.kube.kind(kind), where, name)

    async def asked_for(self, tool: str, **arguments: Any) -> tuple[dict[str, Any], str]:
        """What the call answers, and what the person was shown before anything had changed."""
        version, seen = self.kube.store.version, len(self.person.asked)

        def untouched() -> None:
            assert self.kube.store.version == version, "something changed before anybody said yes"

        self.person.before = untouched
        done = await self(tool, **arguments)
        assert len(self.person.asked) == seen + 1
        return done, self.person.asked[-1]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def whole_desk(
    start_fleet_in: StartFleet, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Desk]:
    folder: Path = tmp_path_factory.mktemp("kube-writing")
    kube = KubeEmulator()
    writes, person = Writes(kube), Person()
    server = TlsServer(kube.application, folder / "tls")
    async with server.running():
        spoke = spoke_of(folder, server.url, server.trusted)
        async with (
            start_fleet_in(folder, [spoke]) as hub,
            hub.client(elicitation_callback=person) as client,
        ):
            found = Desk(client, kube, server)
            found.person, found.writes = person, writes
            yield found


@pytest.fixture
async def desk(whole_desk: Desk) -> Desk:
    whole_desk.kube.forget()
    whole_desk.writes.managed.clear()
    whole_desk.server.faults.clear()
    whole_desk.person.decision, whole_desk.person.before = "allow_once", lambda: None
    return whole_desk


def deployment(**spec: Any) -> dict[str, Any]:
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "app", "image": "shop:1"}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template, **spec},
    }


async def test_a_manifest_is_shown_as_a_diff_and_applied(desk: Desk) -> None:
    first = yaml.safe_dump(deployment(replicas=2))
    await desk.asked_for("applyManifest", manifest=first)
    told = await desk("diffManifest", manifest=yaml.safe_dump(deployment(replicas=5)))
    done, shown = await desk.asked_for(
        "applyManifest", manifest=yaml.safe_dump(deployment(replicas=5))
    )
    assert told["documents"][0]["state"] == "changed"
    assert desk.live("Deployment", "web")["spec"]["replicas"] == 5
    assert done["applied"][0]["state"] == "changed"
    assert "-  replicas: 2" in shown
    assert "+  replicas: 5" in shown
    assert desk.live("Deployment", "web")["metadata"]["uid"] in shown


async def test_a_manifest_that_nobody_allows_is_not_applied(desk: Desk) -> None:
    desk.person.decision = "deny"
    await desk.refused(
        "approval_denied", "applyManifest", manifest=yaml.safe_dump(deployment(replicas=2))
    )
    assert desk.live("Deployment", "web") is None


async def test_a_patch_is_shown_as_a_diff_and_done(desk: Desk) -> None:
    desk.kube.put("Deployment", deployment(replicas=2))
    _, shown = await desk.asked_for(
        "patchResource", kind="deploy", name="web", patch="spec: {replicas: 3}"
    )
    assert "+  replicas: 3" in shown
    assert desk.live("Deployment", "web")["spec"]["replicas"] == 3


async def test_a_scale_is_shown_with_both_numbers_and_done(desk: Desk) -> None:
    desk.kube.put("Deployment", deployment(replicas=2))
    done, shown = await desk.asked_for("scaleDeployment", name="web", replicas=0)
    assert "from 2 to 0 replicas" in shown
    assert "no replica is left" in shown
    assert (done["before"], done["replicas"]) == (2, 0)
    assert desk.live("Deployment", "web")["spec"]["replicas"] == 0


async def test_a_restart_is_shown_and_done(desk: Desk) -> None:
    desk.kube.put("Deployment", deployment(replicas=2))
    done, shown = await desk.asked_for("restartDeployment", name="web")
    assert "all of its pods are replaced" in shown
    notes = desk.live("Deployment", "web")["spec"]["template"]["metadata"]["annotations"]
    assert done["restartedAt"] in notes.values()


async def test_a_rollback_is_shown_with_its_images_and_done(desk: Desk) -> None:
    live = desk.kube.put("Deployment", deployment())
    owner = {"kind": "Deployment", "name": "web", "uid": live["metadata"]["uid"]}
    for revision, image in ((1, "shop:0"), (2, "shop:1")):
        template = copy.deepcopy(live["spec"]["template"])
        template["spec"]["containers"][0]["image"] = image
        metadata = {
            "name": f"web-{revision}",
            "namespace": "default",
            "labels": {"app": "web"},
            "annotations": {"deployment.kubernetes.io/revision": str(revision)},
            "ownerReferences": [{**owner, "controller": True}],
        }
        desk.kube.put("ReplicaSet", {"metadata": metadata, "spec": {"template": template}})
    done, shown = await desk.asked_for("rollbackDeployment", name="web")
    assert "from revision 2 to 1" in shown
    assert "shop:0" in shown
    assert done["toRevision"] == 1
    containers = desk.live("Deployment", "web")["spec"]["template"]["spec"]["containers"]
    assert containers[0]["image"] == "shop:0"


async def test_a_program_is_shown_and_run_in_its_pod(desk: Desk) -> None:
    async def date(argv: list[str], _stdin: bytes, out: Out) -> int:
        await out(1, f"{argv} at noon".encode())
        return 0

    desk.writes.run["date"] = date
    desk.kube.put("Pod", pod("web"))
    done, shown = await desk.asked_for("execInPod", name="web", command=["date", "-u"])
    assert "container app of Pod default/web" in shown
    assert done["stdout"] == "['date', '-u'] at noon"
    assert desk.writes.ran[-1] == ["date", "-u"]


async def test_a_pod_and_an_object_are_shown_with_what_goes_with_them_and_deleted(
    desk: Desk,
) -> None:
    found = desk.kube.put("Pod", pod("web"))
    uid = found["metadata"]["uid"]
    done, shown = await desk.asked_for("deletePod", name="web", uid=uid)
    assert uid in shown
    assert "nothing starts another one in its place" in shown
    assert done["state"] == "gone"
    assert desk.live("Pod", "web") is None
    desk.kube.put("Deployment", deployment())
    desk.kube.put("Pod", pod("web-1", labels={"app": "web"}, owner=OWNED))
    done, shown = await desk.asked_for("deleteResource", kind="deployments", name="web")
    assert "1 pods go with it" in shown
    assert (done["state"], done.get("follow")) == ("gone", None)
    assert desk.live("Deployment", "web") is None


async def test_a_drain_is_shown_with_the_budgets_in_its_way_and_done(desk: Desk) -> None:
    desk.kube.put("Node", {"metadata": {"name": "node-1"}, "spec": {}})
    desk.kube.put("Pod", pod("web-1", labels={"app": "web"}, owner=OWNED))
    held = desk.kube.put(
        "PodDisruptionBudget",
        {
            "metadata": {"name": "web-pdb", "namespace": "default"},
            "spec": {"selector": {"matchLabels": {"app": "web"}}},
            "status": {"disruptionsAllowed": 0},
        },
    )

    def gives_way(shown: str) -> None:
        assert "web-pdb lets 0 of its 1 pods here go" in shown
        held["status"]["disruptionsAllowed"] = 1

    done, shown = await desk.asked_for("drainNode", node="node-1", timeoutS=1)
    gives_way(shown)
    assert done["state"] == "timed_out"
    assert desk.live("Node", "node-1")["spec"]["unschedulable"] is True
    done, _ = await desk.asked_for("drainNode", node="node-1")
    assert done["state"] == "drained"
    assert desk.live("Pod", "web-1") is None


async def test_no_value_of_a_secret_is_shown_to_whoever_decides(desk: Desk) -> None:
    def secret(value: str) -> str:
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "s", "namespace": "default"},
                "stringData": {"password": value},
            }
        )

    await desk("applyManifest", manifest=secret("canary-One-1"))
    _, shown = await desk.asked_for("applyManifest", manifest=secret("canary-Two-2"))
    assert "canary-One-1" not in shown
    assert "(hidden, " in shown
    live = json.dumps(desk.live("Secret", "s"))
    assert "Y2FuYXJ5LVR3by0y" in live


async def test_a_reader_changes_nothing_through_the_hub_either(desk: Desk) -> None:
    desk.kube.put("Deployment", deployment(replicas=2))
    error = await desk.refused(
        "not_allowed", "scaleDeployment", name="web", replicas=0, cluster="reader"
    )
    assert error["upstreamStatus"] == 403
    assert desk.live("Deployment", "web")["spec"]["replicas"] == 2


async def test_nobody_is_asked_of_what_cannot_be_done(desk: Desk) -> None:
    desk.kube.put("Deployment", deployment())
    seen, version = len(desk.person.asked), desk.kube.store.version
    elsewhere = deployment()
    elsewhere["metadata"]["namespace"] = "other"
    for code, tool, arguments in (
        ("invalid_argument", "applyManifest", {"manifest": "kind: [unclosed"}),
        (
            "invalid_argument",
            "applyManifest",
            {"manifest": yaml.safe_dump(elsewhere), "namespace": "default"},
        ),
        ("not_found", "patchResource", {"kind": "deploy", "name": "none", "patch": "spec: {}"}),
        ("invalid_argument", "patchResource", {"kind": "deploy", "name": "web", "patch": "["}),
        ("not_found", "scaleDeployment", {"name": "none", "replicas": 1}),
        ("not_found", "restartDeployment", {"name": "none"}),
        ("not_found", "rollbackDeployment", {"name": "none"}),
        ("not_found", "rollbackDeployment", {"name": "web", "toRevision": 7}),
        ("not_found", "execInPod", {"name": "none", "command": ["date"]}),
        ("not_found", "deletePod", {"name": "none"}),
        ("conflict", "deleteResource", {"kind": "deploy", "name": "web", "uid": "another"}),
        ("not_found", "drainNode", {"node": "none"}),
    ):
        await desk.refused(code, tool, **arguments)
    assert (len(desk.person.asked), desk.kube.store.version) == (seen, version)
    # A server that is away may be back: then somebody is asked, without a preview.
    desk.server.faults.drop("GET", times=None)
    await desk.raw("restartDeployment", name="web")
    assert "No preview: k8s failed" in desk.person.asked[-1]
