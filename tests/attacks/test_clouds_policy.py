"""A rule about a subscription, project or namespace holds however its target is written."""

import json
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.backends.azure.estate import OTHER, SUBSCRIPTION
from tests.backends.kube.things import node, pod
from tests.chaos.caller import Caller
from tests.conftest import ROOT, StartFleet

from .clouds import ELSEWHERE, GROUP, PROJECT, ZONE, Clouds, opened_clouds
from .clouds_given import KEY, furnish, given
from .test_clouds_handles import VERSION, operation
from .world import caller

pytestmark = pytest.mark.anyio

RULES = f"""
@id("hand-azure") @role("hand")
permit (principal in Role::"hand", action == Action::"call", resource in Namespace::"cloud.azure")
when {{ context.target has subscription && context.target.subscription == "{SUBSCRIPTION}" }};

@id("hand-google") @role("hand")
permit (principal in Role::"hand", action == Action::"call", resource in Namespace::"cloud.gcp")
when {{ context.target has project && context.target.project == "{PROJECT}" }};

@id("hand-k8s") @role("hand")
permit (principal in Role::"hand", action == Action::"call", resource in Namespace::"infra.k8s")
when {{ context.target has namespace && context.target.namespace == "default" }};

@id("hand-cmdb") @role("hand")
permit (principal in Role::"hand", action == Action::"call", resource in Namespace::"data.cmdb")
when {{ context.target has table && context.target.table == "cmdb_ci_server" }};

@id("all-but-one") @role("most")
permit (principal in Role::"most", action == Action::"call", resource);

@id("never-there") @role("most")
forbid (principal in Role::"most", action == Action::"call", resource)
when {{ context.target has subscription && context.target.subscription == "{OTHER}" }};

@id("never-there-either") @role("most")
forbid (principal in Role::"most", action == Action::"call", resource)
when {{ context.target has project && context.target.project == "{ELSEWHERE}" }};
"""
CLOSED = "closed-canary-Rk4"
"""What lies where the roles must not be."""
REFUSALS = ("not_allowed", "invalid_argument", "not_found", "conflict")


@pytest.fixture(scope="module")
async def clouds(
    anyio_backend: str, start_fleet_in: StartFleet, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Clouds]:
    """Accounts that may do everything: only the rules stand between."""
    folder = tmp_path_factory.mktemp("clouds")
    async with opened_clouds(
        start_fleet_in, folder, bounded=False, config_dir=with_rules(folder)
    ) as clouds:
        furnish(clouds)
        closed(clouds)
        yield clouds


def with_rules(folder: Path) -> Path:
    config = folder / "config"
    (config / "policy").mkdir(parents=True)
    shipped = (ROOT / "config" / "policy" / "roles.cedar").read_bytes()
    (config / "policy" / "roles.cedar").write_bytes(shipped)
    (config / "policy" / "ours.cedar").write_text(RULES)
    return config


def closed(clouds: Clouds) -> None:
    """What is where nobody of these roles may be."""
    estate, google = clouds.estate, clouds.google.world
    estate.group(GROUP, OTHER, note=CLOSED)
    estate.resource(
        GROUP, "Microsoft.Storage/storageAccounts", "kept", subscription=OTHER, tags={"a": CLOSED}
    )
    google.instance(ELSEWHERE, ZONE, "kept", labels={"a": CLOSED.lower()})
    google.bucket(ELSEWHERE, "acme-kept", [CLOSED])
    clouds.kube.put("Pod", pod("kept", "kube-system", labels={"a": CLOSED}))
    clouds.kube.put("Node", node(f"node-{CLOSED.lower()}"))
    thing = {"metadata": {"name": "kept", "namespace": "kube-system"}, "data": {"a": CLOSED}}
    clouds.kube.put("ConfigMap", thing)
    clouds.kube.put("Namespace", {"metadata": {"name": "kube-system", "labels": {"a": CLOSED}}})
    clouds.now.add("cmdb_ci_netgear", name=CLOSED)


async def token(clouds: Clouds, role: str) -> str:
    owner = (clouds.folder / "data" / "owner_token").read_text().strip()
    async with httpx2.AsyncClient(timeout=30) as http:
        made = await http.post(
            f"{clouds.fleet.url}/api/tokens",
            json={"name": f"a-{role}-{next(clouds.numbers)}", "roles": [role]},
            headers={"authorization": f"Bearer {owner}"},
        )
    return made.json()["secret"]


