"""Resources and their changes, by the URI that the client knows."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError

from .house import House
from .ways import SLOWEST, THROUGH, Way

pytestmark = pytest.mark.anyio

WATCHED = "test://watched-resource"


class Updates:
    """The changes of resources that a client was told, waited for."""

    def __init__(self) -> None:
        self.uris: list[str] = []
        self._changed = anyio.Event()

    async def hear(self, message: Any) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            self.add(str(message.params.uri))

    def add(self, uri: str) -> None:
        self.uris.append(uri)
        self._changed.set()

    async def until(self, count: int) -> None:
        with anyio.fail_after(5):
            while len(self.uris) < count:
                self._changed = anyio.Event()
                await self._changed.wait()

    async def until_told_of(self, uri: str, times: int = 1) -> None:
        with anyio.fail_after(5):
            while self.uris.count(uri) < times:
                await self.until(len(self.uris) + 1)


@asynccontextmanager
async def watching(
    house: House, way: Way, *uris: str, view: str | None = None
) -> AsyncGenerator[tuple[Any, Updates]]:
    """A client that has subscribed to resources, and what it hears."""
    updates = Updates()
    async with house.client(way, view=view, message_handler=updates.hear) as client:
        if not way.modern:
            for uri in uris:
                await subscribe(client, uri)
            yield client, updates
            return
        async with (
            client.listen(resource_subscriptions=uris) as events,
            anyio.create_task_group() as tasks,
        ):

            async def read() -> None:
                async for event in events:
                    updates.add(str(event.uri))

            tasks.start_soon(read)
            yield client, updates
            tasks.cancel_scope.cancel()


async def subscribe(client: Any, uri: str) -> None:
    # The client's own method warns that the newer revision has none.
    asked = types.SubscribeRequest(params=types.SubscribeRequestParams(uri=uri))
    await client.session.send_request(asked, types.EmptyResult)


async def unsubscribe(client: Any, uri: str) -> None:
    asked = types.UnsubscribeRequest(params=types.UnsubscribeRequestParams(uri=uri))
    await client.session.send_request(asked, types.EmptyResult)


async def test_texts_and_bytes_are_read_as_they_are(house: House, way: Way) -> None:
    async with house.client(Way(None, way.south)) as direct, house.client(way) as client:
        for uri in ("test://static-text", "test://static-binary", "test://template/7/data"):
            known, read = await direct.read_resource(uri), await client.read_resource(uri)
            assert read.contents == known.contents


async def test_a_resource_that_is_not_there_is_an_error(house: House, way: Way) -> None:
    async with house.client(way) as client:
        with pytest.raises(MCPError) as raised:
            await client.read_resource("test://nothing/of/this/name")
    assert raised.value.code in (-32602, -32002)


@pytest.mark.parametrize("way", THROUGH, ids=str)
async def test_every_resource_and_template_is_listed_as_its_server_lists_it(
    house: House, way: Way
) -> None:
    async with house.client(Way(None, way.south)) as direct, house.client(way) as client:
        for method, kind in (
            ("list_resources", "resources"),
            ("list_resource_templates", "resource_templates"),
        ):
            assert await whole(client, method, kind) == await whole(direct, method, kind)


async def whole(client: Any, method: str, kind: str) -> list[Any]:
    found: list[Any] = []
    cursor = None
    while True:
        page = await getattr(client, method)(cursor=cursor, cache_mode="refresh")
        found += getattr(page, kind)
        if (cursor := page.next_cursor) is None:
            return found


async def test_who_subscribed_is_told_of_a_change(house: House, way: Way) -> None:
    async with watching(house, way, WATCHED) as (client, updates):
        await settled(client, updates)
        before = len(updates.uris)
        await client.call_tool("touch_resource", {})
        await updates.until(before + 1)
        assert set(updates.uris) == {WATCHED}
        read = await client.read_resource(WATCHED, cache_mode="refresh")
        text = read.contents[0].text
        if way.south.transport == "stdio":
            assert text.startswith("version "), "the world of a program is its own"
        else:
            assert text == f"version {house.world(way).version}"


async def settled(client: Any, updates: Updates, uri: str = WATCHED) -> None:
    """A client's stream is opened beside its requests: until it stands, nobody hears."""
    with anyio.fail_after(5):
        while not updates.uris:
            await client.call_tool("touch_resource", {"uri": uri})
            with anyio.move_on_after(0.1):
                await updates.until(1)


