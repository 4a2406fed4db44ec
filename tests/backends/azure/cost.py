"""Cost Management's query and the public price list of the pretended Azure."""

import re

from aiohttp import web

from tests.backends.azure.estate import Estate, Json, Refused
from tests.backends.azure.exchange import Reply, Request

_PRICE = re.compile(r"(\w+) eq '([^']*)'")


def query(request: Request) -> Reply:
    body: Json = request.body or {}
    data: Json = body.get("dataset") or {}
    if body.get("type") not in ("ActualCost", "AmortizedCost", "Usage"):
        raise Refused(400, "BadRequest", "Invalid query definition: type.")
    if body.get("timeframe") == "Custom" and not {"from", "to"} <= set(
        body.get("timePeriod") or {}
    ):
        raise Refused(400, "BadRequest", "Invalid query definition: timePeriod.")
    if data.get("aggregation") is None:
        raise Refused(400, "BadRequest", "Invalid query definition: aggregation.")
    columns = [{"name": "Cost", "type": "Number"}]
    days = [20260301, 20260302] if data.get("granularity") == "Daily" else [None]
    if days != [None]:
        columns.append({"name": "UsageDate", "type": "Number"})
    names = [each["name"] for each in data.get("grouping") or []]
    columns += [{"name": name, "type": "String"} for name in names]
    columns.append({"name": "Currency", "type": "String"})
    groups = [each["name"] for each in request.estate.groups(request.path.split("/")[2])]
    rows = []
    for index, group in enumerate(groups if names else ["all"]):
        for day in days:
            rows.append(
                [
                    round(12.5 + index, 2),
                    *([day] if day else []),
                    *(group for _ in names),
                    "EUR",
                ]
            )
    found = {"properties": {"columns": columns, "rows": rows, "nextLink": None}}
    return Reply(body={"id": "q", "name": "q", "type": "Microsoft.CostManagement/query", **found})


def prices(request: web.Request, estate: Estate) -> web.Response:
    if "Authorization" in request.headers:
        return web.json_response({"Message": "no credentials here"}, status=400)
    wanted = dict(_PRICE.findall(request.query.get("$filter", "")))
    if wanted.get("serviceName") != "Virtual Machines" or "armRegionName" not in wanted:
        return web.json_response({"Message": "The filter is not understood."}, status=400)
    size = wanted.get("armSkuName", "")
    price = estate.prices.get(size)
    items: list[Json] = []
    if price is not None:
        for product, suffix, factor in (
            ("Virtual Machines Dsv5 Series", "", 1),
            ("Virtual Machines Dsv5 Series Windows", "", 2),
            ("Virtual Machines Dsv5 Series", " Spot", 0.2),
            ("Virtual Machines Dsv5 Series", " Low Priority", 0.3),
        ):
            items.append(
                {
                    "currencyCode": request.query.get("currencyCode", "'USD'").strip("'"),
                    "retailPrice": price * factor,
                    "unitOfMeasure": "1 Hour",
                    "armRegionName": wanted["armRegionName"],
                    "armSkuName": size,
                    "productName": product,
                    "skuName": f"{size}{suffix}",
                    "meterName": f"{size}{suffix}",
                    "type": "Consumption",
                }
            )
    return web.json_response({"Items": items, "NextPageLink": None, "Count": len(items)})
