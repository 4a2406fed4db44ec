"""What asking several search engines at once costs, against the slowest of them asked alone.

    python benchmarks/searching.py [--rounds 40] [--check]

Three SearXNG on loopback, played by a process of its own, answer ten results each after 40, 60 and
80 ms, half of them the same pages. The spoke's real tool asks them by its real client. `auto` waits
for all three here, so that the ratio is what asking, merging and telling add; the ways take turns,
and a ratio is taken in each round by itself and told as median (lowest to highest).

Then one of the three hangs: what `auto` takes then, against the second fastest asked alone. What is
above that is the grace that it gives the slower ones.

`--check` makes the exit code 1 where `auto` takes 1.25 times the slowest or more.
"""

# ruff: noqa: E402 - the repository goes on the path before what is imported from it.

import argparse
import asyncio
import statistics
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "06_web_search_mcp")]

from aiohttp import web
from wire.report import machine, table

from flotilla import Context, Deadline, Principal
from flotilla.redaction import Redactor
from flotilla.toolbox import Toolbox
from web_search import spoke_of
from web_search.engine import Found
from web_search.engines.searxng import Searxng
from web_search.engines.wire import Wire
from web_search.merging import merged
from web_search.pace import Pace
from web_search.settings import Settings

DELAYS_S: Mapping[str, float] = {"quick": 0.04, "middling": 0.06, "slow": 0.08}
HANGS = "hanging"
RESULTS = 10
MOST = 1.25
WAITS_FOR_ALL = Pace(enough=len(DELAYS_S))


async def serve() -> None:
    """The engines; the port is told on the first line, and the end of stdin ends it."""

    async def search(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        await asyncio.sleep(DELAYS_S.get(name, 3600))
        return web.json_response({"results": [row(name, number) for number in range(RESULTS)]})

    app = web.Application()
    app.router.add_get("/{name}/search", search)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


def row(name: str, number: int) -> dict[str, str]:
    """Every second page is the same with all engines, as each of them spells it."""
    host = "www.shared.example" if number % 2 else f"{name}.example"
    return {
        "title": f"Page {number} about tea",
        "url": f"https://{host}/page-{number}?utm_source={name}&id={number}",
        "content": "What there is to know about tea, where it grows and how it is drunk. " * 4,
    }


@asynccontextmanager
async def engines_running() -> AsyncGenerator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        "--serve",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            port = int(await process.stdout.readline())
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stdin.close()
        await process.wait()


class Searches:
    """The spoke with these engines; each question is another, so that none is asked together."""

    def __init__(self, url: str, names: list[str], pace: Pace | None = None) -> None:
        engines = [Searxng(name, Wire(name, f"{url}/{name}")) for name in names]
        self._spoke = spoke_of(engines, Settings(), pace=pace)
        self._box = Toolbox(self._spoke.tools, Redactor())
        self._asked = 0

    @asynccontextmanager
    async def open(self) -> AsyncGenerator["Searches"]:
        async with self._spoke.lifespan():
            yield self

    async def search(self, engine: str, within_s: float = 30) -> dict[str, Any]:
        self._asked += 1
        arguments = {"query": f"tea {self._asked}", "engine": engine, "maxResults": RESULTS}
        context = Context(
            principal=Principal("bench"), correlation_id="bench", deadline=Deadline.after(within_s)
        )
        return await self._box.call("web.search.query", arguments, context)

    async def took_s(self, engine: str) -> tuple[float, float]:
        """Seconds of the clock and of this process's CPU for one search."""
        cpu_s, started = process_time(), perf_counter()
        result = await self.search(engine)
        took = perf_counter() - started, process_time() - cpu_s
        assert not result["isError"], result["content"]
        assert len(result["structuredContent"]["results"]) == RESULTS
        return took


async def overhead(url: str, rounds: int) -> float:
    """Prints what `auto` adds; returns the median ratio to the slowest engine asked alone."""
    ways = ("slow", "auto")
    took: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    async with Searches(url, list(DELAYS_S), WAITS_FOR_ALL).open() as searches:
        for way in ways * 3:  # connections are made, code is warm
            await searches.took_s(way)
        for number in range(rounds):
            for way in ways if number % 2 else reversed(ways):
                took[way].append(await searches.took_s(way))
    ratios = [auto / slow for (auto, _), (slow, _) in zip(took["auto"], took["slow"], strict=True)]
    rows = [
        [
            name,
            f"{statistics.median(wall for wall, _ in took[way]) * 1000:.1f} ms",
            f"{statistics.median(cpu for _, cpu in took[way]) * 1000:.2f} ms",
        ]
        for way, name in (("slow", "the slowest, alone"), ("auto", "auto, all three"))
    ]
    print(table(["asked", "answered after", "CPU"], rows))
    median = statistics.median(ratios)
    print(f"\nauto / the slowest: {median:.3f} ({min(ratios):.3f} to {max(ratios):.3f})")
    return median


async def with_one_that_hangs(url: str, rounds: int) -> None:
    names = [HANGS, "quick", "middling"]
    autos: list[float] = []
    alone: list[float] = []
    for _ in range(rounds):
        # A new one each time: one that is left behind five times in a row is not asked any more.
        async with Searches(url, names).open() as searches:
            for way in names:  # connections are made, code is warm
                await searches.search(way, within_s=0.3)
            alone.append((await searches.took_s("middling"))[0])
            autos.append((await searches.took_s("auto"))[0])
    auto_ms, alone_ms = (statistics.median(each) * 1000 for each in (autos, alone))
    print(
        f"one of three hangs: {auto_ms:.0f} ms; the second fastest alone takes {alone_ms:.0f} ms, "
        f"the grace is {Pace().grace_s * 1000:.0f} ms"
    )


def merging() -> None:
    for most in (10, 50):
        lists = {
            name: [
                Found(title=each["title"], url=each["url"], snippet=each["content"])
                for each in (row(name, number) for number in range(most))
            ]
            for name in DELAYS_S
        }
        times: list[float] = []
        for _ in range(50):
            started = perf_counter()
            merged(lists, "web", {})
            times.append(perf_counter() - started)
        print(f"merging 3 lists of {most}: {statistics.median(times) * 1000:.2f} ms")


async def measured(rounds: int, *, check: bool) -> int:
    print(f"{machine()}; {rounds} rounds\n")
    async with engines_running() as url:
        ratio = await overhead(url, rounds)
        await with_one_that_hangs(url, max(3, rounds // 8))
    merging()
    return 1 if check and ratio >= MOST else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return 0
    return asyncio.run(measured(options.rounds, check=options.check))


if __name__ == "__main__":
    sys.exit(main())
