"""What a call costs that the hub answers from its cache, against the same call forwarded.

    python benchmarks/cache_hit.py [--rounds 7] [--calls 400] [--json FILE] [--check]

Two hubs stand before the same servers on loopback; services.yaml lets one of them keep results. The
servers are a fast echo in plain ASGI, which is the cheapest thing to forward to, and the CMDB, a
spoke of the fleet, whose search is a real read. The ways take turns in rounds; a ratio is taken in
each round by itself and told as median (lowest to highest). CPU is that of hub and server together.

`--check` makes the exit code 1 where a hit of the CMDB costs a quarter of a forwarded call or more.
"""

# ruff: noqa: E402 - the repository goes on the path before what is imported from it.

import argparse
import itertools
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import uvloop
from wire.callers import Job, ModernCaller
from wire.connection import Connection, ask
from wire.fleet import READY_S, answers, clean_env
from wire.jobs import SMALL
from wire.load import Way
from wire.processes import MODULE_ENV, Program, Programs, free_port, programs
from wire.report import machine, save, table
from wire.rounds import Point, Ratio, Series, measured, ratio, ratio_of_sums

QUARTER = 0.25
ITEMS = 60
FORWARDED, HIT, MISS = "forwarded", "hit", "miss, kept"
ECHO, SEARCH = "bench.echo.say", "data.cmdb.searchItems"
SEARCHED = Job("CMDB search, 20 items", SEARCH, b'{"query":"said echo","limit":20}', 2000)
UNBOUNDED = "{per_minute: 10000000, burst: 1000000}"


class Both:
    """The CPU of several programs, as of one."""

    def __init__(self, *programs: Program) -> None:
        self._programs = programs

    def cpu_s(self) -> float:
        return sum(program.cpu_s() for program in self._programs)

    def as_one(self) -> Program:
        return cast("Program", self)  # a way asks it for nothing else


class NeverTheSame(ModernCaller):
    """Makes each call another question, that no kept result answers."""

    _numbers = itertools.count()

    async def call(self, lane: Connection, job: Job) -> None:
        fresh = job.arguments.replace(b"x" * 7, b"%07d" % next(self._numbers), 1)
        await super().call(lane, replace(job, arguments=fresh))


class Servers:
    """A hub that keeps results and one that does not, and what they stand before."""

    def __init__(self, started: Programs) -> None:
        self._started = started
        self._data = started.folder / "data"
        self._ports = {name: free_port() for name in ("echo", "cmdb", FORWARDED, HIT)}
        self._env = {
            **clean_env(),
            **MODULE_ENV,
            "FLOTILLA_DATA_DIR": str(self._data),
            "FLOTILLA_LOG_LEVEL": "INFO",
        }

    async def start(self) -> dict[str, Program]:
        """All of them, by name; the hubs by what they do."""
        key = str(self._data / "hub" / "public_key.pem")
        hub = [sys.executable, str(ROOT / "00_master_mcp" / "mcp_server.py")]
        cmdb = [sys.executable, str(ROOT / "12_cmdb_mcp" / "mcp_server.py")]
        echo = [sys.executable, "-m", "wire.modern_echo"]
        echo += [str(self._ports["echo"]), "bench.echo.", key, "echo"]
        # The first hub makes the key that the servers verify its calls by.
        argvs = {FORWARDED: hub, "echo": echo, "cmdb": cmdb, HIT: hub}
        found: dict[str, Program] = {}
        for name, argv in argvs.items():
            env = {**self._env, "FLOTILLA_CONFIG_DIR": str(self._config(name))}
            found[name] = self._started.start(name, argv, env)
            wanted = "/health" if name == FORWARDED else "/ready"
            url = f"http://127.0.0.1:{self._ports[name]}{wanted}"
            await found[name].until(lambda url=url: answers(url), READY_S)
        for name in (FORWARDED, HIT):
            url = f"http://127.0.0.1:{self._ports[name]}/ready"
            await found[name].until(lambda url=url: answers(url), READY_S)
        return found

    def caller(self, hub: str, kind: type[ModernCaller] = ModernCaller) -> ModernCaller:
        names = {SMALL.tool: ECHO}
        return kind(self._url(hub), self._headers, lambda tool: names.get(tool, tool))

    async def hits(self, hub: str) -> int:
        """How many calls that hub says that it has answered from its cache."""
        told = (await ask(self._url(hub, "/metrics"), method="GET")).body.decode()
        counted = [line for line in told.splitlines() if 'lookups_total{outcome="hit"' in line]
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in counted)

    async def fill(self) -> None:
        """Items that the search finds."""
        caller = self.caller(FORWARDED)
        lane = caller.lane()
        for number in range(ITEMS):
            arguments = {
                "ciClass": "server",
                "name": f"rack{number:03} said by the echo",
                "attributes": {"environment": "production", "ip": f"10.0.0.{number}"},
            }
            made = Job("", "data.cmdb.createItem", json.dumps(arguments).encode(), 100)
            await caller.call(lane, made)
        lane.close()

    def _url(self, hub: str, path: str = "/mcp") -> str:
        return f"http://127.0.0.1:{self._ports[hub]}{path}"

    def _headers(self) -> Mapping[str, str]:
        return {"authorization": f"Bearer {(self._data / 'admin_token').read_text().strip()}"}

    def _config(self, name: str) -> Path:
        """The folder of the configuration that a program reads."""
        folder = self._started.folder / f"config {name}"
        folder.mkdir()
        own = self._ports[name if name in (FORWARDED, HIT) else FORWARDED]
        kept = {ECHO: "{bench.echo.say: 3600}", SEARCH: "{data.cmdb.searchItems: 3600}"}
        cache = {tool: text if name == HIT else "{}" for tool, text in kept.items()}
        (folder / "services.yaml").write_text(
            f"defaults: {{rate_limit: {UNBOUNDED}}}\n"
            "services:\n"
            f"  master: {{number: 0, port: {own}, namespaces: [master]}}\n"
            f"  echo: {{number: 1, port: {self._ports['echo']}, namespaces: [bench.echo],"
            f" cache: {cache[ECHO]}}}\n"
            f"  cmdb: {{number: 12, port: {self._ports['cmdb']}, namespaces: [data.cmdb],"
            f" cache: {cache[SEARCH]}}}\n"
        )
        return folder


