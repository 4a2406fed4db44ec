"""What vCenters and a real API server have comes into the CMDB once, and then as it changes.

The vCenters are govmomi's simulator.
"""

import ssl
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread
from pyVmomi import vim
from pyVmomi.SoapAdapter import SoapStubAdapter

from cmdb import build as build_cmdb
from cmdb.settings import Settings as CmdbSettings
from flotilla import CommonSettings
from k8s import build as build_k8s
from k8s.settings import Settings as K8sSettings
from tests.backends.vcsim_server import PASSWORD, USER, Vcsim
from tests.conftest import ROOT, StartFleet, until
from tests.real.kube.cluster import ADMIN, RealKube
from vmware import build as build_vmware
from vmware.settings import Settings as VmwareSettings

from .servers import APPS, configured, deployment
from .servers import kube as kube
from .servers import vcenters as vcenters
from .world import Book, World

pytestmark = [pytest.mark.anyio, pytest.mark.real, pytest.mark.timeout(300)]

PODS = "/api/v1/namespaces/default/pods"
RULES = """
@id("reconcilers-reconcile") @role("reconciler")
permit (principal in Role::"reconciler", action == Action::"call",
    resource in Namespace::"data.cmdb");
@id("lab-alone") @role("lab")
permit (principal in Role::"lab", action == Action::"call",
    resource in Namespace::"infra.vmware")
when { resource.readOnly && context.target has vcenter && context.target.vcenter == "lab" };
"""


def pods_of(kube: RealKube, name: str) -> list[dict[str, Any]]:
    return kube.ask("GET", f"{PODS}?labelSelector=app%3D{name}")["items"]


def bind(kube: RealKube, pod: str, node: str) -> None:
    """What a scheduler would do."""
    binding = {"metadata": {"name": pod}, "target": {"kind": "Node", "name": node}}
    kube.ask("POST", f"{PODS}/{pod}/binding", {"apiVersion": "v1", "kind": "Binding", **binding})


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


async def test_a_vcenter_comes_in_and_then_only_as_it_changes(world: World) -> None:
    book, vmware = world.book, Desk(world.book, "infra.vmware")
    await book.take("vmware", vcenter="lab")
    name = "lab/DC0_C0_RP0_VM0"
    before = await book.item("virtual_machine", name)
    links = await book.links("virtual_machine", name)
    (host,) = {target for _, kind, target in links if kind == "runs_on"}
    stores = {target for _, kind, target in links if kind == "uses"}
    assert name in await book.suffering("server", host)
    assert stores
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
    task: Any = machine.ReconfigVM_Task(spec=vim.vm.ConfigSpec(name=name))
    assert task.info.state == "success", task.info.error
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
