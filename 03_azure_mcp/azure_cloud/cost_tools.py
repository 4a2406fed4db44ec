"""What was spent, as Cost Management knows it.

Source: Azure Cost Management, "Query - Usage", API 2023-11-01.
"""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from azure_cloud import versions
from azure_cloud.choosing import Account, Group
from azure_cloud.clouds import Clouds
from azure_cloud.continuation import MAX_PAGE_BYTES, following
from azure_cloud.ids import path_of
from azure_cloud.reading import at, each_of
from azure_cloud.subscriptions import Subscription
from flotilla import Context, InvalidArgument, Limit, Model, Tool, UpstreamError, reads
from flotilla.json_text import to_json
from flotilla.paging import DEFAULT_LIMIT

Timeframe = Literal[
    "monthToDate",
    "billingMonthToDate",
    "theLastMonth",
    "theLastBillingMonth",
    "weekToDate",
    "custom",
]
GroupBy = Literal[
    "resourceGroupName",
    "resourceId",
    "resourceType",
    "resourceLocation",
    "serviceName",
    "meterCategory",
    "meterSubcategory",
    "chargeType",
    "publisherType",
    "pricingModel",
]
MOST_DAYS = 366
MOST_PAGES = 5


class CostRow(Model):
    cost: float
    currency: str
    day: str | None = None
    group: dict[str, JsonValue] | None = None


class Costs(Model):
    """Costs, the highest first; `total` is of all rows, also of those not shown."""

    total: float
    currency: str | None
    rows: list[CostRow]
    returned: int
    rows_in_all: int
    truncated: bool
    complete: bool
    """False where Azure has more rows than were read, so that the total is too low."""
    scope: str


class CostTools:
    def __init__(self, clouds: Clouds) -> None:
        self._clouds = clouds

    def tools(self) -> tuple[Tool, ...]:
        return (reads("cloud.azure.queryCost", self.query_cost, ttl_s=300),)

    async def query_cost(
        self,
        context: Context,
        timeframe: Timeframe = "monthToDate",
        start: Annotated[
            date | None, Field(description="Of `custom`, with the day itself.")
        ] = None,
        end: Annotated[date | None, Field(description="Of `custom`, with the day itself.")] = None,
        granularity: Literal["none", "daily", "monthly"] = "none",
        group_by: Annotated[list[GroupBy] | None, Field(max_length=2)] = None,
        kind: Annotated[
            Literal["actual", "amortized"],
            Field(description="amortized spreads reservations over the time they are for."),
        ] = "actual",
        account: Account = None,
        subscription: Subscription = None,
        resource_group: Group = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Costs:
        """Cost of a subscription or resource group over a time, in all or by day and group.

        Hours behind; Azure allows few such questions a minute.
        """
        body = definition_of(timeframe, start, end, granularity, group_by or [], kind)
        cloud = self._clouds.chosen(account)
        chosen = await cloud.subscriptions.chosen(subscription, context)
        group = "" if resource_group is None else f"/resourceGroups/{resource_group}"
        scope = f"/subscriptions/{chosen}{group}"
        path = path_of(f"{scope}/providers/Microsoft.CostManagement/query")
        rows: list[CostRow] = []
        more: Mapping[str, str] | None = {}
        for _ in range(MOST_PAGES):
            answer = await cloud.arm.ask(
                "POST", path, context, version=versions.COST, query=more, body=body, reading=True
            )
            rows += _rows(answer.body)
            more = following(
                cloud.arm.endpoint, path, {}, at(answer.body, "properties", "nextLink")
            )
            if more is None:
                break
        return _told(rows, scope, limit, complete=more is None)


def definition_of(
    timeframe: Timeframe,
    start: date | None,
    end: date | None,
    granularity: str,
    group_by: list[GroupBy],
    kind: str,
) -> dict[str, Any]:
    """The definition of the query; InvalidArgument for a time that cannot be meant."""
    dataset: dict[str, Any] = {
        "granularity": granularity.capitalize(),
        "aggregation": {"totalCost": {"name": "Cost", "function": "Sum"}},
    }
    if group_by:
        names = [f"{each[0].upper()}{each[1:]}" for each in dict.fromkeys(group_by)]
        dataset["grouping"] = [{"type": "Dimension", "name": name} for name in names]
    definition: dict[str, Any] = {
        "type": "AmortizedCost" if kind == "amortized" else "ActualCost",
        "timeframe": f"{timeframe[0].upper()}{timeframe[1:]}",
        "dataset": dataset,
    }
    if timeframe == "custom":
        if start is None or end is None or not 0 <= (end - start).days <= MOST_DAYS:
            raise InvalidArgument(
                "timeframe custom needs `start` and `end`, in this order, a year apart at most"
            )
        definition["timePeriod"] = {
            "from": f"{start.isoformat()}T00:00:00Z",
            "to": f"{end.isoformat()}T23:59:59Z",
        }
    elif start is not None or end is not None:
        raise InvalidArgument("start and end are for timeframe custom")
    return definition


def _rows(body: Any) -> list[CostRow]:
    names = [str(each.get("name")) for each in each_of(at(body, "properties", "columns"))]
    rows: Any = at(body, "properties", "rows")
    if not isinstance(rows, list) or not names:
        raise UpstreamError("Azure's answer has no rows", details={"reason": "broken_answer"})
    return [_row(dict(zip(names, row, strict=False))) for row in rows]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _row(row: dict[str, Any]) -> CostRow:
    cost = row.pop("Cost", None)
    if cost is None:
        cost = row.pop("PreTaxCost", 0)
    currency = row.pop("Currency", "")
    day: Any = row.pop("UsageDate", None) or row.pop("BillingMonth", None)
    return CostRow(
        cost=round(float(cost), 4), currency=str(currency), day=_day(day), group=row or None
    )


def _day(value: Any) -> str | None:
    if value is None:
        return None
    text = str(value)
    if len(text) == 8 and text.isdigit():
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return text[:10]


def _told(rows: list[CostRow], scope: str, limit: int, *, complete: bool) -> Costs:
    ordered = sorted(rows, key=lambda row: (row.day or "", -row.cost))
    if not any(row.day for row in rows):
        ordered = sorted(rows, key=lambda row: -row.cost)
    shown: list[CostRow] = []
    size = 0
    for row in ordered[:limit]:
        size += len(to_json(row.model_dump(mode="json", by_alias=True))) + 1
        if size > MAX_PAGE_BYTES:
            break
        shown.append(row)
    currencies = {row.currency for row in rows}
    return Costs(
        total=round(sum(row.cost for row in rows), 2),
        currency=currencies.pop() if len(currencies) == 1 else None,
        rows=shown,
        returned=len(shown),
        rows_in_all=len(rows),
        truncated=len(shown) < len(rows),
        complete=complete,
        scope=scope,
    )
