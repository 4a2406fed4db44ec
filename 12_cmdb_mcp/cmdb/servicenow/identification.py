"""Items of ours as ServiceNow's Identification and Reconciliation Engine takes them, and its word
on each of them. Pure.

It answers 200 also where it does nothing: what became of an item stands in `operation`, `sysId` and
`errors` of that item alone. Source: "Identification and Reconciliation API" of its documentation.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from pydantic import Field, JsonValue

from cmdb.items import Item
from cmdb.servicenow.class_map import CLASS, INSTANCE, KEY, ClassMap, MappedClass
from cmdb.servicenow.encoded_query import is_sys_id
from flotilla import Model

MAX_TOLD = 5
"""Errors and warnings of one item."""
MAX_CHARS = 300

State = Literal[
    "insert", "update", "unchanged", "incomplete", "error", "unconfirmed", "unknown", "notSent"
]
_STATES: Mapping[str, State] = {
    "INSERT": "insert",
    "UPDATE": "update",
    "UPDATE_WITH_UPGRADE": "update",
    "UPDATE_WITH_DOWNGRADE": "update",
    "UPDATE_WITH_SWITCH": "update",
    "NO_CHANGE": "unchanged",
    "INSERT_AS_INCOMPLETE": "incomplete",
    "INSERT_AS_PARTIAL": "incomplete",
}


class FieldChange(Model):
    """A field of the CI that has or would get another value."""

    field: str
    before: str
    after: str


class Outcome(Model):
    """What became of one item, or would."""

    id: str
    name: str
    class_name: str
    state: State
    """insert, update, unchanged; incomplete: kept aside by ServiceNow, no CI; error: not taken;
    unconfirmed: said to be done, but the record does not show it; unknown: the answer was lost;
    notSent: the push ended before."""
    operation: str | None = None
    """ServiceNow's own word."""
    sys_id: str | None = None
    matched_by: str | None = None
    """The rule and fields by which an existing CI was found."""
    attempts: list[str] = Field(default_factory=list[str])
    errors: list[str] = Field(default_factory=list[str])
    warnings: list[str] = Field(default_factory=list[str])
    masked: list[str] = Field(default_factory=list[str])
    """Fields that a reconciliation rule keeps from this data source."""
    changes: list[FieldChange] | None = None
    """What differs between the record and what is sent; None: not looked at."""
    version: int | None = None
    """The item's version here, once its sys_id is kept."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One item as it is sent."""

    item: Item
    class_name: str
    values: Mapping[str, str]
    linked: str | None
    """The sys_id that it is known to have."""


@dataclass(frozen=True, slots=True)
class Tie:
    """A relation between two items that are pushed: its name there, and the ends by our IDs."""

    type: str
    parent: str
    child: str
    ours: str
    """The type of relation here."""


def sent(item: Item, mapped: MappedClass, classes: ClassMap, instance: str) -> Sent:
    """The item in ServiceNow's words; attributes that it lacks are not spoken of."""
    values = {"name": item.name}
    for ours, theirs in mapped.attributes.items():
        text = _text(item.attributes.get(ours))
        if text is not None:
            values[theirs] = text
    known, own = item.attributes.get(KEY), item.attributes.get(CLASS)
    is_linked = item.attributes.get(INSTANCE) == instance and isinstance(known, str)
    class_name = mapped.table
    # Naming the parent of its class would move the CI up to it.
    if is_linked and isinstance(own, str) and classes.ours(own) == item.ci_class:
        class_name = own
    return Sent(item, class_name, values, known if is_linked and isinstance(known, str) else None)


def payload(some: Sequence[Sent], ties: Sequence[Tie], source: str) -> dict[str, Any]:
    """The body of a request; ties speak of items by their place."""
    place = {one.item.id: number for number, one in enumerate(some)}
    return {
        "items": [
            {
                "className": one.class_name,
                "values": dict(one.values),
                "sys_object_source_info": {
                    "source_name": source,
                    "source_native_key": one.item.id,
                },
            }
            for one in some
        ],
        "relations": [
            {"type": tie.type, "parent": place[tie.parent], "child": place[tie.child]}
            for tie in ties
        ],
    }


def outcomes(some: Sequence[Sent], result: Any) -> list[Outcome]:
    """The engine's word on each item, in the order sent; one that it does not speak of failed."""
    told: dict[int, dict[str, Any]] = {}
    for number, one in enumerate(_maps(_members(result).get("items"))):
        indices: Any = one.get("inputIndices")
        places = cast("list[Any]", indices) if isinstance(indices, list) else [number]
        for place in places:
            if isinstance(place, int):
                told[place] = one
    return [_outcome(one, told.get(number)) for number, one in enumerate(some)]


