"""How well the tool search finds, what it saves a model, and how long it takes.

    python benchmarks/tool_search.py [--wrong]

A hundred requests as people type them are asked of the fleet at full size: the tools that exist,
and the planned ones as they are described beside the requests. One half was looked at while weights
and synonyms were chosen, the other was not; quote that one. Tokens are counted as bytes of JSON by
four, which is near enough to compare. `--wrong` shows the requests of the first half whose right
tool is not among the first five; those of the other half stay unseen.
"""

# ruff: noqa: E402 - the repository goes on the path before what is imported from it.

import importlib
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "00_master_mcp")]

from flotilla.json_text import to_json
from flotilla.names import namespace_of
from master.catalogue import Catalogue, Origin, View
from master.offer import Offer
from master.profiles import Profile, Profiles
from master.search.finder import Finder
from master.search.tools import summary_of

evaluation: Any = importlib.import_module("tests.00_master_mcp.search.measured")
fleet: Any = importlib.import_module("tests.00_master_mcp.search.fleet_at_full_size")

BYTES_PER_TOKEN = 4
MOST = 5


def main() -> None:
    print("Right tool among the first (of 50 requests each):")
    halves = {"tuned on": evaluation.measured("tune"), "held out": evaluation.measured("held_out")}
    print(f"  {'':10}{'1':>6}{'3':>6}{'5':>6}{'10':>6}")
    for name, half in halves.items():
        print(f"  {name:10}" + "".join(f"{half.within(first):6}" for first in (1, 3, 5, 10)))
    print("  both      " + "".join(f"{_both(halves, first):6}" for first in (1, 3, 5, 10)))
    _tell_tokens()
    _tell_times([ms for half in halves.values() for ms in half.ms])
    if "--wrong" in sys.argv[1:]:
        _tell_wrong()


def _both(halves: dict[str, Any], first: int) -> int:
    return sum(half.within(first) for half in halves.values())


def _tell_tokens() -> None:
    catalogue = _catalogue()
    whole = _tokens(catalogue.listing(View()))
    few = _tokens(catalogue.listing(View(profile="search")))
    planned = len(fleet.planned_tools())
    answers, described = _typical(catalogue)
    asked = few + answers + described
    print(
        f"\nTokens that a model reads (bytes / {BYTES_PER_TOKEN}; the {planned} planned tools count"
    )
    print("without output schemas, so the full list will be longer):")
    print(f"  the full list, {len(catalogue.listing(View()))} tools       {whole:8}")
    print(f"  the list of search mode                {few:8}  {whole / few:.0f} times less")
    print(f"  that, one search and one description   {asked:8}  {whole / asked:.0f} times less")


def _catalogue() -> Catalogue:
    offers: dict[str, list[dict[str, Any]]] = {}
    for tool in fleet.all_tools():
        offers.setdefault(namespace_of(tool["name"]), []).append(tool)
    profiles = Profiles({"search": Profile(mode="search")})
    catalogue = Catalogue({each: Origin(frozenset([each])) for each in offers}, profiles)
    for service, tools in offers.items():
        catalogue.offer(service, Offer({"tools": tuple(tools)}))
    return catalogue


def _typical(catalogue: Catalogue) -> tuple[int, int]:
    """What one search and one description cost, as the median over the requests and tools."""
    finder = Finder(evaluation.entries())
    answers = [
        _tokens(
            [
                {
                    "name": tool.safe,
                    "title": tool.listed.get("title"),
                    "summary": summary_of(str(tool.listed["description"])),
                    "readOnly": True,
                    "destructive": False,
                    "needsApproval": False,
                    "score": round(score, 2),
                }
                for tool, score in finder.find(each["ask"])[:MOST]
            ]
        )
        for half in fleet.requests().values()
        for each in half
    ]
    described = [_tokens(each) for each in catalogue.listing(View())]
    return round(statistics.median(answers)), round(statistics.median(described))


def _tokens(value: Any) -> int:
    return len(to_json(value)) // BYTES_PER_TOKEN


def _tell_times(searches_ms: Sequence[float]) -> None:
    tools = evaluation.entries()
    builds_ms: list[float] = []
    for _ in range(9):
        started = perf_counter()
        Finder(tools)
        builds_ms.append((perf_counter() - started) * 1e3)
    slow = sorted(searches_ms)[int(len(searches_ms) * 0.95)]
    print(f"\nTime over {len(tools)} tools:")
    print(
        f"  one search  {statistics.median(searches_ms):7.2f} ms at the median, {slow:.2f} at p95"
    )
    print(f"  one index   {statistics.median(builds_ms):7.2f} ms, made when the tools change")


def _tell_wrong() -> None:
    finder = Finder(evaluation.entries())
    print("\nNot among the first five, of the half that was tuned on:")
    for each in fleet.requests()["tune"]:
        first = [tool.name for tool, _ in finder.find(each["ask"])[:MOST]]
        if not set(first) & set(each["right"]):
            print(f"  {each['ask']}: {', '.join(first)}")


if __name__ == "__main__":
    main()
