"""Manifests and patches, against an API server that keeps managers of fields."""

import base64
import json
from typing import Any

import pytest
import yaml

from flotilla import NotAllowed, RateLimited
from k8s.comparisons import PER_HOUR, Comparisons
from tests.backends.kube.bare import StartBare
from tests.backends.kube.bare import authority as authority
from tests.backends.kube.bare import start_bare as start_bare
from tests.backends.kube.emulator import KubeEmulator
from tests.backends.kube.writing import Writes

pytestmark = pytest.mark.anyio


def deployment(name: str = "web", image: str = "shop:1", **spec: Any) -> dict[str, Any]:
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "app", "image": image}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template, **spec},
    }


def config(name: str, namespace: str | None = None, **data: str) -> dict[str, Any]:
    where = {"namespace": namespace} if namespace else {}
    metadata = {"name": name, **where}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def manifest(*documents: dict[str, Any]) -> str:
    return "---\n".join(yaml.safe_dump(each) for each in documents)


@pytest.fixture
def kube() -> KubeEmulator:
    return KubeEmulator()


@pytest.fixture
def writes(kube: KubeEmulator) -> Writes:
    return Writes(kube)


def kept(kube: KubeEmulator, kind: str, name: str, where: str = "default") -> Any:
    return kube.store.get(kube.kind(kind), where, name)