KEPT = f"/subscriptions/{OTHER}/resourceGroups/{GROUP}/providers/Microsoft.Storage/storageAccounts"
SUBNET = "providers/Microsoft.Network/virtualNetworks/main/subnets/default"


def azure_ways() -> list[tuple[str, dict[str, Any]]]:
    """Calls that mean the other subscription, most of them under the name of the allowed one."""
    kept = f"{KEPT}/kept"
    ids = [
        kept,
        kept.upper(),
        kept.replace(OTHER, OTHER.upper()),
        f"{kept}/",
        f"/{kept}",
        f"/subscriptions/{SUBSCRIPTION}/../../{kept.removeprefix('/')}",
        f"/subscriptions/{SUBSCRIPTION}/..{kept}",
        f"/subscriptions/{SUBSCRIPTION}%2f..%2f..{kept}",
        f"{kept}?x=/subscriptions/{SUBSCRIPTION}/",
        f"{kept}/providers/x/subscriptions/{SUBSCRIPTION}",
    ]
    ways: list[tuple[str, dict[str, Any]]] = []
    for each in ids:
        last = {"confirmName": "kept"}
        ways += [
            ("cloud.azure.getResource", {"id": each}),
            ("cloud.azure.getResource", {"id": each, "subscription": SUBSCRIPTION}),
            ("cloud.azure.tagResource", {"id": each, "tags": {"x": "y"}}),
            ("cloud.azure.deleteResource", {"id": each, **last}),
            ("cloud.azure.deleteResource", {"id": each, "account": SUBSCRIPTION, **last}),
        ]
    for each in (OTHER, OTHER.upper(), "Sandbox", "sandbox ", [SUBSCRIPTION, OTHER], "", " "):
        ways += [
            ("cloud.azure.listResourceGroups", {"subscription": each}),
            ("cloud.azure.queryResources", {"query": "resources", "subscriptions": [each]}),
            ("cloud.azure.deleteResourceGroup", {
                "name": GROUP, "confirmName": GROUP, "subscription": each,
            }),
        ]  # fmt: skip
    both = {"subscription": SUBSCRIPTION, "Subscription": OTHER}
    path = f"/subscriptions/{OTHER}/operationresults/x?{VERSION}"
    new = {"name": "n", "resourceGroup": GROUP, "location": "westeurope", "sshPublicKey": KEY}
    elsewhere = f"/subscriptions/{OTHER}/resourceGroups/{GROUP}/{SUBNET}"
    return [
        *ways,
        ("cloud.azure.listResourceGroups", both),
        ("cloud.azure.listResourceGroups", {**both, "subscription_id": OTHER}),
        ("cloud.azure.queryResources", {
            "query": "resources", "subscriptions": [SUBSCRIPTION, OTHER],
        }),
        ("cloud.azure.getOperation", {"operationId": operation(path)}),
        ("cloud.azure.getOperation", {
            "operationId": operation(path), "subscription": SUBSCRIPTION,
        }),
        ("cloud.azure.createVirtualMachine", {
            **new, "size": "Standard_D2s_v5", "image": "a:b:c:d", "adminUsername": "ada",
            "subnetId": elsewhere, "subscription": SUBSCRIPTION,
        }),
    ]  # fmt: skip


def google_ways() -> list[tuple[str, dict[str, Any]]]:
    ways: list[tuple[str, dict[str, Any]]] = []
    for each in (
        ELSEWHERE,
        ELSEWHERE.upper(),
        f" {ELSEWHERE}",
        f"{PROJECT}/../{ELSEWHERE}",
        [ELSEWHERE],
    ):
        ways += [
            ("cloud.gcp.listInstances", {"project": each}),
            ("cloud.gcp.getInstance", {"instance": "kept", "project": each}),
            ("cloud.gcp.deleteInstance", {
                "instance": "kept", "confirmName": "kept", "zone": ZONE, "project": each,
            }),
        ]  # fmt: skip
    there = f"projects/{ELSEWHERE}/zones/{ZONE}"
    return [
        *ways,
        ("cloud.gcp.getInstance", {"instance": f"{there}/instances/kept", "project": PROJECT}),
        ("cloud.gcp.getInstance", {"instance": "kept", "zone": f"{there}", "project": PROJECT}),
        ("cloud.gcp.listObjects", {"bucket": "acme-kept", "project": PROJECT}),
        ("cloud.gcp.getOperation", {"operationId": f"{there}/operations/operation-1"}),
        ("cloud.gcp.getOperation", {
            "operationId": f"{there}/operations/operation-1", "project": PROJECT,
        }),
        ("cloud.gcp.listProjects", {"query": ELSEWHERE}),
    ]  # fmt: skip


