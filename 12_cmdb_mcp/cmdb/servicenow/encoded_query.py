"""Conditions as ServiceNow's encoded query, so that no value is read as anything but a value. Pure.

In that language `^` parts conditions, `^OR` binds to the condition before it, `^NQ` starts a new
query beside all of the others, and a value that begins with `javascript:` is run as a script.
Source: "Encoded query strings" and GlideStringUtil.escapeQueryTermSeparator of ServiceNow's
product documentation, by which `^^` is a `^` inside a value.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from cmdb.servicenow.fields import check_field
from flotilla import InvalidArgument, Model, TooLarge

MAX_QUERY_CHARS = 6000
"""It stands in a URL; servers and proxies take 8 KB of one."""
MAX_VALUES = 100

Scalar = str | bool | int | float
Op = Literal[
    "eq",
    "ne",
    "contains",
    "notContains",
    "startsWith",
    "endsWith",
    "in",
    "gt",
    "ge",
    "lt",
    "le",
    "isEmpty",
    "isNotEmpty",
]

_SIGNS: dict[Op, str] = {
    "eq": "=",
    "ne": "!=",
    "contains": "LIKE",
    "notContains": "NOT LIKE",
    "startsWith": "STARTSWITH",
    "endsWith": "ENDSWITH",
    "gt": ">",
    "ge": ">=",
    "lt": "<",
    "le": "<=",
    "isEmpty": "ISEMPTY",
    "isNotEmpty": "ISNOTEMPTY",
}
_SYS_ID = re.compile(r"[0-9A-Za-z]{32}")
_LONGER = (">=", "<=", "<>")
"""What `>` and `<` become with the first character of a value."""


class Condition(Model):
    """One condition on a field of a record."""

    field: Annotated[
        str,
        Field(max_length=120, description="ServiceNow's name of it, say operational_status."),
    ]
    op: Annotated[
        Op,
        Field(
            description="Text is compared without regard to case. ne and notContains are also met "
            "by records without a value; in takes a list."
        ),
    ] = "eq"
    value: Annotated[
        Scalar | list[Scalar] | None,
        Field(description="The stored value, not the one shown: 1, not Operational."),
    ] = None


Conditions = Annotated[list[Condition], Field(max_length=20)]


class Order(Model):
    """By which field records are put in order."""

    field: Annotated[str, Field(max_length=120)]
    descending: bool = False


def encoded(
    conditions: Sequence[Condition],
    any_of: Sequence[Condition] = (),
    order: Sequence[Order] = (),
    after_sys_id: str | None = None,
) -> str:
    """The query for records that meet all `conditions` and, where there are some, one of `any_of`.

    `after_sys_id` leaves out what comes before it in the order of sys_ids. Raises InvalidArgument
    for a field or value that cannot stand there, TooLarge where it gets too long for a URL.
    """
    parts = [_term(one) for one in conditions]
    if any_of:
        parts.append("^OR".join(_term(one) for one in any_of))
    if after_sys_id is not None:
        parts.append(f"sys_id>{after_sys_id}")
    for one in order:
        check_field(one.field)
        parts.append(f"ORDERBY{'DESC' if one.descending else ''}{one.field}")
    query = "^".join(parts)
    if len(query) > MAX_QUERY_CHARS:
        raise TooLarge(
            f"the conditions make a query of {len(query)} characters; {MAX_QUERY_CHARS} fit",
            hint="Give fewer values, or ask in parts.",
        )
    return query


def related_to(sys_ids: Sequence[str], after_sys_id: str | None = None) -> str:
    """The query for the relations that have one of these CIs at an end."""
    told = ",".join(one for one in sys_ids if is_sys_id(one))
    after = "" if after_sys_id is None else f"^sys_id>{after_sys_id}"
    return f"parentIN{told}^ORchildIN{told}{after}^ORDERBYsys_id"


def is_sys_id(text: str) -> bool:
    """Whether it is 32 letters and digits, as every sys_id; hexadecimal but for some shipped."""
    return _SYS_ID.fullmatch(text) is not None


def fields_of(*told: Sequence[Condition] | Sequence[Order]) -> list[str]:
    """The fields that conditions and orders speak of, each once."""
    return list(dict.fromkeys(one.field for some in told for one in some))


def _term(wanted: Condition) -> str:
    """One condition; a list becomes alternatives, for a comma in a value would split `IN`."""
    check_field(wanted.field)
    value = wanted.value
    if wanted.op in ("isEmpty", "isNotEmpty"):
        if value is not None:
            raise InvalidArgument(f"conditions: {wanted.op} takes no value")
        return f"{wanted.field}{_SIGNS[wanted.op]}"
    if wanted.op == "in":
        if not isinstance(value, list) or not 1 <= len(value) <= MAX_VALUES:
            raise InvalidArgument(f"conditions: in takes a list of 1 to {MAX_VALUES} values")
        return "^OR".join(f"{wanted.field}={_value(one, '=')}" for one in value)
    if value is None or isinstance(value, list):
        raise InvalidArgument(
            f"conditions: {wanted.op} takes one value",
            hint="Use in for a list, isEmpty for records that have none.",
        )
    sign = _SIGNS[wanted.op]
    return f"{wanted.field}{sign}{_value(value, sign)}"


def _value(value: Scalar, sign: str) -> str:
    """The value as it may stand behind that operator; InvalidArgument where it may not."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return repr(value)
    plain = value.strip()
    if plain != value or not plain:
        raise InvalidArgument(
            "conditions: a value has no white space at its ends",
            hint="Use isEmpty and isNotEmpty for records without a value.",
        )
    if not value.isprintable():
        raise InvalidArgument("conditions: a value has no line breaks or control characters")
    if plain.casefold() == "null":
        raise InvalidArgument(
            "conditions: ServiceNow reads NULL as no value", hint="Use isEmpty or isNotEmpty."
        )
    if "javascript:" in "".join(value.casefold().split()):
        raise InvalidArgument("conditions: ServiceNow would run a value with javascript: in it")
    if f"{sign}{value}".startswith(_LONGER) and sign in "<>":
        raise InvalidArgument(
            f"conditions: a value behind {sign} cannot begin with {value[0]}",
            hint="Use ge and le for what is equal, too.",
        )
    return value.replace("^", "^^")
