"""The reading tools through the hub against a real kube-apiserver, whose words are the standard."""

import base64
import json
from typing import Any

import pytest

from tests.backends.kube.fleet import KubeClient
from tests.conftest import until
from tests.real.kube.cluster import RealKube

pytestmark = [pytest.mark.anyio, pytest.mark.real]

CANARY = "real-canary-0a1b2c3d"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def pod(name: str, **labels: str) -> dict[str, Any]:
    env = [{"name": "DB_PASSWORD", "value": CANARY}]
    container = {"name": "app", "image": "registry.test/app:1", "env": env}
    return {"metadata": {"name": name, "labels": labels}, "spec": {"containers": [container]}}


async def test_lists_page_by_the_servers_own_tokens_and_name_what_kubectl_names(
    kube: RealKube, k8s: KubeClient
) -> None:
    for n in range(5):
        kube.ask("POST", PODS, pod(f"page-{n}", app="page"))
    names: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await k8s("listPods", labelSelector="app=page", limit=2, **cursor)
        names += [each["name"] for each in page["items"]]
        assert all(each["namespace"] == "default" for each in page["items"])
        assert all(each["status"] == "Pending" for each in page["items"])
        if "nextCursor" not in page:
            break
        cursor = {"cursor": page["nextCursor"]}
    assert names == [f"page-{n}" for n in range(5)]
    first = await k8s("listPods", allNamespaces=True, limit=1)
    assert first["total"] >= 5
    table = await k8s("listResources", kind="po", asTable=True, labelSelector="app=page")
    assert table["table"].splitlines()[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    error = await k8s.refused("invalid_argument", "listPods", fieldSelector="spec.nope=1")
    assert error["upstreamStatus"] == 400


async def test_a_pod_an_object_and_a_secret_are_shown_without_what_is_secret(
    kube: RealKube, k8s: KubeClient
) -> None:
    made = pod("shown")
    made["metadata"]["annotations"] = {
        "kubectl.kubernetes.io/last-applied-configuration": json.dumps({"x": CANARY})
    }
    kube.ask("POST", PODS, made)
    encoded = base64.b64encode(CANARY.encode()).decode()
    secret = {"metadata": {"name": "db"}, "data": {"pass": encoded}}
    kube.ask("POST", "/api/v1/namespaces/default/secrets", secret)
    told = await k8s("getPod", name="shown")
    assert told["phase"] == "Pending"
    whole = await k8s("getResource", kind="pod", name="shown")
    hidden = await k8s("getResource", kind="secret", name="db")
    listed = await k8s("listResources", kind="secrets", wide=True)
    assert "pass: '<hidden: 20 bytes>'" in hidden["content"]
    assert "managedFields" not in whole["content"]
    for found in (told, whole, hidden, listed):
        assert CANARY not in json.dumps(found)
        assert encoded not in json.dumps(found)


async def test_kinds_are_discovered_group_by_group_as_older_servers_tell_them(
    kube: RealKube, k8s: KubeClient
) -> None:
    crd = {
        "metadata": {"name": "crontabs.stable.example.com"},
        "spec": {
            "group": "stable.example.com",
            "scope": "Namespaced",
            "names": {"plural": "crontabs", "kind": "CronTab", "shortNames": ["ct"]},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "x-kubernetes-preserve-unknown-fields": True,
                        }
                    },
                }
            ],
        },
    }
    before = await k8s("listApiResources", limit=500)
    assert "deployments.apps" in {each["name"] for each in before["items"]}
    kube.ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
    objects = "/apis/stable.example.com/v1/namespaces/default/crontabs"

    await until(lambda: kube.has(objects), within_s=30)
    thing = {"apiVersion": "stable.example.com/v1", "kind": "CronTab", "metadata": {"name": "n"}}
    kube.ask("POST", objects, thing)

    async def known() -> bool:
        # What is not known is looked for anew, though not at every call.
        result = await k8s.raw("listResources", kind="ct")
        return not result.is_error and result.structured_content["items"][0]["name"] == "n"

    await until(known, within_s=30)


async def test_a_rollout_without_kubelets_says_that_it_waits_and_why(
    kube: RealKube, k8s: KubeClient
) -> None:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": pod("x")["spec"]}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    kube.ask("POST", DEPLOYMENTS, {"metadata": {"name": "web"}, "spec": spec})

    async def seen() -> bool:
        return (await k8s("getRolloutStatus", name="web"))["updated"] == 2

    await until(seen, within_s=30)
    found = await k8s("getRolloutStatus", name="web", waitS=1)
    assert (found["phase"], found["desired"], found["available"]) == ("progressing", 2, 0)
    assert found["reason"] == "0 of 2 replicas are available"
    listed = await k8s("listDeployments")
    assert {each["name"]: each["ready"] for each in listed["items"]}["web"] == "0/2"
    kube.ask(
        "PUT",
        f"{DEPLOYMENTS}/web/scale",
        {"apiVersion": "autoscaling/v1", "kind": "Scale",
         "metadata": {"name": "web", "namespace": "default"}, "spec": {"replicas": 0}},
    )  # fmt: skip
    done = await k8s("getRolloutStatus", name="web", waitS=30)
    assert done["phase"] == "complete"


