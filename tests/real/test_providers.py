"""The fleet as a person starts it, before a vCenter and a real API server, from approval to CMDB.

The vCenter is govmomi's simulator. Passwords are stored by the command line and brought by the hub.
"""

import asyncio
import json
import os
import ssl
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from anyio import to_thread
from mcp import Client
from pyVmomi import vim
from pyVmomi.SoapAdapter import SoapStubAdapter

from cmdb import build as build_cmdb
from cmdb.settings import Settings as CmdbSettings
from flotilla import CommonSettings
from k8s import build as build_k8s
from k8s.settings import Settings as K8sSettings
from tests.backends.kube.person import Person
from tests.backends.vcsim_server import PASSWORD, USER, Vcsim, vcsim
from tests.conftest import ROOT, LaunchedFleet, StartFleet, until
from tests.providers.world import Book, World
from tests.real.kube.cluster import ADMIN, READER, RealKube, real_kube
from vmware import build as build_vmware
from vmware.settings import Settings as VmwareSettings

pytestmark = [pytest.mark.anyio, pytest.mark.real, pytest.mark.timeout(300)]

APPS = "/apis/apps/v1/namespaces/default/deployments"
PODS = "/api/v1/namespaces/default/pods"
BRING_S = 45
"""The hub looks at least every half minute whether a spoke lacks a secret."""
RULES = """
@id("reconcilers-reconcile") @role("reconciler")
permit (principal in Role::"reconciler", action == Action::"call",
    resource in Namespace::"data.cmdb");
@id("lab-alone") @role("lab")
permit (principal in Role::"lab", action == Action::"call",
    resource in Namespace::"infra.vmware")
when { resource.readOnly && context.target has vcenter && context.target.vcenter == "lab" };
"""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def vcenters(tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[str, Vcsim]]:
    """Two that have the same inventory by the same names."""
    with vcsim(tmp_path_factory.mktemp("lab")) as lab, vcsim(tmp_path_factory.mktemp("far")) as far:
        yield {"lab": lab, "far": far}


@pytest.fixture(scope="module")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Generator[RealKube]:
    with real_kube(tmp_path_factory.mktemp("kube")) as running:
        yield running


def deployment(name: str, image: str = "shop:1") -> dict[str, Any]:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": dict(labels)},
            "template": {
                "metadata": {"labels": dict(labels)},
                "spec": {"containers": [{"name": "app", "image": image}]},
            },
        },
    }


def pods_of(kube: RealKube, name: str) -> list[dict[str, Any]]:
    return kube.ask("GET", f"{PODS}?labelSelector=app%3D{name}")["items"]


def bind(kube: RealKube, pod: str, node: str) -> None:
    """What a scheduler would do."""
    binding = {"metadata": {"name": pod}, "target": {"kind": "Node", "name": node}}
    kube.ask("POST", f"{PODS}/{pod}/binding", {"apiVersion": "v1", "kind": "Binding", **binding})


# --- The CMDB and what really runs ---------------------------------------------------------------


@dataclass
class Desk:
    """The CMDB and the tools of a provider, through one client."""

    book: Book
    prefix: str

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.book.client.call_tool(f"{self.prefix}.{tool}", arguments)
        assert not result.is_error, result.content[0].text  # pyright: ignore
        assert result.structured_content is not None
        return result.structured_content

    async def done(self, tool: str, **arguments: Any) -> dict[str, Any]:
        begun = await self(tool, **arguments)
        task = await self("getTask", taskId=begun["taskId"], vcenter=begun["vcenter"], waitS=20)
        assert task["state"] == "success", task
        return task


