"""Whether a hub that was called a hundred thousand times holds more than one called ten thousand.

    python benchmarks/soak.py [--calls 60000] [--lanes 16] [--redis URL] [--json FILE] [--check]

A hub and real spokes (the Linux one, the CMDB, and one whose tools fail, hang and count on cue) are
processes of their own; the way to the last goes through a proxy that resets every connection now
and then. Calls of every kind are mixed: good, failing, slow, timed out, given up by their client,
large, of handshake sessions, of the tool search, and streams that are opened and left.

Thirty times the load pauses until all calls have ended, and the hub is looked at: resident memory,
tasks, open sockets, open files. What the last third of the looks holds on average is set against
the second third, for the first one fills caches and pools. `--check` makes the exit code 1 where
anything grows.
"""

# ruff: noqa: E402 - the repository goes on the path before what is imported from it.

import argparse
import asyncio
import gc
import itertools
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean
from time import monotonic
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "00_master_mcp")]

import aiohttp
import orjson
import psutil
import uvloop
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from wire.fleet import READY_S, answers, clean_env
from wire.processes import MODULE_ENV, Programs, free_port, programs
from wire.report import save

from flotilla.serving import serve_services
from flotilla.serving.service import Service
from tests.chaos.caller import Caller
from tests.chaos.fault_proxy import FaultProxy, Reset

LOOKS = 30
BROKEN_S = 0.05
"""How long the proxy resets connections, before each third look, and how long it waits first."""
MOST = {"rss_mb": 1.05, "tasks": 1.05, "sockets": 1.05, "files": 1.05}
SPARE = {"rss_mb": 2.0, "tasks": 3.0, "sockets": 6.0, "files": 6.0}
"""What is no growth whatever its ratio: a hub at rest holds few things, and one more is much."""
PATH = "/held"
HANDSHAKE = "2025-11-25"
TAKES = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
TRIAL_LIMITS = (
    "timeout_s: 1, breaker: {failures: 5, open_s: 0.2}, retry: {retries: 1, first_s: 0.02}"
)
UNBOUNDED = "rate_limit: {per_minute: 10000000, burst: 1000000}, places: {calls: 500}"


@dataclass(frozen=True, slots=True)
class Held:
    """What the hub holds while nobody calls."""

    calls: int
    rss_mb: float
    tasks: float
    sockets: float
    files: float


class Site:
    """The programs, and what a call needs to reach them."""

    def __init__(self, all_of: Programs, redis_url: str | None) -> None:
        self._programs = all_of
        self._hub_port, self._trial, linux, cmdb = (free_port() for _ in range(4))
        self._config = all_of.folder / "config"
        self._config.mkdir()
        self._linux, self._cmdb = linux, cmdb
        self._env = {
            **clean_env(),
            **MODULE_ENV,
            "FLOTILLA_DATA_DIR": str(all_of.folder / "data"),
            "FLOTILLA_CONFIG_DIR": str(self._config),
            "FLOTILLA_LOG_LEVEL": "ERROR",
            **({"FLOTILLA_REDIS_URL": redis_url} if redis_url else {}),
        }
        self.proxy = FaultProxy(self._trial)
        self.url = f"http://127.0.0.1:{self._hub_port}"

    async def start(self) -> psutil.Process:
        """The hub, once it is ready. The proxy runs already."""
        spokes = str(ROOT / "tests" / "chaos" / "spokes.py")
        self._configure(trial_url=None)
        self._programs.start("trial", [sys.executable, spokes, "trial"], self._env)
        names = ["linux_cli", "cmdb"]
        self._programs.start("spokes", [sys.executable, spokes, *names], self._env)
        self._configure(trial_url=self.proxy.url)
        argv = [sys.executable, str(Path(__file__)), "--hub"]
        hub = self._programs.start("hub", argv, self._env)
        await hub.until(lambda: answers(f"{self.url}/ready"), READY_S)
        return psutil.Process(hub.pid)

    def token(self) -> str:
        return (self._programs.folder / "data" / "admin_token").read_text().strip()

    def _configure(self, trial_url: str | None) -> None:
        url = "" if trial_url is None else f", url: '{trial_url}'"
        (self._config / "services.yaml").write_text(
            "services:\n"
            f"  master: {{number: 0, port: {self._hub_port}, namespaces: [master]}}\n"
            f"  linux_cli: {{number: 1, port: {self._linux}, namespaces: [os.linux, os.ssh],"
            f" {UNBOUNDED}}}\n"
            f"  cmdb: {{number: 12, port: {self._cmdb}, namespaces: [data.cmdb], {UNBOUNDED}}}\n"
            f"  trial: {{number: 90, port: {self._trial}, namespaces: [test.trial]{url},"
            f" {TRIAL_LIMITS}, {UNBOUNDED}}}\n"
        )


