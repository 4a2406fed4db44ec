"""What a site's robots.txt says about one of us. Pure.

Written here and not by a library's regular expressions, since strangers write the patterns: the
longest rule that fits wins, `*` and `$` are special, and matching takes time in proportion to the
file. Source: RFC 9309.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from web_browsing.fetching.wildcards import matches

MAX_BYTES = 500 * 1024
"""What is read of it at least and here at most; RFC 9309, section 2.5."""
MAX_RULES = 5000
_SAFE = "/*$:@!&'()+,;=~?-._%[]"
_ESCAPE = re.compile("%[0-9a-fA-F]{2}")


@dataclass(frozen=True, slots=True)
class Rule:
    allows: bool
    pattern: str

    def fits(self, path: str) -> bool:
        if self.pattern.endswith("$"):
            return matches(self.pattern[:-1], path, whole=True)
        return matches(self.pattern, path, whole=False)


@dataclass(frozen=True, slots=True)
class Robots:
    """The rules for one crawler, of all groups that name it."""

    rules: tuple[Rule, ...] = ()
    shut: bool = False
    """The server failed to say, so that nothing may be fetched."""

    def allows(self, path: str) -> bool:
        """Whether a path with its query may be fetched; of rules as long, one that allows wins."""
        if self.shut:
            return False
        wanted = normal(path)
        if wanted == "/robots.txt":
            return True
        fitting = [rule for rule in self.rules if rule.fits(wanted)]
        return max(((len(each.pattern), each.allows) for each in fitting), default=(0, True))[1]


ALL_ALLOWED, ALL_SHUT = Robots(), Robots(shut=True)


def product_of(user_agent: str) -> str:
    """`flotilla` of `Flotilla/0.1 (+...)`: what groups name; RFC 9309, section 2.2.1."""
    found = re.match("[A-Za-z_-]+", user_agent)
    return found[0].lower() if found else "*"


def read_robots(text: str, product: str) -> Robots:
    """The rules for `product`: of the groups that name it, else of those for `*`."""
    own: list[Rule] = []
    others: list[Rule] = []
    named = False
    agents: set[str] = set()
    in_rules = False
    for key, value in _records(text):
        if key == "user-agent":
            if in_rules:
                agents, in_rules = set[str](), False
            agents.add(_agent(value))
            named = named or product in agents
        else:
            in_rules = True
            if value and len(own) + len(others) < MAX_RULES:
                rule = Rule(key == "allow", normal(value))
                if product in agents:
                    own.append(rule)
                if "*" in agents:
                    others.append(rule)
    return Robots(tuple(own if named else others))


def normal(path: str) -> str:
    """A path or pattern in one spelling: needless escapes undone, needed ones upper-case.

    RFC 9309, section 2.2.2.
    """
    unescaped = _ESCAPE.sub(_unescaped, path)
    return quote(unescaped, safe=_SAFE) or "/"


def _unescaped(found: re.Match[str]) -> str:
    (byte,) = unquote_to_bytes(found[0])
    plain = chr(byte)
    return plain if plain.isascii() and (plain.isalnum() or plain in "-._~") else found[0].upper()


def _records(text: str) -> Iterable[tuple[str, str]]:
    for line in re.split("[\r\n]+", text.removeprefix("\ufeff")):
        key, colon, value = line.partition("#")[0].partition(":")
        name = key.strip().lower()
        if colon and name in ("user-agent", "allow", "disallow"):
            yield name, value.strip()


def _agent(value: str) -> str:
    return "*" if value.startswith("*") else product_of(value)
