"""The table of tokens, over both databases: what is kept, forgotten, refused and accounted for."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from flotilla import Conflict, NotFound, Unavailable, correlation
from flotilla.database.database import Database
from flotilla.identity import Caller
from flotilla.serving.gates import CALLER
from master.audit.seam import Row
from master.principals.api import TokensApi
from master.principals.first import OWNER, TokenBook, digest_of, fresh_token
from master.principals.known import Principals
from master.principals.tokens import DEAD_KEPT, Kept, Token, Tokens, new_id
from master.profiles import Profiles

from .conftest import OpenDatabase

pytestmark = pytest.mark.anyio

NOW = datetime(2027, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)


def kept_of(name: str = "ada", **more: Any) -> Kept:
    known: dict[str, Any] = {"id": new_id(), "principal": name, "roles": ("viewer",)}
    token = Token(**{**known, "created_at": NOW, **more})
    return Kept(token, digest_of(fresh_token()).hex())


async def test_what_is_kept_comes_back_as_it_was(make_database: OpenDatabase) -> None:
    database = make_database()
    async with database.opened():
        tokens = Tokens(database)
        assert await tokens.all() == []
        empty = await tokens.version()
        full = kept_of(
            roles=("operator", "night-shift"),
            profiles=("default", "search"),
            interactive=False,
            expires_at=NOW + timedelta(days=1),
        )
        bare = kept_of("bob", created_at=NOW + timedelta(microseconds=1))
        for kept in (full, bare):
            await tokens.add(kept)
        assert await tokens.all() == [full, bare]
        made = await tokens.version()
        assert made != empty
        assert await tokens.version() == made
        (revoked,) = await tokens.revoke(bare.token.id, NOW)
        assert revoked.revoked_at == NOW
        assert (await tokens.all())[1].token == revoked
        assert await tokens.version() != made


async def test_revoking_by_name_takes_all_that_are_live_and_by_id_the_one(
    make_database: OpenDatabase,
) -> None:
    database = make_database()
    async with database.opened():
        tokens = Tokens(database)
        ada = [kept_of() for _ in range(3)]
        for kept in (*ada, kept_of("bob")):
            await tokens.add(kept)
        assert [each.id for each in await tokens.revoke(ada[0].token.id, NOW)] == [ada[0].token.id]
        assert {each.id for each in await tokens.revoke("ada", NOW)} == {
            each.token.id for each in ada[1:]
        }
        for nobody in ("ada", ada[0].token.id, "tok_000000000000", "eve", "%", "' OR 1=1 --"):
            with pytest.raises(NotFound):
                await tokens.revoke(nobody, NOW)
        live = [each.token.principal for each in await tokens.all() if not each.token.revoked_at]
        assert live == ["bob"]


async def test_as_many_as_may_be_are_live_and_the_dead_are_forgotten_in_time(
    database: Database,
) -> None:
    async with database.opened():
        tokens = Tokens(database, most=3)
        long_ago = NOW - DEAD_KEPT - timedelta(days=2)
        old = kept_of("old", created_at=long_ago, expires_at=long_ago + timedelta(days=1))
        late = kept_of("late", expires_at=NOW - timedelta(days=1))
        for kept in (old, late):
            await tokens.add(kept)
        await tokens.add(kept_of())
        assert {each.token.principal for each in await tokens.all()} == {"ada", "late"}
        for _ in range(2):
            await tokens.add(kept_of())
        with pytest.raises(Conflict):
            await tokens.add(kept_of())
        await tokens.revoke("ada", NOW)
        await tokens.add(kept_of())


async def test_two_hubs_that_revoke_at_once_revoke_once(make_database: OpenDatabase) -> None:
    async with AsyncExitStack() as stack:
        hubs: list[Tokens] = []
        for _ in range(2):
            database = make_database()
            await stack.enter_async_context(database.opened())
            hubs.append(Tokens(database))
        for _ in range(5):
            kept = kept_of()
            await hubs[0].add(kept)
            done = await asyncio.gather(
                *(hub.revoke(kept.token.id, NOW) for hub in hubs), return_exceptions=True
            )
            assert sorted(type(each).__name__ for each in done) == ["NotFound", "list"]


class Book:
    """An audit that may be away; it looks at the table when a row is kept."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self.away = False
        self.kept: list[tuple[Row, list[str]]] = []
        self.noted: list[Row] = []

    async def keep(self, row: Row) -> None:
        if self.away:
            raise Unavailable("the audit is away")
        live = [each.token.id for each in await self.tokens.all() if not each.token.revoked_at]
        self.kept.append((row, live))

    def note(self, row: Row) -> None:
        self.noted.append(row)


def as_owner(app: ASGIApp) -> ASGIApp:
    async def gate(scope: Scope, receive: Receive, send: Send) -> None:
        scope[CALLER] = Caller(OWNER)
        scope[correlation.SCOPE] = "corr-1"
        await app(scope, receive, send)

    return gate


async def test_what_is_made_or_revoked_is_in_the_audit_before_it_counts_or_it_is_not_done(
    database: Database,
) -> None:
    tokens = Tokens(database)
    principals, audit = Principals(TokenBook({}), tokens), Book(tokens)
    api = TokensApi(principals, tokens, audit, Profiles.built_in(), lambda: ["viewer"])
    transport = httpx2.ASGITransport(app=as_owner(Starlette(routes=api.routes())))
    async with (
        database.opened(),
        principals.running(),
        httpx2.AsyncClient(transport=transport, base_url="http://hub") as http,
    ):
        asked = {"name": "ada", "roles": ["viewer", "wizard"]}
        made = (await http.post("/api/tokens", json=asked)).json()
        assert made["warnings"] == ["no policy speaks of the role wizard"]
        ((row, live_then),) = audit.kept
        assert live_then == []
        assert (row.kind, row.tool, row.outcome) == ("token", "token.made", "ok")
        assert (row.principal, row.correlation_id) == ("owner", "corr-1")
        assert row.details["principal"] == "ada"
        assert made["secret"] not in repr(row)
        assert digest_of(made["secret"]).hex() not in repr(row)

        audit.away = True
        assert (await http.post("/api/tokens", json=asked)).status_code == 503
        assert len(await tokens.all()) == 1
        assert (await http.delete("/api/tokens/ada")).status_code == 503
        assert principals.at_hand(made["secret"]) is not None

        audit.away = False
        assert (await http.delete("/api/tokens/ada")).status_code == 200
        row, live_then = audit.kept[-1]
        assert (row.tool, live_then) == ("token.revoked", [made["token"]["id"]])
        assert principals.at_hand(made["secret"]) is None
        assert (await http.delete("/api/tokens/ada")).status_code == 404
