"""Questions over all resources at once, in Resource Graph's language (KQL)."""

import re
from typing import Annotated, Any

from pydantic import Field, JsonValue

from azure_cloud import graph
from azure_cloud.choosing import Account
from azure_cloud.clouds import Cloud, Clouds
from azure_cloud.continuation import MAX_PAGE_BYTES, LongCursor, kind_of
from azure_cloud.fitting import fitted
from azure_cloud.hiding import names_secret, shown
from azure_cloud.reading import each_of, text_at
from flotilla import (
    Context,
    InvalidArgument,
    Limit,
    Model,
    Tool,
    decode_cursor,
    encode_cursor,
    reads,
)
from flotilla.json_text import to_json
from flotilla.paging import DEFAULT_LIMIT

_MEMBER = re.compile(r"\.\s*([A-Za-z_]\w*)|\[\s*['\"]([^'\"]{1,200})['\"]\s*\]")


class Rows(Model):
    """Rows of a query; `resultTruncated` says that Azure itself left some out."""

    rows: list[dict[str, JsonValue]]
    returned: int
    total: int | None = None
    result_truncated: bool = False
    next_cursor: str | None = None
    truncated: bool = False


class QueryTools:
    def __init__(self, clouds: Clouds) -> None:
        self._clouds = clouds

    def tools(self) -> tuple[Tool, ...]:
        return (reads("cloud.azure.queryResources", self.query_resources, untrusted=True),)

    async def query_resources(
        self,
        context: Context,
        query: Annotated[
            str,
            Field(
                min_length=3,
                max_length=10_000,
                description="KQL, such as: resources | where type =~ "
                "'microsoft.compute/virtualmachines' | project id, name, location",
            ),
        ],
        subscriptions: Annotated[
            list[Annotated[str, Field(max_length=120)]] | None,
            Field(max_length=100, description="Names or IDs; all of the account by default."),
        ] = None,
        account: Account = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: LongCursor = None,
    ) -> Rows:
        """Ask Azure Resource Graph; it only reads, and may be a minute behind.

        Project `id` and order the rows, so that there is a next page; what a query without `id`
        has beyond one page Azure leaves out, and `resultTruncated` says so.
        """
        refuse_secrets(query)
        cloud = self._clouds.chosen(account)
        scope = await _scope(cloud, subscriptions, context)
        kind = kind_of("graph", {"query": query, "scope": ",".join(sorted(scope))})
        token, skip = _start(kind, cursor)
        told = await graph.asked(
            cloud,
            scope[: graph.MOST_SUBSCRIPTIONS],
            query,
            context,
            top=limit + skip,
            skip_token=token,
        )
        rows = [dict(each) for each in each_of(told["data"])]
        kept, end = _fitting(rows, skip, limit)
        following = text_at(told, "$skipToken")
        more = [following, 0] if following else None
        position = [token, end] if end < len(rows) else more
        total = told.get("totalRecords")
        return Rows(
            rows=kept,
            returned=len(kept),
            total=total if isinstance(total, int) else None,
            result_truncated=str(told.get("resultTruncated")).lower() == "true",
            next_cursor=None if position is None else encode_cursor(kind, position),
            truncated=position is not None,
        )


async def _scope(cloud: Cloud, named: list[str] | None, context: Context) -> list[str]:
    """The IDs of the subscriptions that are meant; all that the account may use by default."""
    if named:
        return [await cloud.subscriptions.chosen(each, context) for each in named]
    found = await cloud.subscriptions.listed(context)
    return [str(each.get("subscriptionId")) for each in found]


def refuse_secrets(query: str) -> None:
    """InvalidArgument for a query that takes out members that are never shown: under another name
    they could not be told."""
    for found in _MEMBER.finditer(query):
        name = found[1] or found[2]
        if names_secret(name):
            raise InvalidArgument(
                f"the query takes out {name!r}, which looks like a secret and is never shown",
                hint="Leave it out of the query.",
                details={"reason": "hidden_member"},
            )


def _fitting(rows: list[dict[str, Any]], skip: int, limit: int) -> tuple[list[dict[str, Any]], int]:
    """The rows of this page, and the index after the last of them."""
    kept: list[dict[str, Any]] = []
    size = 0
    for index in range(skip, min(len(rows), skip + limit)):
        row: Any = fitted(shown(rows[index]))[0]
        size += len(to_json(row)) + 1
        if kept and size > MAX_PAGE_BYTES:
            return kept, index
        kept.append({"row": row} if isinstance(row, str) else row)
    return kept, min(len(rows), skip + limit)


def _start(kind: str, cursor: str | None) -> tuple[str | None, int]:
    if cursor is None:
        return None, 0
    position: Any = decode_cursor(kind, cursor)
    match position:
        case [str() | None as token, int() as skip] if 0 <= skip <= graph.MOST_ROWS:
            return token, skip
        case _:
            raise InvalidArgument("cursor is not one that this tool gave out")
