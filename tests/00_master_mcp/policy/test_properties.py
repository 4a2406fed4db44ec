"""What holds of all rules: lists hide nothing that may be called, and the engine itself agrees."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import cedarpy
from hypothesis import given
from hypothesis import strategies as st

from master.policy.book import Rulebook
from master.policy.clock import Clock, exact, shown
from master.policy.facts import principal_entities, subject_of, uid

from .told import book, tool, who

ROLES = ("ops", "dev")
HOSTS = ("web-1", "web-2", "db-1")
ANY = "principal, action, resource"
HOURS = (3, 14)
FAILING = "context.numbers.replicas * 4611686018427387904 > 2"
"""Beyond 64 bits for three of them."""
TOOLS = {
    name: tool(name, "host", "replicas", readOnlyHint=name.endswith("readFile"))
    for name in ("os.linux.readFile", "os.linux.runCommand", "cloud.azure.stop")
}

_heads = st.sampled_from(
    [
        "principal, action, resource",
        'principal in Role::"ops", action, resource',
        'principal in Role::"dev", action == Action::"call", resource',
        'principal, action == Action::"call", resource == Tool::"os.linux.runCommand"',
        'principal in Role::"ops", action == Action::"call", resource in Namespace::"os.linux"',
        'principal, action == Action::"read", resource',
    ]
)
_atoms = st.sampled_from(
    [
        "resource.readOnly",
        'principal in Role::"dev"',
        'resource in Namespace::"os"',
        'context.target has host && context.target.host == "web-1"',
        'context.target has host && context.target.host like "web-*"',
        "context.time.hour < 6",
        "context.interactive",
        f"context.numbers has replicas && {FAILING}",
        "true",
        "false",
    ]
)


def _joined(below: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.tuples(below, st.sampled_from(["&&", "||"]), below)
    return st.one_of(
        pairs.map(lambda each: f"({each[0]}) {each[1]} ({each[2]})"),
        below.map(lambda each: f"!({each})"),
        st.tuples(below, below, below).map(lambda e: f"if {e[0]} then {e[1]} else {e[2]}"),
    )


_conditions = st.recursive(_atoms, _joined, max_leaves=4)
_clauses = st.lists(st.tuples(st.sampled_from(["when", "unless"]), _conditions), max_size=2)
_rules = st.lists(st.tuples(st.sampled_from(["permit", "forbid"]), _heads, _clauses), max_size=5)


def written(rules: list[tuple[str, str, list[tuple[str, str]]]]) -> str:
    """Only conditions of calls name tools and targets, which the schema asks of a rule."""
    texts = [f'@id("{role}") @role("{role}") forbid ({ANY}) when {{ false }};' for role in ROLES]
    for number, (effect, head, clauses) in enumerate(rules):
        of_calls = 'action == Action::"call"' in head
        said = " ".join(f"{word} {{ {each} }}" for word, each in clauses) if of_calls else ""
        texts.append(f'@id("rule{number}") {effect} ({head}) {said};')
    return "\n".join(texts)


class Engine:
    """Its own authorizer, asked in the plainest way; a forbid that fails forbids."""

    def __init__(self, known: Rulebook, name: str, roles: tuple[str, ...]) -> None:
        self._rules = list(known.rules.by_id.values())
        self._policies = cedarpy.PolicySet.from_str("\n".join(each.text for each in self._rules))
        self._principal, self._subject = who(*roles), subject_of(TOOLS[name])
        known_of = [*principal_entities(self._principal), *self._subject.entities]
        self._entities = cedarpy.Entities.from_json_str(  # pyright: ignore[reportUnknownMemberType]
            json.dumps(known_of)
        )

    def allows(self, context: dict[str, Any]) -> bool:
        result = self._asked(self._policies, context)
        failed = re.findall(r"`policy(\d+)`", " ".join(map(str, result.diagnostics.errors)))
        return result.allowed and not any(self._rules[int(each)].forbids for each in failed)

    def may_allow(self, context: dict[str, Any]) -> bool:
        """Whether it allows where a forbid that fails does not count if it fits nobody like this
        one, whatever had come of the part that fails: that is known before it is worked out."""
        result = self._asked(self._policies, context)
        failed = re.findall(r"`policy(\d+)`", " ".join(map(str, result.diagnostics.errors)))
        forbids = [self._rules[int(each)].text for each in failed if self._rules[int(each)].forbids]
        return result.allowed and not any(
            self._fits(text.replace(FAILING, known), context)
            for text in forbids
            for known in ("true", "false")
        )

    def _fits(self, text: str, context: dict[str, Any]) -> bool:
        whole = f"permit ({ANY});\n{text}"
        return not self._asked(cedarpy.PolicySet.from_str(whole), context).allowed

    def _asked(self, policies: Any, context: dict[str, Any]) -> Any:
        return cedarpy.is_authorized(  # pyright: ignore[reportUnknownMemberType]
            {
                "principal": uid("Principal", self._principal.name),
                "action": uid("Action", "call"),
                "resource": uid(self._subject.type, self._subject.id),
                "context": context,
            },
            policies,
            self._entities,
        )


def asked(hour: int, host: str | None, replicas: int | None, interactive: bool) -> dict[str, Any]:
    moment = datetime(2026, 11, 21, hour, tzinfo=UTC)
    return {
        "target": {} if host is None else {"host": host},
        "numbers": {} if replicas is None else {"replicas": replicas},
        "arguments": {},
        "time": shown(moment),
        "utc": shown(moment),
        "now": exact(moment),
        "interactive": interactive,
        "profile": "default",
    }


@given(
    rules=_rules,
    roles=st.sets(st.sampled_from(ROLES)).map(lambda each: tuple(sorted(each))),
    name=st.sampled_from(sorted(TOOLS)),
)
def test_a_verdict_is_the_engines_and_a_list_hides_nothing_that_may_be_called(
    rules: list[Any], roles: tuple[str, ...], name: str
) -> None:
    hour = [0]
    clock = Clock(now=lambda: datetime(2026, 11, 21, hour[0], tzinfo=UTC))
    known = book(written(rules), clock=clock)
    principal, entry, engine = who(*roles), TOOLS[name], Engine(known, name, roles)
    allowed_once = False
    for hour[0] in HOURS:
        for host in (*HOSTS, None):
            for replicas in (0, 3, None):
                for interactive in (True, False):
                    arguments = {"host": host, "replicas": replicas}
                    verdict = known.judge(principal, entry, arguments, interactive=interactive)
                    told = asked(hour[0], host, replicas, interactive)
                    allowed = engine.allows(told)
                    assert verdict.allowed in (allowed, allowed or engine.may_allow(told))
                    allowed_once |= verdict.allowed
    if allowed_once:
        assert known.may_see(principal, entry)


@given(
    rules=_rules,
    roles=st.sets(st.sampled_from(ROLES)).map(tuple),
    name=st.sampled_from(sorted(TOOLS)),
    host=st.one_of(st.none(), st.text(max_size=8), st.lists(st.text(max_size=4), max_size=3)),
    replicas=st.one_of(st.none(), st.integers(), st.text(max_size=3), st.floats(), st.booleans()),
)
def test_what_no_list_shows_is_never_allowed_whatever_the_arguments(
    rules: list[Any], roles: tuple[str, ...], name: str, host: Any, replicas: Any
) -> None:
    known = book(written(rules))
    verdict = known.judge(who(*roles), TOOLS[name], {"host": host, "replicas": replicas})
    assert known.may_see(who(*roles), TOOLS[name]) or not verdict.allowed
    assert verdict.allowed is (verdict.reason is None)
    assert verdict.rules or not verdict.allowed


@given(rules=_rules, order=st.randoms())
def test_the_order_of_rules_decides_nothing(rules: list[Any], order: Any) -> None:
    texts = written(rules).splitlines()
    one = book("\n".join(texts))
    order.shuffle(texts)
    other = book("\n".join(texts))
    for entry in TOOLS.values():
        for roles in ((), ("ops",), ("dev",), ROLES):
            arguments = {"host": "web-1", "replicas": 1}
            first = one.judge(who(*roles), entry, arguments)
            second = other.judge(who(*roles), entry, arguments)
            assert (first.allowed, set(first.rules)) == (second.allowed, set(second.rules))