@dataclass(frozen=True)
class Judged:
    """What a way costs against a forwarded call, at one point."""

    call: str
    in_flight: int
    way: str
    time: Ratio
    cpu: Ratio


def judged(series: list[Series]) -> list[Judged]:
    found: list[Judged] = []
    for each in series:
        if each.way == FORWARDED:
            continue
        base = next(one for one in series if (one.point, one.way) == (each.point, FORWARDED))
        found.append(
            Judged(
                each.point.job.label,
                each.point.in_flight,
                each.way,
                ratio(each.values("median_ms"), base.values("median_ms")),
                # The kernel counts CPU by hundredths of a second.
                ratio_of_sums(each.values("cpu_ms"), base.values("cpu_ms")),
            )
        )
    return found


async def run(started: Programs, rounds: int, calls: int) -> list[Series]:
    servers = Servers(started)
    running = await servers.start()
    await servers.fill()
    series: list[Series] = []
    for job, server in ((SMALL, "echo"), (SEARCHED, "cmdb")):
        cpu = {hub: Both(running[hub], running[server]).as_one() for hub in (FORWARDED, HIT)}
        ways = [Way(hub, servers.caller(hub), cpu[hub]) for hub in (FORWARDED, HIT)]
        if job == SMALL:
            ways.append(Way(MISS, servers.caller(HIT, NeverTheSame), cpu[HIT]))
        points = [Point(job, 1, calls), Point(job, 16, calls * 2)]
        series += await measured(ways, points, rounds)
    made = sum(burst.calls for each in series if each.way == HIT for burst in each.bursts)
    assert await servers.hits(HIT) >= made, "some were forwarded"
    assert not await servers.hits(FORWARDED)
    return series


def tell(series: list[Series], found: list[Judged]) -> None:
    rows = [
        [
            each.point.job.label,
            str(each.point.in_flight),
            each.way,
            f"{each.median('median_ms'):.2f}",
            f"{each.median('p95_ms'):.2f}",
            f"{each.median('calls_a_second'):.0f}",
            f"{each.mean('cpu_ms'):.2f}",
        ]
        for each in series
    ]
    heads = "call|in flight|way|median ms|p95 ms|calls/s|CPU ms a call, hub and server"
    print(table(heads.split("|"), rows), end="\n\n")
    for each in found:
        print(
            f"{each.call}, {each.in_flight} in flight, {each.way}: {each.time} x the time of a "
            f"forwarded call, {each.cpu} x its CPU"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=400, help="a burst's, one by one")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--check", action="store_true", help="exit 1 when the bound is missed")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="cache-hit-") as folder,
        programs(Path(folder)) as started,
    ):
        series = uvloop.run(run(started, given.rounds, given.calls))
    print(f"{given.rounds} rounds; {machine()}\n")
    found = judged(series)
    tell(series, found)
    hits = [each for each in found if (each.call, each.way) == (SEARCHED.label, HIT)]
    met = all(each.time.median < QUARTER and each.cpu.median < QUARTER for each in hits)
    print(f"\na hit costs less than {QUARTER} of a forwarded search: {'met' if met else 'MISSED'}")
    if given.json is not None:
        figures: dict[str, Any] = {"series": [each.figures() for each in series]}
        save(given.json, "cache_hit", rounds=given.rounds, **figures)
    if given.check and not met:
        sys.exit(1)


if __name__ == "__main__":
    main()