class Load:
    """The kinds of calls, mixed by their weights; what each answered is counted."""

    def __init__(self, caller: Caller, http: aiohttp.ClientSession, url: str, token: str) -> None:
        self._caller = caller
        self._http = http
        self._url = f"{url}/mcp"
        self._headers = {**TAKES, "authorization": f"Bearer {token}"}
        self._dice = random.Random(4)
        self._numbers = itertools.count(1)
        self.told: Counter[str] = Counter()
        self._kinds: dict[Callable[[], Awaitable[str | None]], int] = {
            self._good: 40,
            self._linux: 10,
            self._cmdb: 10,
            self._failing: 6,
            self._wrong: 4,
            self._slow: 8,
            self._timed_out: 2,
            self._given_up: 5,
            self._large: 2,
            self._handshake: 5,
            self._search: 4,
            self._listing: 2,
            self._stream: 2,
        }

    async def some(self, calls: int, lanes: int) -> None:
        """So many calls, each lane one after the other; returns when all have ended."""
        left = iter(range(calls))

        async def lane() -> None:
            for _ in left:
                (kind,) = self._dice.choices(list(self._kinds), list(self._kinds.values()))
                try:
                    code = await kind()
                except aiohttp.ClientError as error:
                    code = type(error).__name__
                self.told[f"{kind.__name__.strip('_')}: {code or 'ok'}"] += 1

        await asyncio.gather(*(lane() for _ in range(lanes)))

    async def _good(self) -> str | None:
        return await self._trial("look")

    async def _slow(self) -> str | None:
        return await self._trial("look", takes_s=0.05)

    async def _timed_out(self) -> str | None:
        return await self._trial("add", takes_s=5, timeout_ms=40)

    async def _given_up(self) -> str | None:
        try:
            async with asyncio.timeout(self._dice.uniform(0.001, 0.04)):
                return await self._trial("look", takes_s=5)
        except TimeoutError:
            return "given up"

    async def _linux(self) -> str | None:
        arguments = {"path": "/proc/loadavg", "maxBytes": 100 + next(self._numbers) % 1000}
        return (await self._caller.call("os.linux.readFile", arguments)).code

    async def _cmdb(self) -> str | None:
        arguments = {"limit": 1 + next(self._numbers) % 100}
        return (await self._caller.call("data.cmdb.searchItems", arguments)).code

    async def _failing(self) -> str | None:
        arguments = {"key": "fails", "code": "upstream_error"}
        return (await self._caller.call("test.trial.fail", arguments)).code

    async def _wrong(self) -> str | None:
        tool = self._dice.choice(["test.trial.look", f"test.trial.no{next(self._numbers)}"])
        return (await self._caller.call(tool, {"nothing": 1})).code

    async def _large(self) -> str | None:
        return (await self._caller.call("test.trial.large", {"key": "large"})).code

    async def _search(self) -> str | None:
        query = self._dice.choice(["read a file", "look at a server", "items of a class"])
        return (await self._caller.call("master.tools.search", {"query": query})).code

    async def _listing(self) -> str | None:
        return None if await self._caller.tools() else "nothing listed"

    async def _trial(self, tool: str, takes_s: float = 0, **more: Any) -> str | None:
        arguments = {"key": f"{next(self._numbers) % 5000}", "takesS": takes_s}
        return (await self._caller.call(f"test.trial.{tool}", arguments, **more)).code

    async def _handshake(self) -> str | None:
        """A session from its first word to its last, with a call in it."""
        opening = {
            "protocolVersion": HANDSHAKE,
            "capabilities": {},
            "clientInfo": {"name": "soak", "version": "1"},
        }
        status, headers = await self._post("initialize", opening, {})
        if status != 200:
            return f"HTTP {status}"
        session = {
            "mcp-session-id": headers["mcp-session-id"],
            "mcp-protocol-version": HANDSHAKE,
        }
        await self._post("notifications/initialized", None, session)
        called = {"name": "test.trial.look", "arguments": {"key": "session"}}
        status, _ = await self._post("tools/call", called, session)
        async with self._http.delete(self._url, headers={**self._headers, **session}):
            return None if status == 200 else f"HTTP {status}"

    async def _stream(self) -> str | None:
        """A listen stream, left by its client after its first event."""
        try:
            async with asyncio.timeout(0.05):
                asked = {"notifications": {"toolsListChanged": True}}
                answered = await self._caller.ask("subscriptions/listen", asked)
                return answered.code or "ended"
        except TimeoutError:
            return "left"

    async def _post(
        self, method: str, params: Mapping[str, Any] | None, session: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str]]:
        body: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            body |= {"id": next(self._numbers), "params": params}
        async with self._http.post(
            self._url, data=orjson.dumps(body), headers={**self._headers, **session}
        ) as response:
            await response.read()
            return response.status, response.headers


