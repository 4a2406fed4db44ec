"""Which calls need whose consent. Pure."""

from typing import Literal

from master.call import Call

Need = Literal["nobody", "person", "another"]
"""
nobody   it runs unasked
person   a person must say yes; the one at the caller's own client may
another  somebody must say yes who is not the principal that asks
"""


def need_of(call: Call) -> Need:
    """What the tool says of itself, and what the rules make of that."""
    consent = "usual" if call.verdict is None else call.verdict.consent
    if consent == "four_eyes":
        return "another"
    if consent == "always" or (consent == "usual" and call.resolved().needs_approval):
        return "person"
    return "nobody"
