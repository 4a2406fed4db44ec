"""Looks for instructions to the model in what a server says of its tools. Pure.

A tool's description is read by the model as if it came from somebody trusted; so a server can put
orders there that the person never sees. The rules know the ways that are published: overridden
instructions, secrecy towards the user, tags that imitate a system's, invisible characters, private
files, orders about other tools, parameters that carry the conversation out. They are rules of thumb
in English. What they miss, the approval of destructive calls still catches; what they find is
`severe` (held back until a person has read it) or a `notice` (offered, and told).
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

from flotilla import Model
from flotilla.persuasion import plain
from flotilla.sizes import strip_invisible
from master.external.suspicions import BEFORE_THIS, CARRIERS, ORDERS, RULES, Severity

MAX_DEPTH = 32
MAX_TEXTS = 5000
MAX_TEXT_LENGTH = 16 * 1024
"""Characters of one text; nobody writes a longer description, and a model should not read one."""
MAX_TOTAL_LENGTH = 256 * 1024
_EXCERPT = 60


class Finding(Model):
    """One suspicion: which rule, where in the tool's definition, and what was found there."""

    rule: str
    severity: Severity
    where: str
    excerpt: str


_DISTINCT = re.compile(r"^(?=.{5}).*(?:[a-z0-9][_.-][a-zA-Z0-9]|[a-z][A-Z])", re.ASCII)
_PLAIN_KEY = re.compile(r"[\w$.-]{0,40}", re.ASCII)
_TAGS = re.compile("[\U000e0000-\U000e007f]")
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_ZERO_WIDTH = re.compile(
    "[\u00ad\u034f\u180e\u200b-\u200d\u2060-\u2064\ufeff\U000e0100-\U000e01ef]"
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_FEW_ZERO_WIDTH = 3
"""Emoji and several scripts are joined by zero-width characters; a message needs many."""


def scan(
    tool: Mapping[str, Any], own: Collection[str] = (), foreign: Collection[str] = ()
) -> tuple[Finding, ...]:
    """The findings in one tool's definition, the severe first.

    `own` are the names of the same server's tools, `foreign` those of all others.
    """
    found: list[Finding] = []
    name = str(tool.get("name", ""))
    if len(name) > 128 or not name.isprintable() or strip_invisible(name) != name:
        found.append(_finding("odd_name", "severe", "name", name, 0))
    left = MAX_TOTAL_LENGTH
    for where, text in texts_of(tool):
        if len(text) > min(left, MAX_TEXT_LENGTH):
            found.append(_finding("too_long", "severe", where, text[:_EXCERPT], 0))
        read = text[: min(left, MAX_TEXT_LENGTH)]
        left -= len(read)
        found += _in_text(where, read, own, foreign)
    found += _carriers(tool.get("inputSchema"))
    distinct = {(each.rule, each.where): each for each in reversed(found)}
    # A notice says nothing more where the same rule was severe.
    return tuple(
        sorted(distinct.values(), key=lambda each: (each.severity != "severe", each.where))
    )


def texts_of(tool: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every text that a model may read, with its place; at most 5,000, 32 levels deep."""
    told = 0
    for member in ("title", "description", "inputSchema", "outputSchema", "annotations"):
        for found in _strings(member, tool.get(member), 0):
            told += 1
            if told > MAX_TEXTS:
                return
            yield found


def _strings(where: str, value: Any, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield where, value
    elif depth < MAX_DEPTH and isinstance(value, Mapping):
        for key, inner in cast("Mapping[str, Any]", value).items():
            # A property's name is read as much as its description.
            if not _PLAIN_KEY.fullmatch(key):
                yield f"{where}.{shown(key)} (name)", f"{key}\n{key.replace('_', ' ')}"
            yield from _strings(f"{where}.{shown(key)}", inner, depth + 1)
    elif depth < MAX_DEPTH and isinstance(value, Sequence):
        for at, inner in enumerate(cast("Sequence[Any]", value)):
            yield from _strings(f"{where}[{at}]", inner, depth + 1)


def _in_text(
    where: str, raw: str, own: Collection[str], foreign: Collection[str]
) -> Iterator[Finding]:
    yield from _invisible(where, raw)
    text = plain(raw)
    seen: set[str] = set()
    for rule in RULES:
        # A rule's notice says nothing more where the same rule was severe.
        if rule.name not in seen and (match := rule.pattern.search(text)):
            seen.add(rule.name)
            yield _finding(rule.name, rule.severity, where, text, match.start())
    if match := BEFORE_THIS.search(text):
        ours = any(name.casefold() in match[0] for name in own)
        severity = "notice" if ours else "severe"
        yield _finding("before_this_tool", severity, where, text, match.start())
    for match in _names(frozenset(foreign) - frozenset(own)).finditer(text):
        around = text[max(0, match.start() - 100) : match.end() + 100]
        severity = "severe" if ORDERS.search(around) else "notice"
        yield _finding("other_servers_tool", severity, where, text, match.start())
        if severity == "severe":
            break


@lru_cache(maxsize=64)
def _names(foreign: frozenset[str]) -> re.Pattern[str]:
    """Finds the names that are no ordinary words."""
    distinct = [re.escape(name.casefold()) for name in foreign if _DISTINCT.search(name)]
    return re.compile(rf"(?<!\w)(?:{'|'.join(sorted(distinct))})(?!\w)" if distinct else r"(?!)")


def _invisible(where: str, raw: str) -> Iterator[Finding]:
    if raw.isascii() and not _CONTROL.search(raw):
        return
    if match := _TAGS.search(raw):
        # They spell ASCII, which a model reads and a person cannot.
        spelt = "".join(chr(ord(each) - 0xE0000) for each in _TAGS.findall(raw))
        yield Finding(
            rule="invisible_text",
            severity="severe",
            where=where,
            excerpt=shown(spelt.replace("\0", "") or raw[match.start() :])[: 2 * _EXCERPT],
        )
    for pattern in (_BIDI, _CONTROL):
        if match := pattern.search(raw):
            rule = "reordered_text" if pattern is _BIDI else "control_characters"
            yield _finding(rule, "severe", where, raw, match.start())
    zero_width = _ZERO_WIDTH.findall(raw)
    if zero_width:
        severity = "severe" if len(zero_width) > _FEW_ZERO_WIDTH else "notice"
        at = raw.find(zero_width[0])
        yield _finding("zero_width_characters", severity, where, raw, at)


def _carriers(schema: Any) -> Iterator[Finding]:
    if not isinstance(schema, Mapping):
        return
    properties = cast("Mapping[str, Any]", schema).get("properties")
    if isinstance(properties, Mapping):
        for name in cast("Mapping[str, Any]", properties):
            if CARRIERS.fullmatch(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).casefold()):
                where = f"inputSchema.properties.{shown(name)}"
                yield _finding("carrier_parameter", "notice", where, name, 0)


def _finding(rule: str, severity: Severity, where: str, text: str, at: int) -> Finding:
    start = max(0, at - _EXCERPT // 3)
    excerpt = shown(text[start : at + 2 * _EXCERPT])
    return Finding(rule=rule, severity=severity, where=where, excerpt=excerpt)


def shown(text: str) -> str:
    """The text with every character visible: those that are not as `\\u{200b}`."""
    return "".join(
        each if each.isprintable() and strip_invisible(each) == each else f"\\u{{{ord(each):x}}}"
        for each in text
    )
