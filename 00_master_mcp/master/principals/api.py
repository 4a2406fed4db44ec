"""`/api/tokens`: the owner makes, looks at and revokes the tokens of principals."""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute

from flotilla import FlotillaError, InvalidArgument, Model, correlation
from master.audit.seam import AuditBook, Row
from master.owner import body_of, owner_routes
from master.principals.first import OWNER, digest_of, fresh_token
from master.principals.known import Principals
from master.principals.names import checked_name, checked_roles
from master.principals.tokens import Kept, Token, Tokens, new_id
from master.profiles import Profiles

USUAL = timedelta(days=90)
LONGEST = timedelta(days=3660)
MAX_PROFILES = 32


class Made(Model):
    """A token to make. Without `expires_in_s` it is good for 90 days, unless `never` is said."""

    name: str
    roles: list[str]
    expires_in_s: float | None = Field(default=None, gt=0, le=LONGEST.total_seconds())
    never: bool = False
    profiles: list[str] | None = Field(default=None, min_length=1, max_length=MAX_PROFILES)
    robot: bool = False
    """No person sits at its client, so that nobody can be asked there."""


class TokensApi:
    """The routes. `known_roles` tells the roles that the policy speaks of, None where none does."""

    def __init__(
        self,
        principals: Principals,
        tokens: Tokens,
        audit: AuditBook,
        profiles: Profiles,
        known_roles: Callable[[], Collection[str] | None] = lambda: None,
    ) -> None:
        self._principals = principals
        self._tokens = tokens
        self._audit = audit
        self._profiles = profiles
        self._known_roles = known_roles

    def routes(self) -> list[BaseRoute]:
        return owner_routes(
            [
                ("GET", "/tokens", self._list),
                ("POST", "/tokens", self._make),
                ("DELETE", "/tokens/{which}", self._revoke),
            ]
        )

    async def _list(self, request: Request) -> Any:
        del request
        now = self._principals.now()
        return {"tokens": [_shown(kept.token, now) for kept in await self._tokens.all()]}

    async def _make(self, request: Request) -> Any:
        token = self._asked(await body_of(request, Made))
        secret = fresh_token()
        row = self._row(request, "token.made", token)
        # Durable before the token is: one that nobody can account for must not be.
        await self._audit.keep(row)
        try:
            await self._tokens.add(Kept(token, digest_of(secret).hex()))
        except FlotillaError as error:
            self._audit.note(self._row(request, "token.made", token, error.code))
            raise
        await self._principals.changed()
        known = self._known_roles()
        strange = [] if known is None else [role for role in token.roles if role not in known]
        told = {
            "token": _shown(token, token.created_at),
            "secret": secret,
            "warnings": [f"no policy speaks of the role {role}" for role in strange],
        }
        return JSONResponse(told, headers={"cache-control": "no-store"})

    async def _revoke(self, request: Request) -> Any:
        which: str = request.path_params["which"]
        now = self._principals.now()
        live = [
            kept.token
            for kept in await self._tokens.all()
            if which in (kept.token.id, kept.token.principal) and kept.token.state(now) == "live"
        ]
        for token in live:
            await self._audit.keep(self._row(request, "token.revoked", token))
        try:
            revoked = await self._tokens.revoke(which, now)
        except FlotillaError as error:
            for token in live:
                self._audit.note(self._row(request, "token.revoked", token, error.code))
            raise
        await self._principals.changed(tuple(token.id for token in revoked))
        return {"revoked": [_shown(token, now) for token in revoked]}

    def _asked(self, made: Made) -> Token:
        """What the token is to be; InvalidArgument says what is wrong with it."""
        if made.never and made.expires_in_s is not None:
            raise InvalidArgument("say either when it expires or that it never does")
        unknown = [name for name in made.profiles or () if name not in self._profiles]
        if unknown:
            raise InvalidArgument(
                f"there is no profile {unknown[0][:80]!r}",
                hint=f"One of {', '.join(self._profiles)}.",
            )
        now = self._principals.now()
        lasts = USUAL if made.expires_in_s is None else timedelta(seconds=made.expires_in_s)
        return Token(
            id=new_id(),
            principal=checked_name(made.name),
            roles=checked_roles(made.roles),
            profiles=None if made.profiles is None else tuple(dict.fromkeys(made.profiles)),
            interactive=not made.robot,
            created_at=now,
            expires_at=None if made.never else now + lasts,
        )

    def _row(self, request: Request, what: str, token: Token, outcome: str = "ok") -> Row:
        return Row(
            kind="token",
            principal=OWNER.name,
            roles=OWNER.roles,
            tool=what,
            outcome=outcome,
            correlation_id=request.scope[correlation.SCOPE],
            at=self._principals.now(),
            details=token.model_dump(mode="json", by_alias=True, exclude_none=True),
        )


def _shown(token: Token, now: datetime) -> dict[str, Any]:
    told = token.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {**told, "state": token.state(now)}
