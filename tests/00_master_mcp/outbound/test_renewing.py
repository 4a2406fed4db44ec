"""Grants renew themselves: once, whoever wants them and however many hubs share them."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import httpx2
import pytest
import sqlalchemy as sa

from flotilla import NotConfigured, Unavailable
from flotilla.database.database import Database
from master.audit.seam import Unwritten
from master.database.opened import open_database, place_of
from master.database.tables import grants
from master.outbound.flow import challenge_of
from master.outbound.grant import Client, Grant, Place
from master.outbound.sealing import Sealing
from master.outbound.store import CLAIM_S, GrantStore
from master.outbound.talking import Talk
from master.outbound.wallet import Wallet
from tests.backends.openid_provider import CODE, OpenIdProvider

from ..documents.conftest import Grapevine
from .conftest import TOOL, House, error_of, said
from .guarded import Browser, Person

pytestmark = pytest.mark.anyio

URL = "http://127.0.0.1:9/mcp"
KEY = secrets.token_bytes(32)


@pytest.fixture(params=["sqlite", "postgresql"])
async def make_database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Database]:
    """Make the database of one more hub that shares the same tables; it is not open yet."""
    url = None
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres")
        name = f"hub_{secrets.token_hex(6)}"
        connection = await asyncpg.connect(server.url)
        try:
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        finally:
            await connection.close()
        url = server.url.removesuffix("/postgres") + f"/{name}"
    return lambda: open_database(place_of(url, tmp_path / "hub"))


class Clock:
    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


class Slow(Talk):
    """Waits on its way to the provider until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()
        self.go.set()
        self.asked = 0
        self.error: Exception | None = None

    async def post_form(self, url: str, form: Any, client: Client) -> dict[str, Any]:
        self.asked += 1
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return await super().post_form(url, form, client)


def nobody(headers: Mapping[str, str]) -> None:
    """Whom a server admits that takes no token any more."""
    del headers


class Hub:
    def __init__(self, database: Database, vine: Grapevine, clock: Clock) -> None:
        self.database = database
        self.store = GrantStore(database, Sealing(KEY))
        self.talk = Slow()
        self.wallet = Wallet(self.store, self.talk, Unwritten(), vine.member(), clock)


@asynccontextmanager
async def hubs_of(
    make_database: Callable[[], Database], clock: Clock, number: int = 2
) -> AsyncGenerator[list[Hub]]:
    vine = Grapevine()
    async with AsyncExitStack() as stack:
        hubs: list[Hub] = []
        for _ in range(number):
            database = make_database()
            await stack.enter_async_context(database.opened())
            hub = Hub(database, vine, clock)
            await stack.enter_async_context(hub.wallet.running())
            hubs.append(hub)
        yield hubs


async def granted(provider: OpenIdProvider, hub: Hub, clock: Clock) -> Grant:
    """A grant with a refresh token of the provider's, kept by a hub; its access token is old."""
    provider.client("flotilla", "client-secret", (URL,))
    place = Place(
        url=URL,
        resource=URL,
        issuer=provider.issuer,
        authorization_endpoint=f"{provider.issuer}/authorize",
        token_endpoint=f"{provider.issuer}/token",
        revocation_endpoint=f"{provider.issuer}/revoke",
    )
    client = Client("flotilla", "client-secret", "client_secret_basic")
    verifier = "v" * 64
    asked = {
        "response_type": "code",
        "client_id": "flotilla",
        "redirect_uri": URL,
        "code_challenge": challenge_of(verifier),
        "code_challenge_method": "S256",
        "resource": URL,
    }
    async with httpx2.AsyncClient() as http:
        sent = await http.get(place.authorization_endpoint, params=asked)
    code = httpx2.URL(sent.headers["location"]).params["code"]
    form = {
        "grant_type": CODE,
        "code": code,
        "redirect_uri": URL,
        "code_verifier": verifier,
        "resource": URL,
    }
    told = await Talk().post_form(place.token_endpoint, form, client)
    grant = Grant(
        place=place,
        client=client,
        access_token=told["access_token"],
        refresh_token=told["refresh_token"],
        expires_at=clock() + 10,
        granted_at=clock(),
    )
    await hub.store.put("ada", "crm", grant, clock())
    provider.asked.clear()
    return grant


async def test_a_refresh_token_is_used_once_by_however_many_hubs_and_calls(
    make_database: Callable[[], Database], provider: OpenIdProvider
) -> None:
    clock = Clock()
    async with hubs_of(make_database, clock, 3) as hubs:
        old = await granted(provider, hubs[0], clock)
        found: list[str] = []

        async def wants(hub: Hub) -> None:
            grant = await hub.wallet.grant("ada", "crm", URL)
            assert grant is not None
            found.append(grant.access_token)

        async with anyio.create_task_group() as tasks:
            for hub in hubs:
                for _ in range(5):
                    tasks.start_soon(wants, hub)
        assert len(found) == 15 and len(set(found)) == 1 and found[0] != old.access_token
        assert provider.asked["/token"] == 1
        # The one that was kept is the new one, and works again in its turn.
        clock.ahead_s = 280.0
        assert await hubs[2].wallet.grant("ada", "crm", URL) is not None
        assert provider.asked["/token"] == 2


async def test_who_gives_up_waiting_loses_no_renewal(
    make_database: Callable[[], Database], provider: OpenIdProvider
) -> None:
    clock = Clock()
    async with hubs_of(make_database, clock, 1) as (hub,):
        await granted(provider, hub, clock)
        hub.talk.go.clear()
        waiting = asyncio.create_task(hub.wallet.grant("ada", "crm", URL))
        with anyio.fail_after(5):
            while not hub.talk.asked:
                await asyncio.sleep(0)
        waiting.cancel()
        hub.talk.go.set()
        grant = await hub.wallet.grant("ada", "crm", URL)
        assert grant is not None and grant.is_fresh(clock())
        assert provider.asked["/token"] == 1


