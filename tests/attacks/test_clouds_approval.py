"""What a person allowed is what is done: not on another object that has the name by then."""

from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from tests.backends.kube.person import Person
from tests.backends.kube.things import pod
from tests.conftest import StartFleet

from .clouds import PROJECT, ZONE, Clouds, opened_clouds
from .clouds_given import furnish

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def clouds(
    anyio_backend: str, start_fleet_in: StartFleet, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Clouds]:
    folder = tmp_path_factory.mktemp("clouds")
    async with opened_clouds(start_fleet_in, folder, approvals="on") as clouds:
        furnish(clouds)
        yield clouds


async def refused(
    clouds: Clouds, tool: str, arguments: dict[str, Any], meanwhile: Callable[[], Any]
) -> None:
    """The person says yes to what they read, and by then it is another: it is a conflict, and the
    provider has changed nothing."""
    person = Person(before=meanwhile)
    async with clouds.fleet.client(elicitation_callback=person) as client:
        result = await client.call_tool(tool, arguments)
    assert len(person.asked) == 1
    assert result.is_error, result.structured_content
    assert (result.meta or {})["io.flotilla/error"]["code"] == "conflict", result.content


@pytest.mark.parametrize(
    ("tool", "more"),
    [
        ("deletePod", {}),
        ("deleteResource", {"kind": "pods"}),
        ("execInPod", {"command": ["echo", "x"]}),
    ],
)
async def test_a_pod_that_has_taken_the_name_is_left_alone(
    clouds: Clouds, tool: str, more: dict[str, Any]
) -> None:
    kube, name = clouds.kube, f"swapped-{tool.lower()}"
    kind = kube.kind("Pod")
    uid = kube.put("Pod", pod(name))["metadata"]["uid"]
    clouds.writes.ran.clear()

    def swap() -> None:
        kube.store.remove(kind, "default", name)
        kube.put("Pod", pod(name))

    await refused(clouds, f"infra.k8s.{tool}", {"name": name, "uid": uid, **more}, swap)
    live = kube.store.get(kind, "default", name)
    assert live is not None and live["metadata"]["uid"] != uid
    assert not clouds.writes.ran


async def test_labels_that_somebody_changed_meanwhile_are_left_alone(clouds: Clouds) -> None:
    machine = clouds.google.world.instance(PROJECT, ZONE, "swapped")
    seen = machine["labelFingerprint"]

    def swap() -> None:
        machine["labels"], machine["labelFingerprint"] = {"env": "new"}, "another"

    asked = {"instance": "swapped", "labels": {"env": "x"}, "fingerprint": seen}
    await refused(clouds, "cloud.gcp.setInstanceLabels", asked, swap)
    assert machine["labels"] == {"env": "new"}


async def test_an_object_that_was_written_meanwhile_is_not_patched(clouds: Clouds) -> None:
    kube = clouds.kube
    thing = {"metadata": {"name": "swapped", "namespace": "default"}, "data": {"a": "b"}}
    version = kube.put("ConfigMap", thing)["metadata"]["resourceVersion"]

    def swap() -> None:
        kube.put("ConfigMap", {**thing, "data": {"a": "new"}})

    asked = {"kind": "configmaps", "name": "swapped", "patch": '{"data": {"a": "c"}}'}
    await refused(clouds, "infra.k8s.patchResource", {**asked, "resourceVersion": version}, swap)
    live = kube.store.get(kube.kind("ConfigMap"), "default", "swapped")
    assert live is not None and live["data"] == {"a": "new"}
