"""Why the rules say what they say of one call: which fit, and where the others part from it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import cedarpy
from cedarpy import pst

from flotilla import Model, Principal
from master.entry import Entry
from master.policy.book import Rulebook
from master.policy.clock import Clock
from master.policy.context import Situation, Wanted, contexts_of
from master.policy.engine import Asked, Question
from master.policy.expressions import conditions
from master.policy.facts import principal_entities, subject_of
from master.policy.rules import Rule
from master.policy.seam import Consent, Verdict
from master.policy.target import Parameters, Unclear

_ANY = pst.ScopeAny()
_NEEDLESS = re.compile(r"(?<!\w)\(([\w.]+)\)")
"""Brackets around a path, as the engine writes them."""


class ToldRule(Model):
    """A rule, and where a person finds it."""

    id: str
    file: str
    line: int
    effect: str
    consent: Consent
    text: str
    description: str = ""


class Misfit(Model):
    """A rule that would permit, and its first part that does not hold."""

    id: str
    file: str
    line: int
    because: str


class Explanation(Model):
    """What would happen to one call at one moment, and why."""

    allowed: bool
    listed: bool
    """Whether it is shown in lists: some call of it would be allowed."""
    tool: str
    service: str
    roles: tuple[str, ...]
    at: datetime
    reason: str | None = None
    rules: list[ToldRule]
    """Those that decided."""
    consent: Consent
    asks: str
    """Who is asked before it runs."""
    misfits: list[Misfit]
    """Where it is denied for want of a rule: why none fits."""


def explained(
    book: Rulebook, principal: Principal, entry: Entry, situation: Situation, clock: Clock
) -> Explanation:
    """At the moment that the clock shows."""
    weighed = book.weighed(principal, entry)
    verdict = weighed.verdict or book.judged_in(weighed, principal, situation, clock)
    wanting = not verdict.allowed and not any(_forbids(book, key) for key in verdict.rules)
    permits = [rule for rule in book.rules.by_id.values() if not rule.forbids]
    misfits = [_misfit(rule, principal, entry, situation, clock) for rule in permits]
    return Explanation(
        allowed=verdict.allowed,
        listed=book.may_see(principal, entry),
        tool=entry.name,
        service=entry.service,
        roles=principal.roles,
        at=clock.now(),
        reason=verdict.reason,
        rules=[told(book.rules.by_id[key]) for key in verdict.rules],
        consent=verdict.consent,
        asks=_asks(verdict, entry),
        misfits=[each for each in misfits if each is not None] if wanting else [],
    )


def told(rule: Rule) -> ToldRule:
    return ToldRule(
        id=rule.id,
        file=rule.file,
        line=rule.line,
        effect=rule.parsed.effect,
        consent=rule.consent,
        text=rule.text,
        description=rule.description,
    )


def _forbids(book: Rulebook, key: str) -> bool:
    return book.rules.by_id[key].forbids


def _asks(verdict: Verdict, entry: Entry) -> str:
    if not verdict.allowed or verdict.consent == "never":
        return "nobody"
    if verdict.consent == "four_eyes":
        return "another person"
    return "a person" if verdict.consent == "always" or entry.needs_approval else "nobody"


def _misfit(
    rule: Rule, principal: Principal, entry: Entry, situation: Situation, clock: Clock
) -> Misfit | None:
    """The rule is asked part by part: first its head, then one condition after the other."""
    question = Question.of(principal.name, principal_entities(principal), subject_of(entry))
    parameters = Parameters.of(entry.listed.get("inputSchema"))
    parts = dict(enumerate(_parts(rule.parsed)))
    asked = Asked({str(number): part for number, (part, _) in parts.items()})
    try:
        contexts = contexts_of(situation, Wanted.of([rule]), parameters, clock)
    except Unclear as error:
        return Misfit(id=rule.id, file=rule.file, line=rule.line, because=str(error))
    for context in contexts:
        fitting = asked.fitting(question, context)
        for number, (_, because) in parts.items():
            if str(number) not in fitting.rules:
                return Misfit(id=rule.id, file=rule.file, line=rule.line, because=because)
    return None


def _parts(rule: pst.Template) -> Iterator[tuple[pst.Template, str]]:
    """The rule with all that stands before a part, and with that part; and the part's words."""
    bare = replace(rule, principal=_ANY, action=_ANY, resource=_ANY, clauses=())
    heads: Mapping[str, Mapping[str, Any]] = {
        "principal": {"principal": rule.principal},
        "action": {"action": rule.action},
        "resource": {"resource": rule.resource},
    }
    for what, head in heads.items():
        yield replace(bare, **head), f"it is for {_words(replace(bare, **head), what)}"
    before: tuple[pst.Clause, ...] = ()
    for clause in conditions(rule):
        # A condition may rest on those before it, `has` say, and on what the head lets through.
        before = (*before, clause)
        alone = replace(bare, clauses=(clause,))
        yield replace(rule, clauses=before), f"it holds only {_words(alone, '')}"


def _words(rule: pst.Template, head: str) -> str:
    """A part of a rule as a person would write it."""
    plain = replace(rule, annotations={})
    text = " ".join(
        str(cedarpy.PolicySet.from_pst(pst.PolicySet({}, {rule.id: plain}, ()))).split()
    )
    while (plainer := _NEEDLESS.sub(r"\1", text)) != text:
        text = plainer
    if head:
        found = re.search(rf"\b{head}( (?:==|in|is) [^,)\]]+\]?)", text)
        return f"{head}{found[1]}" if found else f"any {head}"
    return text.partition(")")[2].strip().removesuffix(";")