async def test_the_cmdb_is_told_what_runs_and_what_is_whose(
    kube: RealKube, k8s: KubeClient
) -> None:
    kube.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "told"}})
    template = {"metadata": {"labels": {"app": "told"}}, "spec": pod("x")["spec"]}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "told"}}, "template": template}
    path = "/apis/apps/v1/namespaces/told/deployments"
    kube.ask("POST", path, {"metadata": {"name": "web"}, "spec": spec})
    pods = "/api/v1/namespaces/told/pods"
    await until(lambda: len(kube.ask("GET", pods)["items"]) == 2, within_s=30)
    within = {"cluster": "main", "namespace": "told"}
    asked = {"source": "k8s", "discover": {"service": "k8s", "within": within}}

    async def cmdb(tool: str, **arguments: Any) -> dict[str, Any]:
        result = await k8s.client.call_tool(f"data.cmdb.{tool}", arguments)
        assert not result.is_error, result.content
        assert result.structured_content is not None
        return result.structured_content

    plan = await cmdb("previewReconcile", **asked)
    assert plan["counts"]["creates"] == 4
    done = await cmdb("applyReconcile", planId=plan["planId"])
    assert (done["created"], done["relationsCreated"]) == (4, 3)
    items = (await cmdb("searchItems", ciClass="deployment"))["items"]
    assert [each["name"] for each in items] == ["main/told/web"]
    assert items[0]["attributes"]["image"] == "registry.test/app:1"
    related = await cmdb("listRelations", id=items[0]["id"])
    assert sorted(each["type"] for each in related["items"]) == [
        "contains", "member_of", "member_of"
    ]  # fmt: skip
    kube.ask("DELETE", f"{path}/web", {"propagationPolicy": "Foreground"})
    # The pods go first and their owner last, when the garbage collector has seen them go.
    await until(lambda: not kube.has(f"{path}/web"), within_s=30)
    assert kube.ask("GET", pods)["items"] == []
    gone = await cmdb("previewReconcile", **asked)
    assert gone["counts"]["retires"] == 3


async def test_what_a_reader_may_is_what_rbac_says(kube: RealKube, k8s: KubeClient) -> None:
    assert (await k8s("listPods", cluster="reader"))["returned"] >= 0
    error = await k8s.refused(
        "not_allowed", "getResource", cluster="reader", kind="secret", name="db"
    )
    assert 'User "reader" cannot get resource "secrets"' in error["message"]
    assert error["upstreamCode"] == "Forbidden"
    may = await k8s("canI", verb="delete", kind="pods")
    may_not = await k8s("canI", cluster="reader", verb="delete", kind="pods")
    assert (may["allowed"], may_not["allowed"]) == (True, False)
    rules = await k8s("canI", cluster="reader")
    assert any("pods/log" in rule["resources"] for rule in rules["rules"])


async def test_nodes_namespaces_events_and_missing_parts_are_told(
    kube: RealKube, k8s: KubeClient
) -> None:
    kube.ask("POST", "/api/v1/nodes", {"metadata": {"name": "node-1"}})
    assert [each["name"] for each in (await k8s("listNodes"))["items"]] == ["node-1"]
    names = [each["name"] for each in (await k8s("listNamespaces"))["items"]]
    assert "kube-system" in names
    event = {
        "metadata": {"name": "e1"},
        "involvedObject": {"kind": "Pod", "name": "shown", "namespace": "default"},
        "reason": "FailedScheduling",
        "message": "no nodes",
        "type": "Warning",
        "lastTimestamp": "2026-01-02T03:04:05Z",
        "count": 3,
    }
    kube.ask("POST", "/api/v1/namespaces/default/events", event)
    found = await k8s("listEvents", kind="Pod", name="shown")
    assert found["items"][0]["reason"] == "FailedScheduling"
    assert found["items"][0]["count"] == 3
    await k8s.refused("not_configured", "topPods")
    await k8s.refused("not_found", "getPod", name="nope")
    # There is no kubelet that a log could come from.
    result = await k8s.raw("getPodLogs", name="shown")
    assert result.is_error or result.structured_content["lines"] == 0
