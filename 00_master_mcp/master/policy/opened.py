"""The policy that the configuration asks for."""

from pathlib import Path

from flotilla.fleet import HUB, FleetConfig
from master.audit.seam import Row
from master.policy.book import Rulebook
from master.policy.checks import Names
from master.policy.clock import Clock, zone_of
from master.policy.rules import FOLDER, load_rules


def open_policy(config_dir: Path, fleet: FleetConfig, timezone: str) -> Rulebook:
    """Misconfigured names each mistake in the rules with its file, line and column."""
    rules = load_rules(config_dir / FOLDER, names_of(fleet))
    return Rulebook(rules, Clock(zone_of(timezone)))


def began_with(book: Rulebook) -> Row:
    """What the audit keeps of the rules that a hub works by."""
    rules = book.rules
    return Row(
        kind="policy",
        principal=HUB,
        tool="policy.loaded",
        details={"sha256": rules.digest, "rules": len(rules.by_id), "source": rules.source},
    )


def names_of(fleet: FleetConfig) -> Names:
    """Those of all services, started or not: rules may speak of one that is off."""
    spaces = (space for entry in fleet.services.values() for space in entry.namespaces)
    return Names(frozenset(spaces), frozenset(fleet.services))
