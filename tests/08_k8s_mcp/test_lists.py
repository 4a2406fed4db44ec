"""Lists through the hub: one request of the API server a page, and what kubectl would show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flotilla.json_text import to_json
from tests.backends.kube.emulator import KubeEmulator
from tests.backends.kube.things import deployment, event, node, pod

if TYPE_CHECKING:
    from conftest import StartKube

    from tests.backends.kube.fleet import KubeFleet

pytestmark = pytest.mark.anyio

NAMES_OF_CRONTABS = (
    "crontabs",
    "CronTab",
    "ct",
    "crontab.stable.example.com",
    "crontabs.stable.example.com/v1",
    "crontabs.v1.stable.example.com",
)


async def test_pods_are_listed_as_kubectl_shows_them(k8s: KubeFleet) -> None:
    kube = k8s.kube
    kube.put("Pod", pod("web-1", node="node-7"))
    kube.put("Pod", pod("web-2", phase="Pending"))
    kube.put("Pod", pod("dns", "kube-system"))
    found = await k8s("listPods")
    everywhere = await k8s("listPods", allNamespaces=True)
    here = await k8s("listPods", allNamespaces=True, node="node-7")
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
    assert [each["name"] for each in here["items"]] == ["web-1"]


async def test_the_first_page_of_many_pods_is_one_request_and_the_rest_follows_lazily(
    k8s: KubeFleet,
) -> None:
    kube = k8s.kube
    for n in range(120):
        kube.put("Pod", pod(f"web-{n:03}"))
    first = await k8s("listPods")
    assert k8s.asked("/pods") == ["GET /api/v1/namespaces/default/pods?limit=50&includeObject=None"]
    second = await k8s("listPods", cursor=first["nextCursor"])
    third = await k8s("listPods", cursor=second["nextCursor"])
    names = [each["name"] for page in (first, second, third) for each in page["items"]]
    assert names == [f"web-{n:03}" for n in range(120)]
    assert (first["returned"], first["total"], first["truncated"]) == (50, 120, True)
    assert (third["returned"], third["total"], third["truncated"]) == (20, 120, False)
    assert "nextCursor" not in third


async def test_a_page_that_would_not_fit_into_an_answer_is_made_smaller_and_loses_nothing(
    k8s: KubeFleet,
) -> None:
    kube = k8s.kube
    long = "x" * 180
    for n in range(400):
        kube.put("Pod", pod(f"web-{n:03}-{long}"))
    names: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await k8s("listPods", limit=500, **cursor)
        assert len(to_json(page)) <= 48 * 1024
        names += [each["name"][:7] for each in page["items"]]
        if "nextCursor" not in page:
            break
        cursor = {"cursor": page["nextCursor"]}
    assert names == [f"web-{n:03}" for n in range(400)]


async def test_a_cursor_that_the_server_has_forgotten_says_to_start_anew(
    k8s: KubeFleet,
) -> None:
    kube = k8s.kube
    for n in range(60):
        kube.put("Pod", pod(f"web-{n:03}"))
    first = await k8s("listPods")
    kube.store.compact()
    error = await k8s.refused("conflict", "listPods", cursor=first["nextCursor"])
    assert "Start anew" in error["hint"]
    assert error["reason"] == "cursor_expired"
    assert error["upstreamStatus"] == 410


async def test_a_cursor_is_good_for_its_own_list_alone(k8s: KubeFleet) -> None:
    kube = k8s.kube
    for n in range(3):
        kube.put("Pod", pod(f"web-{n}"))
    first = await k8s("listPods", limit=1)
    for other in (
        {"namespace": "kube-system"},
        {"allNamespaces": True},
        {"labelSelector": "app=web-1"},
        {"cluster": "reader"},
    ):
        await k8s.refused("invalid_argument", "listPods", cursor=first["nextCursor"], **other)
    asked = len(k8s.server.asked)
    await k8s.refused("invalid_argument", "listPods", cursor="bm9wZQ")
    assert len(k8s.server.asked) == asked


async def test_selectors_choose_and_nonsense_is_told_before_the_server_is_asked(
    k8s: KubeFleet,
) -> None:
    kube = k8s.kube
    kube.put("Pod", pod("web", labels={"app": "web", "tier": "front"}))
    kube.put("Pod", pod("db", labels={"app": "db"}, phase="Pending"))
    by_label = await k8s("listPods", labelSelector="app in (web, api),tier=front")
    by_field = await k8s("listPods", fieldSelector="status.phase=Pending")
    asked = len(k8s.server.asked)
    for bad in ("app=web&limit=0", "app=\nweb", "app={}"):
        await k8s.refused("invalid_argument", "listPods", labelSelector=bad)
    for bad in ("../../secrets", "Default", "a/b"):
        await k8s.refused("invalid_argument", "listPods", namespace=bad)
    assert len(k8s.server.asked) == asked
    error = await k8s.refused("invalid_argument", "listPods", fieldSelector="spec.nope=1")
    assert [each["name"] for each in by_label["items"]] == ["web"]
    assert [each["name"] for each in by_field["items"]] == ["db"]
    assert "field label not supported" in error["message"]


async def test_nodes_namespaces_and_deployments_are_listed(k8s: KubeFleet) -> None:
    kube = k8s.kube
    kube.put("Node", node("node-1"))
    kube.put("Node", node("node-2", ready=False))
    kube.put("Namespace", {"metadata": {"name": "shop"}})
    kube.put("Deployment", deployment("web", ready=2))
    nodes = await k8s("listNodes")
    namespaces = await k8s("listNamespaces")
    deployments = await k8s("listDeployments")
    assert [each["status"] for each in nodes["items"]] == ["Ready", "NotReady"]
    assert nodes["items"][0]["internalIp"] == "10.0.0.5"
    assert nodes["items"][0]["version"] == "v1.31.0"
    assert namespaces["items"] == [{"name": "shop", "status": "Active", "age": "3d4h"}]
    assert deployments["items"][0]["ready"] == "2/3"
    assert deployments["items"][0]["images"] == "registry.test/app:1.2"


async def test_events_come_newest_first_and_repeated_ones_are_one(k8s: KubeFleet) -> None:
    kube = k8s.kube
    about = ("Pod", "web-1")
    kube.put("Event", event("a", about, "BackOff", "again", at="2026-01-02T03:00:00Z", count=4))
    kube.put("Event", event("b", about, "BackOff", "again", at="2026-01-02T05:00:00Z", count=2))
    kube.put("Event", event("c", ("Pod", "db"), "Failed", "no", at="2026-01-02T04:00:00Z"))
    kube.put("Event", event("d", about, "Pulled", "ok", at="2026-01-02T06:00:00Z", type_="Normal"))
    every = await k8s("listEvents")
    warnings = await k8s("listEvents", kind="Pod", name="web-1", type="Warning")
    assert [each["reason"] for each in every["items"]] == ["Pulled", "BackOff", "Failed"]
    assert every["items"][1]["count"] == 6
    assert every["items"][1]["lastAt"] == "2026-01-02T05:00:00Z"
    assert [each["reason"] for each in warnings["items"]] == ["BackOff"]
    assert every["incomplete"] is False


@pytest.mark.parametrize("aggregates", [True, False])
async def test_kinds_are_discovered_custom_resources_too(
    start_kube: StartKube, aggregates: bool
) -> None:
    kube = KubeEmulator(aggregates=aggregates)
    async with start_kube(kube) as k8s:
        found = await k8s("listApiResources", limit=500)
        custom = await k8s("listApiResources", group="stable.example.com")
        asked = len(k8s.server.asked)
        await k8s("listApiResources", namespaced=False)
        assert len(k8s.server.asked) == asked, "it is kept for some minutes"
    names = {each["name"]: each for each in found["items"]}
    assert names["deployments.apps"]["shortNames"] == ["deploy"]
    assert names["nodes"]["namespaced"] is False
    assert [each["name"] for each in custom["items"]] == ["crontabs.stable.example.com"]
    assert asked == (2 if aggregates else 10)


async def test_any_kind_is_listed_under_any_of_its_names(k8s: KubeFleet) -> None:
    kube = k8s.kube
    kube.put("CronTab", {"metadata": {"name": "night", "namespace": "default"},
                         "spec": {"cronSpec": "0 3 * * *"}})  # fmt: skip
    kube.put("Deployment", deployment("web"))
    for name in NAMES_OF_CRONTABS:
        found = await k8s("listResources", kind=name)
        assert found["items"][0]["cells"]["Spec"] == "0 3 * * *", name
    table = await k8s("listResources", kind="deploy", asTable=True)
    error = await k8s.refused("not_found", "listResources", kind="cronjab")
    await k8s.refused("invalid_argument", "listResources", kind="pods/../secrets")
    assert table["items"] == []
    assert table["table"].splitlines() == [
        "NAME   READY   UP-TO-DATE   AVAILABLE   AGE",
        "web    3/3     3            3           3d4h",
    ]
    assert "cronjobs" in error["hint"]


async def test_a_list_of_a_server_without_tables_has_names(start_kube: StartKube) -> None:
    kube = KubeEmulator(tables=False)
    kube.put("ConfigMap", {"metadata": {"name": "settings", "namespace": "default"}, "data": {}})
    async with start_kube(kube) as k8s:
        found = await k8s("listResources", kind="configmaps")
    assert found["items"][0]["name"] == "settings"


async def test_contexts_are_listed_and_an_unknown_one_is_told_with_what_there_is(
    k8s: KubeFleet,
) -> None:
    found = await k8s.client.call_tool("infra.k8s.listContexts", {})
    assert found.structured_content is not None
    names = {each["cluster"]: each for each in found.structured_content["items"]}
    missing = await k8s.refused("not_found", "listPods", cluster="prod")
    unsaid = await k8s.client.call_tool("infra.k8s.listPods", {})
    assert set(names) == {"main", "reader"}
    assert names["main"]["server"].startswith("https://127.0.0.1:")
    assert "problem" not in names["main"]
    assert missing["hint"] == "There are: main, reader."
    assert unsaid.is_error
    assert "say which cluster is meant" in unsaid.content[0].text  # pyright: ignore


async def test_who_may_see_one_namespace_does_not_see_all_by_naming_it(k8s: KubeFleet) -> None:
    k8s.kube.put("Pod", pod("web"))
    kinds = {"listResources": {"kind": "pods"}, "canI": {"verb": "get", "kind": "pods"}}
    tools = ("listPods", "listDeployments", "listEvents", "topPods", *kinds)
    for tool in tools:
        both = {"namespace": "default", "allNamespaces": True, **kinds.get(tool, {})}
        error = await k8s.refused("invalid_argument", tool, **both)
        assert "not both" in error["message"]
    assert k8s.asked("pods") == []


async def test_who_may_see_one_namespace_does_not_see_what_has_none(k8s: KubeFleet) -> None:
    k8s.kube.put("Node", node("node-1"))
    for tool, more in (("listResources", {}), ("getResource", {"name": "node-1"})):
        error = await k8s.refused(
            "invalid_argument", tool, kind="nodes", namespace="default", **more
        )
        assert "has no namespace" in error["message"]
    assert (await k8s("listResources", kind="nodes"))["returned"] == 1
