"""Rules, principals and tools for tests that need no hub."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flotilla import Principal
from flotilla.names import safe_name
from master.entry import Approval, Entry, Origin
from master.policy.book import Rulebook
from master.policy.checks import Names
from master.policy.clock import Clock
from master.policy.rules import rules_of

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests" / "fleet" / "golden"
NAMES = Names(frozenset({"os.linux", "cloud.azure", "master"}), frozenset({"linux_cli", "master"}))
SATURDAY = datetime(2026, 11, 21, 14, 30, tzinfo=UTC)


def book(text: str, at: datetime = SATURDAY, clock: Clock | None = None) -> Rulebook:
    return Rulebook(rules_of({"rules.cedar": text}, NAMES), clock or Clock(now=lambda: at))


def who(*roles: str, name: str = "ada") -> Principal:
    return Principal(name, roles)


def tool(
    name: str = "os.linux.readFile",
    *parameters: str,
    service: str = "linux_cli",
    defaults: Mapping[str, Any] | None = None,
    external: bool = False,
    approval: Approval = "destructive",
    needs_approval: bool = False,
    **hints: bool,
) -> Entry:
    """A tool that takes these parameters; those with defaults are parameters too."""
    properties: dict[str, Any] = {each: {} for each in parameters}
    properties |= {each: {"default": value} for each, value in (defaults or {}).items()}
    listed = {
        "name": name,
        "annotations": hints,
        "inputSchema": {"type": "object", "properties": properties},
        "_meta": {"io.flotilla/approval": "required"} if needs_approval else {},
    }
    origin = Origin(external=external, approval=approval)
    given = name.split(".", 2)[2] if external else name
    return Entry(name, service, listed, "tools", given, safe_name(name), origin)


def prompt(name: str = "review", service: str = "linux_cli", external: bool = False) -> Entry:
    return Entry(name, service, {}, "prompts", name, name, Origin(external=external))


def resource(uri: str = "file:///a", service: str = "linux_cli", external: bool = False) -> Entry:
    return Entry(uri, service, {}, "resources", uri, origin=Origin(external=external))


def real_tools() -> Sequence[Entry]:
    """Every tool that a service of the fleet offers, as the golden listings have them."""
    return [
        Entry(each["name"], file.stem, each, "tools", each["name"], safe_name(each["name"]))
        for file in sorted(GOLDEN.glob("*.json"))
        for each in json.loads(file.read_text(encoding="utf-8"))
    ]
