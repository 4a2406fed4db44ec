"""A fleet with the real CMDB and the real spokes of three providers, each before a server of ours.

Azure has two subscriptions, Google two accounts with a project each, Kubernetes two clusters.
"""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import yaml
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from sqlalchemy import delete, func, select

from azure_cloud import build as build_azure
from azure_cloud.settings import Settings as AzureSettings
from cmdb import build as build_cmdb
from cmdb.settings import Settings as CmdbSettings
from cmdb.tables import change, gathered_page, gathering, item, plan, relation
from flotilla import CommonSettings, Spoke
from google_cloud import build as build_google
from google_cloud.settings import Settings as GoogleSettings
from k8s import build as build_k8s
from k8s.settings import Settings as K8sSettings
from tests.backends.azure.arm_server import application_of
from tests.backends.azure.estate import CLIENT, SUBSCRIPTION, TENANT, Estate
from tests.backends.google import GoogleServer
from tests.backends.kube.emulator import KubeEmulator
from tests.backends.tls_server import TlsServer
from tests.conftest import ROOT, InProcessFleet, StartFleet, plain_http

PROD, LAB = "acme-prod", "acme-lab"
ROLES = f"""
@id("reconcilers-reconcile") @role("reconciler")
permit (principal in Role::"reconciler", action == Action::"call",
    resource in Namespace::"data.cmdb");

@id("production-alone") @role("production")
permit (principal in Role::"production", action == Action::"call", resource)
when {{ resource.readOnly && (
    (resource in Namespace::"cloud.azure" && context.target has subscription
        && context.target.subscription == "{SUBSCRIPTION}") ||
    (resource in Namespace::"cloud.gcp" && context.target has project
        && context.target.project == "{PROD}") ||
    (resource in Namespace::"infra.k8s" && context.target has cluster
        && context.target.cluster == "main")
) }};

@id("shop-alone") @role("shop")
permit (principal in Role::"shop", action == Action::"call", resource in Namespace::"infra.k8s")
when {{ resource.readOnly && context.target has cluster && context.target.cluster == "main"
    && context.target has namespace && context.target.namespace == "shop" }};
"""
EMPTY = {"creates": 0, "updates": 0, "retires": 0, "relations": 0}
Link = tuple[str, str, str]
"""The name of a relation's source, its type, the name of its target."""


@dataclass
class Book:
    """The CMDB as a client of the hub sees it."""

    client: Client

    async def raw(self, tool: str, **arguments: Any) -> Any:
        return await self.client.call_tool(f"data.cmdb.{tool}", arguments)

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.raw(tool, **arguments)
        assert not result.is_error, result.content[0].text
        return result.structured_content

    async def preview(self, service: str, **within: Any) -> dict[str, Any]:
        """The plan of what a normal world tells: nothing of it is left out."""
        found = await self(
            "previewReconcile", source=service, discover={"service": service, "within": within}
        )
        assert found.get("leftOut") is None, found["problems"]
        return found

    async def refused(self, service: str, within: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """The error object of a preview that must fail."""
        discover = {"service": service, "within": dict(within)}
        result = await self.raw("previewReconcile", source=service, discover=discover, **more)
        assert result.is_error, result.structured_content
        return json.loads(result.content[0].text)["error"]

    async def apply(self, shown: Mapping[str, Any]) -> dict[str, Any]:
        return await self("applyReconcile", planId=shown["planId"], hash=shown["hash"])

    async def take(self, service: str, **within: Any) -> dict[str, Any]:
        """Preview and apply; what a second look then finds must be nothing."""
        shown = await self.preview(service, **within)
        await self.apply(shown)
        again = await self.preview(service, **within)
        told = {kind: again[kind] for kind in EMPTY}
        assert not any(told.values()), told
        assert again.get("relationsEnded") is None, again["relationsEnded"]
        return shown

    async def item(self, ci_class: str, name: str) -> dict[str, Any]:
        found = await self("searchItems", ciClass=ci_class, limit=500)
        (one,) = [each for each in found["items"] if each["name"] == name]
        return one

    async def names(self, ci_class: str) -> set[str]:
        found = await self("searchItems", ciClass=ci_class, limit=500)
        return {each["name"] for each in found["items"]}

    async def links(self, ci_class: str, name: str) -> set[Link]:
        one = await self.item(ci_class, name)
        found = (await self("listRelations", id=one["id"]))["items"]
        return {(each["source"]["name"], each["type"], each["target"]["name"]) for each in found}

    async def suffering(self, ci_class: str, name: str) -> set[str]:
        """What would suffer if that failed."""
        one = await self.item(ci_class, name)
        found = await self("analyzeImpact", id=one["id"], depth=4)
        return {each["name"] for each in found["items"]}

    async def history(self, item_id: str) -> list[dict[str, Any]]:
        """Oldest first."""
        return list(reversed((await self("getHistory", id=item_id))["items"]))


@dataclass
class World:
    fleet: InProcessFleet
    cmdb: Spoke
    book: Book
    azure: TlsServer
    estate: Estate
    google: GoogleServer
    kubes: dict[str, KubeEmulator]
    kube_servers: dict[str, TlsServer]
    _numbers: Any = field(default_factory=count)

    @property
    def _store(self) -> Any:
        return self.cmdb.operations[0].run.__self__._store  # pyright: ignore

    async def begin_anew(self) -> None:
        """Nothing in the inventory, nothing at the providers, no faults."""
        self.estate.resources.clear()
        self.estate.power.clear()
        self.google.world.forget()
        for each in self.kubes.values():
            each.forget()
        for server in (self.azure, self.google.tls, *self.kube_servers.values()):
            server.faults.clear()
            server.asked.clear()
        async with self._store.write() as connection:
            for table in (gathered_page, gathering, plan, change, relation, item):
                await connection.execute(delete(table))

    async def gatherings(self) -> int:
        """How many the CMDB still keeps."""
        return await self._count(gathering)

    async def plans(self) -> int:
        return await self._count(plan)

    async def _count(self, table: Any) -> int:
        async with self._store.read() as connection:
            found = await connection.execute(select(func.count()).select_from(table))
            return int(found.scalar_one())

    @asynccontextmanager
    async def as_one_of(self, *roles: str) -> AsyncGenerator[Book]:
        """A client whose token has these roles alone."""
        owner = (self.fleet.common.data_dir / "owner_token").read_text().strip()
        body = {"name": f"one-{next(self._numbers)}", "roles": list(roles)}
        async with httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {owner}"}, verify=plain_http()
        ) as http:
            made = (await http.post(f"{self.fleet.url}/api/tokens", json=body)).json()
        headers = {"Authorization": f"Bearer {made['secret']}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60, verify=plain_http()) as http,
            Client(
                streamable_http_client(f"{self.fleet.url}/mcp", http_client=http),
                mode="2026-07-28",
            ) as client,
        ):
            yield Book(client)