async def soak(folder: Path, calls: int, lanes: int, redis_url: str | None) -> list[Held]:
    """Call the hub so often; what it held at each look."""
    looks: list[Held] = []
    with programs(folder) as started:
        site = Site(started, redis_url)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(site.proxy.running())
            hub = await site.start()
            connector = aiohttp.TCPConnector(limit=0)
            http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            load = Load(Caller(http, f"{site.url}/mcp", site.token()), http, site.url, site.token())
            began = monotonic()
            for number in range(1, LOOKS + 1):
                breaking = number % 3 == 0
                async with asyncio.TaskGroup() as together:
                    together.create_task(load.some(calls // LOOKS, lanes))
                    if breaking:
                        together.create_task(break_off(site.proxy))
                looks.append(await look(http, site.url, hub, number * (calls // LOOKS)))
                print(_line(looks[-1], monotonic() - began), flush=True)
        print("\n".join(f"{count:>8}  {what}" for what, count in sorted(load.told.items())))
    return looks


async def break_off(proxy: FaultProxy) -> None:
    """Reset every connection to the trial, those that are opened for a moment too."""
    await asyncio.sleep(BROKEN_S)
    await proxy.suffer(Reset())
    await asyncio.sleep(BROKEN_S)
    await proxy.heal()


async def look(http: aiohttp.ClientSession, url: str, hub: psutil.Process, calls: int) -> Held:
    """What the hub holds once it has let go of the calls that ended."""
    told: dict[str, int] = {}
    for _ in range(20):
        async with http.get(f"{url}{PATH}") as response:
            told = await response.json()
        if not told["running"]:
            break
        await asyncio.sleep(0.05)
    sockets = sum(each.status != "TIME_WAIT" for each in hub.net_connections("tcp"))
    rss_mb = hub.memory_info().rss / 2**20
    return Held(calls, rss_mb, told["tasks"], sockets, hub.num_fds())


def _line(held: Held, since_s: float) -> str:
    return (
        f"{held.calls:>8} calls {since_s:7.1f} s {held.rss_mb:8.1f} MB {held.tasks:6.0f} tasks "
        f"{held.sockets:6.0f} sockets {held.files:6.0f} files"
    )


def grown(looks: Sequence[Held]) -> dict[str, tuple[float, bool]]:
    """Of each thing that is held: the last third over the second one, and whether it grows."""
    third = len(looks) // 3
    found: dict[str, tuple[float, bool]] = {}
    for name, most in MOST.items():
        before = mean(getattr(each, name) for each in looks[third : 2 * third])
        after = mean(getattr(each, name) for each in looks[2 * third :])
        found[name] = after / before, after > before * most and after - before > SPARE[name]
    return found


def serve_hub() -> None:
    """The hub as `mcp_server.py` serves it, which also tells what it holds."""
    from master import build
    from master.settings import Settings

    def built() -> Service:
        service = build(Settings.from_env())
        return replace(service, app=_telling(service))

    serve_services([built])


def _telling(service: Service) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await service.app(scope, receive, send)
            return
        gc.collect()
        held = {"tasks": len(asyncio.all_tasks()), "running": service.drain.running}
        await JSONResponse(held)(scope, receive, send)

    return app


def main() -> int:
    parser = argparse.ArgumentParser(description="Call a hub very often; does what it holds grow?")
    parser.add_argument("--calls", type=int, default=60_000)
    parser.add_argument("--lanes", type=int, default=16)
    parser.add_argument("--redis", help="let the hub share its state there")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--hub", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.hub:
        serve_hub()
        return 0
    with tempfile.TemporaryDirectory(prefix="flotilla-soak-") as folder:
        looks = uvloop.run(soak(Path(folder), asked.calls, asked.lanes, asked.redis))
    verdict = grown(looks)
    for name, (ratio, grows) in verdict.items():
        print(f"{name:>8}: last third is {ratio:.3f} of the second: {_word(grows)}")
    if asked.json:
        ratios = {name: ratio for name, (ratio, _) in verdict.items()}
        save(asked.json, "soak", looks=[asdict(each) for each in looks], ratios=ratios)
    return int(asked.check and any(grows for _, grows in verdict.values()))


def _word(grows: bool) -> str:
    return "GROWING" if grows else "flat"


if __name__ == "__main__":
    sys.exit(main())
