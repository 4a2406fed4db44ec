"""What all tests share: a fleet in this very process, on free ports of loopback."""

import asyncio
import gc
import json
import os
import signal
import ssl
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import httpx2
import psutil
import pytest
import uvicorn.server
import yaml
from hypothesis import settings as examples_of
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from flotilla import CommonSettings, Spoke
from flotilla.fleet import ANY, HUB, FleetConfig, HubLimits, ServiceEntry
from flotilla.resilience import RateLimit, Resilience
from flotilla.serving.run import Running
from flotilla.serving.spokes import spoke_service
from master import build as build_hub
from master.principals.settings import OpenIdSettings
from master.settings import Settings as HubSettings
from tests.backends.hub_tables import with_tables
from tests.backends.postgres_server import postgres as postgres
from tests.backends.redis_server import redis_process as redis_process
from tests.backends.redis_server import redis_server as redis_server
from tests.ports import find_free_port as find_free_port
from tests.ports import free_base as free_base
from tests.processes import command_of, stop

# What an example takes on a busy machine tells nothing of it.
examples_of.register_profile("long", deadline=None)
examples_of.register_profile("short", examples_of.get_profile("long"), max_examples=25)
examples_of.load_profile("long")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", autouse=True)
def short_pauses() -> None:
    """A hub in this process has milliseconds to answer, and Python looks for garbage among all that
    thousands of tests have left behind for most of a second: that is set aside."""
    gc.collect(1)
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def quick_ends() -> Generator[None]:
    """uvicorn looks ten times a second whether it is to end, and before it does it pauses as long:
    that is most of what many a test with a fleet of its own takes."""
    hurried = ModuleType("asyncio")
    vars(hurried).update(vars(asyncio), sleep=lambda pause_s: asyncio.sleep(pause_s / 10))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uvicorn.server, "asyncio", hurried)
        yield


@pytest.fixture
def free_port() -> Callable[[], int]:
    return find_free_port


def plain_http() -> ssl.SSLContext:
    """For clients that speak to loopback without TLS: reading the authorities that the system
    trusts takes longer than many a test."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@asynccontextmanager
async def client_over(http: httpx2.AsyncClient, url: str, **more: Any) -> AsyncGenerator[Client]:
    """The SDK's client of a server; calls may have been given up when it is left."""
    left = False
    try:
        async with Client(streamable_http_client(url, http_client=http), **more) as client:
            yield client
            left = True
    except* (anyio.ClosedResourceError, anyio.BrokenResourceError):
        # It hands the answer to a call that was given up to its closed session.
        if not left:
            raise


class Reachable:
    """A fleet that a client can be connected to, by its URL and the token in its data folder."""

    @property
    def url(self) -> str:
        raise NotImplementedError("abstract")

    @property
    def token_file(self) -> Path:
        raise NotImplementedError("abstract")

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token_file.read_text().strip()}"}

    @asynccontextmanager
    async def client(
        self, path: str = "/mcp", mode: str = "auto", **more: Any
    ) -> AsyncGenerator[Client]:
        async with (
            httpx2.AsyncClient(headers=self.headers, timeout=60, verify=plain_http()) as http,
            client_over(http, f"{self.url}{path}", mode=mode, **more) as client,
        ):
            yield client


@dataclass
class InProcessFleet(Reachable):
    """A hub and spokes that serve on loopback until the fixture ends."""

    fleet: FleetConfig
    common: CommonSettings
    running: dict[str, tuple[Running, asyncio.Event, asyncio.Task[None]]] = field(
        default_factory=dict
    )

    @property
    def url(self) -> str:
        return self.fleet.url(HUB)

    @property
    def token_file(self) -> Path:
        return self.common.data_dir / "admin_token"

    async def start(self, name: str, build: Callable[[], Any]) -> None:
        running, stop = Running(build), asyncio.Event()
        task = asyncio.create_task(running.keep_up(stop))
        await running.started()
        self.running[name] = (running, stop, task)

    async def start_spoke(self, spoke: Spoke) -> None:
        await self.start(spoke.name, lambda: spoke_service(spoke, self.common, self.fleet))

    async def stop(self, name: str) -> None:
        running, stop, task = self.running.pop(name)
        stop.set()
        await running.wind_down()
        await task

    async def ready(self, but_for: Sequence[str] = ()) -> None:
        """Return once the hub waits for nobody else."""
        waiting = f"waiting for {', '.join(but_for)}" if but_for else None

        async def is_ready() -> bool:
            return (await http.get(f"{self.url}/ready")).json().get("reason") == waiting

        async with httpx2.AsyncClient(verify=plain_http()) as http:
            await until(is_ready)


async def until(holds: Callable[[], Any], within_s: float = 10.0) -> None:
    """Wait until `holds()` (or what it awaits to) is true; fail after `within_s`."""
    with anyio.fail_after(within_s):
        while True:
            held = holds()
            if asyncio.iscoroutine(held):
                held = await held
            if held:
                return
            await anyio.sleep(0.01)


ROOT = Path(__file__).resolve().parent.parent