async def test_a_grant_that_is_revoked_while_it_renews_stays_revoked(
    make_database: Callable[[], Database], provider: OpenIdProvider
) -> None:
    clock = Clock()
    async with hubs_of(make_database, clock) as (one, other):
        await granted(provider, one, clock)
        one.talk.go.clear()
        waiting = asyncio.create_task(one.wallet.grant("ada", "crm", URL))
        with anyio.fail_after(5):
            while not one.talk.asked:
                await asyncio.sleep(0)
        await other.wallet.revoke("ada", "crm")
        one.talk.go.set()
        assert await waiting is None
        assert await one.store.get("ada", "crm") is None
        # What the renewal brought was ended where it came from, or was refused there.
        assert await other.wallet.grant("ada", "crm", URL) is None


async def test_a_hub_that_dies_while_it_renews_holds_nobody_up_for_long(
    make_database: Callable[[], Database], provider: OpenIdProvider
) -> None:
    clock = Clock()
    async with hubs_of(make_database, clock) as (dead, living):
        await granted(provider, dead, clock)
        kept = await dead.store.get("ada", "crm")
        assert kept is not None and await dead.store.claim(kept, "dead", clock())
        assert not await living.store.claim(kept, "living", clock())
        clock.ahead_s = CLAIM_S + 1
        grant = await living.wallet.grant("ada", "crm", URL)
        assert grant is not None and provider.asked["/token"] == 1
        # It comes back to life: what it brings is not taken.
        assert await dead.store.renewed(kept, "dead", kept.grant, clock()) is None


async def test_a_provider_that_is_away_costs_no_grant(
    make_database: Callable[[], Database], provider: OpenIdProvider
) -> None:
    clock = Clock()
    async with hubs_of(make_database, clock, 1) as (hub,):
        old = await granted(provider, hub, clock)
        provider.down = True
        # The token that is there is good for some seconds yet.
        grant = await hub.wallet.grant("ada", "crm", URL)
        assert grant is not None and grant.access_token == old.access_token
        clock.ahead_s = 20.0
        with pytest.raises(Unavailable):
            await hub.wallet.grant("ada", "crm", URL)
        provider.down = False
        grant = await hub.wallet.grant("ada", "crm", URL)
        assert grant is not None and grant.access_token != old.access_token


async def test_a_grant_that_its_giver_took_back_is_forgotten(
    make_database: Callable[[], Database], provider: OpenIdProvider
) -> None:
    clock = Clock()
    async with hubs_of(make_database, clock, 1) as (hub,):
        old = await granted(provider, hub, clock)
        form = {"token": old.refresh_token or ""}
        await Talk().post_form(f"{provider.issuer}/revoke", form, old.client)
        assert await hub.wallet.grant("ada", "crm", URL) is None
        assert await hub.store.get("ada", "crm") is None


async def test_what_is_revoked_at_one_hub_counts_at_no_other(
    make_database: Callable[[], Database], provider: OpenIdProvider
) -> None:
    clock = Clock()
    async with hubs_of(make_database, clock) as (one, other):
        await granted(provider, one, clock)
        assert await one.wallet.grant("ada", "crm", URL) is not None
        assert await other.wallet.grant("ada", "crm", URL) is not None
        await one.wallet.revoke("ada", "crm")
        with anyio.fail_after(5):
            while await other.wallet.grant("ada", "crm", URL) is not None:
                await asyncio.sleep(0)


async def test_a_row_moved_to_another_principal_opens_for_nobody(
    make_database: Callable[[], Database], provider: OpenIdProvider
) -> None:
    clock = Clock()
    async with hubs_of(make_database, clock, 1) as (hub,):
        await granted(provider, hub, clock)
        async with hub.database.write() as connection:
            await connection.execute(sa.update(grants).values(principal="mallory"))
        with pytest.raises(NotConfigured, match="cannot read"):
            await hub.wallet.grant("mallory", "crm", URL)
        assert await hub.wallet.grant("ada", "crm", URL) is None
        # What nobody can read is in nobody's way: it is not listed, and can be revoked.
        assert await hub.wallet.all() == []
        assert await hub.wallet.revoke("mallory", "crm") is True
        assert await hub.wallet.revoke("mallory", "crm") is False


async def test_a_token_that_the_server_takes_no_more_is_renewed_within_the_call(
    house: House, browser: Browser, provider: OpenIdProvider
) -> None:
    await browser.signs_in(await house.link("ada"))
    async with house.client(await house.token("ada")) as client:
        assert said(await client.call_tool(TOOL, {})).startswith("you are ")
        tokens = provider.asked["/token"]
        provider.rotate()  # whatever was issued before is no good any more
        assert said(await client.call_tool(TOOL, {})).startswith("you are ")
        assert provider.asked["/token"] == tokens + 1
        # A server that takes not even the new one: once, then the person is asked.
        house.server.admits = nobody
        error = error_of(await client.call_tool(TOOL, {}))
        assert error["reason"] == "credentials_refused"
        assert error_of(await client.call_tool(TOOL, {}))["reason"] == "grant_missing"
    house.server.admits = house.server.by_provider
    person = Person(browser)
    token = await house.token("ada")
    async with house.client(token, elicitation_callback=person.elicit) as client:
        assert said(await client.call_tool(TOOL, {})).startswith("you are ")
    assert len(person.asked) == 1
