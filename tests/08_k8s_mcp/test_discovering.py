"""What really runs in a cluster comes into the CMDB, with relations, by the caller's rights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cmdb import build as build_cmdb
from cmdb.settings import Settings as CmdbSettings
from flotilla import CommonSettings, Spoke
from k8s.seen import MAX_NAME_CHARS, name_of
from tests.backends.kube.emulator import KubeEmulator
from tests.backends.kube.things import deployment, node, pod

if TYPE_CHECKING:
    from conftest import StartKube

    from tests.backends.kube.fleet import KubeFleet

pytestmark = pytest.mark.anyio


def shop() -> KubeEmulator:
    kube = KubeEmulator()
    machine = node("node-1")
    machine["spec"]["providerID"] = "aws:///eu-west-1a/i-0abc"
    kube.put("Node", machine)
    kube.put("Namespace", {"metadata": {"name": "default"}})
    kube.put("Namespace", {"metadata": {"name": "shop"}})
    kube.put("Deployment", deployment("web", "shop"))
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f8c7b9", "uid": "u1"}
    labels = {"app": "web", "pod-template-hash": "5d4f8c7b9"}
    kube.put("Pod", pod("web-5d4f8c7b9-x2x7k", "shop", labels=labels, owner=owner))
    kube.put("Pod", pod("lonely"))
    return kube


async def call(k8s: KubeFleet, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await k8s.client.call_tool(f"data.cmdb.{tool}", arguments)
    assert not result.is_error, result.content[0].text  # pyright: ignore
    assert result.structured_content is not None
    return result.structured_content


async def planned(k8s: KubeFleet, discover: dict[str, Any]) -> dict[str, Any]:
    return await call(k8s, "previewReconcile", source="k8s", discover=discover)


def cmdb_in(folder: Path) -> Spoke:
    url = f"sqlite:///{folder}/cmdb.sqlite3"
    return build_cmdb(CmdbSettings(database_url=url), CommonSettings(data_dir=folder / "data"))


async def test_a_cluster_comes_into_the_cmdb_with_what_runs_on_what(
    start_kube: StartKube, tmp_path: Path
) -> None:
    async with start_kube(shop(), beside=[cmdb_in(tmp_path)]) as k8s:
        found = {"service": "k8s", "within": {"cluster": "main"}}
        plan = await planned(k8s, found)
        assert plan["counts"]["creates"] == 7
        done = await call(k8s, "applyReconcile", planId=plan["planId"])
        assert (done["created"], done["relationsCreated"]) == (7, 8)
        items = {each["name"]: each for each in (await call(k8s, "searchItems"))["items"]}
        assert items["main/node-1"]["ciClass"] == "virtual_machine"
        assert items["main/node-1"]["attributes"]["instance_uuid"].startswith("8d6f1c2e")
        assert items["main/shop/web"]["attributes"]["replicas"] == 3
        assert items["main"]["attributes"]["version"] == "v1.31.0"
        resting = await call(
            k8s, "analyzeImpact", id=items["main/node-1"]["id"], direction="downstream", depth=4
        )
        names = {each["name"] for each in resting["items"]}
        assert {"main/shop/web-5d4f8c7b9-x2x7k", "main/shop/web", "main/default/lonely"} <= names
        again = await planned(k8s, found)
        assert (again["counts"]["unchanged"], again["counts"]["creates"]) == (7, 0)
        k8s.kube.store.remove(k8s.kube.kind("Pod"), "default", "lonely")
        gone = await planned(k8s, found)
        assert gone["counts"]["retires"] == 1
        # Of one namespace nothing of another is missed.
        within = {"cluster": "main", "namespace": "shop"}
        part = await planned(k8s, {"service": "k8s", "within": within})
        assert (part["counts"]["unchanged"], part["counts"]["retires"]) == (3, 0)
        for within, code in (
            ({"cluster": "nope"}, "not_found"),
            ({"cluster": "main", "namespace": "../x"}, "invalid_argument"),
            ({"cluster": "main", "pods": True}, "invalid_argument"),
        ):
            asked = {"source": "k8s", "discover": {"service": "k8s", "within": within}}
            result = await k8s.client.call_tool("data.cmdb.previewReconcile", asked)
            assert result.is_error
            assert f'"code":"{code}"' in result.content[0].text  # pyright: ignore


@pytest.mark.real
async def test_a_cluster_of_many_pods_is_read_page_by_page(
    start_kube: StartKube, tmp_path: Path
) -> None:
    kube = KubeEmulator()
    kube.put("Node", node("node-1"))
    kube.put("Namespace", {"metadata": {"name": "default"}})
    for n in range(1100):
        kube.put("Pod", pod(f"web-{n:04}"))
    async with start_kube(kube, beside=[cmdb_in(tmp_path)]) as k8s:
        plan = await call(
            k8s,
            "previewReconcile",
            source="k8s",
            discover={"service": "k8s", "within": {"cluster": "main"}},
        )
        assert plan["counts"]["creates"] == 1103
        pages = [each for each in k8s.asked("/api/v1/pods?") if "limit=500" in each]
    assert len(pages) == 3


def test_a_name_that_is_too_long_for_the_cmdb_stays_one_of_a_kind() -> None:
    long = "x" * 250
    first, second = name_of("main", "default", long + "a"), name_of("main", "default", long + "b")
    assert len(first) == len(second) == MAX_NAME_CHARS
    assert first != second
    assert name_of("main", "default", "web") == "main/default/web"
