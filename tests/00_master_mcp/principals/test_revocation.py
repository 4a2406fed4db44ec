"""What a token that is revoked, or runs out, still reaches: nothing, in whatever is open by it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import anyio
import httpx2
import pytest

from flotilla import Principal, Spoke, Unavailable, reads
from flotilla.database.database import Database
from flotilla.identity import Caller
from master.principals.credential import BadBearer, Credential
from master.principals.first import TokenBook, digest_of, fresh_token
from master.principals.known import REVOKED, TOPIC, TURN_S, Principals
from master.principals.tokens import Kept, Token, Tokens, new_id
from tests.conftest import until

from .conftest import Hub, OpenDatabase, OpenHub, Who, bearing

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    # The event loop of the hub's own process, whose ways to cancel matter here.
    return "asyncio", {"use_uvloop": True}


INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
LISTEN = {
    "jsonrpc": "2.0",
    "id": 7,
    "method": "subscriptions/listen",
    "params": {
        "notifications": {"toolsListChanged": True},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    },
}
MODERN = {"mcp-protocol-version": "2026-07-28", "mcp-method": "subscriptions/listen"}
TAKES = {"accept": "application/json, text/event-stream"}


async def ended(lines: AsyncIterator[str]) -> None:
    """Return when the stream has ended as a whole, not broken off."""
    async for _ in lines:
        continue


async def session_of(hub: Hub, token: str) -> dict[str, str]:
    """The headers of a session that is open."""
    response = await hub.http.post(hub.audience, json=INITIALIZE, headers=bearing(token) | TAKES)
    assert response.status_code == 200
    return bearing(token) | TAKES | {"mcp-session-id": response.headers["mcp-session-id"]}


@pytest.mark.real
async def test_every_stream_of_a_revoked_token_ends_and_its_session_answers_no_more(
    open_hub: OpenHub,
) -> None:
    async with open_hub() as hub, AsyncExitStack() as stack:
        made, other = await hub.make("ada", "viewer"), await hub.make("bob", "viewer")
        token = made["secret"]
        session = await session_of(hub, token)

        async def stream(method: str, path: str, **more: Any) -> AsyncIterator[str]:
            opening = hub.http.stream(method, hub.url + path, **more)
            response = await stack.enter_async_context(opening)
            assert response.status_code == 200
            lines = response.aiter_lines()
            assert await anext(lines)  # it is open, and says so
            return lines

        own = [
            await stream("POST", "/mcp", json=LISTEN, headers=bearing(token) | TAKES | MODERN),
            await stream("GET", "/sse", headers=bearing(token)),
        ]
        async with hub.http.stream("GET", hub.audience, headers=session) as response:
            assert response.status_code == 200
            lines = response.aiter_lines()
            bobs = await stream("GET", "/sse", headers=bearing(other["secret"]))
            await hub.revoke(made["token"]["id"])
            with anyio.fail_after(1):
                for each in (lines, *own):
                    await ended(each)

        listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        response = await hub.http.post(hub.audience, json=listing, headers=session)
        assert response.status_code == 401
        # The others are left alone.
        assert (await hub.who(other["secret"]))["name"] == "bob"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await ended(bobs)


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def token_of(principals: Principals, name: str = "ada", **more: Any) -> tuple[str, Kept]:
    secret, now = fresh_token(), principals.now()
    token = Token(id=new_id(), principal=name, roles=("viewer",), created_at=now, **more)
    return secret, Kept(token, digest_of(secret).hex())


NOBODY = TokenBook({})
FAST = 0.1


async def test_a_token_counts_until_the_very_second_at_which_it_expires(
    database: Database,
) -> None:
    clock = Clock()
    principals = Principals(NOBODY, Tokens(database), clock=clock, turn_s=FAST)
    async with database.opened(), principals.running():
        soon = principals.now() + timedelta(seconds=60)
        secret, kept = token_of(principals, expires_at=soon)
        await Tokens(database).add(kept)
        await principals.changed()
        clock.now += 59.9
        assert principals.at_hand(secret) is not None
        clock.now += 0.1
        assert principals.at_hand(secret) is None
        with pytest.raises(BadBearer, match="expired"):
            await principals.judged(secret)


async def test_a_request_that_waits_while_its_token_runs_out_sees_its_client_gone(
    database: Database,
) -> None:
    clock = Clock()
    principals = Principals(NOBODY, Tokens(database), clock=clock, turn_s=FAST)
    async with database.opened(), principals.running():
        secret, kept = token_of(principals, expires_at=principals.now() + timedelta(seconds=60))
        await Tokens(database).add(kept)
        await principals.changed()
        credential = principals.at_hand(secret)
        assert credential is not None
        waiting = asyncio.create_task(credential.watched(never)())  # pyright: ignore[reportArgumentType]
        clock.now += 60
        with anyio.fail_after(3):
            assert (await waiting) == {"type": "http.disconnect"}


async def never() -> Any:
    await anyio.sleep_forever()


async def test_a_wait_that_somebody_else_cancels_too_is_cancelled() -> None:
    credential = Credential(Caller(Principal("ada")))
    waiting = asyncio.create_task(credential.watched(never)())  # pyright: ignore[reportArgumentType]
    await asyncio.sleep(0)
    waiting.cancel()
    credential.end()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    # And a request that comes to wait after the end does not wait at all.
    assert await credential.watched(never)() == {"type": "http.disconnect"}


async def test_what_one_hub_makes_and_revokes_the_others_know_within_a_second_without_news(
    make_database: OpenDatabase,
) -> None:
    assert TURN_S <= 1
    databases = [make_database(), make_database()]
    here, there = (Principals(NOBODY, Tokens(each), shared=True, turn_s=FAST) for each in databases)
    async with AsyncExitStack() as stack:
        for database, principals in zip(databases, (here, there), strict=True):
            await stack.enter_async_context(database.opened())
            await stack.enter_async_context(principals.running())
        secret, kept = token_of(here)
        await Tokens(databases[0]).add(kept)
        await here.changed()
        assert here.at_hand(secret) is not None
        await until(lambda: there.at_hand(secret), within_s=1)
        (revoked,) = await Tokens(databases[0]).revoke("ada", here.now())
        await here.changed((revoked.id,))
        assert here.at_hand(secret) is None
        await until(lambda: there.at_hand(secret) is None, within_s=1)


class News:
    """What hubs tell each other, within this process."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.hear: Any = None

    async def tell(self, topic: str, text: str) -> None:
        assert topic == TOPIC
        self.heard.append(text)

    def on(self, topic: str, hear: Any) -> None:
        assert topic == TOPIC
        self.hear = hear

    def on_return(self, hear: Any) -> None:
        del hear


