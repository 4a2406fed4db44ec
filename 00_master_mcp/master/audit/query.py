"""`master.audit.query`: who did what, for a model that may know it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from flotilla import (
    Context,
    Cursor,
    InvalidArgument,
    Limit,
    Model,
    NotAllowed,
    Page,
    Tool,
    decode_cursor,
    encode_cursor,
    reads,
)
from flotilla.chain import read_row
from master.audit.reading import Filter, Rows

QUERY = "master.audit.query"

Moment = Annotated[
    str | None, Field(max_length=40, description="ISO 8601, as 2026-01-31T08:00:00Z.")
]
Text = Annotated[str | None, Field(max_length=200)]


class AuditRow(Model):
    """One row; `row` has no member that says nothing."""

    number: int
    row: dict[str, Any]


async def page_of_rows(
    rows: Rows, wanted: Filter, *, limit: int, cursor: str | None
) -> Page[AuditRow]:
    """The newest rows that fit, or those after the cursor; InvalidArgument for a bad cursor."""
    before: Any = None if cursor is None else decode_cursor(QUERY, cursor)
    if before is not None and (not isinstance(before, int) or isinstance(before, bool)):
        raise InvalidArgument("cursor is not one that this tool gave out")
    found = await rows.newest(wanted, limit + 1, before)
    items = [AuditRow(number=number, row=_shown(body)) for number, body in found[:limit]]
    more = len(found) > limit
    return Page[AuditRow](
        items=items,
        returned=len(items),
        next_cursor=encode_cursor(QUERY, items[-1].number) if more else None,
        truncated=more,
    )


def _shown(body: str) -> dict[str, Any]:
    return dict(read_row(body))


def moment(text: str | None, called: str) -> datetime | None:
    """A moment as a person writes it; UTC where it names no zone. InvalidArgument."""
    if text is None:
        return None
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidArgument(
            f"{called} is no moment", hint="Write it as 2026-01-31T08:00:00Z."
        ) from None
    return told.replace(tzinfo=UTC) if told.tzinfo is None else told


class AuditQuery:
    """`readers` are the roles that may read everybody's rows; others read their own."""

    def __init__(self, rows: Rows, readers: Sequence[str]) -> None:
        self._rows = rows
        self._readers = frozenset(readers)

    def tools(self) -> Sequence[Tool]:
        # Rows repeat what strangers wrote into arguments.
        return (reads(QUERY, self.query, title="Read the audit", untrusted=True),)

    async def query(
        self,
        since: Moment = None,
        until: Moment = None,
        tool: Annotated[
            str | None,
            Field(max_length=200, description="A canonical name, or all of a part: os.linux.*"),
        ] = None,
        principal: Text = None,
        outcome: Annotated[
            str | None,
            Field(max_length=100, description="ok, asked, cancelled, or the code of an error."),
        ] = None,
        kind: Annotated[
            str | None,
            Field(max_length=20, description="call, intent, approval, token, policy, secret, ..."),
        ] = None,
        correlation_id: Text = None,
        limit: Limit = 50,
        cursor: Cursor = None,
        *,
        context: Context,
    ) -> Page[AuditRow]:
        """Read the audit: who called what, when, by which rule, and how it ended, newest first.

        A call that may write has two rows, `intent` before it ran and `call` after it; arguments
        are without secrets, and long ones are cut. Without the role of an approver or an
        administrator only your own rows are returned. It changes nothing.
        """
        if self._readers.isdisjoint(context.principal.roles):
            if principal not in (None, context.principal.name):
                raise NotAllowed(
                    "only your own rows may be read",
                    hint=f"Others need one of the roles {', '.join(sorted(self._readers))}.",
                )
            principal = context.principal.name
        wanted = Filter(
            since=moment(since, "since"),
            until=moment(until, "until"),
            kind=kind,
            principal=principal,
            tool=tool,
            outcome=outcome,
            correlation_id=correlation_id,
        )
        return await page_of_rows(self._rows, wanted, limit=limit, cursor=cursor)


def filter_of(query: Mapping[str, str]) -> Filter:
    """As the parameters of a URL say; InvalidArgument."""
    return Filter(
        since=moment(query.get("since"), "since"),
        until=moment(query.get("until"), "until"),
        kind=query.get("kind"),
        principal=query.get("principal"),
        tool=query.get("tool"),
        outcome=query.get("outcome"),
        correlation_id=query.get("correlationId"),
    )