@dataclass
class LaunchedFleet(Reachable):
    """A fleet of processes, as `python3 run_fleet.py` starts it for a person."""

    process: asyncio.subprocess.Process
    base_port: int
    data_dir: Path
    told: list[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.base_port}"

    def url_of(self, number: int) -> str:
        return f"http://127.0.0.1:{self.base_port + number}"

    @property
    def token_file(self) -> Path:
        return self.data_dir / "admin_token"

    def written(self) -> str:
        """What it has told its terminal, and what its services have written into their logs."""
        logs = sorted((self.data_dir / "logs").glob("*.log"))
        assert logs
        return "\n".join([*self.told, *(each.read_text(errors="replace") for each in logs)])

    def processes(self) -> list[psutil.Process]:
        """Every process below the launcher."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def process_of(self, words: str) -> psutil.Process:
        """The one process whose command line ends with these words."""
        (found,) = [each for each in self.processes() if command_of(each).endswith(words)]
        return found

    async def metrics(self, number: int = 0) -> str:
        async with httpx2.AsyncClient(verify=plain_http()) as http:
            return (await http.get(f"{self.url_of(number)}/metrics")).text


def service_numbers() -> list[int]:
    """Those that the fleet's services have, and so their ports above its base."""
    told = yaml.safe_load((ROOT / "config" / "services.yaml").read_text())
    return [each["number"] for each in told["services"].values()]


@asynccontextmanager
async def launched_in(folder: Path, *arguments: str, **env: str) -> AsyncGenerator[LaunchedFleet]:
    """Start `run_fleet.py` with arguments and further environment; stop it as Ctrl-C would."""
    base, data = free_base(service_numbers()), folder / "data"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "run_fleet.py"),
        *arguments,
        env={
            **os.environ,
            "MCP_PORT_BASE": str(base),
            "FLOTILLA_DATA_DIR": str(data),
            "PYTHONUNBUFFERED": "1",
            **env,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
    )
    fleet = LaunchedFleet(process, base, data, [])
    reading = asyncio.create_task(_read_lines(process, fleet.told))
    try:
        async with httpx2.AsyncClient(verify=plain_http()) as http:
            await until(lambda: _is_ready(http, fleet), within_s=60)
        yield fleet
    finally:
        await stop(process, signal.SIGINT, 40, reading)


@pytest.fixture
def launch_fleet(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[LaunchedFleet]]:
    """Start `run_fleet.py` in the test's folder, with the further arguments of `launched_in`."""
    return partial(launched_in, tmp_path)


async def _read_lines(process: asyncio.subprocess.Process, into: list[str]) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        into.append(line.decode(errors="replace").rstrip())


async def _is_ready(http: httpx2.AsyncClient, fleet: LaunchedFleet) -> bool:
    assert fleet.process.returncode is None, "\n".join(fleet.told)
    try:
        return (await http.get(f"{fleet.url}/ready")).status_code == 200
    except httpx2.TransportError:
        return False


UNHURRIED = {"rate_limit": RateLimit(per_minute=10_000_000, burst=1_000_000)}
"""Tests call faster than people and models; those of the limits set their own."""

StartFleet = Callable[..., AbstractAsyncContextManager[InProcessFleet]]


@asynccontextmanager
async def fleet_in(
    folder: Path,
    spokes: Sequence[Spoke] = (),
    *,
    absent: Sequence[Spoke] = (),
    approvals: str = "on",
    timeout_s: float = 30,
    external: Mapping[str, Mapping[str, Any]] | None = None,
    runner: str | None = None,
    hub: HubLimits | None = None,
    resilience: Mapping[str, Any] | None = None,
    openid: OpenIdSettings | None = None,
    **common: Any,
) -> AsyncGenerator[InProcessFleet]:
    """A fleet whose data lies in `folder`; `external` are entries of its mcp.json by their names,
    and `runner` is the URL of what starts their programs. `resilience` are members of Resilience
    for every service and external server, `openid` is the provider of its principals.

    It is ready once the spokes have answered; external servers are not waited for.
    """
    settings = {"timeout_s": timeout_s, **UNHURRIED, **(resilience or {})}
    entries = {
        HUB: ServiceEntry(number=0, port=find_free_port(), namespaces=("master",), **settings),
        **{
            spoke.name: ServiceEntry(
                number=number,
                port=find_free_port(),
                namespaces=spoke.namespaces,
                **settings,
            )
            for number, spoke in enumerate([*spokes, *absent], start=1)
        },
    }
    fleet = InProcessFleet(
        FleetConfig(entries, {}, hub=hub, external={ANY: Resilience(**settings)}),
        CommonSettings(data_dir=folder / "data", shutdown_grace_s=5, **common),
    )
    with_tables(fleet.common.data_dir / "hub")
    servers = folder / "mcp.json"
    servers.write_text(json.dumps({"mcpServers": external or {}}))
    hub_settings = HubSettings(
        approvals=approvals,  # pyright: ignore[reportArgumentType]
        mcp_config=servers,
        external_runner=runner,
    )
    await fleet.start(
        HUB, lambda: build_hub(hub_settings, fleet.common, fleet.fleet, openid=openid)
    )
    try:
        for spoke in spokes:
            await fleet.start_spoke(spoke)
        await fleet.ready([spoke.name for spoke in absent])
        yield fleet
    finally:
        await asyncio.gather(*(fleet.stop(name) for name in list(fleet.running)))


@pytest.fixture
def start_fleet(tmp_path: Path) -> StartFleet:
    """Start a fleet in this process, with the arguments of `fleet_in`."""
    return partial(fleet_in, tmp_path)


@pytest.fixture(scope="session")
def start_fleet_in() -> StartFleet:
    """As `start_fleet`, with the folder as the first argument: for what outlives one test."""
    return fleet_in