def _azure(folder: Path, server: TlsServer, estate: Estate, common: CommonSettings) -> Spoke:
    (folder / "client_secret").write_text(estate.client_secret)
    account = {
        "tenant": TENANT,
        "client_id": CLIENT,
        "client_secret": str(folder / "client_secret"),
        "authority": server.url,
        "resource_manager": server.url,
        "ca_file": str(server.trusted),
        "subscription": SUBSCRIPTION,
    }
    return build_azure(AzureSettings(config=_written(folder, "azure", "main", account)), common)


def _google(folder: Path, server: GoogleServer, common: CommonSettings) -> Spoke:
    accounts: dict[str, Any] = {}
    for alias, project in (("default", PROD), ("lab", LAB)):
        key = folder / f"{alias}.json"
        key.write_text(server.world.service_account(f"robot-{alias}", [project]))
        accounts[alias] = server.account(str(key))
    file = folder / "google_cloud.yaml"
    file.write_text(yaml.safe_dump({"accounts": accounts}))
    return build_google(GoogleSettings(config=file), common)


def _k8s(folder: Path, servers: Mapping[str, TlsServer], common: CommonSettings) -> Spoke:
    token = folder / "kube.token"
    token.write_text("admin-token\n")
    clusters = {
        alias: {"server": each.url, "ca_file": str(each.trusted), "token": str(token)}
        for alias, each in servers.items()
    }
    file = folder / "k8s.yaml"
    file.write_text(yaml.safe_dump({"clusters": clusters}))
    return build_k8s(K8sSettings(config=file, kubeconfig="none"), common, env={})


def _written(folder: Path, name: str, alias: str, account: Mapping[str, Any]) -> Path:
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump({"accounts": {alias: dict(account)}}))
    return file


@asynccontextmanager
async def world_in(folder: Path, start_fleet: StartFleet) -> AsyncGenerator[World]:
    policy = folder / "config" / "policy"
    policy.mkdir(parents=True)
    policy.joinpath("roles.cedar").write_bytes((ROOT / "config/policy/roles.cedar").read_bytes())
    policy.joinpath("ours.cedar").write_text(ROLES)
    common = CommonSettings(data_dir=folder / "data", config_dir=folder / "config")
    estate, google = Estate(), GoogleServer(folder / "tls")
    azure = TlsServer(application_of(estate), folder / "tls")
    kubes = {"main": KubeEmulator(), "other": KubeEmulator()}
    kube_servers = {
        alias: TlsServer(each.application, folder / "tls") for alias, each in kubes.items()
    }
    async with AsyncExitStack() as held:
        for each in (azure, google, *kube_servers.values()):
            await held.enter_async_context(each.running())
        cmdb = build_cmdb(CmdbSettings(database_url=f"sqlite:///{folder}/cmdb.sqlite3"), common)
        spokes = [
            cmdb,
            _azure(folder, azure, estate, common),
            _google(folder, google, common),
            _k8s(folder, kube_servers, common),
        ]
        fleet = await held.enter_async_context(
            start_fleet(folder, spokes, approvals="off", config_dir=folder / "config")
        )
        client = await held.enter_async_context(fleet.client())
        yield World(fleet, cmdb, Book(client), azure, estate, google, kubes, kube_servers)