class Away(Tokens):
    """The table of a database that can be switched off."""

    away = False

    async def version(self) -> object:
        if self.away:
            raise Unavailable("the database is away")
        return await super().version()


async def test_while_the_database_is_away_known_tokens_go_on_for_a_while_and_others_get_503(
    database: Database,
) -> None:
    clock, news = Clock(), News()
    tokens = Away(database)
    principals = Principals(NOBODY, tokens, news=news, clock=clock, away_ok_s=900, turn_s=FAST)
    async with database.opened(), principals.running():
        made = [token_of(principals, name) for name in ("ada", "bob")]
        for _, kept in made:
            await tokens.add(kept)
        await principals.changed()
        assert news.heard == [""]
        ada, bob = (secret for secret, _ in made)
        tokens.away = True
        with pytest.raises(Unavailable):
            await principals.still(Principal("ada", ("viewer",)))
        clock.now += 899
        assert principals.at_hand(ada) is not None
        with pytest.raises(Unavailable):
            await principals.judged("flt_of-whom-nobody-here-knows")
        # A revocation is heard all the same.
        news.hear(REVOKED + made[1][1].token.id)
        assert principals.at_hand(bob) is None
        clock.now += 2
        await until(lambda: principals.at_hand(ada) is None, within_s=3)
        with pytest.raises(Unavailable):
            await principals.judged(ada)
        tokens.away = False
        await until(lambda: principals.at_hand(ada) is not None, within_s=3)
        with pytest.raises(BadBearer):
            await principals.judged("flt_of-whom-nobody-here-knows")


async def test_a_hub_that_stops_as_news_come_stops(database: Database) -> None:
    news = News()
    principals = Principals(NOBODY, Tokens(database), news=news)
    with anyio.fail_after(5):
        for _ in range(20):
            async with database.opened(), principals.running():
                await anyio.sleep(0)
                news.hear("")


