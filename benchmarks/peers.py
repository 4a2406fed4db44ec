"""Other gateways beside the hub and a byte gateway: the same echo, the same load, the same run.

    python benchmarks/peers.py [--peers fastmcp,mcp-proxy,...] [--rounds 5] [--json FILE]

Installs each peer from its registry into build/peers/<name> (or below PEERS_FOLDER), with one
pinned version, starts all of them on loopback before one echo server of the handshake revisions,
and lets them take turns in rounds. Then each gets an echo of its own, and the SDK's client looks
what of the protocol passes. What does not install or start is told as skipped, with the reason.
"""

# ruff: noqa: E402 - the repository goes on the path before what is imported from it.

import argparse
import asyncio
import logging
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import uvloop
from wire.callers import CallFailed
from wire.connection import Connection
from wire.jobs import SMALL
from wire.load import Way, piece
from wire.peers.peer import Door, Echo, Peer, Skipped, lists_echo, named_by
from wire.peers.recipes import OURS, PEERS
from wire.probes import Probes
from wire.processes import NotReady, Program, Programs, free_port, programs
from wire.report import machine, save, table
from wire.rounds import Point, Series, measured

READY_S = 180.0
BURST_S = 1.5
TRACED_CALLS = 20
TRACES = ("traceparent in the headers", "trace in _meta", "x-correlation-id in the headers")
NOT_STARTED = (NotReady, CallFailed, TimeoutError, OSError, ValueError)


@dataclass
class Row:
    """What was found of one gateway; `skipped` says why nothing was."""

    name: str
    version: str
    over: str
    skipped: str | None = None
    cpu_ms: float | None = None
    median_ms: float | None = None
    rate_at_16: float | None = None
    start_s: float | None = None
    at_rest_mb: float | None = None
    peak_mb: float | None = None
    upstream_requests: float | None = None
    """For each call."""
    traced: bool | None = None
    protocol: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Running:
    row: Row
    program: Program
    way: Way


async def start(
    peer: Peer, started: Programs, folder: Path, echo: Echo, *, with_dead: bool = False
) -> tuple[Program, Door, float]:
    """A gateway whose clients see the echo, and the seconds that took."""
    own = Programs(folder)
    started.also(own)
    program, door = await peer.start(own, echo.behind(with_dead=with_dead), folder, free_port())
    return program, door, await program.until(lambda: lists_echo(door), READY_S)


async def come_up(
    peer: Peer, row: Row, started: Programs, folder: Path, echo: Echo
) -> Running | None:
    try:
        program, door, row.start_s = await start(peer, started, folder, echo)
        row.at_rest_mb = program.rss_mb()
        caller = door.caller(named_by(await door.tools()))
        await caller.open()
        between = None if peer.name == "direct" else program
        way = Way(peer.name, caller, between)
        await look_upstream(way, row, echo)
    except Skipped as reason:
        row.skipped = str(reason)
    except NOT_STARTED as error:
        row.skipped = f"does not start: {error}"
    else:
        return Running(row, program, way)
    return None


async def look_upstream(way: Way, row: Row, echo: Echo) -> None:
    """How many requests of its own each call costs upstream, and whether a trace goes along."""
    lane: Connection = way.caller.lane()
    await piece(way, SMALL, 1, [lane])
    await asyncio.sleep(0.2)  # the echo writes its book a twentieth of a second after the fact
    before = echo.books.total()
    await piece(way, SMALL, TRACED_CALLS, [lane])
    await asyncio.sleep(0.2)
    seen = echo.books.total() - before
    lane.close()
    asked = sum(count for what, count in seen.items() if what.startswith("request "))
    row.upstream_requests = asked / TRACED_CALLS
    row.traced = any(seen[trace] for trace in TRACES)


async def load(chosen: Sequence[Peer], folder: Path, rounds: int, calls: int) -> list[Row]:
    """All gateways at once before one echo, in rounds."""
    rows = [Row(peer.name, peer.version, peer.over) for peer in chosen]
    with programs(folder) as started:
        echo = Echo(started, folder / "echo")
        await echo.start()
        running: list[Running] = []
        for peer, row in zip(chosen, rows, strict=True):
            print(f"{peer.name} {peer.version} ...", file=sys.stderr, flush=True)
            try:
                peer.install()
            except (Skipped, OSError) as reason:
                row.skipped = str(reason)
                continue
            up = await come_up(peer, row, started, folder / peer.name, echo)
            if up is not None:
                running.append(up)
        points = [Point(SMALL, 1, calls, BURST_S), Point(SMALL, 16, calls * 4, BURST_S)]
        for series in await measured([each.way for each in running], points, rounds):
            take(series, next(each for each in running if each.way.name == series.way))
        for each in running:
            await each.way.caller.close()
    return rows


