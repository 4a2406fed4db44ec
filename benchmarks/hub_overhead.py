"""What the hub adds to a call, against a direct call and a bare byte gateway in the same run.

usage: python3 benchmarks/hub_overhead.py [--calls 2000] [--in-flight 16]

Everything runs on loopback: an echo spoke, the hub before it, and a gateway of thirty lines that
authenticates nothing, records nothing and only carries bytes. Quote the ratios: machines are noisy.
"""

import argparse
import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "00_master_mcp")]

import aiohttp  # noqa: E402
import orjson  # noqa: E402
import psutil  # noqa: E402

HUB, SPOKE, GATEWAY = 29_700, 29_701, 29_702
TOOL = "bench.echo.say"
TEXT = "x" * 1000
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
BASE = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
MODERN = {
    **BASE,
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
    "mcp-name": TOOL,
}

Request = tuple[bytes, dict[str, str]]


def serve_spoke() -> None:
    from flotilla import Model, Spoke, reads
    from flotilla.serving import serve

    class Said(Model):
        text: str

    async def say(text: str) -> Said:
        """Say it."""
        return Said(text=text)

    serve(
        Spoke(
            name="echo",
            version="1",
            instructions="",
            namespaces=("bench.echo",),
            tools=(reads(TOOL, say),),
        )
    )


def serve_hub() -> None:
    from flotilla.serving import serve_services
    from master import build
    from master.settings import Settings

    serve_services([lambda: build(Settings.from_env())])


def serve_gateway() -> None:
    import uvicorn

    session: list[aiohttp.ClientSession] = []

    async def app(scope, receive, send) -> None:
        if scope["type"] != "http":
            return
        if not session:
            session.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        body = (await receive())["body"]
        headers = [(k.decode(), v.decode()) for k, v in scope["headers"] if k != b"host"]
        url = f"http://127.0.0.1:{SPOKE}/mcp"
        async with session[0].post(url, data=body, headers=headers) as upstream:
            content_type = upstream.headers["content-type"].encode()
            start = {"type": "http.response.start", "status": upstream.status}
            await send({**start, "headers": [(b"content-type", content_type)]})
            async for chunk in upstream.content.iter_any():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    uvicorn.run(app, port=GATEWAY, log_level="error", loop="uvloop", http="httptools")


@contextmanager
def running(folder: Path) -> Generator[dict[str, psutil.Process]]:
    config = folder / "config"
    config.mkdir()
    (config / "services.yaml").write_text(
        "services:\n"
        f"  master: {{number: 0, port: {HUB}, namespaces: [master]}}\n"
        f"  echo: {{number: 1, port: {SPOKE}, namespaces: [bench.echo]}}\n"
    )
    env = {**os.environ, "FLOTILLA_DATA_DIR": str(folder / "data"), "FLOTILLA_LOG_LEVEL": "INFO"}
    env |= {"FLOTILLA_CONFIG_DIR": str(config), "MCP_PORT_BASE": ""}
    with (folder / "log").open("wb") as log:
        started = {
            role: subprocess.Popen([sys.executable, __file__, "--serve", role], env=env, stderr=log)
            for role in ("hub", "spoke", "gateway")
        }
        try:
            yield {role: psutil.Process(process.pid) for role, process in started.items()}
        finally:
            for process in started.values():
                process.send_signal(signal.SIGTERM)
            for process in started.values():
                process.wait(20)


@dataclass(frozen=True)
class Way:
    """One way of a call: where to, with which request, and which process stands between."""

    name: str
    url: str
    request: Callable[[], Request]
    between: psutil.Process | None


@dataclass(frozen=True)
class Figures:
    median_ms: float
    calls_a_second: float
    cpu_ms: float


