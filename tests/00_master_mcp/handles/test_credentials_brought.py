"""What a spoke needs is brought by the hub: at once, again after a change, and taken away."""

from typing import Any

import pytest

from flotilla import NotConfigured
from flotilla.credentials import Credentials, secret_named
from tests.conftest import until

from .shop import VALUE, House, Shop, open_house, said

pytestmark = pytest.mark.anyio

KEY, OTHER = "shop/key", "shop/other"
SECOND = "second-value-of-the-canary"


async def brought_rows(house: House) -> list[dict[str, Any]]:
    answer = await house.api("GET", "/audit?kind=secret&limit=200")
    rows = [item["row"] for item in answer.json()["items"]]
    return [row for row in rows if "credentials.brought" in str(row)]


@pytest.mark.real
async def test_credentials_come_at_once_and_again_after_every_change(start_fleet, tmp_path) -> None:
    shop = Shop(needs=(KEY, OTHER))
    changed: list[str] = []
    shop.credentials.changed = changed.append
    async with open_house(start_fleet, tmp_path, shop) as house:
        await house.store(path=KEY, services=["shop"])
        await until(lambda: shop.credentials.missing() == (OTHER,))
        assert shop.credentials.get(KEY) == VALUE
        with pytest.raises(NotConfigured, match="secret_unknown"):
            shop.credentials.get(OTHER)

        await house.store(path=OTHER, services=["somebody_else"])
        await house.store(SECOND, path=KEY, services=["shop"])
        await until(lambda: shop.credentials.get(KEY) == SECOND)
        with pytest.raises(NotConfigured, match="service_not_allowed"):
            shop.credentials.get(OTHER)
        assert changed == [KEY, KEY]

        # What a spoke tells of them is hidden, the value before the change too.
        async with house.fleet.client() as client:
            for value in (VALUE, SECOND):
                shop.given.append(value)
                shown = said(await client.call_tool("test.shop.readBack", {}))
                assert "[redacted]" in shown and value[:12] not in shown

        await until(lambda: _is_two(house))
        rows = await brought_rows(house)
        assert all(KEY in str(row) and row["service"] == "shop" for row in rows)
        assert not [row for row in rows if "canary" in str(row)]

        await house.owner("allow", path=KEY, revoke={"services": ["shop"]})
        await until(lambda: KEY in shop.credentials.missing())
        assert changed == [KEY, KEY, KEY]


async def _is_two(house: House) -> bool:
    return len(await brought_rows(house)) == 2


@pytest.mark.real
async def test_a_spoke_that_starts_anew_is_given_what_it_needs(start_fleet, tmp_path) -> None:
    shop = Shop(needs=(KEY,))
    async with open_house(start_fleet, tmp_path, shop) as house:
        await house.store(path=KEY, services=["shop"])
        await until(lambda: not shop.credentials.missing())
        await house.fleet.stop("shop")
        shop.credentials = Credentials((KEY,))
        await house.fleet.start_spoke(shop.spoke())
        await until(lambda: not shop.credentials.missing())
        assert shop.credentials.get(KEY) == VALUE


def test_values_are_taken_over_and_given_up_as_the_hub_says() -> None:
    told: list[str] = []
    credentials = Credentials(["a", "b", "a"])
    credentials.changed = told.append
    assert credentials.needs == ("a", "b")
    assert credentials.give({"a": "1", "stranger": "2"}, {"b": "secret_unknown"}) == ("a",)
    assert credentials.give({"a": "1"}) == ()
    assert credentials.give({"b": "2"}) == ("b",)
    # What the hub says nothing of stays: the store may be away.
    assert (credentials.get("a"), credentials.missing()) == ("1", ())
    assert credentials.give({}, {"a": "service_not_allowed"}) == ("a",)
    with pytest.raises(NotConfigured, match="service_not_allowed"):
        credentials.get("a")
    assert told == ["a", "b", "a"]


def test_a_setting_names_a_stored_secret_or_holds_a_value() -> None:
    assert secret_named("secret:ssh/web1") == "ssh/web1"
    assert secret_named("/run/key") is None
