"""Hubs in this process, real spokes in others, and a fault proxy before each that may be broken."""

import asyncio
import contextlib
import gc
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Coroutine, Generator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Self, get_args

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from flotilla import CommonSettings
from flotilla.fleet import ANY, HUB, FleetConfig, HubLimits, ServiceEntry
from flotilla.identity import open_signing_key
from flotilla.resilience import Resilience
from master import build as build_hub
from master.call import Call
from master.principals import TokenBook
from master.settings import Settings as HubSettings
from master.state.seam import CircuitState
from master.upstream.transport.answer import Answer
from tests.conftest import InProcessFleet, find_free_port, until

from . import fault_proxy, trial
from .caller import Answered, Caller
from .fault_proxy import FaultProxy

ROOT = Path(__file__).resolve().parents[2]
NAMESPACES = {
    trial.NAME: (trial.NAMESPACE,),
    "linux_cli": ("os.linux", "os.ssh"),
    "cmdb": ("data.cmdb",),
}
NUMBERS = {trial.NAME: 90, "linux_cli": 1, "cmdb": 12}
STEADY: Mapping[str, Any] = {
    "timeout_s": 1.0,
    "retry": {"retries": 2, "first_s": 0.02, "most_s": 0.05},
    "breaker": {"failures": 5, "open_s": 0.3},
    "places": {"calls": 1000, "waiting": 0},
    "rate_limit": {"per_minute": 1_000_000, "burst": 100_000},
    "health_check": {"every_s": 0.3, "timeout_s": 0.3, "failures": 2},
}
"""What the hub is told of each service, small enough for a test, unless a test says otherwise."""


@dataclass(frozen=True)
class SpokeProcess:
    """One process of spokes, and where each of them listens."""

    ports: Mapping[str, int]
    process: subprocess.Popen[bytes]
    log: Path


