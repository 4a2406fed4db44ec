"""Time the CMDB's tools over a large inventory against bare SQL on the same file, in the same run.

    python benchmarks/cmdb_scale.py --items 100000

Builds N items and 3N relations (always the same ones), then prints for each question the median of
the tool (schemas, JSON and all), the median of the bare SQL that answers it, and their ratio.
"""

# ruff: noqa: E402 - the repository goes on the path before what is imported from it.

import argparse
import asyncio
import random
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "12_cmdb_mcp")]

import orjson

from cmdb import build
from cmdb.relation_types import RELATION_TYPES
from cmdb.settings import Settings
from cmdb.values import search_text
from flotilla import CommonSettings, Context, Deadline, Principal, encode_cursor
from flotilla.redaction import Redactor
from flotilla.toolbox import Toolbox

AT = "2026-01-01T00:00:00.000000Z"
LAYERS = (("server", 0.2), ("virtual_machine", 0.5), ("application", 0.8), ("service", 1.0))
ENVIRONMENTS = ("production", "staging", "test", "development")
LIVE = "ended_at IS NULL"

Row = tuple[Any, ...]


def id_of(number: int) -> str:
    return f"ci_{number:032x}"


def items(count: int) -> list[Row]:
    rows: list[Row] = []
    for number in range(count):
        ci_class = next(name for name, until in LAYERS if number < until * count)
        name = f"{ci_class}-{number:07}"
        attributes = {
            "ip": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
            "environment": ENVIRONMENTS[number % 4],
            "owner": f"team{number % 97}",
            "os": f"linux{number % 13}",
        }
        document = orjson.dumps(attributes).decode()
        text = search_text(name, attributes)
        rows.append((number + 1, id_of(number), ci_class, name, document, text, AT, AT))
    return rows


def relations(count: int) -> list[Row]:
    """Three for each item, down the layers, so that a server carries a tree of some hundreds."""
    chance = random.Random(7)
    rows: dict[tuple[str, str, str], Row] = {}
    starts = [0, *(int(until * count) for _, until in LAYERS)]
    while len(rows) < 3 * count:
        layer = chance.choices((1, 2, 3), (3, 3, 2))[0]
        source = id_of(chance.randrange(starts[layer], starts[layer + 1]))
        target = id_of(chance.randrange(starts[layer - 1], starts[layer]))
        kind = "runs_on" if layer < 3 else chance.choice(("uses", "depends_on"))
        ends = RELATION_TYPES[kind].ends(source, target)
        row = (f"rel_{len(rows):032x}", source, kind, target, *ends, AT)
        rows.setdefault((source, kind, target), row)
    return list(rows.values())


def fill(file: Path, count: int) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.executemany(
            "INSERT INTO item (seq, id, ci_class, name, attributes, version, search_text, "
            "created_at, updated_at) VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?)",
            items(count),
        )
        connection.executemany(
            "INSERT INTO relation (id, source_id, type, target_id, dependent_id, provider_id, "
            "created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            relations(count),
        )
        connection.commit()
        # No ANALYZE, as in the spoke: with statistics SQLite reads every relation for a filter
        # before it walks, which takes longer than the walk.


def impact_sql() -> str:
    return f"""
        WITH RECURSIVE walk(id, depth) AS (
            SELECT ?, 0 UNION
            SELECT dependent_id, depth + 1 FROM walk JOIN relation ON provider_id = walk.id
            WHERE depth < 3 AND {LIVE})
        SELECT item.id, ci_class, name, min(depth) FROM walk CROSS JOIN item ON item.id = walk.id
        GROUP BY item.id HAVING min(depth) > 0 ORDER BY min(depth), item.id LIMIT 500"""


PAGE = (
    "SELECT id, ci_class, name, attributes, version, created_at, updated_at FROM item "
    "WHERE retired_at IS NULL"
)

Question = tuple[str, str, dict[str, Any], str, tuple[Any, ...]]