@pytest.fixture
async def world(
    vcenters: dict[str, Vcsim], kube: RealKube, start_fleet_in: StartFleet, tmp_path: Path
) -> AsyncGenerator[World]:
    policy = tmp_path / "config" / "policy"
    policy.mkdir(parents=True)
    policy.joinpath("roles.cedar").write_bytes((ROOT / "config/policy/roles.cedar").read_bytes())
    policy.joinpath("ours.cedar").write_text(RULES)
    secret, token = tmp_path / "password", tmp_path / "token"
    secret.write_text(PASSWORD)
    token.write_text(ADMIN)
    config, clusters = configured(tmp_path, vcenters, kube, str(secret), str(token))
    common = CommonSettings(data_dir=tmp_path / "data", config_dir=tmp_path / "config")
    cmdb = build_cmdb(CmdbSettings(database_url=f"sqlite:///{tmp_path}/cmdb.sqlite3"), common)
    spokes = [
        cmdb,
        build_vmware(VmwareSettings(config=config), common),
        build_k8s(K8sSettings(config=clusters, kubeconfig="none"), common, env={}),
    ]
    async with (
        start_fleet_in(
            tmp_path, spokes, approvals="off", timeout_s=60, config_dir=tmp_path / "config"
        ) as fleet,
        fleet.client() as client,
    ):
        nobody: Any = None
        yield World(fleet, cmdb, Book(client), nobody, nobody, nobody, {}, {})


def configured(
    folder: Path, vcenters: dict[str, Vcsim], kube: RealKube, password: str, token: str
) -> tuple[Path, Path]:
    """A vmware.yaml and a k8s.yaml."""
    config, clusters = folder / "vmware.yaml", folder / "k8s.yaml"
    entries = {alias: each.entry(password) for alias, each in vcenters.items()}
    config.write_text(yaml.safe_dump({"vcenters": entries}))
    main = {"server": kube.url, "ca_file": str(kube.trusted), "token": token}
    clusters.write_text(yaml.safe_dump({"clusters": {"main": main}}))
    return config, clusters


async def test_a_vcenter_comes_in_and_then_only_as_it_changes(world: World) -> None:
    book, vmware = world.book, Desk(world.book, "infra.vmware")
    await book.take("vmware", vcenter="lab")
    name = "lab/DC0_C0_RP0_VM0"
    before = await book.item("virtual_machine", name)
    links = await book.links("virtual_machine", name)
    (host,) = {target for _, kind, target in links if kind == "runs_on"}
    stores = {target for _, kind, target in links if kind == "uses"}
    assert name in await book.suffering("server", host)
    assert all([name in await book.suffering("storage", store) for store in stores])
    assert (host, "member_of", "lab/DC0_C0") in await book.links("server", host)

    # It moves to another host of its cluster, is renamed and turned off; another one goes.
    hosts = {
        f"lab/{each['name']}": each["hostId"]
        for each in (await vmware("listHosts", vcenter="lab"))["items"]
    }
    other = next(each for each in sorted(hosts) if each != host and "DC0_C0" in each)
    at = {"vcenter": "lab", "name": "DC0_C0_RP0_VM0"}
    await vmware.done("migrateVirtualMachine", hostId=hosts[other], **at)
    await vmware.done("powerOff", **at)
    gone = await vmware("getVirtualMachine", vcenter="lab", name="DC0_C0_RP0_VM1")
    await vmware.done("powerOff", vcenter="lab", vmId=gone["vmId"])
    await vmware.done(
        "deleteVirtualMachine", vcenter="lab", vmId=gone["vmId"], name="DC0_C0_RP0_VM1"
    )
    shown = await book.preview("vmware", vcenter="lab")
    assert [each["name"] for each in shown["retires"]] == ["lab/DC0_C0_RP0_VM1"]
    assert shown["creates"] == []
    (update,) = shown["updates"]
    assert {each["field"] for each in update["changes"]} <= {
        "attributes.status", "attributes.ip", "attributes.fqdn",
    }  # fmt: skip
    assert [(each["type"], each["target"]["name"]) for each in shown["relations"]] == [
        ("runs_on", other)
    ]
    assert [each["type"] for each in shown["relationsEnded"]] == ["runs_on"]
    await book.apply(shown)
    links = await book.links("virtual_machine", name)
    assert {target for _, kind, target in links if kind == "runs_on"} == {other}
    assert name not in await book.suffering("server", host)
    history = [each["action"] for each in await book.history(before["id"])]
    assert {"updated", "related", "unrelated"} <= set(history)


