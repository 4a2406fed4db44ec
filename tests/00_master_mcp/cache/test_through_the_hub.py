"""The cache where clients meet it: a hub and a spoke that counts its calls."""

import asyncio

import anyio
import httpx2
import pytest

from flotilla import Context, Model, Spoke, destroys, meta, reads, writes

from ...conftest import until

pytestmark = pytest.mark.anyio


class Stock(Model):
    items: list[str]
    asked_by: str


class Shop:
    def __init__(self) -> None:
        self.items = ["tea"]
        self.asked = 0
        self.cancelled = 0
        self.open = anyio.Event()
        self.open.set()

    async def list_items(self, shelf: int = 1, *, context: Context) -> Stock:
        """List the items."""
        self.asked += 1
        found = Stock(items=list(self.items), asked_by=context.principal.name)
        await context.report(1, 2, "looking")
        try:
            await self.open.wait()
        except BaseException:
            self.cancelled += 1
            raise
        return found

    async def add(self, item: str) -> Stock:
        """Add an item."""
        self.items.append(item)
        return Stock(items=self.items, asked_by="")

    async def burn(self) -> Stock:
        """Lose them all."""
        self.items.clear()
        return Stock(items=[], asked_by="")

    def spoke(self) -> Spoke:
        return Spoke(
            name="shop",
            version="1",
            instructions="",
            namespaces=("test.shop",),
            tools=(
                reads("test.shop.list", self.list_items, ttl_s=60),
                writes("test.shop.add", self.add),
                destroys("test.shop.burn", self.burn),
            ),
        )


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
async def test_a_client_of_either_era_is_told_that_its_answer_was_kept(start_fleet, mode) -> None:
    shop = Shop()
    async with start_fleet([shop.spoke()]) as fleet, fleet.client(mode=mode) as client:
        first = await client.call_tool("test_shop_list", {"shelf": 1})
        second = await client.call_tool("test.shop.list", {"shelf": 1})
        assert shop.asked == 1
        assert meta.CACHE not in first.meta
        assert second.meta[meta.CACHE]["hit"] is True
        assert 0 <= second.meta[meta.CACHE]["ageMs"] < 60_000
        assert second.content == first.content
        assert second.structured_content == first.structured_content
        assert second.meta[meta.CORRELATION_ID] != first.meta[meta.CORRELATION_ID]
        await client.call_tool("test.shop.list", {"shelf": 2})
        assert shop.asked == 2
        async with httpx2.AsyncClient() as http:
            told = (await http.get(f"{fleet.url}/metrics")).text
    assert 'mcp_cache_lookups_total{outcome="hit",service="shop"} 1.0' in told
    assert 'mcp_cache_lookups_total{outcome="miss",service="shop"} 2.0' in told


async def test_each_view_has_the_same_kept_answers(start_fleet) -> None:
    shop = Shop()
    async with start_fleet([shop.spoke()]) as fleet:
        for path in ("/mcp", "/mcp?names=dotted", "/servers/shop/mcp"):
            async with fleet.client(path) as client:
                await client.call_tool("test.shop.list", {})
    assert shop.asked == 1


async def test_who_writes_reads_what_was_written(start_fleet) -> None:
    shop = Shop()
    async with start_fleet([shop.spoke()]) as fleet, fleet.client() as client:
        for number in range(3):
            await client.call_tool("test_shop_add", {"item": f"cup {number}"})
            for _ in range(2):
                result = await client.call_tool("test_shop_list", {})
                assert result.structured_content["items"] == shop.items
    assert shop.asked == 3


async def test_a_call_that_was_not_allowed_drops_nothing(start_fleet) -> None:
    shop = Shop()
    async with start_fleet([shop.spoke()]) as fleet, fleet.client() as client:
        await client.call_tool("test_shop_list", {})
        assert (await client.call_tool("test_shop_burn", {})).is_error
        assert (await client.call_tool("test_shop_list", {})).meta[meta.CACHE]["hit"] is True


async def test_many_at_once_are_one_call_to_the_spoke(start_fleet) -> None:
    shop = Shop()
    async with start_fleet([shop.spoke()]) as fleet, fleet.client() as client:
        shop.open = anyio.Event()
        calls = [asyncio.create_task(client.call_tool("test_shop_list", {})) for _ in range(20)]
        await until(lambda: shop.asked)
        shop.open.set()
        results = await asyncio.gather(*calls)
    assert shop.asked == 1
    assert sum(meta.CACHE in result.meta for result in results) == 19
    assert len({result.meta[meta.CORRELATION_ID] for result in results}) == 20


async def test_a_client_that_hangs_up_takes_nobody_along(start_fleet) -> None:
    shop = Shop()
    async with (
        start_fleet([shop.spoke()]) as fleet,
        fleet.client(mode="2026-07-28") as impatient,
        fleet.client() as patient,
    ):
        shop.open = anyio.Event()
        first = asyncio.create_task(impatient.call_tool("test_shop_list", {}))
        await until(lambda: shop.asked == 1)
        second = asyncio.create_task(patient.call_tool("test_shop_list", {}))
        await until(lambda: _running(fleet, 2))
        first.cancel()
        await until(lambda: shop.cancelled == 1 and shop.asked == 2)
        shop.open.set()
        assert (await second).structured_content["items"] == ["tea"]


async def _running(fleet, count: int) -> bool:
    async with httpx2.AsyncClient() as http:
        told = (await http.get(f"{fleet.url}/metrics")).text
    return f'mcp_calls_running{{service="master"}} {count}.0' in told
