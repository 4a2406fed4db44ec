"""The policy that the configuration asks for."""

from pathlib import Path

import structlog

from flotilla.fleet import HUB, FleetConfig
from master.audit.seam import Row
from master.policy.book import Rulebook
from master.policy.checks import Names, strange_tools
from master.policy.clock import Clock, zone_of
from master.policy.rules import FOLDER, load_rules

log = structlog.get_logger(__name__)


def open_policy(config_dir: Path, fleet: FleetConfig, timezone: str) -> Rulebook:
    """Misconfigured names each mistake in the rules with its file, line and column."""
    names = names_of(fleet)
    rules = load_rules(config_dir / FOLDER, names)
    log.info("policy_loaded", source=rules.source, rules=len(rules.by_id), sha256=rules.digest)
    for rule in rules.by_id.values():
        for tool in strange_tools(rule.parsed, names):
            log.warning("policy_names_strange_tool", rule=rule.id, tool=tool, line=rule.line)
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