class Spokes:
    """Starts processes of spokes that share one signing key with every hub that is opened here."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self._folder = folder
        open_signing_key(self.data / "hub")

    @contextmanager
    def process(self, *names: str, **env: str) -> Generator[SpokeProcess]:
        ports = {name: find_free_port() for name in names}
        config = self._folder / f"config-{'-'.join(names)}-{min(ports.values())}"
        config.mkdir()
        (config / "services.yaml").write_text(
            "services:\n"
            + "".join(
                f"  {name}: {{number: {NUMBERS[name]}, port: {port}, "
                f"namespaces: [{', '.join(NAMESPACES[name])}]}}\n"
                for name, port in ports.items()
            )
        )
        log = config / "log"
        with log.open("wb") as writing:
            process = subprocess.Popen(
                [sys.executable, str(ROOT / "tests" / "chaos" / "spokes.py"), *names],
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    "FLOTILLA_DATA_DIR": str(self.data),
                    "FLOTILLA_CONFIG_DIR": str(config),
                    "FLOTILLA_LOG_LEVEL": "WARNING",
                    # Calls that hang are left behind, and nobody waits for them at the end.
                    "FLOTILLA_SHUTDOWN_GRACE_S": "1",
                    "MCP_PORT_BASE": "",
                    **env,
                },
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                cwd=config,
            )
        try:
            yield SpokeProcess(ports, process, log)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@dataclass(frozen=True)
class Footprint:
    """What hubs hold while something is asked of them, and let go afterwards."""

    tasks: int
    answers: int
    """Of servers, begun or awaited; a stream that is held is one."""
    calls: int

    @classmethod
    def now(cls) -> Self:
        gc.collect()
        held: list[object] = gc.get_objects()
        kinds = Counter(type(each) for each in held)
        return cls(
            tasks=sum(not _is_proxys(task) for task in asyncio.all_tasks()),
            answers=kinds[Answer],
            calls=kinds[Call],
        )

    def fits(self, start: "Footprint", spare: int = 4) -> bool:
        """Whether this is no more than at the start, but for what a hub does by itself."""
        return (
            self.tasks <= start.tasks + spare
            and self.answers <= start.answers + spare
            and self.calls <= start.calls
        )


def _is_proxys(task: asyncio.Task[Any]) -> bool:
    coroutine: Any = task.get_coro()
    code = getattr(coroutine, "cr_code", None)  # what closes a generator has none
    return code is not None and code.co_filename == fault_proxy.__file__


@dataclass
class Site:
    """Hubs that serve, what stands behind them, and a client at each."""

    hubs: list[InProcessFleet]
    callers: list[Caller]
    proxies: Mapping[str, FaultProxy]
    trial_port: int
    http: aiohttp.ClientSession
    folder: Path
    neighbour: str = "linux_cli"

    @property
    def hub(self) -> InProcessFleet:
        return self.hubs[0]

    @property
    def caller(self) -> Caller:
        return self.callers[0]

    @property
    def proxy(self) -> FaultProxy:
        return self.proxies[trial.NAME]

    async def cue(self, how: str = "well", **more: Any) -> None:
        """What becomes of the trial's requests from now on: `what`, `lateS`, `left`, `forget`."""
        url = f"http://127.0.0.1:{self.trial_port}{trial.PATH}"
        async with self.http.post(url, json={"how": how, **more}) as response:
            assert response.status == 200

    async def book(self) -> dict[str, Any]:
        """What the trial has counted."""
        url = f"http://127.0.0.1:{self.trial_port}{trial.PATH}"
        async with self.http.get(url) as response:
            return await response.json()

    async def runs(self, of: str) -> int:
        """How often a tool ran under a key, as `add:x`."""
        return (await self.book())["runs"].get(of, 0)

    async def metric(self, name: str, hub: int = 0, **labels: str) -> float | None:
        """One sample of the hub's metrics; None where it has none."""
        async with self.http.get(f"{self.hubs[hub].url}/metrics") as response:
            text = await response.text()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return sample.value
        return None

    async def health(self, service: str = trial.NAME, hub: int = 0) -> dict[str, Any]:
        """What `getServiceHealth` says of a service."""
        return (await self.callers[hub].call("master.getServiceHealth")).structured[service]

    async def circuit_in_metrics(self, service: str = trial.NAME, hub: int = 0) -> str | None:
        """The one state that `mcp_circuit_state` shows as 1."""
        shown = [
            state
            for state in get_args(CircuitState)
            if await self.metric("mcp_circuit_state", hub, service=service, state=state) == 1
        ]
        return shown[0] if len(shown) == 1 else None

    def look(self, key: str, takes_s: float = 0, **more: Any) -> Coroutine[Any, Any, Answered]:
        """Call the tool of the trial that only reads."""
        return self.tool("look", key, takes_s, **more)

    def tool(
        self, tool: str, key: str, takes_s: float = 0, **more: Any
    ) -> Coroutine[Any, Any, Answered]:
        """Call a tool of the trial."""
        arguments = {"key": key, "takesS": takes_s}
        return self.caller.call(f"{trial.NAMESPACE}.{tool}", arguments, **more)

    async def look_beside(self, n: int) -> Answered:
        """A call to the healthy neighbour, which no cache answers; `n` differs each time."""
        if self.neighbour == "cmdb":
            return await self.caller.call("data.cmdb.searchItems", {"limit": 1 + n % 500})
        return await self.caller.call(
            "os.linux.readFile", {"path": "/proc/loadavg", "maxBytes": 100 + n}
        )

    @asynccontextmanager
    async def as_server(self) -> AsyncGenerator[tuple[FaultProxy, dict[str, Any]]]:
        """The first hub as an external server of others: the proxy before it, and its entry."""
        token = self.hub.token_file.read_text().strip()
        async with FaultProxy(self.hub.fleet.port(HUB)).running() as proxy:
            yield (
                proxy,
                {
                    "type": "http",
                    "url": f"{proxy.url}/mcp",
                    "headers": {"Authorization": f"Bearer {token}"},
                    "timeoutS": 1,
                },
            )

    async def listed(self, server: str, end: str, within_s: float = 10) -> str:
        """The canonical name of an external server's tool that ends so, once it is listed."""
        found: list[str] = []

        async def is_listed() -> bool:
            found[:] = [
                name
                for name in await self.caller.tools()
                if name.startswith(f"ext.{server}.") and name.endswith(end)
            ]
            return bool(found)

        await until(is_listed, within_s)
        return found[0]

    async def beside(self, calls: int = 30) -> float:
        """The median of what so many calls to the neighbour take, one after the other, in s."""
        took: list[float] = []
        for n in range(calls):
            answered = await self.look_beside(n)
            assert answered.code is None, answered.error
            took.append(answered.took_s)
        return median(took)

    async def settled(self, start: Footprint, within_s: float = 10.0) -> None:
        """Return once the hubs hold no more than at the start."""
        try:
            await until(lambda: Footprint.now().fits(start), within_s)
        except TimeoutError:
            tasks = Counter(str(each.get_coro()) for each in asyncio.all_tasks())
            raise AssertionError(f"{start} at first, now {Footprint.now()}: {tasks}") from None


