"""Questions over everything at once: Resource Graph and cost."""

import pytest

from .conftest import House, furnished

pytestmark = pytest.mark.anyio

STORAGE = "Microsoft.Storage/storageAccounts"


async def test_a_query_pages_through_its_rows(house: House) -> None:
    house.estate.group("rows")
    for number in range(25):
        house.estate.resource("rows", STORAGE, f"row{number:02}")
    query = "resources | where resourceGroup =~ 'rows' | project id, name | order by name asc"
    names: list[str] = []
    cursor: dict[str, str] = {}
    async with house.tools() as tools:
        for _ in range(3):
            page = await tools("queryResources", query=query, limit=10, **cursor)
            assert page["total"] == 25
            names += [row["name"] for row in page["rows"]]
            cursor = {"cursor": page.get("nextCursor", "")}
        assert "nextCursor" not in page
        assert names == [f"row{number:02}" for number in range(25)]
        other = {"query": "resources | project id", "cursor": cursor["cursor"] or "x"}
        await tools.refused("invalid_argument", "queryResources", **other)
        cut = "resources | where resourceGroup =~ 'rows' | project name"
        page = await tools("queryResources", query=cut, limit=10)
        assert (page["resultTruncated"], page["returned"]) == (True, 10)


async def test_wide_rows_stay_below_what_an_answer_may_have(house: House) -> None:
    house.estate.group("wide")
    for number in range(60):
        house.estate.resource("wide", STORAGE, f"w{number:02}", {"text": "x" * 3000})
    query = "resources | where resourceGroup =~ 'wide' | project id, name, properties"
    names: set[str] = set()
    cursor: dict[str, str] = {}
    async with house.tools() as tools:
        while True:
            result = await tools.raw("queryResources", query=query, limit=50, **cursor)
            assert len(result.content[0].text) < 48 * 1024
            names |= {row["name"] for row in result.structured_content["rows"]}
            if "nextCursor" not in result.structured_content:
                break
            cursor = {"cursor": result.structured_content["nextCursor"]}
    assert len(names) == 60


async def test_a_query_that_azure_refuses_says_why(house: House) -> None:
    async with house.tools() as tools:
        error = await tools.refused("invalid_argument", "queryResources", query="machines | take 1")
    assert "machines" in error["message"]
    assert error["upstreamCode"] == "BadRequest"


async def test_cost_is_told_by_group_and_day(house: House) -> None:
    for name in ("cost-a", "cost-b"):
        furnished(house.estate, name)
    async with house.tools() as tools:
        whole = await tools("queryCost")
        assert (whole["total"], whole["currency"]) == (12.5, "EUR")
        by_group = await tools("queryCost", groupBy=["resourceGroupName"], limit=1)
        assert by_group["rowsInAll"] >= 2
        assert (by_group["returned"], by_group["truncated"]) == (1, True)
        costs = [row["cost"] for row in by_group["rows"]]
        assert costs == sorted(costs, reverse=True)
        assert by_group["rows"][0]["group"]["ResourceGroupName"]
        asked = {"timeframe": "custom", "start": "2026-03-01", "end": "2026-03-02"}
        daily = await tools("queryCost", **asked, granularity="daily")
        assert [row["day"] for row in daily["rows"]] == ["2026-03-01", "2026-03-02"]
        await tools.refused("invalid_argument", "queryCost", timeframe="custom")
        await tools.refused("invalid_argument", "queryCost", groupBy=["anything"])
        backwards = {"timeframe": "custom", "start": "2026-03-02", "end": "2026-03-01"}
        await tools.refused("invalid_argument", "queryCost", **backwards)
