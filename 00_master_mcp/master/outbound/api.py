"""`/api/grants`: what principals granted the hub, for the owner."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute

from flotilla import InvalidArgument, Model, NotFound, correlation
from master.audit.seam import AuditBook, Row
from master.outbound.flow import LINK_S
from master.outbound.outbound import Outbound
from master.outbound.store import Kept, moment
from master.owner import PATH as OWNER_PATH
from master.owner import body_of, owner_routes
from master.principals import OWNER

PATH = f"{OWNER_PATH}/grants"
MAX_NAME_CHARS = 220


class Connect(Model):
    """A link for a principal to sign in by."""

    server: str
    principal: str


class Revoke(Model):
    server: str
    principal: str


class GrantsApi:
    def __init__(self, outbound: Outbound, audit: AuditBook) -> None:
        self._outbound = outbound
        self._audit = audit

    def routes(self) -> list[BaseRoute]:
        return owner_routes(
            [
                ("GET", "/grants", self._list),
                ("POST", "/grants/connect", self._connect),
                ("POST", "/grants/revoke", self._revoke),
            ]
        )

    async def _list(self, request: Request) -> Any:
        del request
        urls = self._outbound.urls
        return {"grants": [_told(kept, urls) for kept in await self._outbound.wallet.all()]}

    async def _connect(self, request: Request) -> Any:
        asked = await body_of(request, Connect)
        _check(asked.principal)
        url = await self._outbound.link(asked.server, asked.principal, by=OWNER.name)
        told = {"url": url, "expiresInS": LINK_S}
        return JSONResponse(told, headers={"cache-control": "no-store"})

    async def _revoke(self, request: Request) -> Any:
        asked = await body_of(request, Revoke)
        _check(asked.principal)
        row = Row(
            kind="grant",
            principal=OWNER.name,
            roles=OWNER.roles,
            service=asked.server,
            tool="grant.revoked",
            correlation_id=request.scope[correlation.SCOPE],
            details={"of": asked.principal},
        )
        await self._audit.keep(row)
        if not await self._outbound.wallet.revoke(asked.principal, asked.server):
            raise NotFound(
                f"{asked.principal} has granted nothing for {asked.server}",
                hint="`python3 -m flotilla grants list` shows what there is.",
            )
        return {"revoked": {"server": asked.server, "principal": asked.principal}}


def _check(principal: str) -> None:
    if not 1 <= len(principal) <= MAX_NAME_CHARS or not principal.isprintable():
        raise InvalidArgument("principal is no name of one")


def _told(kept: Kept, urls: Any) -> dict[str, Any]:
    grant = kept.grant
    return {
        "server": kept.server,
        "principal": kept.principal,
        "issuer": grant.place.issuer,
        "scope": grant.scope,
        "grantedAt": moment(grant.granted_at),
        "renewsItself": grant.refresh_token is not None,
        **({} if grant.expires_at is None else {"expiresAt": moment(grant.expires_at)}),
        # A grant is for one address: changed in mcp.json, it counts no more.
        "inUse": urls.get(kept.server) == grant.place.url,
    }