def mostly_real(each: Iterable[Any], *always: Any) -> list[Any]:
    """What stands in `each` as parameters, a tuple as several; of them the default run takes
    `always` alone: it must be short."""
    return [
        pytest.param(
            *(told if isinstance(told, tuple) else (told,)),
            marks=() if told in always else pytest.mark.real,
        )
        for told in each
    ]


def as_fast(amid_s: float, *at_rest_s: float) -> bool:
    """Whether a median is no worse than those before and after, as far as a busy machine tells."""
    return amid_s < 2.5 * max(at_rest_s) + 0.003


@dataclass(frozen=True)
class Ground:
    """What sites are opened on: the processes of spokes that are there, and a folder."""

    spokes: Spokes
    ports: Mapping[str, int]
    folder: Path
    redis_url: str | None = None
    neighbour: str = "linux_cli"
    book: TokenBook | None = None
    """The hubs' principals; by default the admin alone."""

    def beside(self, name: str) -> "Ground":
        """Where further hubs have a folder of their own."""
        folder = self.folder / name
        folder.mkdir()
        return replace(self, folder=folder)

    @asynccontextmanager
    async def site(
        self,
        *,
        hubs: int = 1,
        through: Sequence[str] = (trial.NAME,),
        ready: bool = True,
        hub_limits: HubLimits | None = None,
        external: Mapping[str, Mapping[str, Any]] | None = None,
        redis_url: str | None = None,
        broken: Mapping[str, Any] | None = None,
        **services: Mapping[str, Any],
    ) -> AsyncGenerator[Site]:
        """Open hubs; `through` names what stands behind a proxy, `services` how each is treated.

        `broken` are the faults that hold from before the hubs' start.
        """
        async with AsyncExitStack() as stack:
            proxies = {
                name: await stack.enter_async_context(FaultProxy(self.ports[name]).running())
                for name in through
            }
            for name, fault in (broken or {}).items():
                await proxies[name].suffer(fault)
            http = await stack.enter_async_context(
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
            )
            site = Site(
                [], [], proxies, self.ports.get(trial.NAME, 0), http, self.folder, self.neighbour
            )
            if trial.NAME in self.ports:
                await site.cue("well", forget=True)
            for number in range(hubs):
                hub = await stack.enter_async_context(
                    self._hub(
                        number,
                        {name: each.url for name, each in proxies.items()},
                        services,
                        hub_limits,
                        external or {},
                        redis_url or self.redis_url,
                    )
                )
                if ready:
                    await hub.ready()
                site.hubs.append(hub)
                if self.book is None:
                    site.callers.append(await stack.enter_async_context(Caller.of(hub)))
            yield site

    @asynccontextmanager
    async def _hub(
        self,
        number: int,
        urls: Mapping[str, str],
        services: Mapping[str, Mapping[str, Any]],
        hub_limits: HubLimits | None,
        external: Mapping[str, Mapping[str, Any]],
        redis_url: str | None,
    ) -> AsyncGenerator[InProcessFleet]:
        data = self.folder / f"data-{number}"
        if not data.exists():
            shutil.copytree(self.spokes.data / "hub", data / "hub")
        entries = {
            HUB: ServiceEntry(number=0, port=find_free_port(), namespaces=("master",)),
            **{
                name: ServiceEntry.model_validate(
                    {
                        **STEADY,
                        **services.get(name, {}),
                        "number": NUMBERS[name],
                        "port": port,
                        "namespaces": NAMESPACES[name],
                        "url": urls.get(name),
                    }
                )
                for name, port in self.ports.items()
            },
        }
        fleet = InProcessFleet(
            FleetConfig(entries, {}, hub=hub_limits, external={ANY: Resilience(**STEADY)}),
            CommonSettings(data_dir=data, shutdown_grace_s=1),
        )
        servers = data / "mcp.json"
        servers.write_text(json.dumps({"mcpServers": external}))
        settings = HubSettings(mcp_config=servers, redis_url=redis_url)
        await fleet.start(
            HUB, lambda: build_hub(settings, fleet.common, fleet.fleet, book=self.book)
        )
        try:
            yield fleet
        finally:
            with contextlib.suppress(KeyError):
                await fleet.stop(HUB)
