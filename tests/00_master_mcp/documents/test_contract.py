"""What hubs may rely on, whichever store keeps their documents."""

from typing import Any

import anyio
import pytest

from flotilla import Conflict, Misconfigured, Unavailable
from master.documents.kept import Kept
from master.documents.seam import Document, Documents

pytestmark = pytest.mark.anyio

BODIES: list[dict[str, Any]] = [
    {},
    {"nul": "a\x00b", "\x00": "ünï 🐙 \u2028", "line": 'a\nb\t\\"'},
    {"numbers": [0, -1, 2**53, 1.5, 1e300, True, False, None], "deep": {"a": [{"b": [[]]}]}},
    {"order": {"z": 1, "a": 2, "m": 3}},
    {"large": "x" * 3_000_000},
]


async def test_what_was_never_saved_is_empty_and_has_no_version(hubs: list[Documents]) -> None:
    for hub in hubs:
        assert await hub.load("servers") == Document({}, None)
        assert await hub.version("servers") is None


@pytest.mark.parametrize("body", BODIES, ids=lambda body: ",".join(body) or "empty")
async def test_what_one_hub_saves_another_reads_as_it_was(
    hubs: list[Documents], body: dict[str, Any]
) -> None:
    one, other, _ = hubs
    version = await one.save("servers", body, None)
    found = await other.load("servers")
    assert (found.body, found.version) == (body, version)
    assert str(found.body) == str(body), "members stay in their order"
    assert await other.version("servers") == version


async def test_a_document_is_replaced_whole_by_whoever_saw_it_last(hubs: list[Documents]) -> None:
    one, other, third = hubs
    first = await one.save("servers", {"a": 1, "b": 2}, None)
    second = await other.save("servers", {"a": 2}, first)
    assert second != first
    assert await third.load("servers") == Document({"a": 2}, second)


@pytest.mark.parametrize("stale", ["absent", "old", "never there"])
async def test_a_save_over_what_somebody_else_saved_is_a_conflict_and_changes_nothing(
    hubs: list[Documents], stale: str
) -> None:
    one, other, third = hubs
    if stale == "never there":
        seen = await one.save("another", {}, None)
        assert await one.load("servers") == Document({}, None)
        with pytest.raises(Conflict):
            await other.save("servers", {"mine": True}, seen)
        assert await third.load("servers") == Document({}, None)
        return
    first = await one.save("servers", {"a": 1}, None)
    second = await one.save("servers", {"a": 2}, first)
    with pytest.raises(Conflict):
        await other.save("servers", {"mine": True}, None if stale == "absent" else first)
    assert await third.load("servers") == Document({"a": 2}, second)


async def test_names_are_apart(hubs: list[Documents]) -> None:
    one, other, _ = hubs
    await one.save("servers", {"a": 1}, None)
    await other.save("tools_seen", {"b": 1}, None)
    assert (await other.load("servers")).body == {"a": 1}
    assert (await one.load("tools_seen")).body == {"b": 1}


async def test_of_many_saves_at_once_one_wins_and_the_others_are_told(
    hubs: list[Documents],
) -> None:
    won: list[tuple[int, str]] = []
    lost: list[int] = []

    async def save(number: int) -> None:
        try:
            won.append((number, await hubs[number % 3].save("servers", {"n": number}, None)))
        except Conflict:
            lost.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(12):
            tasks.start_soon(save, number)
    ((number, version),) = won
    assert len(lost) == 11
    assert await hubs[0].load("servers") == Document({"n": number}, version)


def counting(documents: Documents, news: Any = None) -> Kept[frozenset[str]]:
    def read(body: Any) -> frozenset[str]:
        if body.get("odd"):
            raise Misconfigured("none of ours")
        return frozenset(body.get("all", ()))

    return Kept(
        documents,
        "numbers",
        read=read,
        write=lambda each: {"all": sorted(each)},
        news=news,
        topic="numbers",
    )


async def test_no_change_is_lost_when_all_hubs_change_at_once(hubs: list[Documents]) -> None:
    kept = [counting(each) for each in hubs]

    async def add(number: int) -> None:
        await kept[number % 3].change(lambda there: there | {str(number)})

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for number in range(30):
                tasks.start_soon(add, number)
    for each in kept:
        await each.refresh()
        assert each.value == {str(number) for number in range(30)}


async def test_a_change_is_applied_to_what_is_newest(hubs: list[Documents]) -> None:
    one, other = counting(hubs[0]), counting(hubs[1])
    await one.change(lambda there: there | {"a"})
    assert await other.change(lambda there: there | {"b"}) == {"a", "b"}
    assert await one.change(lambda there: there - {"b"}) == {"a"}


async def test_what_changes_nothing_is_not_saved_nor_told(
    hubs: list[Documents], grapevine: Any
) -> None:
    heard: list[str] = []
    grapevine.member().on("numbers", heard.append)
    kept = counting(hubs[0], grapevine.member())
    await kept.change(lambda there: there | {"a"})
    version = await hubs[1].version("numbers")
    await anyio.wait_all_tasks_blocked()
    assert heard == [version]
    assert await kept.change(lambda there: there) == {"a"}
    await anyio.wait_all_tasks_blocked()
    assert (heard, await hubs[1].version("numbers")) == ([version], version)


async def test_what_a_change_raises_is_passed_on_and_nothing_is_saved(
    hubs: list[Documents],
) -> None:
    kept = counting(hubs[0])

    def refuse(_there: frozenset[str]) -> frozenset[str]:
        raise Conflict("the name is taken")

    with pytest.raises(Conflict, match="the name is taken"):
        await kept.change(refuse)
    assert await hubs[1].version("numbers") is None
    assert await kept.change(lambda there: there | {"a"}) == {"a"}


async def test_what_is_none_of_ours_is_neither_taken_nor_overwritten(
    hubs: list[Documents],
) -> None:
    kept = counting(hubs[0])
    await kept.change(lambda there: there | {"a"})
    await hubs[1].save("numbers", {"odd": True}, await hubs[1].version("numbers"))
    with pytest.raises(Misconfigured, match="none of ours"):
        await kept.refresh()
    with pytest.raises(Unavailable, match="none of ours"):
        await kept.change(lambda there: there | {"b"})
    assert kept.value == {"a"}
    assert kept.away == "none of ours"
    assert (await hubs[2].load("numbers")).body == {"odd": True}
    await hubs[1].save("numbers", {"all": ["c"]}, await hubs[1].version("numbers"))
    assert await kept.change(lambda there: there | {"b"}) == {"b", "c"}
    assert kept.away is None