async def measure(way: Way, http: aiohttp.ClientSession, calls: int, in_flight: int) -> Figures:
    async def one() -> float:
        body, headers = way.request()
        started = time.perf_counter()
        async with http.post(way.url, data=body, headers=headers) as answer:
            raw = await answer.read()
        assert answer.status == 200 and b"structuredContent" in raw, raw[:300]
        return time.perf_counter() - started

    async def many(count: int) -> None:
        for _ in range(count):
            await one()

    await many(100)
    alone = [await one() for _ in range(calls // 4)]
    cpu_before, started = cpu_s(way.between), time.perf_counter()
    await asyncio.gather(*(many(calls // in_flight) for _ in range(in_flight)))
    took_s, cpu = time.perf_counter() - started, cpu_s(way.between) - cpu_before
    done = calls // in_flight * in_flight
    return Figures(statistics.median(alone) * 1e3, done / took_s, cpu / done * 1e3)


def cpu_s(process: psutil.Process | None) -> float:
    return 0.0 if process is None else sum(process.cpu_times()[:2])


def call(request_id: int, name: str, **meta: object) -> bytes:
    params = {"name": name, "arguments": {"text": TEXT}, "_meta": meta}
    body = {"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": params}
    return orjson.dumps(body)


async def ways(
    http: aiohttp.ClientSession, data: Path, processes: dict[str, psutil.Process]
) -> list[Way]:
    from flotilla import Principal
    from flotilla.identity import Signer, open_signing_key

    # A benchmark longer than a minute outlives the hub's tokens: made anew for each request.
    signer = Signer(open_signing_key(data / "hub"))
    admin = {"authorization": f"Bearer {(data / 'admin_token').read_text().strip()}"}

    def to_spoke() -> Request:
        signed = {"authorization": f"Bearer {signer.token('echo', Principal('bench'))}"}
        return call(1, TOOL, **ENVELOPE), {**MODERN, **signed}

    opening = {"jsonrpc": "2.0", "id": 0, "method": "initialize"}
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench"}}
    url = f"http://127.0.0.1:{HUB}/mcp"
    async with http.post(url, json={**opening, "params": hello}, headers={**BASE, **admin}) as got:
        session = {"mcp-session-id": got.headers["mcp-session-id"]}
    numbers = iter(range(1, 10**9))
    return [
        Way("direct", f"http://127.0.0.1:{SPOKE}/mcp", to_spoke, None),
        Way("byte gateway", f"http://127.0.0.1:{GATEWAY}/mcp", to_spoke, processes["gateway"]),
        Way(
            "hub, 2026-07-28",
            url,
            lambda: (call(1, TOOL, **ENVELOPE), {**MODERN, **admin}),
            processes["hub"],
        ),
        Way(
            "hub, handshake",
            url,
            lambda: (call(next(numbers), TOOL), {**BASE, **admin, **session}),
            processes["hub"],
        ),
    ]


async def main(calls: int, in_flight: int) -> None:
    with tempfile.TemporaryDirectory() as name, running(Path(name)) as processes:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as http:
            await ready(http)
            found = {
                way: await measure(way, http, calls, in_flight)
                for way in await ways(http, Path(name) / "data", processes)
            }
        memory = {role: each.memory_info().rss / 2**20 for role, each in processes.items()}
    direct = next(figures for way, figures in found.items() if way.between is None)
    print(f"{calls} calls of 1 KB; rate and CPU with {in_flight} in flight, median one by one")
    print("| way | median ms | added ms | calls/s | CPU ms a call between |")
    print("|---|---|---|---|---|")
    for way, each in found.items():
        added = each.median_ms - direct.median_ms
        row = f"{each.median_ms:.2f} | {added:.2f} | {each.calls_a_second:.0f} | {each.cpu_ms:.2f}"
        print(f"| {way.name} | {row} |")
    bare = next(each for way, each in found.items() if way.name == "byte gateway")
    for way, each in found.items():
        if way.name.startswith("hub"):
            added = (each.median_ms - direct.median_ms) / (bare.median_ms - direct.median_ms)
            rate, cpu = each.calls_a_second / bare.calls_a_second, each.cpu_ms / bare.cpu_ms
            print(
                f"{way.name}: {added:.2f} x the gateway's added time, {rate:.2f} x its rate, ",
                end="",
            )
            print(f"{cpu:.2f} x its CPU")
    print(f"hub {memory['hub']:.0f} MB, spoke {memory['spoke']:.0f} MB")


async def ready(http: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(30):
        for port, path in ((HUB, "/ready"), (GATEWAY, "/mcp")):
            while True:
                try:
                    async with http.get(f"http://127.0.0.1:{port}{path}") as answer:
                        if port == GATEWAY or answer.status == 200:
                            break
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--calls", type=int, default=2000)
    arguments.add_argument("--in-flight", type=int, default=16)
    arguments.add_argument("--serve", choices=["hub", "spoke", "gateway"])
    given = arguments.parse_args()
    if given.serve:
        {"hub": serve_hub, "spoke": serve_spoke, "gateway": serve_gateway}[given.serve]()
    else:
        asyncio.run(main(given.calls, given.in_flight))