def manifest(kind: str, name: str, namespace: str | None) -> str:
    where = {} if namespace is None else {"namespace": namespace}
    version = "rbac.authorization.k8s.io/v1" if kind.startswith("ClusterRole") else "v1"
    return json.dumps({"apiVersion": version, "kind": kind, "metadata": {"name": name, **where}})


def k8s_ways() -> list[tuple[str, dict[str, Any]]]:
    own = {"namespace": "default"}
    everywhere = {**own, "allNamespaces": True}
    ways: list[tuple[str, dict[str, Any]]] = [
        (f"infra.k8s.{tool}", {**more, **everywhere})
        for tool, more in (
            ("listPods", {}), ("listEvents", {}), ("listDeployments", {}), ("topPods", {}),
            ("listResources", {"kind": "configmaps"}), ("canI", {"verb": "get", "kind": "pods"}),
        )
    ]  # fmt: skip
    for kind in ("nodes", "namespaces", "Namespace", "clusterroles"):
        name = f"node-{CLOSED.lower()}" if kind == "nodes" else "kube-system"
        ways += [
            ("infra.k8s.getResource", {"kind": kind, "name": name, **own}),
            ("infra.k8s.listResources", {"kind": kind, **own}),
            ("infra.k8s.deleteResource", {"kind": kind, "name": name, **own}),
            ("infra.k8s.patchResource", {"kind": kind, "name": name, "patch": "{}", **own}),
        ]
    for kind, namespace in (
        ("ConfigMap", "kube-system"), ("Namespace", None), ("ClusterRoleBinding", None),
        ("ClusterRole", None), ("Node", None),
    ):  # fmt: skip
        text = manifest(kind, "kept", namespace)
        inside = json.dumps({"apiVersion": "v1", "kind": "List", "items": [json.loads(text)]})
        for given_text in (text, inside):
            ways += [
                ("infra.k8s.applyManifest", {"manifest": given_text, **own}),
                ("infra.k8s.diffManifest", {"manifest": given_text, **own}),
            ]
    for each in ("kube-system", "Default/../kube-system", ["default", "kube-system"], "", " "):
        ways += [
            ("infra.k8s.getPod", {"name": "kept", "namespace": each}),
            ("infra.k8s.execInPod", {"name": "kept", "command": ["echo"], "namespace": each}),
        ]
    return [
        *ways,
        ("infra.k8s.getPod", {"name": "../../kube-system/pods/kept", **own}),
        ("infra.k8s.drainNode", {"node": "node-1", "action": "cordon", **own}),
        ("infra.k8s.listNodes", own),
        ("infra.k8s.getPod", {"name": "kept", "namespace": "default", "Namespace": "kube-system"}),
    ]


def cmdb_ways() -> list[tuple[str, dict[str, Any]]]:
    return [
        ("data.cmdb.queryServiceNow", {"table": each})
        for each in ("cmdb_ci_netgear", "CMDB_CI_NETGEAR", "cmdb_ci_server/../cmdb_ci_netgear", " ")
    ] + [
        ("data.cmdb.queryServiceNow", {"table": "cmdb_ci_server", "Table": "cmdb_ci_netgear"}),
        ("data.cmdb.pullServiceNow", {"ciClass": "network_device"}),
        ("data.cmdb.pullServiceNow", {"table": "cmdb_ci_netgear"}),
        ("data.cmdb.queryServiceNow", {"table": "cmdb_ci_server", "conditions": [
            {"field": "name", "value": "x^NQnameISNOTEMPTY"},
        ]}),
    ]  # fmt: skip


FORBIDDEN: Mapping[str, tuple[str, ...]] = {
    "cloud.azure.": (OTHER,),
    "cloud.gcp.": (ELSEWHERE, "acme-kept/o"),
    "infra.k8s.": (
        "kube-system", "/api/v1/nodes", "/api/v1/pods", "/api/v1/events", "clusterrole",
        "/api/v1/configmaps", "/v1/deployments", "/api/v1/namespaces?",
    ),
    "data.cmdb.": ("netgear",),
}  # fmt: skip
"""What requests to the providers must not speak of."""


