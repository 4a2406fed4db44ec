"""The rules at work: who may see what, and whether a call may be made.

What no argument and no time can change is worked out once for each tool and kind of principal: the
rules themselves tell, by whether their conditions name any part of the context. Only rules that do
are asked again at a call.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cedarpy import pst

from flotilla import Principal
from master.entry import Entry
from master.policy.clock import Clock
from master.policy.context import Situation, Wanted, contexts_of
from master.policy.engine import Asked, Fitting, Question
from master.policy.expressions import nodes, possible
from master.policy.facts import ACTIONS, principal_entities, subject_of
from master.policy.judging import judged, unclear
from master.policy.rules import Rule, Rules
from master.policy.seam import Verdict
from master.policy.target import Parameters, Unclear
from master.profiles import DEFAULT
from master.sight import Sight

MAX_PRINCIPALS = 4096
MAX_KINDS = 512
"""Of principals: sets of roles, or principals where a rule names one."""
MAX_WEIGHED = 10_000
"""Tools, prompts and services of one kind of principal."""
MAX_ASKED = 1024
"""Sets of rules that are asked together."""
MAX_ANSWERS = 64
"""Of one tool and kind of principal, by what the rules look at."""
MAX_KEY = 512
"""Characters of a context whose answer is kept."""


@dataclass(slots=True)
class Weighed:
    """What is known of one thing and one kind of principal before any call."""

    entry: Entry
    certain: tuple[Rule, ...]
    """Those that fit every call."""
    open: tuple[Rule, ...]
    """Those that fit some calls, and may fit others not."""
    verdict: Verdict | None = None
    """The one of every call; None: it depends."""
    question: Question | None = None
    wanted: Wanted = field(default_factory=Wanted)
    parameters: Parameters = field(default_factory=Parameters)
    asked: Asked | None = None
    answers: dict[str, Fitting] = field(default_factory=dict[str, Fitting])


@dataclass(slots=True)
class _Kind:
    """A kind of principal: all of it are judged alike."""

    sight: Sight
    weighed: dict[tuple[str, str, str], Weighed]


class Rulebook:
    """A Policy of rules in the language Cedar."""

    def __init__(
        self, rules: Rules, clock: Clock | None = None, most_weighed: int = MAX_WEIGHED
    ) -> None:
        self.rules = rules
        self._most_weighed = most_weighed
        self.clock = clock or Clock()
        self._by_name = any(map(_tells_principals_apart, rules.by_id.values()))
        self._possible = Asked(
            {
                key: possible(rule.parsed) if rule.looks_at else rule.parsed
                for key, rule in rules.by_id.items()
            }
        )
        self._asked: dict[tuple[str, ...], Asked] = {}
        self._principals: dict[Principal, _Kind] = {}
        self._kinds: dict[tuple[str, tuple[str, ...]], _Kind] = {}

    def sight(self, principal: Principal) -> Sight:
        return self._kind(principal).sight

    def may_see(self, principal: Principal, entry: Entry) -> bool:
        verdict = self.weighed(principal, entry).verdict
        return verdict is None or verdict.allowed

    def judge(
        self,
        principal: Principal,
        entry: Entry,
        arguments: Mapping[str, Any],
        *,
        method: str = "tools/call",
        interactive: bool = True,
        profile: str = DEFAULT,
    ) -> Verdict:
        """What is asked for by any method is told by the entry: completing a prompt needs what
        getting it needs, subscribing to a resource what reading it needs."""
        del method
        weighed = self.weighed(principal, entry)
        if weighed.verdict is not None:
            return weighed.verdict
        situation = Situation(arguments, entry.upstream_name, interactive, profile)
        return self.judged_in(weighed, principal, situation, self.clock)

    def weighed(self, principal: Principal, entry: Entry) -> Weighed:
        kind = self._kind(principal)
        reads = entry.kind not in ACTIONS
        key = ("", entry.service, "") if reads else (entry.kind, entry.service, entry.name)
        known = kind.weighed.get(key)
        # What a service says of a tool may change, and what is known of it is then another entry.
        if known is None or not (known.entry is entry or (reads and _alike(known.entry, entry))):
            if len(kind.weighed) >= self._most_weighed:
                kind.weighed.clear()
            known = kind.weighed[key] = self._weigh(principal, entry)
        return known

    def judged_in(
        self, weighed: Weighed, principal: Principal, situation: Situation, clock: Clock
    ) -> Verdict:
        """The verdict of one call: of several targets, all must be allowed."""
        try:
            contexts = contexts_of(situation, weighed.wanted, weighed.parameters, clock)
        except Unclear as error:
            return unclear(str(error), weighed.certain, weighed.open, principal, weighed.entry)
        fittings = [self._fitting(weighed, context) for context in contexts]
        return judged(fittings, weighed.certain, weighed.open, principal, weighed.entry)

    def _fitting(self, weighed: Weighed, context: str) -> Fitting:
        found = weighed.answers.get(context)
        if found is None:
            assert weighed.asked is not None, "what depends on a call has rules to ask"
            assert weighed.question is not None, "what depends on a call has a question"
            found = weighed.asked.fitting(weighed.question, context)
            if len(context) <= MAX_KEY and not weighed.wanted.now:
                if len(weighed.answers) >= MAX_ANSWERS:
                    weighed.answers.clear()
                weighed.answers[context] = found
        return found

    def _kind(self, principal: Principal) -> _Kind:
        kind = self._principals.get(principal)
        if kind is None:
            name = principal.name if self._by_name else ""
            key = (name, tuple(sorted(set(principal.roles))))
            kind = self._kinds.get(key)
            if kind is None:
                if len(self._kinds) >= MAX_KINDS:
                    self._kinds.clear()
                    self._principals.clear()
                sight = Sight(key, lambda entry: self.may_see(principal, entry))
                kind = self._kinds[key] = _Kind(sight, {})
            if len(self._principals) >= MAX_PRINCIPALS:
                self._principals.clear()
            self._principals[principal] = kind
        return kind

    def _weigh(self, principal: Principal, entry: Entry) -> Weighed:
        subject = subject_of(entry)
        question = Question.of(principal.name, principal_entities(principal), subject)
        found = self._possible.fitting(question)
        # A rule that cannot be worked out must not permit, and must not fail to forbid.
        rules = [
            rule
            for key, rule in self.rules.by_id.items()
            if key in found.rules or (key in found.failed and (rule.forbids or rule.looks_at))
        ]
        certain = tuple(rule for rule in rules if not rule.looks_at)
        still_open = tuple(rule for rule in rules if rule.looks_at)
        weighed = Weighed(entry, certain, still_open)
        decided = any(rule.forbids for rule in certain) or all(rule.forbids for rule in rules)
        if decided or not still_open:
            weighed.open = ()
            weighed.verdict = judged([Fitting(frozenset())], certain, (), principal, entry)
            return weighed
        weighed.question = question
        weighed.wanted = Wanted.of(still_open)
        weighed.parameters = Parameters.of(entry.listed.get("inputSchema"))
        ids = tuple(rule.id for rule in still_open)
        asked = self._asked.get(ids)
        if asked is None:
            if len(self._asked) >= MAX_ASKED:
                self._asked.clear()
            asked = self._asked[ids] = Asked({rule.id: rule.parsed for rule in still_open})
        weighed.asked = asked
        return weighed


def _tells_principals_apart(rule: Rule) -> bool:
    """Whether it may fit one principal and not another of the same roles."""
    names = (rule.parsed.principal, rule.parsed.clauses)
    return any(
        (isinstance(node, pst.EntityUid) and str(node.type) == "Principal")
        or (isinstance(node, pst.Var) and node.name == "principal")
        for each in names
        for node in nodes(each)
    )


def _alike(one: Entry, other: Entry) -> bool:
    return one.origin == other.origin
