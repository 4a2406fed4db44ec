"""CIs and relations of ServiceNow as items and relations of ours. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from pydantic import JsonValue

from cmdb.catalogue import Catalogue
from cmdb.items import Item
from cmdb.reconcile_plan import Discovered, DiscoveredRelation, EndRef
from cmdb.relation_types import relation_type
from cmdb.servicenow.class_map import CLASS, INSTANCE, KEY, ClassMap, MappedClass
from cmdb.servicenow.encoded_query import is_sys_id
from cmdb.servicenow.records import Drawn, Row, text_of
from cmdb.values import check_attributes
from flotilla import FlotillaError

MAX_NAME = 200
MAX_TEXT = 2000

Key = tuple[str, str]
"""Class and name of an item."""


class Ci(NamedTuple):
    """A CI as far as we keep it."""

    sys_id: str
    table: str
    """Its own class there."""
    name: str
    values: dict[str, JsonValue]
    problems: tuple[str, ...]
    """Which values are left out, and why."""


@dataclass
class Brought:
    """What the CIs came to, and what was left out."""

    items: list[Discovered] = field(default_factory=list[Discovered])
    keys: dict[str, Key] = field(default_factory=dict[str, Key])
    """Of each sys_id the item that it is."""
    other_classes: Counter[str] = field(default_factory=Counter[str])
    """CIs of the table that are of another class of ours."""
    problems: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class Held:
    """What our CMDB has already: linked items by sys_id, and any by class and name."""

    linked: Mapping[str, Item]
    named: Mapping[Key, Item]


def fields_asked(mapped: MappedClass) -> list[str]:
    """What is read of each CI."""
    return list(dict.fromkeys(["sys_id", "sys_class_name", "name", *mapped.fields().values()]))


def ci_of(row: Row, mapped: MappedClass, ci_class: str, catalogue: Catalogue) -> Ci:
    """The CI of a record, with the values that the class takes."""
    values, problems = _attributes(row, mapped, ci_class, catalogue)
    table = text_of(row.get("sys_class_name"))
    return Ci(text_of(row.get("sys_id")), table, _name_of(row), values, tuple(problems))


def keys_of(cis: Iterable[Ci], ci_class: str) -> list[Key]:
    """The classes and names that the CIs might get."""
    return [(ci_class, name) for one in cis for name in (one.name, _qualified(one))]


def brought(
    cis: Iterable[Ci], ci_class: str, classes: ClassMap, held: Held, instance: str
) -> Brought:
    """The items that the CIs are.

    A CI is the item that holds its sys_id, else one of its class and name that nobody linked yet;
    where another item has its name, the beginning of its sys_id is put behind it.
    """
    told = Brought()
    taken: set[Key] = set()
    for one in cis:
        other = classes.ours(one.table)
        if other is not None and other != ci_class:
            told.other_classes[other] += 1
            continue
        problem = _unfit(one.sys_id, held.linked.get(one.sys_id), ci_class, instance)
        if problem is not None:
            told.problems.append(f"{one.name!r} ({one.sys_id[:40]}): {problem}")
            continue
        name = _free_name(one, ci_class, held, taken)
        own: dict[str, JsonValue] = {KEY: one.sys_id, INSTANCE: instance}
        if one.table:
            own[CLASS] = one.table
        told.problems.extend(f"{name!r}: {each}" for each in one.problems)
        taken.add((ci_class, name))
        told.keys[one.sys_id] = (ci_class, name)
        told.items.append(
            Discovered(ci_class=ci_class, name=name, attributes={**one.values, **own}, key=KEY)
        )
    return told


def _name_of(row: Row) -> str:
    """The CI's name as an item may have it; its sys_id where it has none."""
    told = "".join(c if c.isprintable() else " " for c in text_of(row.get("name")))
    return " ".join(told.split())[:MAX_NAME].rstrip() or text_of(row.get("sys_id"))


def _qualified(one: Ci) -> str:
    return f"{one.name[:180].rstrip()} ({one.sys_id[:8]})"


