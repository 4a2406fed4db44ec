"""The rules as they were read: each with its place, its ID and what it says of consent."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path

import cedarpy
import structlog
from cedarpy import pst

from flotilla.settings import Misconfigured
from master.policy.checks import Names, check_annotations, check_expressions, check_names
from master.policy.expressions import paths_in
from master.policy.mistakes import Mistake, Mistaken
from master.policy.seam import Consent
from master.policy.text import Statement, statements

log = structlog.get_logger(__name__)

FOLDER = "policy"
"""Below the configuration folder."""
BUILT_IN = "roles.cedar"
MAX_FILE_BYTES = 1024 * 1024
MAX_RULES = 2000

_EMPTY = {kind: f"type {kind.capitalize()} = {{}};" for kind in ("arguments", "numbers", "tags")}
_TYPE = {"arguments": "String", "numbers": "Long", "tags": "String"}


@dataclass(frozen=True)
class Rule:
    """One rule; `text` as a person wrote it, `line` counts from 1."""

    id: str
    file: str
    line: int
    text: str
    parsed: pst.Template
    consent: Consent = "usual"
    description: str = ""

    @property
    def forbids(self) -> bool:
        return self.parsed.effect == "forbid"

    @cached_property
    def looks_at(self) -> frozenset[tuple[str, ...]]:
        """The parts of the context on which it depends; none: it is the same for every call."""
        return paths_in(self.parsed)


@dataclass(frozen=True)
class Rules:
    """All rules, in the order of files and lines, by their IDs."""

    by_id: Mapping[str, Rule]
    roles: frozenset[str]
    """Those that the rules declare."""
    schema: str
    digest: str
    """The SHA-256 of the files and their names."""
    source: str
    """Where they come from, for a person."""


def schema_text() -> str:
    return _shipped("schema.cedarschema")


def load_rules(folder: Path, names: Names | None = None) -> Rules:
    """The rules of a folder, the built-in ones where there is none.

    Mistaken, which is a Misconfigured, has every mistake with its line and column.
    """
    if not folder.is_dir():
        log.warning("policy_built_in", meaning=f"there is no {folder}: the built-in roles hold")
        return rules_of({BUILT_IN: _shipped(BUILT_IN)}, names, source="built in")
    written = {str(file): _read(file) for file in sorted(folder.glob("*.cedar"))}
    if not written:
        raise Misconfigured(f"{folder} has no .cedar file, so that nobody could do anything")
    return rules_of(written, names, source=str(folder))


def rules_of(written: Mapping[str, str], names: Names | None = None, source: str = "text") -> Rules:
    """The rules of texts by the names of their files; Mistaken as `load_rules`."""
    stated = [each for file, text in written.items() for each in statements(file, text)]
    if len(stated) > MAX_RULES:
        raise Misconfigured(f"{len(stated)} rules in {source}; at most {MAX_RULES}")
    mistakes: list[Mistake] = []
    rules: dict[str, tuple[Rule, Statement]] = {}
    for statement in stated:
        rule = _rule(statement, mistakes)
        if rule is None:
            continue
        if rule.id in rules:
            other = rules[rule.id][0]
            told = f"the @id {rule.id!r} is that of {other.file}:{other.line} too"
            mistakes.append(statement.about(told, rule.id))
            continue
        rules[rule.id] = (rule, statement)
    schema = _schema(rule for rule, _ in rules.values())
    roles = frozenset(
        role for rule, _ in rules.values() if (role := rule.parsed.annotations.get("role"))
    )
    parsed_schema = cedarpy.Schema.from_str(schema)
    for rule, statement in rules.values():
        found = cedarpy.validate_policies(statement.text, parsed_schema)  # pyright: ignore[reportUnknownMemberType]
        mistakes += [statement.refused(each) for each in _told(found)]
        mistakes += check_names(rule.parsed, statement, roles, names)
    if mistakes:
        raise Mistaken(mistakes)
    digest = hashlib.sha256()
    for file, text in written.items():
        digest.update(f"{Path(file).name}\0{len(text)}\0{text}".encode())
    return Rules(
        {key: rule for key, (rule, _) in rules.items()}, roles, schema, digest.hexdigest(), source
    )


def _rule(statement: Statement, mistakes: list[Mistake]) -> Rule | None:
    try:
        parsed = cedarpy.PolicySet.from_str(statement.text).to_pst()
    except ValueError as error:
        mistakes.append(statement.unparsed(str(error)))
        return None
    if parsed.templates:
        told = "?principal and ?resource are for templates, which are not used here"
        mistakes.append(statement.about(told, "?"))
        return None
    (found,) = parsed.static_policies.values()
    wrong = [*check_annotations(found, statement), *check_expressions(found, statement)]
    mistakes += wrong
    if wrong:
        return None
    consent: Consent = found.annotations.get("consent", "usual")  # pyright: ignore[reportAssignmentType]
    return Rule(
        id=found.annotations["id"],
        file=statement.file,
        line=statement.line,
        text=statement.text,
        parsed=found,
        consent=consent,
        description=found.annotations.get("description", ""),
    )


def _schema(rules: Iterable[Rule]) -> str:
    """The schema with the arguments that rules name: an argument is known by being named."""
    named: dict[str, set[str]] = {kind: set() for kind in _EMPTY}
    for rule in rules:
        for path in rule.looks_at:
            if len(path) > 1 and path[0] in named:
                named[path[0]].add(path[1])
    text = schema_text()
    for kind, empty in _EMPTY.items():
        members = ", ".join(f'"{name}"?: {_TYPE[kind]}' for name in sorted(named[kind]))
        text = text.replace(empty, f"type {kind.capitalize()} = {{{members}}};")
    return text


def _told(result: cedarpy.ValidationResult) -> list[str]:
    """The engine's words without the name that it gave the rule, and without what only follows."""
    said = [str(each.error).removeprefix("for policy `policy0`, ") for each in result.errors]
    return [each for each in said if "unable to find an applicable action" not in each] or said


def _read(file: Path) -> str:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise Misconfigured(f"cannot read {file}: {error.strerror}") from None
    if len(raw) > MAX_FILE_BYTES:
        raise Misconfigured(f"{file} has {len(raw)} bytes; at most {MAX_FILE_BYTES} are read")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Misconfigured(f"{file}:{line}:1: not UTF-8 text") from None


def _shipped(name: str) -> str:
    return files(__package__ or __name__).joinpath(name).read_text(encoding="utf-8")
