"""Draw what the benchmarks found, for the docs.

    python benchmarks/picture.py OVERHEAD.json [PEERS.json] [--to docs/benchmarks.svg]

Reads what `hub_overhead.py --json` and `peers.py --json` wrote. The picture says from what and by
which command it was made.
"""

import argparse
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import orjson  # noqa: E402
from wire.charts import Frame, Limit, bars, curves, heading, legend, ranges  # noqa: E402
from wire.report import command  # noqa: E402
from wire.rounds import Ratio, ratio  # noqa: E402
from wire.svg import Sheet  # noqa: E402

WIDTH = 960
LEFT = 24
WAYS = {
    "direct": "c0",
    "byte gateway": "c1",
    "hub, 2026-07-28": "c2",
    "hub, handshake": "c3",
}
HUBS = ("hub, 2026-07-28", "hub, handshake")
SMALL = "1 KB, JSON"

Json = Mapping[str, Any]
Bursts = Mapping[tuple[str, int, str], list[Json]]


def bursts_of(overhead: Json) -> Bursts:
    """The bursts by call, number in flight and way."""
    return {
        (each["call"], each["in_flight"], each["way"]): each["bursts"]
        for each in overhead["series"]
    }


def added(bursts: Bursts, call: str, way: str) -> list[float]:
    """What a way adds to the median of a direct call, in each round."""
    own, direct = bursts[call, 1, way], bursts[call, 1, "direct"]
    return [a["median_ms"] - b["median_ms"] for a, b in zip(own, direct, strict=True)]


def added_ratio(bursts: Bursts, call: str, way: str) -> Ratio:
    return ratio(added(bursts, call, way), added(bursts, call, "byte gateway"))


def rate(bursts: list[Json]) -> float:
    return statistics.median(each["calls_a_second"] for each in bursts)


def draw_overhead(sheet: Sheet, top: float, overhead: Json) -> float:
    """The two charts of the hub; returns where they end."""
    bursts = bursts_of(overhead)
    calls = list(dict.fromkeys(call for call, _, _ in bursts))
    frame = Frame(150, top + 66, 300, 220)
    heading(
        sheet,
        frame,
        LEFT,
        "What the hub adds to a call",
        "to the median, one call at a time, as a multiple of what a byte gateway adds",
    )
    rows = [(call, {WAYS[way]: added_ratio(bursts, call, way) for way in HUBS}) for call in calls]
    ranges(
        sheet,
        frame,
        rows,
        "times the gateway's (log): median, lowest to highest round",
        Limit(1.5, "asked: 1.5"),
    )
    at = sorted({in_flight for call, in_flight, _ in bursts if call == SMALL})
    right = Frame(590, top + 66, 340, 220)
    heading(sheet, right, 520, "Calls a second", "of 1 KB, answered as JSON, median of the rounds")
    values = {css: [rate(bursts[SMALL, n, way]) for n in at] for way, css in WAYS.items()}
    curves(sheet, right, at, values, ("calls in flight", "calls a second"))
    legend(sheet, LEFT, right.bottom + 64, {css: way for way, css in WAYS.items()})
    memory, starts = overhead["memory"]["hub"], sorted(overhead["start_s"]["hub"])
    sheet.text(
        WIDTH - LEFT,
        right.bottom + 64,
        f"hub: {memory['at_rest']:.0f} MB at rest, {memory['peak']:.0f} MB at most, "
        f"ready in {starts[len(starts) // 2]:.2f} s",
        "faint",
        "end",
    )
    return right.bottom + 84


def draw_peers(sheet: Sheet, top: float, peers: Json) -> float:
    """The chart of the other gateways; returns where it ends."""
    there = [row for row in peers["rows"] if row["cpu_ms"]]
    there.sort(key=lambda row: row["cpu_ms"])
    frame = Frame(190, top + 66, 560, 24 * len(there))
    heading(
        sheet,
        frame,
        LEFT,
        "What a call costs in other gateways",
        "CPU of the gateway, calls of 1 KB with 16 in flight, one echo behind them all, in one run",
    )
    colours = {"byte-gateway": "c1", "flotilla": "c2"}
    rows = [
        (
            f"{row['name']} {row['version']}".strip(),
            colours.get(row["name"], "c0"),
            row["cpu_ms"],
            f"{row['cpu_ms']:.2f} ms, ready in {row['start_s']:.1f} s, {row['at_rest_mb']:.0f} MB",
        )
        for row in there
    ]
    bars(sheet, frame, rows, "milliseconds of CPU a call (log)")
    return frame.bottom + 54


def draw_source(sheet: Sheet, top: float, found: list[Json]) -> float:
    """What the picture was made from, and by which commands; returns where that ends."""
    sheet.line(LEFT, top, WIDTH - LEFT, top)
    lines = [(f"Measured {each['at']} by", each["command"]) for each in found]
    lines += [("Drawn by", command())]
    for number, (name, said) in enumerate(lines):
        sheet.text(LEFT, top + 20 + 16 * number, name, "faint small")
        sheet.text(LEFT + 150, top + 20 + 16 * number, said, "faint code")
    return top + 20 + 16 * len(lines)


def picture(overhead: Json, peers: Json | None) -> str:
    """The SVG of what was found."""
    title = "Flotilla's hub against a byte gateway and a direct call"
    sheet = Sheet(WIDTH, title, "Overhead, rate and CPU, measured in the same run on one machine.")
    sheet.text(LEFT, 36, title, "ink title")
    told = f"{overhead['rounds']} rounds, the ways in turn; {overhead['machine']}; "
    told += f"upstream: the {overhead['upstream']} echo"
    sheet.text(LEFT, 56, told, "faint")
    end = draw_overhead(sheet, 72, overhead)
    if peers is not None:
        end = draw_peers(sheet, end, peers)
    found = [overhead, peers] if peers is not None else [overhead]
    return sheet.svg(draw_source(sheet, end, found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("overhead", type=Path)
    parser.add_argument("peers", type=Path, nargs="?")
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "benchmarks.svg")
    given = parser.parse_args()
    overhead: Json = orjson.loads(given.overhead.read_bytes())
    peers: Json | None = given.peers and orjson.loads(given.peers.read_bytes())
    given.to.parent.mkdir(parents=True, exist_ok=True)
    given.to.write_text(picture(overhead, peers), encoding="utf-8")


if __name__ == "__main__":
    main()