async def test_machines_that_are_renamed_stay_who_they_are(
    world: World, vcenters: dict[str, Vcsim]
) -> None:
    book = world.book
    await book.take("vmware", vcenter="far")
    blue, green = "far/DC0_H0_VM0", "far/DC0_H0_VM1"
    before = {name: (await book.item("virtual_machine", name))["id"] for name in (blue, green)}
    vmware = Desk(book, "infra.vmware")
    ids = {
        name: (await vmware("getVirtualMachine", vcenter="far", name=name[4:]))["vmId"]
        for name in before
    }
    # One with white space at its end, and a second one that differs from another by that alone.
    await to_thread.run_sync(rename, vcenters["far"], ids[blue], "DC0_H0_VM1 ")
    shown = await book.take("vmware", vcenter="far")
    assert {each["newName"] for each in shown["updates"]} == {
        f"{green} ({ids[each]})" for each in (blue, green)
    }
    await to_thread.run_sync(rename, vcenters["far"], ids[blue], "DC0_H0_VM0")
    await book.take("vmware", vcenter="far")
    # The new one takes over the name of the old one.
    await to_thread.run_sync(rename, vcenters["far"], ids[blue], "DC0_H0_VM0-old")
    await to_thread.run_sync(rename, vcenters["far"], ids[green], "DC0_H0_VM0")
    shown = await book.take("vmware", vcenter="far")
    assert shown["counts"]["updates"] == 2
    assert (shown["creates"], shown["retires"], shown["relations"]) == ([], [], [])
    assert (await book.item("virtual_machine", f"{blue}-old"))["id"] == before[blue]
    assert (await book.item("virtual_machine", blue))["id"] == before[green]
    history = await book.history(before[green])
    assert history[-1]["changes"] == [{"field": "name", "before": green, "after": blue}]


def rename(vcenter: Vcsim, vm_id: str, name: str) -> None:
    """As an administrator would at the vCenter itself; blocks."""
    stub: Any = SoapStubAdapter(
        host=vcenter.host,
        port=vcenter.port,
        version="vim.version.version11",
        sslContext=ssl.create_default_context(cafile=vcenter.trusted),
    )
    content: Any = vim.ServiceInstance("ServiceInstance", stub).RetrieveContent()
    machine: Any = vim.VirtualMachine(vm_id, stub)
    content.sessionManager.Login(USER, PASSWORD)
    machine.ReconfigVM_Task(spec=vim.vm.ConfigSpec(name=name))
    content.sessionManager.Logout()
    stub.DropConnections()


async def test_vcenters_side_by_side_are_each_their_own(world: World) -> None:
    book = world.book
    lab = await book.take("vmware", vcenter="lab")
    far = await book.take("vmware", vcenter="far")
    assert far["retires"] == []
    assert far["counts"]["creates"] > 10
    again = await book.preview("vmware", vcenter="lab")
    assert (again["counts"]["retires"], again["counts"]["unchanged"]) == (
        0,
        lab["counts"]["creates"],
    )
    async with world.as_one_of("reconciler", "lab") as viewer:
        await viewer.preview("vmware", vcenter="lab")
        error = await viewer.refused("vmware", {"vcenter": "far"})
        assert error["code"] == "not_allowed"


async def test_a_real_cluster_comes_in_and_then_only_as_it_changes(
    world: World, kube: RealKube
) -> None:
    book = world.book
    for node in ("one", "two"):
        kube.ask("POST", "/api/v1/nodes", {"metadata": {"name": node}})
    kube.ask("POST", APPS, deployment("seen"))
    await until(lambda: len(pods_of(kube, "seen")) == 2, within_s=30)
    first, second = sorted(each["metadata"]["name"] for each in pods_of(kube, "seen"))
    bind(kube, first, "one")
    bind(kube, second, "two")
    await book.take("k8s", cluster="main")
    named = f"main/default/{first}"
    assert await book.links("pod", named) == {
        (named, "runs_on", "main/one"),
        (named, "member_of", "main/default/seen"),
    }
    assert {named, "main/default/seen"} <= await book.suffering("server", "main/one")
    # The API server counts a heartbeat or a version up; nothing of that is news.
    node = kube.ask("GET", "/api/v1/nodes/one")
    node["metadata"].setdefault("annotations", {})["beat"] = "2"
    kube.ask("PUT", "/api/v1/nodes/one", node)
    kube.ask("DELETE", f"{PODS}/{first}?gracePeriodSeconds=0")

    def replaced() -> bool:
        names = {each["metadata"]["name"] for each in pods_of(kube, "seen")}
        return first not in names and len(names) == 2

    await until(replaced, within_s=30)
    shown = await book.preview("k8s", cluster="main")
    assert [each["name"] for each in shown["retires"]] == [named]
    (made,) = shown["creates"]
    assert made["ciClass"] == "pod"
    assert {each["ciClass"] for each in shown["updates"]} <= {"deployment"}
    await book.apply(shown)
    assert (await book.preview("k8s", cluster="main"))["counts"]["updates"] == 0


