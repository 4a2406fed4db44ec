"""A hub whose spokes are those of the providers, each before a faithful server of ours.

What the servers were asked is kept, so that attacks are judged by what would have reached the
provider and not by what a tool answers. Nobody has a reason to speak to the stranger.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from azure_cloud import build as build_azure
from azure_cloud.settings import Settings as AzureSettings
from cmdb import build as build_cmdb
from cmdb.settings import Settings as CmdbSettings
from flotilla import CommonSettings, Spoke
from google_cloud import build as build_google
from google_cloud.settings import Settings as GoogleSettings
from k8s import build as build_k8s
from k8s.settings import Settings as K8sSettings
from tests.backends.azure.arm_server import application_of
from tests.backends.azure.estate import CLIENT, SUBSCRIPTION, TENANT, Estate
from tests.backends.google import GoogleServer
from tests.backends.kube.emulator import KubeEmulator
from tests.backends.kube.writing import Out, Writes
from tests.backends.servicenow_server import PASSWORD as NOW_PASSWORD
from tests.backends.servicenow_server import USER as NOW_USER
from tests.backends.servicenow_server import ServiceNow
from tests.backends.tls_server import Asked, TlsServer
from tests.backends.vcsim_server import PASSWORD as VC_PASSWORD
from tests.backends.vcsim_server import Vcsim
from tests.chaos.caller import Caller
from tests.conftest import InProcessFleet, StartFleet
from vmware import build as build_vmware
from vmware.settings import Settings as VmwareSettings

from .world import all_tools, caller

PROJECT, ELSEWHERE = "acme-prod", "acme-closed"
"""A Google project that the account is for, and one that its key could reach all the same."""
ZONE = "europe-west1-b"
GROUP = "shop"
NAMESPACE = "default"


@dataclass
class Stranger:
    """A host that no provider has anything to do with; `heard` is what came to it."""

    port: int = 0
    heard: list[bytes] = field(default_factory=list[bytes])

    async def sent(self, _: web.Request, response: web.StreamResponse) -> None:
        """Redirects lead here."""
        if 300 <= response.status < 400:
            response.headers["Location"] = f"http://127.0.0.1:{self.port}/x"

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator["Stranger"]:
        async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.heard.append(await reader.read(4096))
            writer.close()

        server = await asyncio.start_server(met, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self


@dataclass
class Clouds:
    """The fleet, the client that attacks it, and what stands behind it."""

    folder: Path
    estate: Estate
    arm: TlsServer
    google: GoogleServer
    kube: KubeEmulator
    writes: Writes
    api: TlsServer
    now: ServiceNow
    stranger: Stranger
    vsphere: TlsServer | None = None
    fleet: InProcessFleet = field(init=False)
    caller: Caller = field(init=False)
    listing: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    spokes: list[Spoke] = field(default_factory=list[Spoke])
    numbers: Any = field(default_factory=lambda: count(1))

    def servers(self) -> Mapping[str, TlsServer]:
        """By the beginning of the names of the tools that ask them."""
        told = {
            "cloud.azure.": self.arm,
            "cloud.gcp.": self.google.tls,
            "infra.k8s.": self.api,
            "data.cmdb.": self.now.server,
        }
        return told if self.vsphere is None else {**told, "infra.vmware.": self.vsphere}

    def taken(self) -> Mapping[str, list[Asked]]:
        """What each server was asked since the last time."""
        told = {name: list(server.asked) for name, server in self.servers().items()}
        for server in self.servers().values():
            server.asked.clear()
        return told

    def tools(self) -> list[str]:
        """The tools that ask a provider."""
        own = ("data.cmdb.queryServiceNow", "data.cmdb.pullServiceNow", "ServiceNowPush")
        found = [
            name
            for name in self.listing
            if name.startswith(tuple(self.servers()))
            and (not name.startswith("data.cmdb.") or name.startswith(own[:2]) or own[2] in name)
        ]
        return sorted([*found, "data.cmdb.pushServiceNow"])

    async def call(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        return (await self.caller.call(tool, arguments)).structured


@asynccontextmanager
async def opened_clouds(
    start: StartFleet,
    folder: Path,
    *,
    simulator: Vcsim | None = None,
    approvals: str = "off",
    bounded: bool = True,
    **more: Any,
) -> AsyncGenerator[Clouds]:
    """`bounded`: the accounts' own entries say for which subscriptions and projects they are."""
    folder.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        estate, kube = Estate(), KubeEmulator()
        arm = TlsServer(application_of(estate), folder / "arm")
        google = GoogleServer(folder / "google")
        writes = Writes(kube)
        writes.run["echo"] = _echo
        api = TlsServer(kube.application, folder / "api")
        now = ServiceNow(folder / "now")
        stranger = await stack.enter_async_context(Stranger().listening())
        for server in (arm, google.tls, api, now.server):
            server._application.on_response_prepare.append(stranger.sent)
        for server in (arm, api, now.server):
            await stack.enter_async_context(server.running())
        await stack.enter_async_context(google.running())
        clouds = Clouds(folder, estate, arm, google, kube, writes, api, now, stranger)
        if simulator is not None:
            gate = TlsServer(_before(simulator), folder / "vsphere")
            clouds.vsphere = await stack.enter_async_context(gate.running())
        clouds.spokes = _spokes(clouds, bounded=bounded)
        clouds.fleet = await stack.enter_async_context(
            start(folder, clouds.spokes, approvals=approvals, timeout_s=60, **more)
        )
        clouds.caller = await stack.enter_async_context(caller(clouds.fleet))
        clouds.listing = await all_tools(clouds.caller)
        yield clouds


