"""What accounts sign in with, and what providers keep as a secret, is told to nobody."""

import base64
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
import mcp_types as types
import pytest

from tests.backends.azure.estate import CLIENT_SECRET, SUBSCRIPTION
from tests.backends.kube.things import deployment, pod
from tests.backends.servicenow_server import PASSWORD as NOW_PASSWORD
from tests.backends.vcsim_server import PASSWORD as VC_PASSWORD
from tests.backends.vcsim_server import vcsim
from tests.conftest import StartFleet

from .clouds import GROUP, PROJECT, ZONE, Clouds, opened_clouds
from .clouds_given import TEMPLATE, furnish, given
from .test_canaries import Heard

pytestmark = [pytest.mark.anyio, pytest.mark.real]

HELD = "held-canary-Bn6cV2xKs8"
"""What the providers hold in the places that they have for secrets."""
SENT = "sent-canary-Lw4jT9zPq3"
"""What a caller gives a tool as a password."""
PEM = "\n".join(f"MIIEpAIBAAKCAQEA{number:03}{HELD}" for number in range(8))


@dataclass
class Person:
    asked: list[str] = field(default_factory=list[str])

    async def __call__(self, _context: Any, params: Any) -> types.ElicitResult:
        self.asked.append(params.message)
        return types.ElicitResult(action="accept", content={"decision": "allow_once"})


@pytest.fixture
async def clouds(
    request: pytest.FixtureRequest,
    start_fleet_in: StartFleet,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncGenerator[Clouds]:
    monkeypatch.setenv("FLOTILLA_APPROVALS_MAX_ASKED_PER_MINUTE", "10000")
    folder = tmp_path_factory.mktemp("clouds")
    if not request.param:
        async with opened_clouds(start_fleet_in, folder, approvals="on") as clouds:
            yield clouds
        return
    with vcsim(folder / "vcsim", machines_per_pool=150) as simulator:
        async with opened_clouds(
            start_fleet_in, folder, approvals="on", simulator=simulator
        ) as clouds:
            yield clouds


def hidden(clouds: Clouds) -> None:
    """Secrets where the providers have a place for them."""
    estate = clouds.estate
    machine = estate.machine(GROUP, "kept")
    machine["properties"]["osProfile"] |= {
        "adminPassword": HELD,
        "customData": base64.b64encode(HELD.encode()).decode(),
    }
    machine["properties"]["userData"] = HELD
    estate.resource(
        GROUP,
        "Microsoft.Web/sites",
        "kept",
        {
            "siteConfig": {
                "appSettings": [{"name": "DB", "value": HELD}],
                "connectionStrings": [{"name": "DB", "connectionString": f"Password={HELD};"}],
            },
            "parameters": {"word": {"type": "SecureString", "value": HELD}},
            "protectedSettings": {"commandToExecute": f"x {HELD}"},
            "primaryKey": HELD,
            "link": f"https://x.blob.core.windows.net/y?sv=1&sig={HELD}",
            "text": json.dumps({"clientSecret": HELD}),
        },
    )
    google = clouds.google.world
    items = [
        {"key": key, "value": value}
        for key, value in (
            ("startup-script", f"export TOKEN={HELD}"),
            ("user-data", HELD),
            ("windows-keys", json.dumps({"userName": "bob", "modulus": HELD})),
            ("anything", HELD),
        )
    ]
    google.instance(PROJECT, ZONE, "kept", metadata={"items": items})
    google.serial[PROJECT, ZONE, "kept"] = (
        f"boot\npassword={HELD}\nexport DB_PASSWORD={HELD}\n"
        f"-----BEGIN RSA PRIVATE KEY-----\n{PEM}\n-----END RSA PRIVATE KEY-----\ndone\n"
    ).encode()
    coded = base64.b64encode(HELD.encode()).decode()
    applied = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"data": coded})}
    about = {"name": "kept", "namespace": "default", "annotations": applied}
    clouds.kube.put("Secret", {"metadata": about, "type": "Opaque", "data": {"a": coded}})
    env = {"env": [{"name": "DB_PASSWORD", "value": HELD}, {"name": "API_KEY", "value": HELD}]}
    clouds.kube.put("Pod", pod("kept", **env))
    whole = deployment("kept")
    whole["spec"]["template"]["spec"]["containers"][0] |= env
    whole["metadata"]["annotations"] |= {
        next(iter(applied)): json.dumps({"spec": {"env": env["env"]}})
    }
    clouds.kube.put("Deployment", whole)
    clouds.now.add("cmdb_ci_linux_server", name="kept", admin_password=HELD)
    clouds.now.add("cmdb_ci_netgear", name="kept", snmp_community=HELD)
    clouds.now.add("sys_user", name="kept", user_password=HELD)


