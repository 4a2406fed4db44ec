"""What the services offer is written down, so that a change of it shows in the review."""

import json
from pathlib import Path

from flotilla.fleet import FleetConfig
from flotilla.names import check_distinct, check_tool_name, namespace_of
from tools import tool_tables

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "fleet" / "golden"
FLEET = FleetConfig.load(ROOT / "config" / "services.yaml", env={})


def test_the_golden_listings_and_the_tables_are_what_the_services_offer() -> None:
    assert tool_tables.stale() == [], "run python tools/tool_tables.py and read what changed"


def test_every_readme_with_tools_shows_them() -> None:
    for path in tool_tables.generated():
        if path.name == "README.md":
            assert (ROOT / path).is_file(), f"write {path}"
            text = (ROOT / path).read_text(encoding="utf-8")
            assert tool_tables.BEGIN in text, f"give {path} the marks of its tool table"


def test_there_is_a_golden_listing_for_each_service_and_no_other() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(FLEET.services)


def test_every_name_in_the_fleet_is_valid_and_in_its_services_namespaces() -> None:
    names: list[str] = []
    for service, entry in FLEET.services.items():
        listing = json.loads((GOLDEN / f"{service}.json").read_text(encoding="utf-8"))
        own = [tool["name"] for tool in listing]
        assert own
        assert {namespace_of(check_tool_name(name)) for name in own} <= set(entry.namespaces)
        names += own
    check_distinct(names)