async def test_a_manifest_is_applied_whole_and_compared_afterwards(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    text = manifest(deployment(replicas=2), config("settings", a="1"))
    async with start_bare(kube) as k8s:
        before = await k8s("diffManifest", manifest=text)
        assert kept(kube, "Deployment", "web") is None, "a dry run keeps nothing"
        done = await k8s("applyManifest", manifest=text)
        after = await k8s("diffManifest", manifest=text)
        changed = await k8s("diffManifest", manifest=manifest(deployment(replicas=3)))
    assert [each["state"] for each in before["documents"]] == ["new", "new"]
    assert "+  replicas: 2\n" in before["documents"][0]["diff"]
    assert before["clean"]
    assert [(each["kind"], each["state"]) for each in done["applied"]] == [
        ("Deployment", "new"),
        ("ConfigMap", "new"),
    ]
    assert done["follow"] == "infra.k8s.getRolloutStatus"
    live = kept(kube, "Deployment", "web")
    assert done["applied"][0]["uid"] == live["metadata"]["uid"]
    assert live["spec"]["replicas"] == 2
    assert [each["state"] for each in after["documents"]] == ["unchanged", "unchanged"]
    assert after["documents"][0].get("diff", "") == ""
    assert "-  replicas: 2\n+  replicas: 3\n" in changed["documents"][0]["diff"]


async def test_what_another_manager_set_is_a_conflict_unless_it_is_taken_over(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    async with start_bare(kube) as k8s:
        await k8s("applyManifest", manifest=manifest(deployment(replicas=2)))
        live = kept(kube, "Deployment", "web")
        writes.managed["deployments", "default", "web"].written(
            "autoscaler", live, {**live, "spec": {**live["spec"], "replicas": 7}}
        )
        live["spec"]["replicas"] = 7
        wanted = manifest(deployment(replicas=2))
        told = await k8s("diffManifest", manifest=wanted)
        error = await k8s.refused("conflict", "applyManifest", manifest=wanted)
        assert kept(kube, "Deployment", "web")["spec"]["replicas"] == 7
        await k8s("applyManifest", manifest=wanted, force=True)
    (document,) = told["documents"]
    assert document["state"] == "conflict"
    assert document["conflicts"] == [{"manager": "autoscaler", "field": ".spec.replicas"}]
    assert "-  replicas: 7\n+  replicas: 2\n" in document["diff"]
    assert not told["clean"]
    assert error["conflicts"] == [{"manager": "autoscaler", "field": ".spec.replicas"}]
    assert "force" in error["hint"]
    assert kept(kube, "Deployment", "web")["spec"]["replicas"] == 2


async def test_nothing_is_applied_where_one_document_would_not_pass(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    bad = {**config("b"), "dta": {"a": "1"}}
    async with start_bare(kube) as k8s:
        error = await k8s.refused(
            "invalid_argument", "applyManifest", manifest=manifest(config("a"), bad)
        )
        told = await k8s("diffManifest", manifest=manifest(config("a"), bad))
    assert 'unknown field "dta"' in error["message"]
    assert "document 2" in error["message"]
    assert kept(kube, "ConfigMap", "a") is None
    assert [each["state"] for each in told["documents"]] == ["new", "rejected"]
    assert 'unknown field "dta"' in told["documents"][1]["problem"]


@pytest.mark.parametrize("way", ["applyManifest", "patchResource"])
async def test_a_privileged_pod_is_refused_however_it_comes(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes, way: str
) -> None:
    asks = {"securityContext": {"privileged": True}, "image": "evil:1"}
    async with start_bare(kube) as k8s:
        await k8s("applyManifest", manifest=manifest(deployment()))
        if way == "applyManifest":
            wanted = deployment()
            wanted["spec"]["template"]["spec"]["containers"][0] |= asks
            more: dict[str, Any] = {"manifest": manifest(wanted)}
        else:
            patch = {"spec": {"template": {"spec": {"containers": [{"name": "app", **asks}]}}}}
            more = {
                "kind": "deploy", "name": "web", "patch": json.dumps(patch),
                "patchType": "strategic",
            }  # fmt: skip
        error = await k8s.refused("not_allowed", way, **more)
        asked = await k8s.refused("not_allowed", way, **more, allowPrivileged=True)
    path = "spec.template.spec.containers[0].securityContext.privileged"
    assert error["fields"][0]["path"] == path
    assert "K8S_ALLOW_PRIVILEGED" in asked["hint"]
    live = kept(kube, "Deployment", "web")
    assert live["spec"]["template"]["spec"]["containers"] == [{"name": "app", "image": "shop:1"}]


async def test_a_patch_may_not_touch_what_is_privileged_already(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    agent = deployment("agent", hostNetworkIs="")
    agent["metadata"]["namespace"] = "default"
    agent["spec"]["template"]["spec"]["hostNetwork"] = True
    kube.put("Deployment", agent)
    image = '{"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "evil:1"}]}}}}'
    async with start_bare(kube) as k8s:
        await k8s.refused(
            "not_allowed", "patchResource", kind="deploy", name="agent", patch=image,
            patchType="strategic",
        )  # fmt: skip
    live = kept(kube, "Deployment", "agent")
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "shop:1"


async def test_the_operator_may_let_calls_ask_for_privileged_pods(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    wanted = deployment()
    wanted["spec"]["template"]["spec"]["hostPID"] = True
    async with start_bare(kube, settings={"allow_privileged": "on"}) as k8s:
        error = await k8s.refused("not_allowed", "applyManifest", manifest=manifest(wanted))
        await k8s("applyManifest", manifest=manifest(wanted), allowPrivileged=True)
    assert "allowPrivileged" in error["hint"]
    assert kept(kube, "Deployment", "web")["spec"]["template"]["spec"]["hostPID"] is True


async def test_a_binding_is_judged_by_the_role_that_it_names(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    rbac = "rbac.authorization.k8s.io/v1"
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    kube.put("ClusterRole", {"metadata": {"name": "innocent"}, "rules": rules})
    binding = {
        "apiVersion": rbac,
        "kind": "RoleBinding",
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": rbac[:-3], "kind": "ClusterRole", "name": "innocent"},
        "subjects": [{"kind": "User", "name": "eve"}],
    }
    async with start_bare(kube) as k8s:
        error = await k8s.refused("not_allowed", "applyManifest", manifest=manifest(binding))
    assert error["fields"][0]["path"] == "roleRef"
    assert "innocent" in error["fields"][0]["why"]
    assert kept(kube, "RoleBinding", "b") is None


async def test_what_a_namespace_of_the_same_manifest_will_hold_is_tried_once_it_is_there(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    text = manifest(config("a", "shop", x="1"), namespace("shop"))
    async with start_bare(kube) as k8s:
        told = await k8s("diffManifest", manifest=text)
        done = await k8s("applyManifest", manifest=text)
    assert [(each["kind"], each["state"]) for each in told["documents"]] == [
        ("Namespace", "new"),
        ("ConfigMap", "later"),
    ]
    assert [each["kind"] for each in done["applied"]] == ["Namespace", "ConfigMap"]
    assert kept(kube, "ConfigMap", "a", "shop")["data"] == {"x": "1"}


async def test_what_fails_once_its_namespace_is_there_tells_that_the_namespace_is(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    bad = {**config("b", "shop"), "dta": {}}
    text = manifest(namespace("shop"), config("a", "shop"), bad)
    async with start_bare(kube) as k8s:
        error = await k8s.refused("invalid_argument", "applyManifest", manifest=text)
    assert error["applied"] == ["Namespace shop in main"]
    assert len(error["notTried"]) == 2
    assert kept(kube, "ConfigMap", "a", "shop") is None


async def test_a_kind_and_an_object_of_it_come_in_one_manifest(
    start_bare: StartBare, writes: Writes, kube: KubeEmulator
) -> None:
    kube.without = frozenset({"stable.example.com"})
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "crontabs.stable.example.com"},
        "spec": {
            "group": "stable.example.com",
            "scope": "Namespaced",
            "names": {"plural": "crontabs", "kind": "CronTab"},
            "versions": [{"name": "v1", "served": True, "storage": True}],
        },
    }
    thing = {
        "apiVersion": "stable.example.com/v1",
        "kind": "CronTab",
        "metadata": {"name": "nightly"},
        "spec": {"cronSpec": "* * * * *"},
    }
    async with start_bare(kube) as k8s:
        await k8s("applyManifest", manifest=manifest(thing, definition))
    assert kept(kube, "CronTab", "nightly")["spec"] == {"cronSpec": "* * * * *"}


async def test_a_call_for_one_namespace_touches_nothing_else(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    async with start_bare(kube) as k8s:
        for other in (config("a", "kube-system"), namespace("evil")):
            error = await k8s.refused(
                "invalid_argument", "applyManifest", manifest=manifest(other), namespace="default"
            )
            assert "namespace" in error["message"]
        await k8s("applyManifest", manifest=manifest(config("a")), namespace="kube-system")
        await k8s.refused(
            "invalid_argument", "patchResource", kind="nodes", name="n", patch="{}",
            namespace="default",
        )  # fmt: skip
    assert kept(kube, "ConfigMap", "a", "kube-system") is not None


async def test_values_of_secrets_are_neither_in_a_diff_nor_in_an_answer(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    def secret(value: str) -> str:
        return manifest(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "s"},
                "stringData": {"password": value, "same": "canary-same"},
            }
        )

    async with start_bare(kube) as k8s:
        done = await k8s("applyManifest", manifest=secret("canary-one"))
        told = await k8s("diffManifest", manifest=secret("canary-two"))
        patched = await k8s(
            "patchResource", kind="secrets", name="s",
            patch=json.dumps({"data": {"password": "Y2FuYXJ5LTM="}}),
        )  # fmt: skip
    text = json.dumps([done, told, patched])
    for value in ("canary-one", "canary-two", "canary-same", "canary-3"):
        assert value not in text
        assert base64.b64encode(value.encode()).decode() not in text
    assert "-  password: (hidden, " in told["documents"][0]["diff"]
    assert "same" not in [
        line[3:7] for line in told["documents"][0]["diff"].splitlines() if line[:1] in "+-"
    ]


async def test_a_hidden_value_is_not_found_by_guessing(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    clock = [1000.0]
    comparisons = Comparisons(lambda: clock[0], most=3)
    for _ in range(3):
        comparisons.count("main/secrets/s", "Secret s")
    comparisons.count("main/secrets/other", "Secret other")
    with pytest.raises(RateLimited) as refused:
        comparisons.count("main/secrets/s", "Secret s")
    assert refused.value.details["retryAfterMs"] == 3_600_000
    clock[0] += 3601
    comparisons.count("main/secrets/s", "Secret s")

    def guess(value: str) -> str:
        metadata = {"name": "s", "namespace": "default"}
        return manifest(
            {"apiVersion": "v1", "kind": "Secret", "metadata": metadata,
             "stringData": {"pin": value}}
        )  # fmt: skip

    async with start_bare(kube) as k8s:
        await k8s("applyManifest", manifest=guess("4711"))
        for pin in range(PER_HOUR):
            await k8s("diffManifest", manifest=guess(str(pin)))
        await k8s.refused("rate_limited", "diffManifest", manifest=guess("4711"))
        plain = await k8s("diffManifest", manifest=manifest(config("a")))
    assert plain["clean"]


@pytest.mark.parametrize("fault", ["drop", "garble", "throttle", "hang"])
async def test_what_fails_in_the_middle_tells_what_was_applied_and_what_is_not_known(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes, fault: str
) -> None:
    text = manifest(config("a", x="1"), config("b", x="1"), config("c", x="1"))
    code = {
        "drop": "unavailable", "garble": "upstream_error", "throttle": "rate_limited",
        "hang": "timeout",
    }[fault]  # fmt: skip
    async with start_bare(kube, deadline_s=1.5) as k8s:
        # The real apply alone, not its dry run.
        real = r"PATCH .*/configmaps/b\?(?!.*dryRun)"
        more = {"times": None} if fault != "throttle" else {"times": None, "retry_after": "3600"}
        getattr(k8s.server.faults, fault)(real, **more)
        error = await k8s.refused(code, "applyManifest", manifest=text)
        k8s.server.faults.clear()
        done = await k8s("applyManifest", manifest=text)
    assert error["applied"] == ["ConfigMap default/a in main"]
    assert error["failed"] == "ConfigMap default/b in main"
    assert error["notTried"] == ["ConfigMap default/c in main"]
    assert error.get("uncertain", False) is (fault != "throttle")
    assert len(done["applied"]) == 3
    assert kept(kube, "ConfigMap", "c")["data"] == {"x": "1"}


async def test_a_reader_sees_no_dry_run_and_applies_nothing(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    text = manifest(config("a"))
    async with start_bare(kube) as k8s:
        error = await k8s.refused("not_allowed", "applyManifest", manifest=text, cluster="reader")
        told = await k8s("diffManifest", manifest=text, cluster="reader")
    assert error["upstreamStatus"] == 403
    assert told["documents"][0]["state"] == "rejected"
    assert kept(kube, "ConfigMap", "a") is None


async def test_patches_of_all_three_types_change_what_they_say(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    async with start_bare(kube) as k8s:
        await k8s("applyManifest", manifest=manifest(deployment(replicas=2)))
        merge = await k8s(
            "patchResource", kind="Deployment", name="web", patch="spec: {replicas: 5}"
        )
        env = "spec: {template: {spec: {containers: [{name: app, image: 'shop:2'}]}}}"
        await k8s(
            "patchResource", kind="deployments.apps", name="web", patch=env, patchType="strategic"
        )
        steps = '[{"op": "replace", "path": "/spec/replicas", "value": 6}]'
        last = await k8s("patchResource", kind="deploy", name="web", patch=steps, patchType="json")
        again = await k8s("patchResource", kind="deploy", name="web", patch="spec: {replicas: 6}")
    live = kept(kube, "Deployment", "web")
    assert live["spec"]["replicas"] == 6
    assert live["spec"]["template"]["spec"]["containers"] == [{"name": "app", "image": "shop:2"}]
    assert merge["state"] == "changed"
    assert merge["generation"] == 2
    assert last["uid"] == live["metadata"]["uid"]
    assert again["state"] == "unchanged"


@pytest.mark.parametrize("patch_type", ["merge", "json"])
async def test_a_patch_for_an_earlier_version_is_a_conflict(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes, patch_type: str
) -> None:
    patch = {
        "merge": '{"data": {"x": "2"}}',
        "json": '[{"op": "replace", "path": "/data/x", "value": "2"}]',
    }[patch_type]
    more = {"kind": "cm", "name": "a", "patch": patch, "patchType": patch_type}
    async with start_bare(kube) as k8s:
        await k8s("applyManifest", manifest=manifest(config("a", x="1")))
        version = kept(kube, "ConfigMap", "a")["metadata"]["resourceVersion"]
        await k8s("patchResource", **more, resourceVersion=version)
        error = await k8s.refused("conflict", "patchResource", **more, resourceVersion=version)
    assert error["reason"] == "version_changed"
    assert kept(kube, "ConfigMap", "a")["data"] == {"x": "2"}


async def test_a_patch_does_not_bring_a_secret_to_where_it_is_shown(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    kube.put(
        "Secret",
        {"metadata": {"name": "s", "namespace": "default"}, "data": {"password": "Y2FuYXJ5"}},
    )
    async with start_bare(kube) as k8s:
        for op in ("copy", "move"):
            step = {"op": op, "from": "/data/password", "path": "/metadata/annotations"}
            more = {"kind": "secret", "name": "s", "patchType": "json", "patch": json.dumps([step])}
            error = await k8s.refused("not_allowed", "patchResource", **more)
            assert error["reason"] == "secret_copied"
            with pytest.raises(NotAllowed):
                await k8s.foreseen("patchResource", **more)
        assert not k8s.asked("PATCH")


async def test_a_patch_that_makes_no_sense_is_told_so(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    more = {"kind": "cm", "name": "a"}
    async with start_bare(kube) as k8s:
        await k8s("applyManifest", manifest=manifest(config("a", x="1")))
        for patch, patch_type in (("[]", "merge"), ("{}", "json"), ("[{op: add}]", "json")):
            await k8s.refused(
                "invalid_argument", "patchResource", **more, patch=patch, patchType=patch_type
            )
        await k8s.refused("not_found", "patchResource", kind="cm", name="none", patch="{}")
        await k8s.refused("not_found", "patchResource", kind="unicorns", name="a", patch="{}")


async def test_a_lost_answer_to_a_patch_says_that_it_is_not_known_what_became_of_it(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    async with start_bare(kube) as k8s:
        await k8s("applyManifest", manifest=manifest(config("a", x="1")))
        k8s.server.faults.drop(r"PATCH .*/configmaps/a\?(?!.*dryRun)", times=None)
        error = await k8s.refused(
            "unavailable", "patchResource", kind="cm", name="a", patch="data: {x: '2'}"
        )
    assert error["uncertain"] is True