@pytest.mark.parametrize("way", [way for way in THROUGH if not way.modern], ids=str)
async def test_who_unsubscribed_is_told_no_more(house: House, way: Way) -> None:
    last = "test://word/last"
    async with watching(house, way, WATCHED, last) as (client, updates):
        await settled(client, updates)
        async with watching(house, way, WATCHED) as (other, heard):
            await settled(other, heard)
            await unsubscribe(client, WATCHED)
            # What was told before may be on its way; what is told comes in its order.
            await client.call_tool("touch_resource", {"uri": last})
            await updates.until_told_of(last)
            before, told = len(updates.uris), len(heard.uris)
            await client.call_tool("touch_resource", {})
            await heard.until(told + 1)
            await client.call_tool("touch_resource", {"uri": last})
            await updates.until_told_of(last, 2)
            assert updates.uris[before:] == [last]


@pytest.mark.parametrize("way", THROUGH, ids=str)
async def test_in_the_view_of_the_fleet_a_uri_is_read_by_its_server(house: House, way: Way) -> None:
    named = f"flotilla://servers/{way.south.name}/{WATCHED}"
    async with house.client(way, view="") as client:
        listed = [str(each.uri) for each in await whole(client, "list_resources", "resources")]
        # All servers have it: the first by name keeps the plain URI, the others are told apart.
        assert [uri for uri in listed if uri.endswith(WATCHED)] == [
            WATCHED,
            f"flotilla://servers/modern/{WATCHED}",
            f"flotilla://servers/sse/{WATCHED}",
            f"flotilla://servers/stdio-handshake/{WATCHED}",
            f"flotilla://servers/stdio-modern/{WATCHED}",
        ]
        assert len(set(listed)) == len(listed)
        read = await client.read_resource(named, cache_mode="refresh")
        assert read.contents[0].text == f"version {house.world(way).version}"
        plain = await client.read_resource(WATCHED, cache_mode="refresh")
        assert plain.contents[0].text == f"version {house.served['handshake'].world.version}"
        with pytest.raises(MCPError):
            await client.read_resource(f"flotilla://servers/nobody/{WATCHED}")


@pytest.mark.parametrize("way", THROUGH, ids=str)
async def test_a_change_is_told_under_the_uri_that_the_client_subscribed_to(
    house: House, way: Way
) -> None:
    named = f"flotilla://servers/{way.south.name}/{WATCHED}"
    async with watching(house, way, named, view="") as (client, updates):
        touch = f"ext_{way.south.name}_touch_resource"
        with anyio.fail_after(5):
            while not updates.uris:
                await client.call_tool(touch, {})
                with anyio.move_on_after(0.1):
                    await updates.until(1)
        for other in {"modern", "handshake", "sse"} - {way.south.name}:
            await client.call_tool(f"ext_{other}_touch_resource", {})
        told = len(updates.uris)
        await client.call_tool(touch, {})
        await updates.until(told + 1)
        assert set(updates.uris) == {named}


@pytest.mark.parametrize("way", SLOWEST, ids=str)
async def test_two_hundred_subscriptions_hear_each_its_own(house: House, way: Way) -> None:
    uris = [f"test://word/{way.south.name}{number}" for number in range(200)]
    async with watching(house, way, *uris) as (client, updates):
        await settled(client, updates, uris[-1])
        for uri in uris[:50]:
            await client.call_tool("touch_resource", {"uri": uri})
        while not set(uris[:50]) <= set(updates.uris):
            await updates.until(len(updates.uris) + 1)
        assert set(updates.uris) == {*uris[:50], uris[-1]}


@pytest.mark.parametrize("way", THROUGH, ids=str)
async def test_no_change_is_lost_that_follows_the_answer_to_a_subscription(
    house: House, way: Way
) -> None:
    """Once the client was told that it is subscribed, the next change is told."""
    updates = Updates()
    async with house.client(way, message_handler=updates.hear) as client:
        async with watching(house, way, WATCHED) as (first, heard):
            if not way.modern:
                await settled(first, heard)
        # Now nobody is subscribed any more, and the stream of the next client is known to stand.
        if way.modern:
            async with client.listen(resource_subscriptions=[WATCHED]) as events:
                await client.call_tool("touch_resource", {})
                with anyio.fail_after(3):
                    async for event in events:
                        assert str(event.uri) == WATCHED
                        break
                    else:
                        pytest.fail("the stream ended before")
            return
        await subscribe(client, WATCHED)
        await settled(client, updates)
        await unsubscribe(client, WATCHED)
        for uri in ("test://word/a", "test://word/b"):
            await subscribe(client, uri)
            await client.call_tool("touch_resource", {"uri": uri})
            await updates.until_told_of(uri)
            assert updates.uris[-1] == uri