class Broken(Tokens):
    """A table that has what nobody can read, once it is broken."""

    broken = False

    async def version(self) -> object:
        if self.broken:
            raise ValueError("no such moment")
        return await super().version()


async def test_a_table_that_cannot_be_read_is_trusted_no_longer_than_one_that_is_away(
    database: Database,
) -> None:
    clock, tokens = Clock(), Broken(database)
    principals = Principals(NOBODY, tokens, clock=clock, turn_s=FAST)
    async with database.opened(), principals.running():
        secret, kept = token_of(principals)
        await tokens.add(kept)
        await principals.changed()
        tokens.broken = True
        clock.now += 890
        assert principals.at_hand(secret) is not None
        clock.now += 20
        await until(lambda: principals.at_hand(secret) is None, within_s=3)
        with pytest.raises(Unavailable):
            await principals.judged(secret)
        tokens.broken = False
        await until(lambda: principals.at_hand(secret) is not None, within_s=3)
        # A clock that jumps is no reason to lock everybody out for long.
        before = principals.at_hand(secret)
        assert before is not None
        clock.now += 5000
        await until(lambda: before.ended, within_s=3)
        await until(lambda: principals.at_hand(secret) is not None, within_s=1)


class Lagging(Tokens):
    """A table whose rows, once read, are on their way for a while."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.read, self.arrived = asyncio.Event(), asyncio.Event()

    async def all(self) -> list[Kept]:
        rows = await super().all()
        self.read.set()
        await self.arrived.wait()
        return rows


async def test_rows_that_were_read_before_a_revocation_do_not_bring_the_token_back(
    database: Database,
) -> None:
    tokens = Lagging(database)
    tokens.arrived.set()
    principals = Principals(NOBODY, tokens)
    async with database.opened(), principals.running():
        secret, kept = token_of(principals)
        await tokens.add(kept)
        await principals.changed()
        await tokens.add(token_of(principals, "bob")[1])
        tokens.read.clear()
        tokens.arrived.clear()
        looking = asyncio.create_task(principals.changed())
        await tokens.read.wait()
        await tokens.revoke("ada", principals.now())
        ending = asyncio.create_task(principals.changed((kept.token.id,)))
        await asyncio.sleep(0)
        assert principals.at_hand(secret) is None
        tokens.arrived.set()
        await looking
        assert principals.at_hand(secret) is None
        await ending
        assert principals.at_hand(secret) is None


async def test_a_stored_call_finds_what_is_left_of_its_principal(
    database: Database,
) -> None:
    admin = Principal("admin", ("admin",))
    book = TokenBook({digest_of("flt_admin"): admin})
    principals, tokens = Principals(book, Tokens(database)), Tokens(database)
    ada = Principal("ada", ("operator", "viewer"))
    async with database.opened(), principals.running():
        assert await principals.still(admin) == admin
        assert await principals.still(ada) is None
        _, kept = token_of(principals)
        await tokens.add(kept)
        # No look was taken since: it looks itself.
        assert await principals.still(ada) == Principal("ada", ("viewer",))
        await tokens.revoke("ada", principals.now())
        assert await principals.still(ada) is None
        # A role that was not there when the call was made is none that it gets later.
        assert await principals.still(Principal("admin", ("viewer",))) == Principal("admin", ())


async def test_a_call_that_runs_while_its_token_is_revoked_is_cancelled_at_its_server(
    start_fleet: Any,
) -> None:
    started, cancelled = anyio.Event(), anyio.Event()

    async def hang() -> Who:
        """Never answer."""
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    tools = (reads("test.mirror.tell", hang),)
    spoke = Spoke(
        name="mirror", version="1", instructions="", namespaces=("test.mirror",), tools=tools
    )
    async with start_fleet([spoke]) as fleet, httpx2.AsyncClient(timeout=30) as http:
        hub = Hub(fleet, http)
        made = await hub.make("ada", "viewer")
        call = asyncio.create_task(hub.ask(made["secret"]))
        with anyio.fail_after(5):
            await started.wait()
            await hub.revoke("ada")
            await cancelled.wait()
            assert (await call).status_code == 500
