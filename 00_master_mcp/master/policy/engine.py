"""Which rules fit a request: the one place that asks the engine.

The engine itself would say allow or deny and name only the rules of that side. Here each rule is
asked for as if it permitted, so that all that fit are told; forbid outweighs permit in `judged`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import cedarpy
import structlog
from cedarpy import pst

from flotilla.json_text import to_json
from master.policy.facts import Entity, Subject, uid

log = structlog.get_logger(__name__)

_RULE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True, slots=True)
class Fitting:
    """The IDs of the rules that fit, and of those that could not be worked out."""

    rules: frozenset[str]
    failed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Question:
    """Who wants to do what: all of a request but its context. Made once, asked often."""

    request: Mapping[str, Any]
    entities: cedarpy.Entities

    @classmethod
    def of(cls, principal: str, who: Iterable[Entity], subject: Subject) -> "Question":
        known = to_json([*who, *subject.entities]).decode()
        request = {
            "principal": uid("Principal", principal),
            "action": uid("Action", subject.action),
            "resource": uid(subject.type, subject.id),
        }
        entities = cedarpy.Entities.from_json_str(known)  # pyright: ignore[reportUnknownMemberType]
        return cls(request, entities)


class Asked:
    """Some rules, ready to be asked."""

    def __init__(self, rules: Mapping[str, pst.Template]) -> None:
        """`rules` by their IDs; what they permit or forbid does not matter here."""
        self._ids = frozenset(rules)
        alike = {key: replace(rule, id=key, effect="permit") for key, rule in rules.items()}
        self._handle = cedarpy.PolicySet.from_pst(pst.PolicySet({}, alike, ()))

    def fitting(self, question: Question, context: str = "{}") -> Fitting:
        """`context` is JSON. Rules that fail, all of them where the request is bad, are told."""
        result = cedarpy.is_authorized(  # pyright: ignore[reportUnknownMemberType]
            {**question.request, "context": context}, self._handle, question.entities
        )
        errors = result.diagnostics.errors
        if not errors:
            return Fitting(frozenset(result.diagnostics.reasons))
        log.warning("policy_rule_failed", errors=[str(error)[:300] for error in errors[:5]])
        failed = frozenset(name for error in errors for name in _RULE.findall(str(error)))
        named = failed & self._ids
        return Fitting(frozenset(result.diagnostics.reasons), named or self._ids)
