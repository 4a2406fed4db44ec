"""`/api/approvals`: what waits, for the owner of the fleet at a terminal or the console."""

from typing import Any, Literal, cast, get_args

from starlette.requests import Request
from starlette.routing import BaseRoute

from flotilla import InvalidArgument, Model
from flotilla.paging import DEFAULT_LIMIT, MAX_LIMIT
from master.approvals.seam import State
from master.approvals.service import ApprovalService
from master.approvals.tools import ApprovalTools, Minutes, Reason, decided
from master.owner import body_of, owner_routes
from master.principals import OWNER

_STATES: tuple[str, ...] = (*get_args(State), "all")


class Decision(Model):
    """`way`: where the person sat."""

    decision: Literal["approve", "deny"]
    reason: Reason = ""
    for_minutes: Minutes = None
    way: Literal["cli", "console"] = "cli"


class ApprovalsApi:
    def __init__(self, service: ApprovalService) -> None:
        self._service = service
        self._tools = ApprovalTools(service)

    def routes(self) -> list[BaseRoute]:
        return owner_routes(
            [
                ("GET", "/approvals", self._list),
                ("GET", "/approvals/{id}", self._get),
                ("POST", "/approvals/{id}/decide", self._decide),
            ]
        )

    async def _list(self, request: Request) -> Any:
        query = request.query_params
        state, limit = query.get("state", "pending"), query.get("limit", str(DEFAULT_LIMIT))
        if state not in _STATES:
            raise InvalidArgument(f"state is one of {', '.join(_STATES)}")
        if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:9]) <= MAX_LIMIT:
            raise InvalidArgument(f"limit is 1 to {MAX_LIMIT}")
        return await self._tools.page(
            cast("State", state),
            query.get("tool"),
            query.get("principal"),
            limit=int(limit),
            cursor=query.get("cursor"),
        )

    async def _get(self, request: Request) -> Any:
        return self._tools.shown(await self._service.get(request.path_params["id"]))

    async def _decide(self, request: Request) -> Any:
        asked = await body_of(request, Decision)
        held = await self._service.answer(
            request.path_params["id"],
            by=OWNER,
            answer=asked.decision,
            way=asked.way,
            interactive=True,
            reason=asked.reason,
            for_minutes=asked.for_minutes,
        )
        return decided(held)