# --- The fleet as it is started ------------------------------------------------------------------


@dataclass
class Shell:
    """A person's terminal beside a fleet that runs."""

    fleet: LaunchedFleet
    said: list[str] = field(default_factory=list[str])

    async def write(self, name: str, value: str, service: str) -> None:
        """Store a version of a secret that a service may use, as a person would."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "flotilla", "secrets", "write", name),
            *("--allow-service", service),
            cwd=ROOT,
            env={
                **os.environ,
                "FLOTILLA_HUB_URL": self.fleet.url,
                "FLOTILLA_OWNER_TOKEN_FILE": str(self.fleet.data_dir / "owner_token"),
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(process.communicate(value.encode()), 60)
        assert process.returncode == 0, out.decode()
        assert value not in out.decode()


@dataclass
class Operator:
    """Calls tools by their safe names, with a person who is asked."""

    client: Client
    person: Person

    async def raw(self, tool: str, **arguments: Any) -> Any:
        return await self.client.call_tool(tool, arguments)

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.raw(tool, **arguments)
        assert not result.is_error, result.content[0].text
        return result.structured_content

    async def code(self, tool: str, **arguments: Any) -> str:
        """`ok`, or the code of the error."""
        result = await self.raw(tool, **arguments)
        return json.loads(result.content[0].text)["error"]["code"] if result.is_error else "ok"

    async def task(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """What a tool of VMware begins, at its end; somebody was asked before."""
        asked = len(self.person.asked)
        begun = await self(f"infra_vmware_{tool}", **arguments)
        assert len(self.person.asked) == asked + 1
        ended = await self(
            "infra_vmware_getTask", taskId=begun["taskId"], vcenter=begun["vcenter"], waitS=20
        )
        assert ended["state"] == "success", ended
        return ended

    @property
    def shown(self) -> str:
        return self.person.asked[-1]


Launch = Callable[..., Any]


@asynccontextmanager
async def launched(
    launch_fleet: Launch, folder: Path, vcenters: dict[str, Vcsim], kube: RealKube
) -> AsyncGenerator[tuple[LaunchedFleet, Shell, Operator]]:
    """A fleet of processes with one vCenter and one cluster whose secrets nobody has stored yet."""
    config, clusters = configured(
        folder, {"lab": vcenters["lab"]}, kube, "secret:vmware/lab", "secret:k8s/main"
    )
    env = {
        "VMWARE_CONFIG": str(config),
        "K8S_CONFIG": str(clusters),
        "K8S_KUBECONFIG": "none",
    }
    person = Person()
    async with (
        launch_fleet("--services", "vmware,k8s,cmdb,secrets", **env) as fleet,
        fleet.client(elicitation_callback=person) as client,
    ):
        yield fleet, Shell(fleet), Operator(client, person)


async def test_machines_and_deployments_live_their_lives_in_a_fleet_that_was_started(
    launch_fleet: Launch, tmp_path: Path, vcenters: dict[str, Vcsim], kube: RealKube
) -> None:
    async with launched(launch_fleet, tmp_path, vcenters, kube) as (fleet, shell, operator):
        assert await operator.code("infra_vmware_listVirtualMachines") == "not_configured"
        assert await operator.code("infra_k8s_listNamespaces", cluster="main") == "not_configured"
        await shell.write("vmware/lab", PASSWORD, "vmware")
        await shell.write("k8s/main", ADMIN, "k8s")

        async def brought() -> bool:
            codes = {
                await operator.code("infra_vmware_listVirtualMachines"),
                await operator.code("infra_k8s_listNamespaces", cluster="main"),
            }
            return codes == {"ok"}

        await until(brought, within_s=BRING_S)
        await _a_machine(operator)
        await _a_deployment(operator, kube)
        book = Book(operator.client)
        taken = await book.preview("vmware", vcenter="lab")
        assert taken["counts"]["creates"] > 10
        processes = fleet.processes()
        assert processes
    await until(lambda: not any(each.is_running() for each in processes))
    told = "\n".join(fleet.told)
    assert PASSWORD not in told
    assert ADMIN not in told


async def _a_machine(operator: Operator) -> None:
    name = "DC0_H0_VM0"
    listed = await operator("infra_vmware_listVirtualMachines", nameContains=name)
    (found,) = [each for each in listed["items"] if each["name"] == name]
    at = {"vmId": found["vmId"]}
    await operator.task("createSnapshot", snapshotName="before", **at)
    assert f"{name} ({found['vmId']} in lab)" in operator.shown
    await operator.task("powerOff", **at)
    await operator.task("reconfigureVirtualMachine", cpuCount=4, **at)
    assert "cpuCount" in operator.shown
    cloned = await operator.task("cloneVirtualMachine", newName="fleet-clone", **at)
    clone = {"vmId": cloned["resultId"]}
    machine = await operator("infra_vmware_getVirtualMachine", **clone)
    assert machine["name"] == "fleet-clone"
    await operator.task("deleteVirtualMachine", name="fleet-clone", **clone)
    assert await operator.code("infra_vmware_getVirtualMachine", **clone) == "not_found"


async def _a_deployment(operator: Operator, kube: RealKube) -> None:
    where = {"cluster": "main", "namespace": "default"}
    for image in ("shop:1", "shop:2"):
        text = json.dumps(deployment("fleet", image))
        await operator("infra_k8s_applyManifest", manifest=text, **where)
        assert f"+      - image: {image}" in operator.shown, operator.shown
        # The controller keeps each as a ReplicaSet, which is what revisions are made of.
        count = int(image[-1])
        sets = "/apis/apps/v1/namespaces/default/replicasets?labelSelector=app%3Dfleet"
        await until(lambda c=count, s=sets: len(kube.ask("GET", s)["items"]) == c, within_s=30)
    await operator("infra_k8s_scaleDeployment", name="fleet", replicas=3, **where)
    assert "from 2 to 3 replicas" in operator.shown
    await operator("infra_k8s_restartDeployment", name="fleet", **where)
    back = await operator("infra_k8s_rollbackDeployment", name="fleet", toRevision=1, **where)
    assert back["toRevision"] == 1
    live = kube.ask("GET", f"{APPS}/fleet")
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "shop:1"
    assert live["spec"]["replicas"] == 3
    await operator("infra_k8s_deleteResource", kind="deployment", name="fleet", **where)
    assert "uid" in operator.shown

    async def gone() -> bool:
        asked = {"kind": "deployment", "name": "fleet", **where}
        return await operator.code("infra_k8s_getResource", **asked) == "not_found"

    await until(gone, within_s=30)


async def test_a_new_version_of_a_password_or_token_is_used_without_a_restart(
    launch_fleet: Launch, tmp_path: Path, vcenters: dict[str, Vcsim], kube: RealKube
) -> None:
    async with launched(launch_fleet, tmp_path, vcenters, kube) as (_, shell, operator):

        async def is_so(code: str, tool: str, **arguments: Any) -> None:
            async def told() -> bool:
                return await operator.code(tool, **arguments) == code

            await until(told, within_s=BRING_S)

        machines = "infra_vmware_listVirtualMachines"
        secrets = ("infra_k8s_listResources", {"cluster": "main", "kind": "secret"})
        await shell.write("vmware/lab", "not-the-password", "vmware")
        await shell.write("k8s/main", READER, "k8s")
        await is_so("not_configured", machines)
        await is_so("not_allowed", secrets[0], **secrets[1])
        await shell.write("vmware/lab", PASSWORD, "vmware")
        await shell.write("k8s/main", ADMIN, "k8s")
        await is_so("ok", machines)
        await is_so("ok", secrets[0], **secrets[1])
        # And back: what was signed in with the old version does not go on being used.
        await shell.write("vmware/lab", "again-not-the-password", "vmware")
        await shell.write("k8s/main", READER, "k8s")
        await is_so("not_allowed", secrets[0], **secrets[1])
        await is_so("not_configured", machines)
