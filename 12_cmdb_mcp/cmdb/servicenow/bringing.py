"""CIs and relations of ServiceNow as items and relations of ours. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import JsonValue

from cmdb.catalogue import Catalogue
from cmdb.items import Item
from cmdb.reconcile_plan import Discovered, DiscoveredRelation, EndRef
from cmdb.relation_types import relation_type
from cmdb.servicenow.class_map import CLASS, INSTANCE, KEY, ClassMap, MappedClass
from cmdb.servicenow.encoded_query import is_sys_id
from cmdb.servicenow.records import Row, text_of
from cmdb.values import check_attributes
from flotilla import FlotillaError, InvalidArgument

MAX_NAME = 200
MAX_TEXT = 2000

Key = tuple[str, str]
"""Class and name of an item."""


@dataclass
class Brought:
    """What a table came to, and what was left out."""

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


def keys_of(rows: Iterable[Row], ci_class: str) -> list[Key]:
    """The classes and names under which CIs could be known here."""
    return [(ci_class, name_of(row)) for row in rows]


def name_of(row: Row) -> str:
    """The CI's name as an item may have it; its sys_id where it has none."""
    told = "".join(c if c.isprintable() else " " for c in text_of(row.get("name")))
    return " ".join(told.split())[:MAX_NAME].rstrip() or text_of(row.get("sys_id"))


def brought(
    rows: Sequence[Row],
    ci_class: str,
    classes: ClassMap,
    catalogue: Catalogue,
    held: Held,
    instance: str,
) -> Brought:
    """The items that the rows are.

    A CI is the item that holds its sys_id, else one of its class and name that nobody linked yet;
    where another item has its name, the beginning of its sys_id is put behind it. A value that the
    class refuses is left out and told.
    """
    told = Brought()
    mapped = classes.get(ci_class)
    if mapped is None:
        raise InvalidArgument(f"{ci_class} has no class in ServiceNow")
    taken: set[Key] = set()
    for row in rows:
        sys_id = text_of(row.get("sys_id"))
        table = text_of(row.get("sys_class_name"))
        other = classes.ours(table)
        if other is not None and other != ci_class:
            told.other_classes[other] += 1
            continue
        linked = held.linked.get(sys_id)
        problem = _unfit(sys_id, linked, ci_class, instance)
        if problem is not None:
            told.problems.append(f"{name_of(row)!r} ({sys_id[:40]}): {problem}")
            continue
        name = _free_name(row, ci_class, sys_id, held, taken)
        own: dict[str, JsonValue] = {KEY: sys_id, INSTANCE: instance}
        if table:
            own[CLASS] = table
        values, problems = _attributes(row, mapped, ci_class, catalogue)
        told.problems.extend(f"{name!r}: {one}" for one in problems)
        taken.add((ci_class, name))
        told.keys[sys_id] = (ci_class, name)
        told.items.append(
            Discovered(ci_class=ci_class, name=name, attributes={**values, **own}, key=KEY)
        )
    return told


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


def _free_name(row: Row, ci_class: str, sys_id: str, held: Held, taken: set[Key]) -> str:
    name = name_of(row)
    for told in (name, f"{name[:180].rstrip()} ({sys_id[:8]})"):
        holder = held.named.get((ci_class, told))
        known = holder is None or holder.attributes.get(KEY) in (None, sys_id)
        # One that nobody linked is another's where this CI has an item already.
        linked = held.linked.get(sys_id)
        if known and holder is not None and linked is not None and holder.id != linked.id:
            known = False
        if known and (ci_class, told) not in taken:
            return told
    return f"{name[:160].rstrip()} ({sys_id})"


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
    rows: Iterable[Row],
    key_of: Callable[[str], Key | None],
    classes: ClassMap,
    catalogue: Catalogue,
) -> Related:
    """The relations of ours that rows of cmdb_rel_ci are; `key_of` knows the item of a sys_id."""
    told = Related()
    seen: set[tuple[Key, str, Key]] = set()
    for row in rows:
        name = text_of(row.get("type.name"))
        mapped = classes.relation(name)
        if mapped is None:
            told.skipped[f"the type {name[:80]!r} is none of ours"] += 1
            continue
        source = key_of(text_of(row.get("parent")))
        target = key_of(text_of(row.get("child")))
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
