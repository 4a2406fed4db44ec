"""Conditions on attributes, from a small typed list to SQL of either database. Pure.

Nothing of a caller's stands in the SQL but the name of an attribute, which its pattern keeps free
of quotes: SQLite uses an index on `json_extract(attributes, '$."ip"')` only for that very text.
"""

from typing import Annotated, Any, Literal

import orjson
from pydantic import Field
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Numeric,
    Text,
    and_,
    bindparam,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
)

from cmdb.tables import item
from cmdb.values import ATTRIBUTE_PATTERN, check_value
from flotilla import InvalidArgument, Model
from flotilla.database.columns import DOCUMENT

Scalar = str | bool | int | float
Op = Literal["eq", "ne", "lt", "le", "gt", "ge", "in", "contains", "exists"]


class Filter(Model):
    """One condition; an item must meet all that are given."""

    attribute: Annotated[str, Field(pattern=ATTRIBUTE_PATTERN, description="Without attributes.")]
    op: Annotated[
        Op,
        Field(
            description="lt, le, gt, ge compare numbers with numbers and text with text; contains "
            "looks into text (case matters) or a list; exists takes true or false; ne is also met "
            "by items without the attribute."
        ),
    ]
    value: Annotated[
        Scalar | list[Scalar] | None, Field(description="A list for in; true or false for exists.")
    ] = None


Filters = Annotated[list[Filter], Field(max_length=20)]


def condition(wanted: Filter, *, postgresql: bool) -> ColumnElement[bool]:
    """The SQL of one filter; InvalidArgument where its value does not fit its operation."""
    made = _Postgresql(wanted.attribute) if postgresql else _Sqlite(wanted.attribute)
    value = wanted.value
    if wanted.op == "exists":
        if value is not None and not isinstance(value, bool):
            raise InvalidArgument("filters: exists takes true or false")
        return made.exists() if value in (None, True) else ~made.exists()
    if wanted.op == "in":
        if not isinstance(value, list) or len(value) > 200:
            raise InvalidArgument("filters: in takes a list of at most 200 values")
        return or_(false(), *(made.equals(_checked(one)) for one in value))
    if value is None or isinstance(value, list):
        raise InvalidArgument(
            f"filters: {wanted.op} takes one text, number, true or false",
            hint="Use in for a list, exists for the presence of an attribute.",
        )
    value = _checked(value)
    if wanted.op == "eq":
        return made.equals(value)
    if wanted.op == "ne":
        return ~func.coalesce(made.equals(value), false())
    if wanted.op == "contains":
        return made.contains(value)
    if isinstance(value, bool):
        raise InvalidArgument(f"filters: {wanted.op} compares text or numbers")
    return made.compares(wanted.op, value)


def _checked(value: Scalar) -> Scalar:
    check_value(value, "filters")
    return value


def _compared(left: Any, op: str, right: Any) -> ColumnElement[bool]:
    if op == "lt":
        return left < right
    if op == "le":
        return left <= right
    return left > right if op == "gt" else left >= right


class _Sqlite:
    def __init__(self, attribute: str) -> None:
        path = f"""'$."{attribute}"'"""
        self._value: ColumnElement[Any] = literal_column(f"json_extract(item.attributes, {path})")
        self._type = literal_column(f"json_type(item.attributes, {path})", Text)
        each = func.json_each(literal_column("item.attributes"), f'$."{attribute}"')
        self._parts = each.table_valued("value", "type").alias("part")

    def exists(self) -> ColumnElement[bool]:
        return self._type.is_not(None)

    def equals(self, value: Scalar) -> ColumnElement[bool]:
        if isinstance(value, bool):
            return self._type == ("true" if value else "false")
        kinds = ("text",) if isinstance(value, str) else ("integer", "real")
        return and_(self._value == bindparam(None, value, unique=True), self._type.in_(kinds))

    def compares(self, op: str, value: str | float) -> ColumnElement[bool]:
        kinds = ("text",) if isinstance(value, str) else ("integer", "real")
        compared = _compared(self._value, op, bindparam(None, value, unique=True))
        return and_(compared, self._type.in_(kinds))

    def contains(self, value: Scalar) -> ColumnElement[bool]:
        kinds = ("text",) if isinstance(value, str) else ("integer", "real")
        element, kind = self._parts.c.value, self._parts.c.type
        found = (
            kind == ("true" if value else "false")
            if isinstance(value, bool)
            else and_(element == bindparam(None, value, unique=True), kind.in_(kinds))
        )
        each = select(literal(1)).select_from(self._parts).where(found)
        in_list = and_(self._type == "array", exists(each))
        if not isinstance(value, str):
            return in_list
        inside = func.instr(self._value, bindparam(None, value, unique=True)) > 0
        return or_(and_(self._type == "text", inside), in_list)


class _Postgresql:
    def __init__(self, attribute: str) -> None:
        self._attribute = attribute
        document: ColumnElement[Any] = literal_column("item.attributes")
        name = bindparam(None, attribute, Text)
        self._told = document.op("->>", return_type=Text())(name)
        self._type = func.jsonb_typeof(document.op("->")(name), type_=Text)
        self._is_there = document.op("?", return_type=Boolean())(name)

    def exists(self) -> ColumnElement[bool]:
        return self._is_there

    def equals(self, value: Scalar) -> ColumnElement[bool]:
        # Containment, not extraction: the GIN index answers it.
        return self._holds({self._attribute: value})

    def compares(self, op: str, value: str | float) -> ColumnElement[bool]:
        told = self._told
        if isinstance(value, str):
            compared = _compared(told.collate("C"), op, bindparam(None, value, Text, unique=True))
            return case((self._type == "string", compared), else_=false())
        number = cast(bindparam(None, repr(value), Text, unique=True), Numeric)
        # CASE, because AND may cast before it has looked at the type.
        compared = _compared(cast(told, Numeric), op, number)
        return case((self._type == "number", compared), else_=false())

    def contains(self, value: Scalar) -> ColumnElement[bool]:
        in_list = self._holds({self._attribute: [value]})
        if not isinstance(value, str):
            return in_list
        inside = func.strpos(self._told, bindparam(None, value, Text, unique=True)) > 0
        return or_(and_(self._type == "string", inside), in_list)

    def _holds(self, part: object) -> ColumnElement[bool]:
        document = cast(bindparam(None, orjson.dumps(part).decode(), Text, unique=True), DOCUMENT)
        return item.c.attributes.op("@>", return_type=Boolean())(document)