def harm(clouds: Clouds) -> list[str]:
    """The requests that a call has brought about and must not."""
    found: list[str] = []
    for service, asked in clouds.taken().items():
        for each in asked:
            # A list of the subscriptions that there are is how a name is found.
            said = f"{each.path} {each.body.decode(errors='replace')}".lower()
            found += [f"{each.method} {said[:300]}" for word in FORBIDDEN[service] if word in said]
    return found


async def tried(clouds: Clouds, thief: Caller, ways: list[tuple[str, dict[str, Any]]]) -> None:
    for tool, arguments in ways:
        for name, given_as in ((tool, arguments), _within(tool, arguments)):
            answer = await thief.call(name, given_as)
            told = (tool, arguments, answer)
            assert not harm(clouds), told
            if answer.refusal is None:
                assert answer.code is None or answer.code in REFUSALS, told
                assert CLOSED not in json.dumps(answer.result), told


def _within(tool: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return "master.tools.call", {"name": tool, "arguments": dict(arguments)}


@pytest.mark.parametrize(
    "ways",
    [azure_ways(), google_ways(), k8s_ways(), cmdb_ways()],
    ids=["azure", "google", "k8s", "cmdb"],
)
async def test_who_may_be_in_one_place_gets_to_no_other(
    clouds: Clouds, ways: list[tuple[str, dict[str, Any]]]
) -> None:
    secret = await token(clouds, "hand")
    await _warmed(clouds)
    async with caller(clouds.fleet, secret) as hand:
        allowed = {
            "cloud.azure.listResourceGroups": {"subscription": SUBSCRIPTION},
            "cloud.gcp.listInstances": {"project": PROJECT},
            "infra.k8s.listPods": {"namespace": "default"},
            "data.cmdb.queryServiceNow": {"table": "cmdb_ci_server"},
        }
        for tool, arguments in allowed.items():
            assert (await hand.call(tool, arguments)).code is None, tool
        # It follows what goes on where it may be, whose handle says so.
        followed = await given(clouds, "cloud.gcp.getOperation")
        assert (await hand.call("cloud.gcp.getOperation", followed)).code is None
        clouds.taken()
        await tried(clouds, hand, ways)


async def test_what_is_forbidden_in_one_place_is_so_by_each_name_of_the_place(
    clouds: Clouds,
) -> None:
    """By IDs and links; a name that only the provider can resolve needs a permit (docs/policy)."""
    secret = await token(clouds, "most")
    await _warmed(clouds)
    by_id = [
        way
        for way in azure_ways()
        if OTHER in json.dumps(way).lower() and "operationId" not in way[1]
    ]
    named = [
        way
        for way in google_ways()
        if way[1].get("project") in (ELSEWHERE, ELSEWHERE.upper(), f" {ELSEWHERE}")
        or ELSEWHERE in way[1].get("operationId", "")
    ]
    async with caller(clouds.fleet, secret) as most:
        await tried(clouds, most, [*by_id, *named])


async def _warmed(clouds: Clouds) -> None:
    """Tokens are there and lists of kinds, so that all that is asked now is asked for a call."""
    for tool in (
        "cloud.azure.listSubscriptions", "cloud.gcp.listZones", "infra.k8s.listApiResources",
        "data.cmdb.queryServiceNow",
    ):  # fmt: skip
        await clouds.call(tool, **await given(clouds, tool))
    clouds.taken()


async def test_a_viewer_changes_nothing_at_any_provider(clouds: Clouds) -> None:
    secret = await token(clouds, "viewer")
    writing = [
        tool for tool in clouds.tools() if not clouds.listing[tool]["annotations"]["readOnlyHint"]
    ]
    assert len(writing) >= 30
    async with caller(clouds.fleet, secret) as thief:
        for tool in writing:
            arguments = await given(clouds, tool)
            clouds.taken()
            for name, given_as in ((tool, arguments), _within(tool, arguments)):
                answer = await thief.call(name, given_as)
                assert answer.code == "not_allowed", (tool, answer)
            assert not any(clouds.taken().values()), tool