def _file(clouds: Clouds, name: str, value: str | Mapping[str, Any]) -> Path:
    file = clouds.folder / name
    file.write_text(value if isinstance(value, str) else yaml.safe_dump(dict(value)))
    return file


def _spokes(clouds: Clouds, *, bounded: bool) -> list[Spoke]:
    common = CommonSettings(data_dir=clouds.folder / "data", config_dir=clouds.folder)
    arm, api, google = clouds.arm, clouds.api, clouds.google
    account = {
        "tenant": TENANT,
        "client_id": CLIENT,
        "client_secret": str(_file(clouds, "azure.secret", clouds.estate.client_secret)),
        "authority": arm.url,
        "resource_manager": arm.url,
        "ca_file": str(arm.trusted),
        "subscription": SUBSCRIPTION,
        **({"subscriptions": [SUBSCRIPTION]} if bounded else {}),
    }
    key = google.world.service_account("robot", [PROJECT, ELSEWHERE])
    robot = google.account(
        str(_file(clouds, "google.json", key)), projects=[PROJECT] if bounded else []
    )
    token = str(_file(clouds, "kube.token", "admin-token\n"))
    cluster = {"server": api.url, "ca_file": str(api.trusted), "token": token}
    instance = {
        "url": clouds.now.server.url,
        "ca_file": str(clouds.now.server.trusted),
        "auth": "basic",
        "user": NOW_USER,
        "password": str(_file(clouds, "now.secret", NOW_PASSWORD)),
    }
    found = [
        build_azure(
            AzureSettings(
                config=_file(clouds, "azure.yaml", {"accounts": {"main": account}}),
                retail_prices_url=f"{arm.url}/api/retail/prices",
                retail_prices_trusted=arm.trusted,
            ),
            common,
        ),
        build_google(
            GoogleSettings(config=_file(clouds, "gcp.yaml", {"accounts": {"main": robot}})), common
        ),
        build_k8s(
            K8sSettings(
                config=_file(clouds, "k8s.yaml", {"clusters": {"main": cluster}}),
                kubeconfig="none",
            ),
            common,
            env={},
        ),
        build_cmdb(
            CmdbSettings(
                database_url=f"sqlite:///{clouds.folder}/cmdb.sqlite3",
                servicenow_config=_file(clouds, "now.yaml", {"instances": {"dev": instance}}),
            ),
            common,
        ),
    ]
    if (gate := clouds.vsphere) is not None:
        entry = {
            "host": "127.0.0.1",
            "port": int(gate.url.rpartition(":")[2]),
            "user": "operator@vsphere.local",
            "password": str(_file(clouds, "vc.secret", VC_PASSWORD)),
            "ca_file": str(gate.trusted),
        }
        file = _file(clouds, "vmware.yaml", {"vcenters": {"main": entry}})
        found.append(build_vmware(VmwareSettings(config=file), common))
    return found


async def _echo(argv: list[str], _stdin: bytes, out: Out) -> int:
    await out(1, " ".join(argv[1:]).encode())
    return 0


def _before(simulator: Vcsim) -> web.Application:
    """What is asked goes on to the simulator as it is; the server before it keeps a copy."""
    session: list[aiohttp.ClientSession] = []

    async def passed(request: web.Request) -> web.Response:
        names = ("Content-Type", "SOAPAction", "Cookie")
        headers = {name: request.headers[name] for name in names if name in request.headers}
        async with session[0].request(
            request.method,
            f"{simulator.url}{request.rel_url}",
            data=await request.read(),
            headers=headers,
            ssl=False,
        ) as answer:
            told = web.Response(status=answer.status, body=await answer.read())
            for name in ("Content-Type", "Set-Cookie"):
                for value in answer.headers.getall(name, []):
                    told.headers.add(name, value)
            return told

    async def opened(_: web.Application) -> AsyncGenerator[None]:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as made:
            session.append(made)
            yield

    application = web.Application(client_max_size=16 * 1024**2)
    application.cleanup_ctx.append(opened)
    application.router.add_route("*", "/{path:.*}", passed)
    return application
