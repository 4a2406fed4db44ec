"""The same articles as a model gets them by fetchPage, mcp-server-fetch and playwright-mcp.

    python benchmarks/reading/side_by_side.py --pages FOLDER [--ways ...] [--most N] [--json FILE]

FOLDER has `ground-truth.json` (the main text by the page's name) and `html/<name>.html.gz`, as
scrapinghub's article-extraction-benchmark has them; nothing of it is kept here. All pages come
from one site on loopback, one after the other; each way reads them by itself. What is told: the
main text kept and what else came with it (by runs of four words), the size of what a model gets,
and the time. Our rules were made while looking at the pages of even places alone; the others are
held out.
"""

# ruff: noqa: E402 - the repository goes on the path before what is imported from it.

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from time import perf_counter

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "07_web_browsing_mcp")]

from page_site import served
from reading.pages import Page, load
from reading.scoring import Shares, compared, score
from reading.ways import PAGE_S, WAYS, Failed, Way
from wire.peers.peer import Skipped
from wire.report import machine, table


@dataclass
class Found:
    """What one way found; places that failed have no text."""

    shares: list[Shares | None] = field(default_factory=list[Shares | None])
    sizes: list[int] = field(default_factory=list[int])
    times_s: list[float] = field(default_factory=list[float])
    failures: list[str] = field(default_factory=list[str])


async def measured(way: Way, pages: Sequence[Page]) -> Found:
    """Read all pages by one way, after one that is not counted."""
    found = Found()
    html = {each.name: each.html for each in pages}
    async with served(html) as port, way.opened(port) as read:
        await asyncio.wait_for(read(f"http://127.0.0.1:{port}/{pages[0].name}"), 2 * PAGE_S)
        for page in pages:
            # Another URL than the one before: nothing comes from a cache.
            url = f"http://127.0.0.1:{port}/{page.name}?read"
            started = perf_counter()
            try:
                text = await asyncio.wait_for(read(url), PAGE_S)
            except (Failed, TimeoutError) as error:
                found.failures.append(f"{page.name[:8]}: {error}"[:200])
                text = ""
            found.times_s.append(perf_counter() - started)
            found.sizes.append(len(text))
            found.shares.append(compared(page.text, way.words(text)))
    return found


def row(name: str, found: Found, ours: Found | None) -> list[str]:
    def cells(half: int) -> str:
        told = score([each for each in found.shares[half::2] if each is not None])
        return f"{told.f1:.3f} ({told.precision:.3f} / {told.recall:.3f})"

    size, time_ms = fmean(found.sizes), 1000 * median(found.times_s)
    base = ours or found
    return [
        name,
        cells(1),
        cells(0),
        f"{size:,.0f} ({size / max(1.0, fmean(base.sizes)):.2f}x)",
        f"{time_ms:.0f} ms ({time_ms / (1000 * median(base.times_s)):.2f}x)",
        str(len(found.failures)),
    ]


HEADS = (
    "way",
    "held-out pages: F1 (precision / recall)",
    "looked-at pages: F1 (precision / recall)",
    "mean size in characters",
    "median time",
    "failed",
)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pages", type=Path, required=True)
    parser.add_argument("--ways", default=",".join(way.name for way in WAYS))
    parser.add_argument("--most", type=int)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    pages = load(arguments.pages, arguments.most)
    results: dict[str, Found] = {}
    for way in WAYS:
        if way.name not in arguments.ways.split(","):
            continue
        try:
            results[way.name] = await measured(way, pages)
        except Skipped as reason:
            print(f"{way.name} is skipped: {reason}", file=sys.stderr)
            continue
        for failure in results[way.name].failures[:5]:
            print(f"{way.name}: {failure}", file=sys.stderr)
    ours = results.get("fetchPage")
    print(f"{len(pages)} pages, {machine()}\n")
    print(table(HEADS, [row(name, found, ours) for name, found in results.items()]))
    if arguments.json:
        told = {
            name: {"sizes": each.sizes, "times_s": each.times_s, "failures": each.failures}
            for name, each in results.items()
        }
        arguments.json.write_text(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(main())