def secret_manifest(value: str) -> str:
    thing = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "kept"},
        "stringData": {"a": value},
    }
    return json.dumps(thing)


def asking() -> list[tuple[str, dict[str, Any]]]:
    """Calls that come near what is hidden, and calls that are given a password."""
    within = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers"
    machine, site = f"{within}/Microsoft.Compute/virtualMachines/kept", f"{within}/Microsoft.Web"
    there = {"instance": "kept", "zone": ZONE}
    secret = {"kind": "secrets", "name": "kept"}
    shop = {"kind": "deployments", "name": "kept"}
    broken = {**TEMPLATE, "resources": [{"name": "[parameters('word')]"}]}
    deployment_ = {"resourceGroup": GROUP, "parameters": {"place": "westeurope"}}
    sent = {"secretParameters": {"word": SENT}}
    made = {**deployment_, "name": "d"}
    rows = "resources | where name == 'kept'"
    return [
        ("cloud.azure.getResource", {"id": machine}),
        ("cloud.azure.getResource", {"id": f"{site}/sites/kept"}),
        ("cloud.azure.getResource", {"id": f"{site}/sites/kept", "part": "properties"}),
        ("cloud.azure.getVirtualMachine", {"name": "kept", "resourceGroup": GROUP}),
        ("cloud.azure.queryResources", {"query": f"{rows} | project id, properties"}),
        ("cloud.azure.queryResources", {"query": f"{rows} | project x=properties.primaryKey"}),
        ("cloud.azure.queryResources", {"query": f"{rows} | project x=properties['primaryKey']"}),
        ("cloud.azure.createDeployment", {**made, "template": TEMPLATE, **sent}),
        ("cloud.azure.createDeployment", {**made, "template": broken, **sent}),
        ("cloud.azure.previewDeployment", {**deployment_, "template": TEMPLATE, **sent}),
        ("cloud.azure.getResource", {"id": f"{within}/Microsoft.Resources/deployments/d"}),
        ("cloud.azure.tagResource", {"id": f"{site}/sites/kept", "tags": {"a": "b"}}),
        ("cloud.azure.deleteResource", {"id": f"{site}/sites/kept", "confirmName": "kept"}),
        ("cloud.gcp.getInstance", there),
        ("cloud.gcp.listInstances", {}),
        ("cloud.gcp.getSerialOutput", there),
        ("cloud.gcp.getSerialOutput", {**there, "start": 30, "maxBytes": 1024}),
        ("cloud.gcp.setInstanceLabels", {**there, "labels": {"a": "b"}}),
        ("cloud.gcp.deleteInstance", {**there, "confirmName": "kept"}),
        *(
            (f"infra.k8s.{tool}", {**of, **more})
            for of in (secret, shop, {"kind": "pods", "name": "kept"})
            for tool, more in (
                ("getResource", {}),
                ("getResource", {"output": "json"}),
                ("getResource", {"fields": ["metadata"]}),
                ("listResources", {"wide": True}),
                ("listResources", {"asTable": True}),
                ("patchResource", {"patch": '{"metadata": {"labels": {"a": "b"}}}'}),
                ("deleteResource", {}),
            )
        ),
        ("infra.k8s.getResource", {**secret, "fields": ["data"]}),
        ("infra.k8s.getResource", {**secret, "fields": ["data.a"]}),
        ("infra.k8s.getPod", {"name": "kept"}),
        ("infra.k8s.diffManifest", {"manifest": secret_manifest(SENT)}),
        ("infra.k8s.diffManifest", {"manifest": secret_manifest(HELD)}),
        ("infra.k8s.applyManifest", {"manifest": secret_manifest(SENT)}),
        ("infra.k8s.restartDeployment", {"name": "kept"}),
        *(
            ("data.cmdb.queryServiceNow", {"table": table, "fields": [each], **where})
            for table in ("cmdb_ci_server", "cmdb_ci_netgear", "sys_user", "cmdb_ci")
            for each in ("admin_password", "snmp_community", "user_password", "name",
                         "owned_by.user_password")
            for where in ({}, {"conditions": [{"field": each, "op": "startsWith", "value": "h"}]},
                          {"orderBy": {"field": each}})
        ),
        ("data.cmdb.pullServiceNow", {"table": "cmdb_ci_linux_server"}),
        ("data.cmdb.pullServiceNow", {"table": "cmdb_ci_netgear"}),
    ]  # fmt: skip


