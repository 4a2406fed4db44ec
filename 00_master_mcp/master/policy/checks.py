"""What the engine lets pass in a rule, and we do not. Pure."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args

from cedarpy import pst

from flotilla.names import EXTERNAL, HUB_NAMESPACE, namespace_of
from master.policy.expressions import nodes, path_of, paths_in
from master.policy.mistakes import Mistake
from master.policy.seam import Consent
from master.policy.target import EXACT, folded
from master.policy.text import Statement

ANNOTATIONS = ("id", "role", "consent", "description")
CONSENTS = tuple(each for each in get_args(Consent) if each != "usual")

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ROLE = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_RESERVED = ("owner", "hub")
_COMPARE = frozenset(("eq", "not_eq", "contains", "contains_any", "contains_all"))


@dataclass(frozen=True, slots=True)
class Names:
    """What this fleet has by configuration. External servers come and go while it runs."""

    namespaces: frozenset[str]
    services: frozenset[str]


def check_annotations(rule: pst.Template, at: Statement) -> Iterator[Mistake]:
    said = rule.annotations
    for name in said:
        if name not in ANNOTATIONS:
            near = get_close_matches(name, ANNOTATIONS, n=1)
            meant = f"; did you mean @{near[0]}?" if near else ""
            yield at.about(f"there is no annotation @{name}{meant}", name)
    if "id" not in said:
        yield at.mistake('a rule needs an @id("...") by which denials and the audit name it')
    elif not _ID.fullmatch(said["id"]):
        told = "an @id has 1 to 64 letters, digits, dots, dashes and underscores"
        yield at.about(told, f'"{said["id"]}"', "id")
    if "role" in said and (not _ROLE.fullmatch(said["role"]) or said["role"] in _RESERVED):
        told = f"@role names a role in small letters that is none of {', '.join(_RESERVED)}"
        yield at.about(told, f'"{said["role"]}"', "role")
    if "consent" in said:
        if said["consent"] not in CONSENTS:
            told = f"@consent is one of {', '.join(CONSENTS)}"
            yield at.about(told, f'"{said["consent"]}"', "consent")
        elif rule.effect == "forbid":
            yield at.about("@consent is for permit: what is forbidden is asked nobody", "consent")


def check_expressions(rule: pst.Template, at: Statement) -> Iterator[Mistake]:
    for path in sorted(paths_in(rule.clauses)):
        if path in ((), ("arguments",), ("numbers",), ("tags",)):
            whole = ".".join(("context", *path))
            yield at.about(f"{whole} as a whole cannot be judged; name a part of it", "context")
    named: dict[str, str] = {}
    for path in sorted(paths_in(rule.clauses)):
        if len(path) > 1 and path[0] in ("arguments", "numbers", "tags"):
            tag = path[0] == "tags"
            if '"' in path[1] or "\\" in path[1]:
                what = "a tag's name" if tag else "an argument's name"
                yield at.about(f"{what} has no quotes or backslashes", "context")
            alike = path[1].casefold() if tag else folded(path[1])
            other = named.setdefault(f"{path[0]} {alike}", path[1])
            if other != path[1]:
                what = "tag" if tag else "argument"
                yield at.about(f"{path[1]} and {other} are one {what}; write it one way", path[1])
    for node in nodes(rule.clauses):
        yield from _never_equal(node, at)


def _never_equal(node: Any, at: Statement) -> Iterator[Mistake]:
    """Targets are compared in lower case: a capital letter would silently never match."""
    if isinstance(node, pst.Like):
        sides, texts = (node.base,), ["".join(_letters(node))]
    elif isinstance(node, pst.BinaryOp) and node.op in _COMPARE:
        sides = (node.left, node.right)
        texts = [each.value for side in sides for each in nodes(side) if _is_text(each)]
    else:
        return
    paths = [path for side in sides if (path := path_of(side)) is not None]
    if any(path[:1] == ("target",) and path[1:] and path[1] not in EXACT for path in paths):
        for text in texts:
            if text != text.casefold():
                yield at.about(f"targets are in lower case, so that {text!r} never fits", text)


def _letters(node: pst.Like) -> Iterator[str]:
    return (each.value if isinstance(each, pst.Char) else "*" for each in node.pattern)


def _is_text(node: Any) -> bool:
    return isinstance(node, pst.StringLit)


def check_names(
    rule: pst.Template, at: Statement, roles: Collection[str], names: Names | None
) -> Iterator[Mistake]:
    """Roles that no rule declares, and namespaces and services that this fleet does not have.

    Tools come and go with the servers that offer them: `unknown_tools` looks at those.
    """
    for named in sorted(named_in(rule), key=str):
        kind, name = str(named.type), named.id
        if kind == "Role" and name not in roles:
            yield at.about(_unknown("role", name, roles, 'declare it with @role("...")'), name)
        elif kind == "Namespace" and names is not None and not _is_space(name, names):
            yield at.about(_unknown("namespace", name, names.namespaces), name)
        elif kind == "Tool" and name.count(".") == 0:
            yield at.about(f"{name!r} is no canonical name of a tool (os.linux.readFile)", name)


def named_in(rule: pst.Template) -> frozenset[pst.EntityUid]:
    """The entities that a rule names, but for actions."""
    return frozenset(each for each in pst.entity_uids(rule) if str(each.type) != "Action")


def unknown_names(rule: pst.Template, names: Names, tools: Collection[str]) -> Iterator[str]:
    """What a rule names that is not there just now."""
    for named in sorted(named_in(rule), key=str):
        kind, name = str(named.type), named.id
        if (kind == "Tool" and name not in tools) or (
            kind == "Service" and name not in names.services
        ):
            yield f"{kind.lower()} {name}"


def strange_tools(rule: pst.Template, names: Names) -> list[str]:
    """The tools that a rule names in namespaces that no service of this fleet has: mostly misspelt
    ones, but a service may come yet."""
    tools = sorted(named.id for named in named_in(rule) if str(named.type) == "Tool")
    return [tool for tool in tools if not _is_space(namespace_of(tool), names)]


def _is_space(name: str, names: Names) -> bool:
    """Whether any tool may have it: a namespace, its first part, or below the hub's or `ext`."""
    first, _, rest = name.partition(".")
    if first in (HUB_NAMESPACE, EXTERNAL):
        return rest.count(".") == 0
    return name in names.namespaces or name in {each.partition(".")[0] for each in names.namespaces}


def _unknown(what: str, name: str, known: Collection[str], hint: str = "") -> str:
    near = get_close_matches(name, sorted(known), n=1)
    meant = (
        f"did you mean {near[0]!r}?" if near else hint or f"known are {', '.join(sorted(known))}"
    )
    return f"there is no {what} {name!r}; {meant}"