def ties_told(ties: Sequence[Tie], result: Any) -> tuple[int, int, list[str]]:
    """`(made, there already, errors)` of the relations of an answer."""
    made, there, errors = 0, 0, list[str]()
    told = list(_maps(_members(result).get("relations")))
    for number, tie in enumerate(ties):
        one = told[number] if number < len(told) else {}
        wrong = _sentences(one.get("errors"))
        state = _STATES.get(str(one.get("operation")))
        if wrong or state in (None, "incomplete"):
            why = "; ".join(wrong) or "ServiceNow did not take it"
            errors.append(f"{tie.parent} {tie.type} {tie.child}: {why}"[:MAX_CHARS])
        elif state == "unchanged":
            there += 1
        else:
            made += 1
    return made, there, errors


def _outcome(one: Sent, told: dict[str, Any] | None) -> Outcome:
    if told is None:
        return failed(one, "ServiceNow's answer does not speak of it")
    errors, warnings = _sentences(told.get("errors")), _sentences(told.get("warnings"))
    operation = str(told["operation"]) if told.get("operation") else None
    state = _STATES.get(operation or "", "error")
    sys_id = str(told.get("sysId") or "")
    found = sys_id if is_sys_id(sys_id) else None
    if errors:
        state = "error"
    elif state == "error":
        errors = [f"ServiceNow says {operation or 'no operation'}"[:MAX_CHARS]]
    if one.linked and found and found != one.linked:
        state = "error"
        errors = [
            *errors,
            f"it is linked to {one.linked}, but ServiceNow identifies it as {found}: "
            "mend the link (servicenow_sys_id) or the CI that is alike",
        ]
    tried = [_attempt(each) for each in _maps(told.get("identificationAttempts"))]
    matched = [text for text, result in tried if result == "MATCHED"]
    return Outcome(
        id=one.item.id,
        name=one.item.name,
        class_name=one.class_name,
        state=state,
        operation=operation,
        sys_id=found,
        matched_by=matched[0] if matched else None,
        attempts=[f"{text}: {result}"[:MAX_CHARS] for text, result in tried][:10],
        errors=errors,
        warnings=warnings,
        masked=_texts(told.get("maskedAttributes")),
    )


def failed(one: Sent, why: str, state: State = "error") -> Outcome:
    return Outcome(
        id=one.item.id,
        name=one.item.name,
        class_name=one.class_name,
        state=state,
        errors=[why[:MAX_CHARS]],
    )


def differences(one: Sent, record: Mapping[str, str]) -> list[FieldChange]:
    """What the record has otherwise than what is sent; fields it does not show are left out."""
    return [
        FieldChange(field=field, before=record[field][:MAX_CHARS], after=after[:MAX_CHARS])
        for field, after in one.values.items()
        if field in record and not _same(record[field], after)
    ]


def all_values(one: Sent) -> list[FieldChange]:
    """Of a CI that is not there yet everything is new."""
    return [
        FieldChange(field=field, before="", after=after[:MAX_CHARS])
        for field, after in one.values.items()
    ]


def _same(before: str, after: str) -> bool:
    if before.strip() == after.strip():
        return True
    try:
        return float(before) == float(after)
    except ValueError:
        return False


def _text(value: JsonValue) -> str | None:
    """A value as ServiceNow takes it; None for what one field cannot hold."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    return value if isinstance(value, str) and value.strip() else None


def _attempt(told: Mapping[str, Any]) -> tuple[str, str]:
    fields = ", ".join(_texts(told.get("attributes")))
    rule = str(told.get("identifierName") or told.get("info") or "rule")
    return (f"{rule} ({fields})" if fields else rule)[:200], str(told.get("attemptResult") or "?")


def _sentences(told: Any) -> list[str]:
    found = [
        ": ".join(str(part) for part in (one.get("error"), one.get("message")) if part)[:MAX_CHARS]
        for one in _maps(told)
    ]
    return found[:MAX_TOLD]


def _texts(told: Any) -> list[str]:
    values = cast("list[Any]", told) if isinstance(told, list) else []
    return [one[:80] for one in values if isinstance(one, str)][:30]


def _maps(told: Any) -> Iterator[dict[str, Any]]:
    values = cast("list[Any]", told) if isinstance(told, list) else []
    return (cast("dict[str, Any]", one) if isinstance(one, dict) else {} for one in values)


def _members(told: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", told) if isinstance(told, dict) else {}