def of_the_accounts(clouds: Clouds) -> Mapping[str, str]:
    """By what it is; tokens are those that the providers have given out by now."""
    key = json.loads((clouds.folder / "google.json").read_text())["private_key"]
    found = {
        "the client secret": CLIENT_SECRET,
        "the key of the robot": key.splitlines()[5],
        "the cluster's token": "admin-token",
        "the password of ServiceNow": NOW_PASSWORD,
        "what a provider holds": HELD,
        "what a caller sent": SENT,
    }
    for name, tokens in (("Azure", clouds.estate.tokens), ("Google", clouds.google.world.tokens)):
        found |= {f"a token of {name}, {n}": each for n, each in enumerate(sorted(tokens))}
    return found if clouds.vsphere is None else {**found, "the password of vCenter": VC_PASSWORD}


async def listen(clouds: Clouds, heard: Heard) -> int:
    """All that comes out beside answers; how many rows the audit has."""
    owner = (clouds.folder / "data" / "owner_token").read_text().strip()
    bearer = {"authorization": f"Bearer {owner}"}
    async with httpx2.AsyncClient(timeout=30) as http:
        for name in clouds.fleet.fleet.services:
            for path in ("/health", "/ready", "/metrics"):
                url = f"{clouds.fleet.fleet.url(name)}{path}"
                heard.say(f"{name} {path}", (await http.get(url)).text)
        for path in ("/audit?limit=500", "/approvals", "/policy"):
            answer = await http.get(f"{clouds.fleet.url}/api{path}", headers=bearer)
            heard.say(path, answer.text)
        rows = await http.get(f"{clouds.fleet.url}/api/audit/export", headers=bearer)
    heard.say("/api/audit/export", rows.text)
    return rows.text.count("\n")


@pytest.mark.parametrize(
    "clouds",
    [
        pytest.param(False, id="some"),
        pytest.param(True, id="with-vsphere", marks=pytest.mark.real),
    ],
    indirect=True,
)
async def test_no_secret_of_an_account_or_a_provider_comes_out_anywhere(
    clouds: Clouds, capsys: pytest.CaptureFixture[str]
) -> None:
    furnish(clouds)
    hidden(clouds)
    person = Person()
    said: list[tuple[str, str]] = []
    async with clouds.fleet.client(elicitation_callback=person) as client:
        unasked = clouds.caller

        async def call(tool: str, arguments: dict[str, Any]) -> None:
            # A client that people sit before, so that each change is asked for and then made.
            reads = clouds.listing.get(tool, {"annotations": {"readOnlyHint": False}})
            if reads["annotations"]["readOnlyHint"]:
                answer = await unasked.call(tool, arguments)
                said.append((tool, json.dumps([answer.result, answer.refusal], default=str)))
                return
            result = await client.call_tool(tool, arguments)
            said.append((tool, result.model_dump_json()))

        for tool, arguments in asking():
            await call(tool, arguments)
        for tool in clouds.tools():
            # What a person must allow is prepared by a client that is asked.
            clouds.caller = Allowed(client)  # pyright: ignore[reportAttributeAccessIssue]
            arguments = await given(clouds, tool)
            clouds.caller = unasked
            await call(tool, arguments)
            await call(tool, {})
            await call(tool, {"no_such_member": SENT[:4]})
    heard = Heard(of_the_accounts(clouds))
    for tool, text in said:
        heard.say(tool, text)
    for number, text in enumerate(person.asked):
        heard.say(f"question {number}", text)
    rows = await listen(clouds, heard)
    printed = capsys.readouterr()
    heard.say("the log", printed.out + printed.err)
    assert not heard.leaked, "\n".join(sorted(set(heard.leaked))[:40])
    assert len(person.asked) >= 30 and rows > len(said) and "call_answered" in printed.out
    with capsys.disabled():
        print(
            f"\n{len(clouds.tools())} tools, {len(said)} calls, {len(person.asked)} questions, "
            f"{rows} rows of the audit, {heard.chars} characters, {len(heard.canaries)} canaries"
        )


@dataclass
class Allowed:
    """Calls as `Caller` does, by a client whose person allows what is asked."""

    client: Any

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        return _Answered(await self.client.call_tool(tool, dict(arguments)))


@dataclass
class _Answered:
    result: Any

    @property
    def code(self) -> str | None:
        return self.result.content[0].text if self.result.is_error else None

    @property
    def structured(self) -> dict[str, Any]:
        assert not self.result.is_error, self.result.content
        return self.result.structured_content
