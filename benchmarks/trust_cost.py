"""What authentication, policy, audit and redaction cost a call, against forwarding in the same run.

usage: python3 benchmarks/trust_cost.py [--calls 300] [--rounds 15] [--data FOLDER]

Four hubs stand before one echo, which is a process of its own: one that only forwards, and others
to which authentication, policy, and audit with redaction are added one after the other. They are
called in turns, without a socket before them. CPU is that of all threads of the hub, the audit's
too, until its rows are on the disk; the least of all rounds counts. The last part compares what a
writing call waits for longer with one durable commit of SQLite in the same folder. Quote the
ratios: machines are noisy. The folder should lie on the disk that a hub would use.
"""

# ruff: noqa: E402 - the repository goes on the path before what is imported from it.

import argparse
import asyncio
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "00_master_mcp")]

import orjson
import uvloop
from in_process import ADMIN, SECRETS, call_of, started
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import master
import master.pipeline
from flotilla import CommonSettings, Model, Spoke, reads, writes
from flotilla.fleet import HUB, FleetConfig, ServiceEntry
from flotilla.identity import Caller, open_signing_key
from flotilla.logs import set_up_logs
from flotilla.redaction import Redactor
from flotilla.resilience import RateLimit
from flotilla.serving.gates import Admitted
from flotilla.serving.run import Running
from flotilla.serving.spokes import spoke_service
from master.audit.book import LINGER_S
from master.call import Stage
from master.policy.seam import Verdict
from master.settings import Settings

READ, WRITE = "bench.echo.read", "bench.echo.write"
ARGUMENTS = {"host": "local", "text": "x" * 100}
MAX_SHARE = 0.5
PORTS = (47_810, 47_811)


class Said(Model):
    text: str


async def say(host: str, text: str) -> Said:
    """Say it."""
    del host
    return Said(text=text)


def echo() -> Spoke:
    tools = (reads(READ, say), writes(WRITE, say))
    return Spoke(name="echo", version="1", instructions="", namespaces=("bench.echo",), tools=tools)


def fleet_of() -> FleetConfig:
    fast = {"rate_limit": RateLimit(per_minute=10_000_000, burst=1_000_000)}
    hub, spoke = PORTS
    return FleetConfig(
        {
            HUB: ServiceEntry(number=0, port=hub, namespaces=("master",), **fast),
            "echo": ServiceEntry(number=1, port=spoke, namespaces=("bench.echo",), **fast),
        },
        {},
    )


async def serve_echo(data: Path) -> None:
    """The other process."""
    set_up_logs("INFO", Redactor(), (data / "echo_log").open("w"))
    common, stop = CommonSettings(data_dir=data), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    running = Running(lambda: spoke_service(echo(), common, fleet_of()))
    serving = asyncio.create_task(running.keep_up(stop))
    await running.started()
    print("ready", flush=True)
    await stop.wait()
    await running.wind_down()
    await serving


class Unredacted(Redactor):
    """Finds nothing, at the price of writing JSON."""

    def json(self, value: Any) -> str:
        return orjson.dumps(value, default=str).decode()


def as_it_is(inner: Stage, *_: Any, **__: Any) -> Stage:
    return inner


def unjudged(inner: Stage, *_: Any) -> Stage:
    verdict = Verdict(allowed=True)

    async def stage(call: Any) -> Any:
        call.verdict = verdict
        return await inner(call)

    return stage


def admitting(*_: Any) -> Any:
    async def authenticate(_scope: Scope, receive: Receive) -> Admitted:
        return Admitted(Caller(ADMIN), receive)

    return authenticate


LEFT_OUT: Mapping[str, tuple[tuple[Any, str, Any], ...]] = {
    "authentication": ((master, "clients_only", admitting),),
    "policy": ((master.pipeline, "authorised", unjudged),),
    "audit and redaction": (
        (master.pipeline, "audited", as_it_is),
        (master.pipeline, "intended", as_it_is),
    ),
}


@contextmanager
def left_out(parts: Sequence[str]) -> Generator[None]:
    """What is built within has all parts of trust but these."""
    with ExitStack() as stack:
        for part in parts:
            for place, name, instead in LEFT_OUT[part]:
                stack.enter_context(patch.object(place, name, instead))
        yield


def hub_without(parts: Sequence[str], data: Path, log: Any) -> ASGIApp:
    redacts = "audit and redaction" not in parts
    set_up_logs("INFO", Redactor(SECRETS) if redacts else Unredacted(), log)
    with left_out(parts):
        return master.build(Settings(), CommonSettings(data_dir=data), fleet_of()).app


