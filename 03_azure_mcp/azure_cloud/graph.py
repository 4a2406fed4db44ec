"""Resource Graph: queries over subscriptions at once, a page at a time.

Source: Azure Resource Graph, "Working with large data sets"; REST API 2021-03-01.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from azure_cloud import versions
from azure_cloud.clouds import Cloud
from flotilla import Context, UpstreamError

PATH = "/providers/Microsoft.ResourceGraph/resources"
MOST_ROWS = 1000
MOST_SUBSCRIPTIONS = 1000


async def asked(
    cloud: Cloud,
    subscriptions: Sequence[str],
    query: str,
    context: Context,
    *,
    top: int,
    skip_token: str | None = None,
) -> dict[str, Any]:
    """The answer of one page: `data` (rows), `totalRecords`, `resultTruncated`, `$skipToken`."""
    options: dict[str, Any] = {"$top": min(top, MOST_ROWS), "resultFormat": "objectArray"}
    if skip_token is not None:
        options["$skipToken"] = skip_token
    body = {"subscriptions": list(subscriptions), "query": query, "options": options}
    answer = await cloud.arm.ask(
        "POST", PATH, context, version=versions.GRAPH, body=body, reading=True
    )
    told = cast("dict[str, Any]", answer.body) if isinstance(answer.body, dict) else {}
    if not isinstance(told.get("data"), list):
        raise UpstreamError("Azure's answer has no rows", details={"reason": "broken_answer"})
    return told


async def power_states(
    cloud: Cloud, subscription: str, machines: Sequence[str], context: Context
) -> Mapping[str, str]:
    """The power states of machines by their IDs in lower case, as Resource Graph knows them."""
    ids = ", ".join(quoted(each.lower()) for each in machines)
    query = (
        "resources | where type =~ 'microsoft.compute/virtualmachines'"
        f" | where tolower(id) in ({ids})"
        " | project id, state = tostring(properties.extended.instanceView.powerState.code)"
    )
    found = await asked(cloud, [subscription], query, context, top=MOST_ROWS)
    rows = cast("list[dict[str, Any]]", found["data"])
    return {
        str(row.get("id")).lower(): str(row.get("state")).removeprefix("PowerState/")
        for row in rows
        if row.get("state")
    }


def quoted(text: str) -> str:
    """A string literal of KQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
