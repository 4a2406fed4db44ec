"""One object, one log, one rollout through the hub: what is shown, and what never is."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from flotilla.errors import InvalidArgument
from flotilla.json_text import to_json
from k8s.logs import matcher
from tests.backends.kube.things import deployment, event, node, pod
from tests.conftest import until

if TYPE_CHECKING:
    from tests.backends.kube.fleet import KubeFleet

pytestmark = pytest.mark.anyio

CANARY = "hunter2-canary-9f8e7d6c"
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def crashing() -> dict[str, Any]:
    env = [
        {"name": "LOG_LEVEL", "value": "debug"},
        {"name": "DB_PASSWORD", "value": CANARY},
        {"name": "KEY_FILE", "value": "/etc/key"},
        {"name": "HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
        {"name": "X", "valueFrom": {"secretKeyRef": {"name": "db", "key": "pass"}}},
    ]
    thing = pod("web-1", env=env, args=["--password", CANARY, "--verbose"])
    status = thing["status"]["containerStatuses"][0]
    status |= {
        "ready": False,
        "restartCount": 7,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
    }
    thing["metadata"]["managedFields"] = [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}]
    thing["metadata"]["annotations"] = {APPLIED: json.dumps({"env": CANARY}), "team": "shop"}
    return thing


async def test_a_pod_says_why_it_does_not_run_and_hides_its_secrets(k8s: KubeFleet) -> None:
    made = k8s.kube.put("Pod", crashing())
    told = event("e1", ("Pod", "web-1"), "BackOff", "Back-off", at="2026-01-02T03:00:00Z")
    told["involvedObject"]["uid"] = made["metadata"]["uid"]
    k8s.kube.put("Event", told)
    found = await k8s("getPod", name="web-1")
    (container,) = found["containers"]
    assert container["now"] == {
        "state": "waiting", "reason": "CrashLoopBackOff", "message": "back-off 5m0s"
    }  # fmt: skip
    assert container["before"]["reason"] == "OOMKilled"
    assert container["before"]["exitCode"] == 137
    assert container["restarts"] == 7
    assert container["env"]["LOG_LEVEL"] == "debug"
    assert "hidden" in container["env"]["DB_PASSWORD"]
    assert "X from secretKeyRef db pass" in container["envFrom"]
    assert [each["reason"] for each in found["events"]] == ["BackOff"]
    assert CANARY not in json.dumps(found)


async def test_an_object_is_read_without_bookkeeping_and_without_secrets(k8s: KubeFleet) -> None:
    k8s.kube.put("Pod", crashing())
    for output in ("yaml", "json"):
        found = await k8s("getResource", kind="pod", name="web-1", output=output)
        assert CANARY not in json.dumps(found)
        assert "managedFields" not in found["content"]
        assert "last-applied" not in found["content"]
        assert "team" in found["content"]
        assert "/etc/key" in found["content"]
    part = await k8s(
        "getResource",
        kind="Pod",
        name="web-1",
        output="json",
        fields=["spec.containers[0].image", "metadata.annotations.team"],
    )
    assert json.loads(part["content"]) == {
        "spec.containers[0].image": "registry.test/app:1.2",
        "metadata.annotations.team": "shop",
    }
    error = await k8s.refused(
        "invalid_argument", "getResource", kind="pod", name="web-1", fields=["spec.volumes"]
    )
    assert "nodeName" in error["hint"]


async def test_a_secret_shows_its_keys_and_sizes_and_never_a_value(k8s: KubeFleet) -> None:
    import base64

    encoded = base64.b64encode(CANARY.encode()).decode()
    secret = {
        "metadata": {
            "name": "db",
            "namespace": "default",
            "annotations": {APPLIED: json.dumps({"data": {"pass": encoded}})},
        },
        "type": "Opaque",
        "data": {"pass": encoded},
        "stringData": {"other": CANARY},
    }
    k8s.kube.put("Secret", secret)
    whole = await k8s("getResource", kind="secret", name="db")
    assert f"pass: '<hidden: {len(CANARY)} bytes>'" in whole["content"]
    assert "other: " in whole["content"]
    picked = await k8s("getResource", kind="secrets", name="db", fields=["data.pass"])
    listed = await k8s("listResources", kind="secrets", wide=True)
    drawn = await k8s("listResources", kind="secrets", asTable=True)
    assert listed["items"][0]["cells"]["Data"] == "1"
    for found in (whole, picked, listed, drawn):
        assert CANARY not in json.dumps(found)
        assert encoded not in json.dumps(found)


async def test_a_column_of_a_custom_resource_that_is_named_a_secret_is_hidden(
    k8s: KubeFleet,
) -> None:
    spec = {"cronSpec": "0 3 * * *", "password": CANARY}
    k8s.kube.put("CronTab", {"metadata": {"name": "n", "namespace": "default"}, "spec": spec})
    listed = await k8s("listResources", kind="crontabs")
    drawn = await k8s("listResources", kind="crontabs", asTable=True)
    whole = await k8s("getResource", kind="crontabs", name="n")
    for found in (listed, drawn, whole):
        assert CANARY not in json.dumps(found)
        assert "0 3 * * *" in json.dumps(found)


async def test_a_large_object_is_cut_and_says_where_to_look(k8s: KubeFleet) -> None:
    data = {f"file-{n}": "line\n" * 2000 for n in range(20)}
    k8s.kube.put("ConfigMap", {"metadata": {"name": "big", "namespace": "default"}, "data": data})
    found = await k8s("getResource", kind="configmap", name="big")
    assert found["truncated"] is True
    assert len(to_json(found)) < 64 * 1024
    assert found["outline"]["data.file-3"] > 9000
    part = await k8s("getResource", kind="cm", name="big", fields=["data.file-3"])
    assert part["truncated"] is False


async def test_logs_are_cut_chosen_and_searched(k8s: KubeFleet) -> None:
    k8s.kube.put("Pod", pod("web-1"))
    key = ("default", "web-1", "app")
    k8s.kube.logs[key] = [
        f"GET /{n} \x1b[31m{500 if n % 10 == 0 else 200}\x1b[0m" for n in range(99)
    ]
    k8s.kube.previous_logs[key] = ["panic: out of luck"]
    last = await k8s("getPodLogs", name="web-1", tail=2)
    assert last["content"] == "GET /97 200\nGET /98 200"
    found = await k8s("getPodLogs", name="web-1", grep=" 500", tail=1000)
    assert found["lines"] == 10
    assert found["matchedOf"] == 99
    by_pattern = await k8s("getPodLogs", name="web-1", grep="/9[0-8] 500$", regex=True, tail=1000)
    assert by_pattern["content"] == "GET /90 500"
    folded = await k8s("getPodLogs", name="web-1", grep="get /7 ", ignoreCase=True, tail=1000)
    assert folded["lines"] == 1
    stamped = await k8s("getPodLogs", name="web-1", tail=1, timestamps=True)
    assert stamped["content"].startswith("2026-01-02T03:04:")
    before = await k8s("getPodLogs", name="web-1", previous=True)
    assert before["content"] == "panic: out of luck"
    assert "since" not in k8s.asked("/log")[0]
    error = await k8s.refused("invalid_argument", "getPodLogs", name="web-1", container="nope")
    assert "container nope is not valid" in error["message"]
    await k8s.refused("not_found", "getPodLogs", name="web-9")
    await k8s.refused("invalid_argument", "getPodLogs", name="web-1", grep="(", regex=True)


async def test_a_pattern_that_would_never_end_elsewhere_ends_at_once(k8s: KubeFleet) -> None:
    k8s.kube.put("Pod", pod("web-1"))
    k8s.kube.logs["default", "web-1", "app"] = ["a" * 5000 + "!"] * 50
    with anyio.fail_after(5):
        found = await k8s("getPodLogs", name="web-1", grep="(a+)+$", regex=True)
    assert found["lines"] == 0
    asked = len(k8s.server.asked)
    await k8s.refused(
        "invalid_argument", "getPodLogs", name="web-1", grep=r"(?:\w{50}){50}", regex=True
    )
    assert len(k8s.server.asked) == asked


def test_a_pattern_that_has_taken_its_time_is_ended() -> None:
    seconds = iter(range(100))
    matches = matcher("a+b", regex=True, ignore_case=False, clock=lambda: next(seconds))
    assert matches("aab")
    assert not matches("aac")
    with pytest.raises(InvalidArgument, match="takes too long"):
        matches("aab")


async def test_a_long_log_shows_its_end_or_is_read_on_from_its_start(k8s: KubeFleet) -> None:
    k8s.kube.put("Pod", pod("web-1"))
    k8s.kube.logs["default", "web-1", "app"] = [f"{n:05} {'x' * 995}" for n in range(60)]
    newest = await k8s("getPodLogs", name="web-1", tail=1000)
    assert newest["truncated"] is True
    assert newest["content"].splitlines()[-1].startswith("00059")
    assert len(to_json(newest)) < 48 * 1024
    start = "2026-01-02T03:03:00Z"
    first = await k8s("getPodLogs", name="web-1", sinceTime=start, keep="oldest")
    rest = await k8s("getPodLogs", name="web-1", sinceTime=first["nextSinceTime"], keep="oldest")
    lines = first["content"].splitlines() + rest["content"].splitlines()
    assert [line[:5] for line in lines] == [f"{n:05}" for n in range(60)]
    assert "nextSinceTime" not in rest


async def test_a_finished_rollout_is_complete_and_a_stuck_one_says_why(k8s: KubeFleet) -> None:
    k8s.kube.put("Deployment", deployment("web"))
    done = await k8s("getRolloutStatus", name="web")
    assert (done["phase"], done["done"], done["revision"]) == ("complete", True, "2")
    k8s.kube.put("Deployment", deployment("web", updated=1, ready=2))
    thing = crashing()
    thing["metadata"]["labels"] = {"app": "web"}
    k8s.kube.put("Pod", thing)
    stuck = await k8s("getRolloutStatus", name="web")
    assert stuck["phase"] == "progressing"
    assert stuck["reason"] == "1 of 3 replicas have been updated"
    assert stuck["problems"][0]["reason"] == "CrashLoopBackOff"
    await k8s.refused("not_found", "getRolloutStatus", name="nope")


async def test_a_rollout_is_followed_by_watching_with_progress(k8s: KubeFleet) -> None:
    k8s.kube.put("Deployment", deployment("web", updated=0, ready=0))
    told: list[tuple[float, float | None, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    async def roll() -> None:
        for n in (1, 2, 3):
            await until(lambda: k8s.kube.watching == 1)
            # A step is told before the next one is made.
            await until(lambda n=n: len(told) >= n)
            k8s.kube.put("Deployment", deployment("web", updated=n, ready=n))

    rolling = asyncio.create_task(roll())
    arguments = {"cluster": "main", "name": "web", "waitS": 20}
    result = await k8s.client.call_tool(
        "infra.k8s.getRolloutStatus", arguments, progress_callback=on_progress
    )
    await rolling
    found = result.structured_content
    assert found is not None
    assert (found["phase"], found["waited"]) == ("complete", True)
    assert [step[0] for step in told] == [0, 1, 2, 3]
    assert len(k8s.asked("watch=true")) == 1
    await until(lambda: k8s.kube.watching == 0)


async def test_waiting_for_a_rollout_ends_in_time_and_says_how_far_it_is(k8s: KubeFleet) -> None:
    k8s.kube.put("Deployment", deployment("web", updated=2, ready=2))
    with anyio.fail_after(5):
        found = await k8s("getRolloutStatus", name="web", waitS=1)
    assert (found["phase"], found["updated"]) == ("progressing", 2)
    await until(lambda: k8s.kube.watching == 0)


async def test_whoever_stops_waiting_leaves_no_watch_behind(k8s: KubeFleet) -> None:
    k8s.kube.put("Deployment", deployment("web", updated=0, ready=0))
    waiting = asyncio.create_task(k8s("getRolloutStatus", name="web", waitS=200))
    await until(lambda: k8s.kube.watching == 1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await until(lambda: k8s.kube.watching == 0)


async def test_a_watch_that_breaks_off_or_is_too_old_is_begun_anew(k8s: KubeFleet) -> None:
    k8s.kube.put("Deployment", deployment("web", updated=0, ready=0))
    waiting = asyncio.create_task(k8s("getRolloutStatus", name="web", waitS=20))
    await until(lambda: k8s.kube.watching == 1)
    k8s.kube.cut_watches()
    await until(lambda: len(k8s.asked("watch=true")) == 2 and k8s.kube.watching == 1)
    # The object itself is older now than all that can be watched.
    k8s.kube.store.compact()
    k8s.kube.cut_watches()
    await until(lambda: len(k8s.asked("watch=true")) == 3 and k8s.kube.watching == 1)
    k8s.kube.put("Deployment", deployment("web"))
    assert (await waiting)["phase"] == "complete"


async def test_what_the_account_may_is_asked_of_the_server(k8s: KubeFleet) -> None:
    may = await k8s("canI", verb="delete", kind="pods")
    may_not = await k8s("canI", cluster="reader", verb="delete", kind="pods")
    logs = await k8s("canI", cluster="reader", verb="get", kind="pods", subresource="log")
    rules = await k8s("canI", cluster="reader")
    assert may["allowed"] is True
    assert may_not["allowed"] is False
    assert logs["allowed"] is True
    assert "pods/log" in rules["rules"][0]["resources"]
    await k8s.refused("invalid_argument", "canI", verb="get")


async def test_what_the_account_may_not_is_told_in_the_servers_words(k8s: KubeFleet) -> None:
    k8s.kube.put("Secret", {"metadata": {"name": "db", "namespace": "default"}, "data": {}})
    error = await k8s.refused(
        "not_allowed", "getResource", cluster="reader", kind="secret", name="db"
    )
    assert 'User "reader" cannot get resource "secrets"' in error["message"]
    assert error["upstreamCode"] == "Forbidden"
    assert error["upstreamRequestId"] == "audit-1"
    k8s.kube.put("Pod", pod("web-1"))
    assert (await k8s("getPod", cluster="reader", name="web-1"))["name"] == "web-1"


def usage(name: str, cpu: str, memory: str) -> dict[str, Any]:
    used = {"cpu": cpu, "memory": memory}
    return {
        "metadata": {"name": name, "namespace": "default"},
        "window": "15s",
        "containers": [{"name": "app", "usage": used}, {"name": "side", "usage": used}],
    }


async def test_use_of_pods_and_nodes_comes_with_the_largest_first(k8s: KubeFleet) -> None:
    k8s.kube.put("PodMetrics", usage("small", "1500u", "10Mi"))
    k8s.kube.put("PodMetrics", usage("busy", "250m", "5120Ki"))
    k8s.kube.put("Node", node("node-1"))
    k8s.kube.put(
        "NodeMetrics",
        {"metadata": {"name": "node-1"}, "usage": {"cpu": "1000000000n", "memory": "2Gi"}},
    )
    pods = await k8s("topPods", containers=True)
    by_memory = await k8s("topPods", sortBy="memory")
    nodes = await k8s("topNodes")
    assert [each["name"] for each in pods["items"]] == ["busy", "small"]
    assert pods["items"][0]["cpuMillicores"] == 500
    assert pods["items"][1]["cpuMillicores"] == 4
    assert pods["items"][0]["containers"][1]["memoryMib"] == 5
    assert [each["name"] for each in by_memory["items"]] == ["small", "busy"]
    assert nodes["items"] == [
        {"name": "node-1", "cpuMillicores": 1000, "memoryMib": 2048, "cpuPercent": 25,
         "memoryPercent": 25}
    ]  # fmt: skip


async def test_a_cluster_without_metrics_says_what_it_lacks(k8s: KubeFleet) -> None:
    k8s.kube.without = frozenset({"metrics.k8s.io"})
    for tool in ("topPods", "topNodes"):
        error = await k8s.refused("not_configured", tool)
        assert "metrics-server" in error["hint"]
