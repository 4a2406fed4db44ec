"""What the rules cost a call, against what it costs to ask the engine plainly.

    python benchmarks/policy.py

CPU time of one verdict in microseconds, by how much of it hangs on the call: nothing (the roles at
start), a target that was asked for before, one that was not, the moment. The yardstick, measured in
the same run, is the engine with the same rules and entities, which are parsed before.
"""

# ruff: noqa: E402 - the repository goes on the path before what is imported from it.

import json
import sys
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from time import process_time

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "00_master_mcp")]

import cedarpy

from flotilla import Principal
from flotilla.names import safe_name
from master.entry import Entry
from master.policy.book import Rulebook
from master.policy.facts import principal_entities, subject_of, uid
from master.policy.rules import rules_of

CALLS = 20_000
SHIPPED = (ROOT / "config" / "policy" / "roles.cedar").read_text(encoding="utf-8")
TARGETS = """
@id("web") permit (principal in Role::"operator", action == Action::"call", resource)
when { context.target has host && context.target.host like "web-*" };
@id("no-db") forbid (principal, action == Action::"call", resource)
when { context.target has host && context.target.host like "db-*" }
unless { resource.readOnly };
"""
CLOCK = """
@id("night") forbid (principal, action == Action::"call", resource)
when { context.time.hour > 23 };
"""
MOMENT = """
@id("until") forbid (principal, action == Action::"call", resource)
when { context.now > datetime("2126-01-01T00:00:00Z") };
"""


def main() -> None:
    principal, entry = Principal("somebody", ("operator",)), tool("os.linux.runCommand")
    numbers = count()
    same = {"host": "web-1", "command": "uptime"}

    def asking(text: str, fresh: bool = False) -> Callable[[], object]:
        book = Rulebook(rules_of({"rules.cedar": SHIPPED + text}))
        if not fresh:
            return lambda: book.judge(principal, entry, same)
        return lambda: book.judge(principal, entry, {**same, "host": f"web-{next(numbers)}"})

    plain = cost_us(plainly(principal, entry))
    print(f"{'the engine, asked plainly':44}{plain:9.1f} us of CPU    1.00")
    for what, call in {
        "the roles at start": asking(""),
        "rules on a target, asked for before": asking(TARGETS),
        "rules on a target, never asked for": asking(TARGETS, fresh=True),
        "rules on a target and the hour": asking(TARGETS + CLOCK),
        "a rule on the moment": asking(MOMENT),
    }.items():
        took = cost_us(call)
        print(f"{what:44}{took:9.1f} us of CPU{took / plain:8.2f}")


def tool(name: str) -> Entry:
    listing = json.loads((ROOT / "tests/fleet/golden/linux_cli.json").read_text(encoding="utf-8"))
    (listed,) = [each for each in listing if each["name"] == name]
    return Entry(name, "linux_cli", listed, "tools", name, safe_name(name))


def plainly(principal: Principal, entry: Entry) -> Callable[[], object]:
    subject = subject_of(entry)
    policies = cedarpy.PolicySet.from_str(SHIPPED)
    known = json.dumps([*principal_entities(principal), *subject.entities])
    entities = cedarpy.Entities.from_json_str(known)  # pyright: ignore[reportUnknownMemberType]
    request: dict[str, Mapping[str, str]] = {
        "principal": uid("Principal", principal.name),
        "action": uid("Action", "call"),
        "resource": uid(subject.type, subject.id),
        "context": {},
    }
    return lambda: cedarpy.is_authorized(request, policies, entities)  # pyright: ignore[reportUnknownMemberType, reportUnknownLambdaType]


def cost_us(call: Callable[[], object]) -> float:
    """The least of several rounds: what disturbs a measurement only ever adds."""
    call()
    rounds: list[float] = []
    for _ in range(5):
        started = process_time()
        for _ in range(CALLS // 5):
            call()
        rounds.append((process_time() - started) / (CALLS // 5) * 1e6)
    return min(rounds)


if __name__ == "__main__":
    main()
