"""Conditions keep their meaning whatever their values are: judged against a plain Python filter."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cmdb.servicenow.encoded_query import Condition, Order, encoded, related_to
from cmdb.servicenow.fields import check_field, check_table
from flotilla import InvalidArgument, NotAllowed, TooLarge
from tests.backends.servicenow_query import parsed

FIELDS = ("name", "serial_number", "comments")
WORDS = (
    "web a1 ^ ^^ ^OR ^NQ ^EQ ^ORDERBY = != > >= < IN STANCEOF LIKE NOT ISEMPTY javascript: gs.x() "
    ", name serial_number name!= ^name!=zz ^NQsys_idISNOTEMPTY ^ORnameISNOTEMPTY NULL %"
)
PARTS = [*WORDS.split(), " ", "\n", "é", "\x00", "\u2028"]

texts = st.one_of(
    st.lists(st.sampled_from(PARTS), max_size=6).map("".join),
    # What looks like a number is compared as one; that is not the matter here.
    st.text(st.characters(exclude_categories=["Nd", "Cs"]), max_size=12),
)
OPS = ("eq", "ne", "contains", "notContains", "startsWith", "endsWith", "gt", "ge", "lt", "le")
single = st.builds(Condition, field=st.sampled_from(FIELDS), op=st.sampled_from(OPS), value=texts)
lists = st.builds(
    Condition,
    field=st.sampled_from(FIELDS),
    op=st.just("in"),
    value=st.lists(texts, min_size=1, max_size=3),
)
bare = st.builds(
    Condition, field=st.sampled_from(FIELDS), op=st.sampled_from(["isEmpty", "isNotEmpty"])
)
conditions = st.lists(st.one_of(single, lists, bare), max_size=3)
rows = st.lists(st.fixed_dictionaries(dict.fromkeys(FIELDS, texts)), max_size=6)


def meant(one: Condition, row: dict[str, str]) -> bool:
    """What a condition says, in Python."""
    held = row[one.field].casefold()
    if one.op == "in":
        assert isinstance(one.value, list)
        return any(held == str(value).casefold() for value in one.value)
    value = str(one.value).casefold()
    if one.op in ("gt", "ge", "lt", "le"):
        return bool(held) and _compares(one.op, held, value)
    return {
        "eq": held == value,
        "ne": held != value,
        "contains": value in held,
        "notContains": value not in held,
        "startsWith": held.startswith(value),
        "endsWith": held.endswith(value),
        "isEmpty": not held,
        "isNotEmpty": bool(held),
    }[one.op]


def _compares(op: str, held: str, value: str) -> bool:
    return {
        "gt": held > value,
        "ge": held >= value,
        "lt": held < value,
        "le": held <= value,
    }[op]


@settings(max_examples=120, deadline=None, derandomize=True, database=None)
@given(all_of=conditions, any_of=conditions, estate=rows)
@example(
    all_of=[Condition(field="name", value="a^ORnameISNOTEMPTY")],
    any_of=[],
    estate=[{"name": "b", "serial_number": "", "comments": ""}],
)
@example(
    all_of=[Condition(field="name", op="in", value=["a,b", "^NQ"])],
    any_of=[Condition(field="comments", op="isEmpty")],
    estate=[{"name": "a,b", "serial_number": "", "comments": ""}] * 2,
)
@example(
    all_of=[Condition(field="name", value="javascript:gs.getUserID()")],
    any_of=[],
    estate=[{"name": "b", "serial_number": "", "comments": ""}],
)
@example(
    all_of=[Condition(field="name", value="NULL")],
    any_of=[],
    estate=[{"name": "", "serial_number": "", "comments": ""}],
)
@example(
    all_of=[Condition(field="name", op="gt", value="=b")],
    any_of=[],
    estate=[{"name": "b", "serial_number": "", "comments": ""}],
)
def test_no_value_changes_the_rows_beyond_its_own_meaning(
    all_of: list[Condition], any_of: list[Condition], estate: list[dict[str, str]]
) -> None:
    try:
        query = encoded(all_of, any_of, [Order(field="name")], "0" * 32)
    except InvalidArgument:
        return
    asked = parsed(query, lambda name: name in (*FIELDS, "sys_id"))
    assert asked.order == [("name", False)]
    for row in estate:
        wanted = all(meant(one, row) for one in all_of)
        if any_of:
            wanted = wanted and any(meant(one, row) for one in any_of)
        record = {**row, "sys_id": "f" * 32}
        assert asked.holds(record.get) == wanted, query


@pytest.mark.parametrize(
    ("op", "value"),
    [
        ("eq", "javascript:gs.getUserID()"),
        ("eq", " JavaScript :x"),
        ("contains", "a java\tscript:x"),
        ("eq", "a\nb"),
        ("eq", "a\rb"),
        ("eq", "a\x00b"),
        ("eq", "a\u2028b"),
        ("eq", "NULL"),
        ("ne", "null"),
        ("eq", ""),
        ("eq", " x"),
        ("gt", "=5"),
        ("lt", "=5"),
        ("lt", ">"),
        ("eq", None),
        ("eq", ["a"]),
        ("in", "a"),
        ("in", []),
        ("in", ["a"] * 101),
        ("in", ["a", "javascript:x"]),
        ("isEmpty", "a"),
    ],
)
def test_a_value_that_would_be_read_as_something_else_is_refused(op: Any, value: Any) -> None:
    with pytest.raises(InvalidArgument):
        encoded([Condition(field="name", op=op, value=value)])


@pytest.mark.parametrize(
    ("all_of", "any_of", "query"),
    [
        ([("name", "eq", "a^b")], [], "name=a^^b"),
        ([("name", "eq", "^^")], [], "name=^^^^"),
        ([("active", "eq", True), ("ram", "ge", 8)], [], "active=true^ram>=8"),
        (
            [("name", "in", ["a", "b,c"]), ("os", "isEmpty", None)],
            [("ram", "gt", 1.5), ("ram", "isEmpty", None)],
            "name=a^ORname=b,c^osISEMPTY^ram>1.5^ORramISEMPTY",
        ),
        ([("name", "notContains", "x y")], [], "nameNOT LIKEx y"),
    ],
)
def test_conditions_as_servicenow_writes_them(all_of: Any, any_of: Any, query: str) -> None:
    def made(told: Any) -> list[Condition]:
        return [Condition(field=field, op=op, value=value) for field, op, value in told]

    assert encoded(made(all_of), made(any_of)) == query


def test_a_query_that_is_too_long_for_a_url_is_refused() -> None:
    with pytest.raises(TooLarge):
        encoded([Condition(field="name", op="in", value=["x" * 100] * 100)])


@pytest.mark.parametrize(
    "field",
    [
        "",
        "Name",
        "name^ORsys_idISNOTEMPTY",
        "name=",
        "nameISEMPTY",
        "name ",
        "a.b.c.d",
        "a..b",
        ".a",
        "123TEXTQUERY321",
        "näme",
        "name\n",
        "a" * 90,
    ],
)
def test_only_plain_names_are_fields(field: str) -> None:
    with pytest.raises(InvalidArgument):
        check_field(field)


@pytest.mark.parametrize(
    "field",
    ["password", "u_api_key", "admin_password", "snmp_pwd", "x.user_password", "auth_token.name"],
)
def test_fields_that_speak_of_secrets_are_refused(field: str) -> None:
    with pytest.raises(NotAllowed):
        check_field(field)


@pytest.mark.parametrize("field", ["name", "pinned", "compass", "parent.name", "type.name"])
def test_other_fields_are_not(field: str) -> None:
    check_field(field)


def test_tables_are_those_of_the_list() -> None:
    allowed = ("cmdb_ci*", "cmdb_rel_ci")
    for table in ("cmdb_ci", "cmdb_ci_server", "cmdb_rel_ci"):
        check_table(table, allowed)
    for table in ("cmdb_rel_ci_x", "sys_user", "cmdb_rel_type"):
        with pytest.raises(NotAllowed):
            check_table(table, allowed)
    for table in ("cmdb_ci/../sys_user", "cmdb_ci?x", "cmdb_ci*", ""):
        with pytest.raises(InvalidArgument):
            check_table(table, allowed)


def test_only_sys_ids_stand_in_the_query_for_relations() -> None:
    told = related_to(["a" * 32, "x^ORparentISNOTEMPTY", "b" * 32])
    assert told == f"parentIN{'a' * 32},{'b' * 32}^ORchildIN{'a' * 32},{'b' * 32}^ORDERBYsys_id"
