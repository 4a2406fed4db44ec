"""What the way of a call asks of a policy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from flotilla import Principal
from master.entry import Entry
from master.profiles import DEFAULT
from master.sight import EVERYTHING, Sight

Consent = Literal["usual", "always", "four_eyes", "never"]
"""
usual      as the tool says: what destroys waits for a person
always     a person must say yes
four_eyes  a person must say yes who is not the principal that asks, whatever client it sits at
never      nobody is asked
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say of one call."""

    allowed: bool
    rules: tuple[str, ...] = ()
    """Those that decided, by their IDs; none where no rule allows it."""
    consent: Consent = "usual"
    reason: str | None = None
    """Why not, in a sentence for the caller; None where it is allowed."""


class Policy(Protocol):
    def sight(self, principal: Principal) -> Sight:
        """What it may be told of: whatever there is any call of that it may make."""
        ...

    def may_see(self, principal: Principal, entry: Entry) -> bool:
        """Whether there is any call of it that the principal may make: else it is not listed."""
        ...

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
        """May this principal make this call now? Pure but for the clock; never raises.

        `profile`: the one of the URL, "" where one server alone is shown.
        """
        ...


class Open:
    """Allows everything, as before there were rules; for tests of other parts."""

    def sight(self, principal: Principal) -> Sight:
        del principal
        return EVERYTHING

    def may_see(self, principal: Principal, entry: Entry) -> bool:
        del principal, entry
        return True

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
        del principal, entry, arguments, method, interactive, profile
        return Verdict(allowed=True, rules=("open",))