def _unfit(sys_id: str, linked: Item | None, ci_class: str, instance: str) -> str | None:
    """Why a CI cannot be brought in, if it cannot."""
    if not is_sys_id(sys_id):
        return "it has no sys_id as ServiceNow makes them"
    if linked is None:
        return None
    source = linked.attributes.get(INSTANCE)
    if source != instance:
        # Clones of an instance share its sys_ids.
        return f"{linked.id} is linked to a CI of this sys_id in {source!r}"
    if linked.ci_class != ci_class:
        return f"it is of another class now; {linked.id} is a {linked.ci_class}: retire that first"
    return None


def _free_name(one: Ci, ci_class: str, held: Held, taken: set[Key]) -> str:
    linked = held.linked.get(one.sys_id)
    for name in (one.name, _qualified(one)):
        holder = held.named.get((ci_class, name))
        if holder is None:
            is_free = True
        elif linked is not None:
            is_free = holder.id == linked.id
        else:
            # One that nobody linked yet is this CI, as far as its name tells.
            is_free = holder.attributes.get(KEY) is None
        if is_free and (ci_class, name) not in taken:
            return name
    return f"{one.name[:160].rstrip()} ({one.sys_id})"


def _attributes(
    row: Row, mapped: MappedClass, ci_class: str, catalogue: Catalogue
) -> tuple[dict[str, JsonValue], list[str]]:
    """The attributes that the class takes, and why others are left out."""
    properties: dict[str, Any] = catalogue.schema_of(ci_class)["properties"]
    values: dict[str, JsonValue] = {}
    problems: list[str] = []
    for ours, theirs in mapped.fields().items():
        text = text_of(
            row.get(theirs), display=ours in mapped.pulled and ours not in mapped.attributes
        )
        value = _value(text, properties.get(ours))
        if value is not None:
            values[ours] = value
    for problem in catalogue.problems(ci_class, values):
        name = problem.field.removeprefix("attributes.").split(".")[0]
        if name in values:
            problems.append(f"{name}: {problem.message}")
            del values[name]
    try:
        check_attributes(values)
    except FlotillaError as error:
        problems.append(error.message)
        values = {}
    return values, problems


def _value(text: str, schema: Any) -> JsonValue:
    """A field's text as the class wants it; None where ServiceNow has nothing."""
    text = "".join(c for c in text if c.isprintable() or c in "\n\t").strip()
    if not text:
        return None
    members = cast("dict[str, Any]", schema) if isinstance(schema, dict) else {}
    kind = members.get("type")
    if kind in ("integer", "number"):
        return _number(text)
    if kind == "boolean":
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    if members.get("format") == "date":
        return text[:10]
    most = members.get("maxLength")
    return text[: most if isinstance(most, int) else MAX_TEXT].rstrip()


def _number(text: str) -> JsonValue:
    try:
        number = float(text.replace(",", ""))
    except ValueError:
        return text
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


@dataclass
class Related:
    """The relations, and why others were left out."""

    relations: list[DiscoveredRelation] = field(default_factory=list[DiscoveredRelation])
    skipped: Counter[str] = field(default_factory=Counter[str])


def related(
    rows: Iterable[Drawn],
    key_of: Callable[[str], Key | None],
    classes: ClassMap,
    catalogue: Catalogue,
) -> Related:
    """The relations of ours that those are; `key_of` knows the item of a sys_id."""
    told = Related()
    seen: set[tuple[Key, str, Key]] = set()
    for row in rows:
        mapped = classes.relation(row.type)
        if mapped is None:
            told.skipped[f"the type {row.type[:80]!r} is none of ours"] += 1
            continue
        source, target = key_of(row.parent), key_of(row.child)
        if mapped.reversed:
            source, target = target, source
        if source is None or target is None:
            told.skipped["the other end is not in our CMDB"] += 1
            continue
        if source == target or (source, mapped.type, target) in seen:
            continue
        try:
            catalogue.check_ends(relation_type(mapped.type), source[0], target[0])
        except FlotillaError as error:
            told.skipped[error.message] += 1
            continue
        seen.add((source, mapped.type, target))
        told.relations.append(
            DiscoveredRelation(
                source=EndRef(ci_class=source[0], name=source[1]),
                type=mapped.type,
                target=EndRef(ci_class=target[0], name=target[1]),
            )
        )
    return told
