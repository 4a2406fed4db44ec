"""Reading ServiceNow: what is asked for is what comes, page by page, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdb.servicenow.encoded_query import Op
from flotilla.toolbox import error_code_of

if TYPE_CHECKING:
    from tests.backends.servicenow_server import ServiceNow

pytestmark = pytest.mark.anyio


def stocked(instance: ServiceNow, count: int = 5) -> list[str]:
    """Servers named web-0, web-1, ...; their sys_ids in the order of names."""
    return [
        instance.add(
            "cmdb_ci_linux_server",
            sys_id=f"{number:032x}",
            name=f"web-{number}",
            serial_number=f"S{number}",
            operational_status="1" if number % 2 else "2",
            ip_address=f"10.0.0.{number % 250 + 1}",
        )
        for number in range(count)
    ]


async def test_records_are_read_through_the_hub(instance: ServiceNow, through_hub: Any) -> None:
    stocked(instance, 7)
    async with through_hub(instance) as hub:
        first = await hub("queryServiceNow", table="cmdb_ci_server", limit=3)
        assert [row["name"] for row in first["items"]] == ["web-0", "web-1", "web-2"]
        assert (first["returned"], first["total"], first["truncated"]) == (3, 7, True)
        seen = [row["name"] for row in first["items"]]
        cursor = first["nextCursor"]
        while cursor:
            page = await hub("queryServiceNow", table="cmdb_ci_server", limit=3, cursor=cursor)
            seen += [row["name"] for row in page["items"]]
            cursor = page.get("nextCursor")
        assert seen == [f"web-{number}" for number in range(7)]
        found = await hub(
            "queryServiceNow",
            table="cmdb_ci_server",
            conditions=[{"field": "operational_status", "op": "eq", "value": "1"}],
            anyOf=[
                {"field": "name", "op": "endsWith", "value": "-1"},
                {"field": "serial_number", "op": "in", "value": ["S2", "S3"]},
            ],
            fields=["name", "operational_status"],
            orderBy={"field": "name", "descending": True},
            displayValue=True,
        )
        assert [(row["name"], row["operational_status"]) for row in found["items"]] == [
            ("web-3", "Operational"),
            ("web-1", "Operational"),
        ]
        again = await hub.refused(
            "invalid_argument",
            "queryServiceNow",
            table="cmdb_ci",
            limit=3,
            cursor=first["nextCursor"],
        )
        assert "cursor" in again["message"]


async def test_rows_that_an_acl_keeps_back_are_told_and_stepped_over(
    instance: ServiceNow, now: Any
) -> None:
    ids = stocked(instance, 9)
    instance.hidden = {*ids[1:6]}
    seen, hidden, cursor = [], 0, None
    while True:
        more = {} if cursor is None else {"cursor": cursor}
        page = await now("queryServiceNow", table="cmdb_ci_server", limit=2, **more)
        seen += [row["sys_id"] for row in page["items"]]
        cursor = page.get("nextCursor")
        hidden += page["hiddenByAcl"]
        if cursor is None:
            break
    assert seen == [ids[0], *ids[6:]]
    assert hidden >= 5
    first = await now("queryServiceNow", table="cmdb_ci_server", limit=4)
    assert (first["returned"], first["total"], first["hiddenByAcl"]) == (1, 9, 3)


async def test_a_page_by_another_order_goes_on_where_the_last_one_ended(
    instance: ServiceNow, now: Any
) -> None:
    stocked(instance, 7)
    order = {"field": "name", "descending": True}
    seen, cursor = [], None
    while True:
        more = {} if cursor is None else {"cursor": cursor}
        page = await now("queryServiceNow", table="cmdb_ci", orderBy=order, limit=3, **more)
        seen += [row["name"] for row in page["items"]]
        cursor = page.get("nextCursor")
        if cursor is None:
            break
    assert seen == [f"web-{number}" for number in reversed(range(7))]


async def test_a_condition_on_an_unknown_field_is_refused_and_shows_no_other_records(
    instance: ServiceNow, now: Any
) -> None:
    stocked(instance)
    wrong = [{"field": "serial_nummer", "op": "eq", "value": "S1"}]
    error = await now.refused(
        "invalid_argument", "queryServiceNow", table="cmdb_ci_server", conditions=wrong
    )
    assert error["reason"] == "unknown_field"
    by = {"field": "nmae"}
    await now.refused("invalid_argument", "queryServiceNow", table="cmdb_ci_server", orderBy=by)
    told = await now("queryServiceNow", table="cmdb_ci_server", fields=["name", "nmae"])
    assert told["missingFields"] == ["nmae"]
    assert "nmae" not in told["items"][0]


async def test_only_tables_of_the_list_are_read_and_references_tell_only_what_identifies(
    instance: ServiceNow, now: Any
) -> None:
    person = instance.add("sys_user", name="Ada", email="ada@example.com", user_password="canary")
    instance.add("cmdb_ci_server", name="web", owned_by=person)
    before = len(instance.server.asked)
    for table, code in (("sys_user", "not_allowed"), ("../sys_user", "invalid_argument")):
        await now.refused(code, "queryServiceNow", table=table)
    for field in ("owned_by.email", "owned_by.user_name", "owned_by.owned_by.email"):
        await now.refused("not_allowed", "queryServiceNow", table="cmdb_ci", fields=[field])
        asked = [{"field": field, "op": "startsWith", "value": "a"}]
        await now.refused("not_allowed", "queryServiceNow", table="cmdb_ci", conditions=asked)
    assert len(instance.server.asked) == before
    told = await now("queryServiceNow", table="cmdb_ci", fields=["owned_by", "owned_by.name"])
    assert told["items"][0]["owned_by.name"] == "Ada"


async def test_passwords_are_neither_shown_nor_guessed_at(instance: ServiceNow, now: Any) -> None:
    instance.add("cmdb_ci_netgear", name="sw", snmp_community="canary-Zx81")
    # A password of a table that is not read hides no field of ours.
    instance.add("sys_dictionary", name="sys_user", element="name", internal_type="password2")
    assert (await now("queryServiceNow", table="cmdb_ci"))["items"][0]["name"] == "sw"
    for field in ("snmp_community", "admin_password", "u_api_key", "owned_by.user_password"):
        await now.refused("not_allowed", "queryServiceNow", table="cmdb_ci_netgear", fields=[field])
        for told in (
            {"conditions": [{"field": field, "op": "startsWith", "value": "c"}]},
            {"anyOf": [{"field": field, "op": "isNotEmpty"}]},
            {"orderBy": {"field": field}},
        ):
            await now.refused("not_allowed", "queryServiceNow", table="cmdb_ci_netgear", **told)
    assert not [one for one in instance.server.asked if "snmp_community" in one.path]


async def test_the_dictionary_is_asked_once_and_reading_goes_on_where_it_is_closed(
    instance: ServiceNow, now: Any
) -> None:
    stocked(instance, 2)
    instance.closed_tables.add("sys_dictionary")
    for _ in range(3):
        assert (await now("queryServiceNow", table="cmdb_ci"))["returned"] == 2
    assert len([one for one in instance.server.asked if "sys_dictionary" in one.path]) == 1
    # Its name speaks for itself.
    await now.refused(
        "not_allowed", "queryServiceNow", table="cmdb_ci_server", fields=["admin_password"]
    )


async def test_no_answer_is_longer_than_a_model_reads(instance: ServiceNow, now: Any) -> None:
    for number in range(200):
        instance.add(
            "cmdb_ci_server",
            sys_id=f"{number:032x}",
            name=f"web-{number}",
            comments='\x01"' * 3000 if number % 2 else "é" * 4000,
        )
    seen, cursor = [], None
    while True:
        more = {} if cursor is None else {"cursor": cursor}
        result = await now.raw(
            "queryServiceNow", table="cmdb_ci", limit=200, fields=["name", "comments"], **more
        )
        assert len(result["content"][0]["text"].encode()) <= 48 * 1024
        page = result["structuredContent"]
        assert page["cutFields"] == ["comments"]
        seen += [row["name"] for row in page["items"]]
        cursor = page.get("nextCursor")
        if cursor is None:
            break
    assert seen == [f"web-{number}" for number in range(200)]


async def test_relations_are_read_with_the_names_of_their_ends(
    instance: ServiceNow, now: Any
) -> None:
    one = instance.add("cmdb_ci_appl", name="shop")
    other = instance.add("cmdb_ci_server", name="web")
    instance.relate(one, "Runs on::Runs", other)
    told = await now(
        "queryServiceNow",
        table="cmdb_rel_ci",
        fields=["parent.name", "type.name", "child.name"],
        conditions=[{"field": "parent", "op": "eq", "value": one}],
    )
    (row,) = told["items"]
    assert (row["parent.name"], row["type.name"], row["child.name"]) == (
        "shop",
        "Runs on::Runs",
        "web",
    )


async def test_without_an_instance_the_tools_say_what_to_set_and_the_rest_works(
    opened: Any, tmp_path: Any
) -> None:
    from cmdb.settings import Settings

    settings = Settings(servicenow_config=tmp_path / "none.yaml")
    async with opened(settings, tmp_path) as cmdb:
        error = await cmdb.refused("not_configured", "queryServiceNow", table="cmdb_ci")
        assert "none.yaml" in error["hint"] or "servicenow.yaml" in error["hint"]
        assert await cmdb.item("web")


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.lists(st.text())
)
CONDITIONS = st.lists(
    st.fixed_dictionaries(
        {
            "field": st.sampled_from(["name", "serial_number", "owned_by.name", "x^y", "nope"]),
            "op": st.sampled_from(get_args(Op)),
            "value": VALUES,
        }
    ),
    max_size=3,
)


async def test_no_argument_breaks_the_tool_or_reaches_servicenow_as_another_request(
    instance: ServiceNow, now: Any
) -> None:
    stocked(instance, 3)
    examples: list[dict[str, Any]] = []

    @settings(max_examples=40, deadline=None, derandomize=True, database=None)
    @given(
        st.fixed_dictionaries(
            {
                "table": st.one_of(st.just("cmdb_ci"), st.text(max_size=9)),
                "conditions": CONDITIONS,
                "anyOf": CONDITIONS,
                "limit": st.integers(1, 500),
            },
            optional={"fields": st.lists(st.text(max_size=9), max_size=2)},
        )
    )
    def draw(arguments: dict[str, Any]) -> None:
        examples.append(arguments)

    draw()
    for arguments in examples:
        result = await now.raw("queryServiceNow", **arguments)
        code = error_code_of(result)
        assert code in (None, "invalid_argument", "not_allowed", "too_large"), (arguments, result)
    assert instance.server.asked
    assert all(
        one.path.startswith(("/api/now/table/cmdb_ci?", "/api/now/table/sys_dictionary?"))
        for one in instance.server.asked
    )
