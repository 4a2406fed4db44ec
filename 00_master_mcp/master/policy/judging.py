"""From the rules that fit to what is said of a call. Pure."""

from collections.abc import Sequence

from flotilla import Principal
from master.entry import Entry
from master.policy.engine import Fitting
from master.policy.rules import Rule
from master.policy.seam import Consent, Verdict

_STRICTEST: tuple[Consent, ...] = ("four_eyes", "always", "usual", "never")
_VERBS = {"tools": "call", "prompts": "get"}


def judged(
    fittings: Sequence[Fitting],
    certain: Sequence[Rule],
    depending: Sequence[Rule],
    principal: Principal,
    entry: Entry,
) -> Verdict:
    """One verdict for all targets of a call: `fittings` tells which of `depending` fit each.

    A forbid outweighs every permit, and one that could not be worked out forbids.
    """
    deciding: dict[str, Rule] = {}
    for fitting in fittings:
        fit = [*certain, *(rule for rule in depending if rule.id in fitting.rules)]
        broken = [rule for rule in depending if rule.id in fitting.failed and rule.forbids]
        forbidding = tuple(rule.id for rule in (*fit, *broken) if rule.forbids)
        if forbidding:
            told = " and ".join(forbidding)
            return Verdict(False, forbidding, reason=f"{told} forbids {_what(principal, entry)}")
        permitting = [rule for rule in fit if not rule.forbids]
        if not permitting:
            return Verdict(False, reason=_nobody_permits(principal, entry, depending))
        deciding |= {rule.id: rule for rule in permitting}
    consents = {rule.consent for rule in deciding.values()}
    strictest: Consent = next(each for each in _STRICTEST if each in consents)
    return Verdict(True, tuple(deciding), strictest)


def unclear(
    why: str,
    certain: Sequence[Rule],
    depending: Sequence[Rule],
    principal: Principal,
    entry: Entry,
) -> Verdict:
    """Of a call whose arguments the rules cannot be judged by.

    It is denied, unless those rules could only permit what is permitted anyhow.
    """
    harmless = all(not rule.forbids and rule.consent in ("usual", "never") for rule in depending)
    if harmless and any(not rule.forbids for rule in certain):
        return judged([Fitting(frozenset())], certain, (), principal, entry)
    rules = tuple(rule.id for rule in depending)
    return Verdict(False, rules, reason=f"{', '.join(rules)} cannot be judged: {why}")


def _what(principal: Principal, entry: Entry) -> str:
    return f"{_who(principal)} to {_VERBS.get(entry.kind, 'read')} {_of(entry)}"


def _nobody_permits(principal: Principal, entry: Entry, depending: Sequence[Rule]) -> str:
    told = f"no rule lets {_who(principal)} {_VERBS.get(entry.kind, 'read')} {_of(entry)}"
    others = [rule.id for rule in depending if not rule.forbids]
    if others:
        told += f" like this; {', '.join(others)} may with other arguments or at another time"
    return told


def _who(principal: Principal) -> str:
    """By its roles: what is said of one principal is kept for all of the same roles."""
    return f"the role {' or '.join(sorted(set(principal.roles)))}" if principal.roles else "nobody"


def _of(entry: Entry) -> str:
    if entry.kind in _VERBS:
        return entry.name
    return f"the resources of {entry.service}"