def questions(count: int, deep: dict[str, str]) -> list[Question]:
    words = f"{PAGE} AND seq IN (SELECT rowid FROM item_words WHERE item_words MATCH ?)"
    ip = "json_extract(attributes, '$.\"ip\"')"
    one = count // 3
    address = f"10.{one >> 16 & 255}.{one >> 8 & 255}.{one & 255}"
    rare, common = f"{one:07}", "team5 production"
    ordered = "ORDER BY name, id LIMIT 51"
    return [
        (
            "search: rare word",
            "searchItems",
            {"query": rare},
            f"{words} {ordered}",
            (f'"{rare}"*',),
        ),
        (
            "search: common words",
            "searchItems",
            {"query": common},
            f"{words} {ordered}",
            ('"team5"* "production"*',),
        ),
        (
            "search: ip = x",
            "searchItems",
            {"filters": [{"attribute": "ip", "op": "eq", "value": address}]},
            f"{PAGE} AND {ip} = ? {ordered}",
            (address,),
        ),
        ("page: first", "searchItems", {}, f"{PAGE} {ordered}", ()),
        (
            "page: deep",
            "searchItems",
            {"cursor": deep["cursor"]},
            f"{PAGE} AND (name, id) > (?, ?) {ordered}",
            (deep["name"], deep["id"]),
        ),
        (
            "impact: 3 levels",
            "analyzeImpact",
            {"id": id_of(0), "direction": "downstream", "depth": 3, "limit": 500},
            impact_sql(),
            (id_of(0),),
        ),
    ]


async def median_ms(repeats: int, run: Callable[[], Awaitable[int]]) -> tuple[float, int]:
    counted = await run()
    times: list[float] = []
    for _ in range(repeats):
        started = perf_counter()
        counted = await run()
        times.append((perf_counter() - started) * 1000)
    return statistics.median(times), counted


async def measure(folder: Path, count: int, repeats: int) -> None:
    spoke = build(Settings(), CommonSettings(data_dir=folder))
    toolbox = Toolbox(spoke.tools, Redactor())
    file = folder / "cmdb" / "cmdb.sqlite3"

    async def call(tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        context = Context(
            principal=Principal("bench"), correlation_id="bench", deadline=Deadline.after(60)
        )
        result = await toolbox.call(f"data.cmdb.{tool}", arguments, context)
        assert not result["isError"], result
        return result["structuredContent"]

    async with spoke.lifespan():
        started = perf_counter()
        fill(file, count)
        print(f"{count} items, {3 * count} relations built in {perf_counter() - started:.1f} s")
        print(f"{'question':<22}{'rows':>6}{'tool ms':>10}{'SQL ms':>10}{'ratio':>8}")
        with closing(sqlite3.connect(file)) as bare:
            name, id_ = bare.execute(
                "SELECT name, id FROM item ORDER BY name, id LIMIT 1 OFFSET ?", (count * 9 // 10,)
            ).fetchone()
            # As paging to there would give it.
            cursor = encode_cursor("items:name:asc", [name, id_])
            deep = {"name": name, "id": id_, "cursor": cursor}
            for label, tool, arguments, sql, values in questions(count, deep):

                async def by_tool(tool: str = tool, told: dict[str, Any] = arguments) -> int:
                    return (await call(tool, told))["returned"]

                async def by_sql(sql: str = sql, values: tuple[Any, ...] = values) -> int:
                    return len(bare.execute(sql, values).fetchall())

                tool_ms, rows = await median_ms(repeats, by_tool)
                sql_ms, _ = await median_ms(repeats, by_sql)
                ratio = tool_ms / sql_ms
                print(f"{label:<22}{rows:>6}{tool_ms:>10.2f}{sql_ms:>10.2f}{ratio:>8.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=15)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cmdb-scale-") as folder:
        asyncio.run(measure(Path(folder), chosen.items, chosen.repeats))


if __name__ == "__main__":
    main()