async def ready(app: ASGIApp) -> None:
    """The echo's tools are known."""
    scope = {"type": "http", "method": "GET", "path": "/ready", "raw_path": b"/ready"}
    scope |= {"query_string": b"", "headers": [(b"host", b"localhost")], "http_version": "1.1"}
    scope |= {"scheme": "http", "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 50_000)}
    async with asyncio.timeout(20):
        while True:
            told: list[int] = []

            async def look(message: Message, told: list[int] = told) -> None:
                told.append(message.get("status", 0))

            async def nothing() -> Message:
                return {"type": "http.request", "body": b"", "more_body": False}

            await app({**scope, "asgi": {"version": "3.0"}, "state": {}}, nothing, look)
            if told[0] == 200:
                return
            await asyncio.sleep(0.05)


@dataclass(frozen=True)
class Spent:
    """Of one call: CPU of all threads, and the median of what its caller waited."""

    cpu_us: float
    waited_us: float


async def spent(app: ASGIApp, scope: Scope, body: bytes, calls: int) -> Spent:
    request: Message = {"type": "http.request", "body": body, "more_body": False}

    async def once(send: Send) -> None:
        unread = [request]

        async def receive() -> Message:
            # As with a server, nothing more comes until the client goes.
            return unread.pop() if unread else await asyncio.get_running_loop().create_future()

        await app({**scope, "state": {}}, receive, send)

    got = bytearray()

    async def look(message: Message) -> None:
        got.extend(message.get("body", b""))

    async def ignore(_: Message) -> None: ...

    await once(look)
    assert b"structuredContent" in got, bytes(got[:500])
    waited: list[float] = []
    before = time.process_time()
    for _ in range(calls):
        began = time.perf_counter()
        await once(ignore)
        waited.append(time.perf_counter() - began)
    # Until the last row is on the disk too.
    await asyncio.sleep(4 * LINGER_S)
    cpu_s = time.process_time() - before
    return Spent(cpu_s / calls * 1e6, statistics.median(waited) * 1e6)


def commit_us(folder: Path, commits: int = 200) -> float:
    """The median of one durable commit of a row as long as the audit's."""
    waited: list[float] = []
    with closing(sqlite3.connect(folder / "yardstick.sqlite3", isolation_level=None)) as opened:
        opened.execute("PRAGMA journal_mode = WAL")
        opened.execute("PRAGMA synchronous = FULL")
        opened.execute("CREATE TABLE IF NOT EXISTS rows (number INTEGER PRIMARY KEY, body TEXT)")
        for _ in range(commits):
            began = time.perf_counter()
            opened.execute("BEGIN IMMEDIATE")
            opened.execute("INSERT INTO rows (body) VALUES (?)", ("x" * 500,))
            opened.execute("COMMIT")
            waited.append(time.perf_counter() - began)
    return statistics.median(waited) * 1e6


async def measured(data: Path, calls: int, rounds: int) -> None:
    names = list(LEFT_OUT)
    ways = {"forwarding alone": tuple(names)}
    ways |= {f"+ {name}": tuple(names[number + 1 :]) for number, name in enumerate(names)}
    least: dict[str, Spent] = {}
    waits: dict[tuple[str, str], list[float]] = {}
    commits: list[float] = []
    async with AsyncExitStack() as stack:
        log = stack.enter_context((data / "log").open("w"))
        hubs = {
            way: await stack.enter_async_context(started(hub_without(parts, data, log)))
            for way, parts in ways.items()
        }
        for hub in hubs.values():
            await ready(hub)
        token = (data / "admin_token").read_text().strip()
        requests = {tool: call_of(tool, ARGUMENTS, token) for tool in (READ, WRITE)}
        for _ in range(rounds):
            for way, hub in hubs.items():
                found = await spent(hub, *requests[READ], calls)
                before = least.get(way, found)
                least[way] = Spent(
                    min(found.cpu_us, before.cpu_us), min(found.waited_us, before.waited_us)
                )
            for way in (next(iter(hubs)), list(hubs)[-1]):
                for tool in (READ, WRITE):
                    found = await spent(hubs[way], *requests[tool], max(20, calls // 5))
                    waits.setdefault((way, tool), []).append(found.waited_us)
            commits.append(commit_us(data))
    tell(least, waits, commits)


def tell(
    least: Mapping[str, Spent],
    waits: Mapping[tuple[str, str], list[float]],
    commits: list[float],
) -> None:
    bare = next(iter(least.values()))
    print("| a small read-only call | CPU µs | of forwarding | waited µs |\n|---|---|---|---|")
    last = 0.0
    for way, each in least.items():
        added = each.cpu_us - (last or each.cpu_us)
        share = f"{added / bare.cpu_us:+.2f}" if last else "1"
        print(f"| {way} | {each.cpu_us:.0f} | {share} | {each.waited_us:.0f} |")
        last = each.cpu_us
    share = (last - bare.cpu_us) / bare.cpu_us
    print(f"\nTrust costs {share:.2f} of forwarding (at most {MAX_SHARE}).")
    alone, all_of_it = next(iter(least)), list(least)[-1]
    longer = [
        (write - read) - (write_alone - read_alone)
        for write, read, write_alone, read_alone in zip(
            waits[all_of_it, WRITE],
            waits[all_of_it, READ],
            waits[alone, WRITE],
            waits[alone, READ],
            strict=True,
        )
    ]
    waited, commit = statistics.median(longer), statistics.median(commits)
    print(
        f"A writing call waits {waited:.0f} µs longer than a reading one; a durable commit takes "
        f"{commit:.0f} µs: {waited / commit:.2f} commits."
    )


async def main(given: argparse.Namespace) -> None:
    if given.echo is not None:
        await serve_echo(given.echo)
        return
    with tempfile.TemporaryDirectory(dir=given.data) as name:
        open_signing_key(Path(name) / "hub")
        echo_process = await asyncio.create_subprocess_exec(
            sys.executable, __file__, "--echo", name, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            assert echo_process.stdout is not None
            async with asyncio.timeout(20):
                while await echo_process.stdout.readline() != b"ready\n":
                    pass
            await measured(Path(name), given.calls, given.rounds)
        finally:
            echo_process.terminate()
            await echo_process.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--echo", type=Path, default=None, help=argparse.SUPPRESS)
    uvloop.run(main(parser.parse_args()))
