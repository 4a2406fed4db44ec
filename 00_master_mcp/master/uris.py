"""The URIs of resources: whose they are, and the form that names their server. Pure.

Templates are those of RFC 6570. Which server a URI belongs to is decided by what a template says
literally: an expression may expand to anything. That is wider than the RFC and never narrower, and
takes linear time whatever template a server invents.
"""

import re
from functools import lru_cache

PREFIX = "flotilla://servers/"

_EXPRESSION = re.compile(r"\{[^{}]*\}")


def prefixed(service: str, uri: str) -> str:
    """The form of a URI that names its server: `flotilla://servers/notes/memo://today`."""
    return f"{PREFIX}{service}/{uri}"


def unprefixed(uri: str) -> tuple[str, str]:
    """Server and URI of the form that `prefixed` makes."""
    service, _, given = uri.removeprefix(PREFIX).partition("/")
    return service, given


def likeness(template: str, uri: str) -> int:
    """How many characters a template has in common with a URI that it can make; -1: it cannot."""
    first, *others = _literals(template)
    if not others:
        return len(first) if first == uri else -1
    last = others.pop()
    end = len(uri) - len(last)
    if not uri.startswith(first) or not uri.endswith(last) or end < len(first):
        return -1
    at = len(first)
    for literal in others:
        found = uri.find(literal, at, end)
        if found < 0:
            return -1
        at = found + len(literal)
    return len(first) + len(last) + sum(map(len, others))


@lru_cache(maxsize=4096)
def _literals(template: str) -> list[str]:
    return _EXPRESSION.split(template)
