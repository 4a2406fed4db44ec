"""Names that go from one item to another, as a source tells it: by keys, in one reconciliation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from .test_gathered import Hub, counts, host, machine, runs
from .test_gathered import hub as hub

if TYPE_CHECKING:
    from conftest import Cmdb

pytestmark = pytest.mark.anyio


async def ids(hub: Hub) -> dict[str, Any]:
    return {name: each["id"] for name, each in (await hub.live()).items()}


async def history(cmdb: Cmdb, item_id: str) -> list[Any]:
    return (await cmdb("getHistory", id=item_id))["items"]


async def test_two_that_change_their_names_with_each_other_stay_who_they_are(
    hub: Hub, cmdb: Cmdb
) -> None:
    await hub.applied([machine("a", "1"), machine("b", "2")])
    before = await ids(hub)
    plan = await hub.applied([machine("b", "1"), machine("a", "2")])
    assert counts(plan) == (0, 2, 0, 0) and plan.get("leftOut") is None
    after = await ids(hub)
    assert after == {"a": before["b"], "b": before["a"]}
    told = await history(cmdb, before["a"])
    assert told[0]["changes"] == [{"field": "name", "before": "a", "after": "b"}]
    assert counts(await hub.planned([machine("b", "1"), machine("a", "2")])) == (0, 0, 0, 2)


async def test_blue_takes_the_name_of_green_and_green_another(hub: Hub) -> None:
    first = [machine("web", "1"), machine("web-next", "2"), host("h1"), host("h2")]
    await hub.applied(first, relations=(runs("web", "h1"), runs("web-next", "h2")))
    before = await ids(hub)
    then = [machine("web-old", "1"), machine("web", "2"), host("h1"), host("h2")]
    links = (runs("web-old", "h1"), runs("web", "h2"))
    plan = await hub.applied(then, relations=links)
    assert plan.get("leftOut") is None and plan["counts"]["updates"] == 2
    assert await ids(hub) == {"web-old": before["web"], "web": before["web-next"]}
    # The machines have their hosts still, whatever they are called.
    assert (plan["relations"], plan.get("relationsEnded")) == ([], None)
    again = await hub.planned(then, relations=links)
    assert counts(again) == (0, 0, 0, 4)


async def test_a_name_of_what_has_gone_may_be_taken_at_once(hub: Hub) -> None:
    others = [machine(f"m{number}") for number in range(9)]
    await hub.applied([machine("web", "1"), machine("web-next", "2"), *others])
    before = await ids(hub)
    plan = await hub.applied([machine("web", "2"), *others])
    assert counts(plan) == (0, 1, 1, 9) and plan.get("leftOut") is None
    assert (await ids(hub))["web"] == before["web-next"]


async def test_a_name_that_its_item_keeps_is_not_taken_nor_by_whoever_counts_on_it(
    hub: Hub,
) -> None:
    await hub.applied([machine("a", "1"), machine("b", "2"), machine("c", "3")])
    before = await ids(hub)
    # What is now called d does not fit its class, so it stays b, and nobody else becomes b.
    told = [machine("d", "2", cpu_count="many"), machine("b", "1"), machine("a", "3")]
    plan = await hub.applied(told)
    assert counts(plan) == (0, 0, 0, 0) and plan["leftOut"] == 3
    assert any("has its name" in each for each in plan["problems"])
    assert await ids(hub) == before
    # Nor is a new one made under a name that was only thought to become free.
    plan = await hub.applied([told[0], told[1], machine("a", "9"), machine("c", "3")])
    assert counts(plan) == (0, 0, 0, 1) and plan["leftOut"] == 3
    assert await ids(hub) == before


async def test_a_name_of_another_source_is_never_taken(hub: Hub) -> None:
    theirs = {"provider": "cloud", "account": "two"}
    other = {**machine("web", "9"), "attributes": {**theirs, "instance_uuid": "9"}}
    covers = {"ciClasses": ["virtual_machine"], "attributes": theirs}
    await hub.applied([other], covers=covers)
    await hub.applied([machine("mine", "1")])
    before = await ids(hub)
    plan = await hub.applied([machine("web", "1")])
    assert plan["leftOut"] == 1 and counts(plan) == (0, 0, 0, 0)
    assert await ids(hub) == before