def take(series: Series, of: Running) -> None:
    if series.point.in_flight == 1:
        of.row.median_ms = series.median("median_ms")
    else:
        of.row.rate_at_16 = series.median("calls_a_second")
        of.row.cpu_ms = series.mean("cpu_ms") if of.way.between is not None else None
        of.row.peak_mb = of.program.peak_mb() if of.way.between is not None else None


async def probe(peer: Peer, row: Row, folder: Path) -> None:
    """What of the protocol passes, each gateway alone before an echo of its own."""
    print(f"{peer.name}: protocol ...", file=sys.stderr, flush=True)
    with programs(folder) as started:
        echo = Echo(started, folder / "echo")
        await echo.start()
        _, door, _ = await start(peer, started, folder / "alone", echo)
        row.protocol = await Probes(door, echo, stdio=peer.over == "stdio").all()
    dead = "unreachable server at start"
    with programs(folder) as started:
        echo = Echo(started, folder / "echo-again")
        await echo.start()
        try:
            took_s = (await start(peer, started, folder / "beside", echo, with_dead=True))[2]
            row.protocol[dead] = f"ready after {took_s:.1f} s"
        except Skipped as reason:
            row.protocol[dead] = str(reason)
        except NOT_STARTED as error:
            row.protocol[dead] = f"not ready ({str(error)[:60]})"


async def run(
    chosen: Sequence[Peer], folder: Path, rounds: int, calls: int, *, probes: bool
) -> list[Row]:
    rows = await load(chosen, folder / "load", rounds, calls)
    for peer, row in zip(chosen, rows, strict=True):
        if probes and row.skipped is None:
            try:
                await probe(peer, row, folder / f"probe-{peer.name}")
            except NOT_STARTED as error:
                row.protocol["all"] = f"no second start: {error}"
    return rows


def tell(rows: Sequence[Row]) -> None:
    heads = ["gateway", "echo over", "CPU ms a call", "median ms", "calls/s at 16", "start s"]
    heads += ["MB at rest / peak", "upstream requests a call", "trace or correlation upstream"]
    there = [row for row in rows if row.skipped is None]
    figures = [
        [
            f"{row.name} {row.version}".strip(),
            row.over,
            number(row.cpu_ms),
            number(row.median_ms),
            number(row.rate_at_16, 0),
            number(row.start_s, 1),
            f"{number(row.at_rest_mb, 0)} / {number(row.peak_mb, 0)}" if row.peak_mb else "",
            number(row.upstream_requests, 1),
            "yes" if row.traced else "no",
        ]
        for row in there
    ]
    print(table(heads, figures))
    columns = list(dict.fromkeys(name for row in there for name in row.protocol))
    if columns:
        cells = [[row.name, *(row.protocol.get(each, "") for each in columns)] for row in there]
        print()
        print(table(["gateway", *columns], cells))
    for row in rows:
        if row.skipped is not None:
            print(f"\nskipped: {row.name} {row.version}: {row.skipped}")


def number(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--peers", default="", help=f"of {','.join(PEERS)}, or all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=300, help="a burst's, one by one, at most")
    parser.add_argument("--no-probes", action="store_true", help="the load alone")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    given = parser.parse_args()
    asked = [name for name in given.peers.split(",") if name]
    names = list(PEERS) if asked == ["all"] else asked
    if unknown := [name for name in names if name not in PEERS]:
        parser.error(f"there is no recipe for {', '.join(unknown)}")
    # What the SDK's client thinks of strange gateways is in the table, not on the screen.
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="peers-", ignore_cleanup_errors=True) as folder:
        chosen = [*OURS, *(PEERS[name] for name in names)]
        rows = uvloop.run(
            run(chosen, Path(folder), given.rounds, given.calls, probes=not given.no_probes)
        )
    print(f"{given.rounds} rounds of 1 KB calls, handshake era; {machine()}\n")
    tell(rows)
    if given.json is not None:
        save(given.json, "peers", rounds=given.rounds, rows=[asdict(row) for row in rows])


if __name__ == "__main__":
    main()
