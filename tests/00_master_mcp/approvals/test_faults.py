"""Hubs that stop, die or lose their database: nothing runs twice, nothing decided is lost."""

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from flotilla import Conflict, NotAllowed, NotFound, Principal, Unavailable
from flotilla.database.place import Place, read_place
from flotilla.json_text import from_json
from master import rpc
from master.approvals.digest import digest_of
from master.approvals.seam import Held
from master.call import Call
from master.database.opened import SCHEMA, open_database
from master.result import Result, of_json
from master.stages.unchanged import unchanged

from ...backends.postgres_server import Postgres
from ...conftest import until
from .conftest import APPROVER, ASKER, Clock, Hub, OpenHub, call_of, opener, place_in

pytestmark = pytest.mark.anyio

CALL = call_of()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return place_in(request, tmp_path)


DONE = of_json({"content": [], "isError": False})


async def asked(hub: Hub, **more: Any) -> Held:
    return await hub.service.ask(call_of(**more), "It writes a file.", four_eyes=False)


async def approve(hub: Hub, held: Held, way: Any = "cli") -> Held:
    by = ASKER if way == "elicitation" else APPROVER
    return await hub.service.answer(held.id, by=by, answer="approve", way=way, interactive=True)


async def state(hub: Hub, held: Held) -> str:
    return (await hub.service.get(held.id)).state


async def ended(hub: Hub, held: Held) -> dict[str, Any]:
    async def over() -> bool:
        return await state(hub, held) not in ("approved", "running")

    await until(over)
    found = await hub.service.get(held.id)
    assert found.result is not None
    return from_json(found.result.encode())


def error_of(result: dict[str, Any]) -> dict[str, Any]:
    assert result["isError"] is True
    return from_json(result["content"][0]["text"].encode())["error"]


def never_runs(hub: Hub) -> None:
    """The hub dies right after it has told of a decision."""
    hub.service.run = lambda record: None


async def test_what_waits_and_what_was_allowed_outlive_the_hub(open_hub: OpenHub) -> None:
    async with open_hub("one") as one:
        waits, allowed = await asked(one), await asked(one, arguments={"path": "/b"})
        await approve(one, allowed, "elicitation")
        assert await one.told() == ["asked", "asked", "approved"]
    async with open_hub("two") as two:
        assert (await two.service.begin(allowed.id, allowed.digest)).state == "running"
        await two.service.finish(allowed.id, DONE)
        await approve(two, waits)
        await ended(two, waits)
        assert [call.approval for call in two.ran] == [waits.id]


async def test_what_was_allowed_right_before_the_hub_died_runs_once_at_another(
    open_hub: OpenHub, clock: Clock
) -> None:
    async with open_hub("one") as one, open_hub("two") as two, open_hub("three") as three:
        never_runs(one)
        held = await asked(one)
        await approve(one, held)
        clock.on(seconds=14)
        await two.upkeep.turn()
        assert await state(two, held) == "approved", "its own hub may just be slow"
        clock.on(seconds=1)
        for hub in (two, three, two, three):
            await hub.upkeep.turn()
        await ended(two, held)
        assert len(two.ran) + len(three.ran) == 1 and one.ran == []
        told = [*await one.told(), *await two.told(), *await three.told()]
        assert sorted(told) == ["approved", "asked", "begun", "ended"], "nobody replayed anything"


async def test_what_was_allowed_too_long_ago_is_not_taken_up(
    open_hub: OpenHub, clock: Clock
) -> None:
    async with open_hub("one") as one, open_hub("two") as two:
        never_runs(one)
        held = await asked(one)
        await approve(one, held)
        clock.on(seconds=601)
        await two.upkeep.turn()
        assert await state(two, held) == "expired"
        assert two.ran == []


async def test_what_is_allowed_in_the_client_is_never_taken_up_by_a_hub(
    open_hub: OpenHub, clock: Clock
) -> None:
    async with open_hub("one") as one, open_hub("two") as two:
        held, other = await asked(one), await asked(one, arguments={"path": "/b"})
        await approve(one, held, "elicitation")
        never_runs(one)
        await approve(one, other)
        taken: list[str] = []
        two.service.run = lambda record: taken.append(record.held.id)
        clock.on(seconds=14)
        await two.upkeep.turn()
        assert taken == [], "its own hub may just be slow"
        clock.on(seconds=86)
        await two.upkeep.turn()
        assert taken == [other.id]
        assert await state(two, held) == "approved"


async def test_a_call_whose_hub_says_nothing_any_more_is_lost_and_not_before(
    open_hub: OpenHub, clock: Clock
) -> None:
    async with open_hub("one") as one, open_hub("two") as two:
        held = await asked(one)
        await approve(one, held, "elicitation")
        await one.service.begin(held.id, held.digest)
        clock.on(seconds=40)
        await one.upkeep.turn()
        clock.on(seconds=40)
        await two.upkeep.turn()
        assert await state(two, held) == "running", "its hub has just said that it lives"
        clock.on(seconds=20)
        await two.upkeep.turn()
        assert await state(two, held) == "lost"
        assert "lost" in await two.told()
        with pytest.raises(Conflict):
            await two.service.begin(held.id, held.digest)
        await one.upkeep.turn()
        assert await state(two, held) == "running", "it was only cut off"
        await one.service.finish(held.id, DONE)
        assert await state(two, held) == "done"


async def test_a_hub_that_stops_says_what_is_lost(open_hub: OpenHub) -> None:
    begun = anyio.Event()

    async def endless(call: Call) -> Result:
        begun.set()
        await anyio.sleep_forever()
        raise AssertionError

    async with open_hub("one") as one:
        one.runs.way = endless
        held = await asked(one)
        await approve(one, held)
        with anyio.fail_after(5):
            await begun.wait()
    assert one.book.outcomes[-1] == "lost"
    async with open_hub("two") as two:
        assert await state(two, held) == "lost"


async def test_a_hub_that_is_stopping_leaves_what_was_allowed_to_the_next(
    open_hub: OpenHub, clock: Clock
) -> None:
    async with open_hub("one") as one:
        held = await asked(one)
        await one.drain.close(0)
        await approve(one, held)
    assert one.ran == []
    clock.on(seconds=15)
    async with open_hub("two") as two:
        await two.upkeep.turn()
        await ended(two, held)
        assert len(two.ran) == 1


@asynccontextmanager
async def locked(hub: Hub, place: Place) -> AsyncGenerator[None]:
    """Somebody else holds the write lock."""
    if place.is_postgresql:
        other = open_database(place)
        async with other.opened(), other.write():
            yield
        return
    connection = sqlite3.connect(str(place.url.database), isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.rollback()
        connection.close()


async def test_nothing_is_asked_decided_or_begun_while_the_database_is_locked(
    open_hub: OpenHub, place: Place
) -> None:
    async with open_hub(lock_timeout_s=0.05) as hub:
        waits, allowed = await asked(hub), await asked(hub, arguments={"path": "/b"})
        await approve(hub, allowed, "elicitation")
        runs = await asked(hub, arguments={"path": "/c"})
        await approve(hub, runs, "elicitation")
        await hub.service.begin(runs.id, runs.digest)
        async with locked(hub, place):
            with pytest.raises(Unavailable):
                await asked(hub, arguments={"path": "/d"})
            with pytest.raises(Unavailable):
                await approve(hub, waits)
            with pytest.raises(Unavailable):
                await hub.service.begin(allowed.id, allowed.digest)
            await hub.service.finish(runs.id, DONE)
        assert hub.ran == []
        assert [await state(hub, each) for each in (waits, allowed, runs)] == [
            "pending",
            "approved",
            "running",
        ]
        await hub.upkeep.turn()
        assert await state(hub, runs) == "done", "its end was only written later"


@pytest.mark.real
async def test_nothing_runs_while_the_database_is_away(
    postgres: Postgres, emptied_url: str, tmp_path: Path, clock: Clock
) -> None:
    place = read_place(emptied_url, SCHEMA, "FLOTILLA_DATABASE_URL")
    async with opener(place, tmp_path, clock)() as hub:
        waits = await asked(hub)
        postgres.stop()
        try:
            for work in (
                hub.service.standing(CALL),
                asked(hub),
                approve(hub, waits),
                hub.service.begin(waits.id, waits.digest),
                hub.service.get(waits.id),
                hub.upkeep.turn(),
            ):
                with pytest.raises(Unavailable):
                    await work
        finally:
            postgres.start(again=True)
        assert hub.ran == []
        await approve(hub, waits)
        await ended(hub, waits)


async def test_what_the_audit_could_not_take_it_is_told_later_in_order(hub: Hub) -> None:
    hub.book.away = Unavailable("the disk is full")
    held = await asked(hub)
    await approve(hub, held, "elicitation")
    await hub.service.begin(held.id, held.digest)
    with pytest.raises(Unavailable):
        await hub.upkeep.deliver()
    assert hub.book.rows == []
    hub.book.away = None
    assert await hub.told() == ["asked", "approved", "begun"]
    assert await hub.told() == ["asked", "approved", "begun"], "once"
    row = hub.book.rows[1]
    assert (row.kind, row.principal, row.roles) == ("approval", ASKER.name, ASKER.roles)
    assert (row.approval, row.tool, row.service) == (held.id, held.tool, held.service)
    assert row.details["way"] == "elicitation"


async def test_a_refusal_stands_though_the_audit_is_away(hub: Hub) -> None:
    held = await asked(hub)
    hub.book.away = Unavailable("the disk is full")
    with pytest.raises(NotAllowed):
        await approve_own(hub, held)
    hub.book.away = None
    assert await state(hub, held) == "pending"


async def approve_own(hub: Hub, held: Held) -> None:
    await hub.service.answer(held.id, by=ASKER, answer="approve", way="cli", interactive=True)


async def test_what_a_dead_hub_has_not_told_the_audit_another_tells(
    open_hub: OpenHub, clock: Clock
) -> None:
    async with open_hub("one") as one, open_hub("two") as two:
        one.book.away = Unavailable("it is dying")
        await asked(one)
        assert await two.told() == [], "one may be about to tell it"
        clock.on(seconds=61)
        assert await two.told() == ["asked"]
        one.book.away = None
        assert await one.told() == []


async def test_a_principal_that_is_gone_runs_nothing_that_was_allowed(hub: Hub) -> None:
    hub.people[ASKER.name] = None
    held = await asked(hub)
    await approve(hub, held)
    error = error_of(await ended(hub, held))
    assert error["code"] == "not_allowed" and "no live credential" in error["message"]
    assert hub.ran == []


async def test_a_stored_call_runs_with_what_its_principal_may_do_by_now(hub: Hub) -> None:
    hub.people[ASKER.name] = Principal(ASKER.name, ("viewer",))
    held = await asked(hub)
    await approve(hub, held)
    await ended(hub, held)
    assert hub.ran[0].principal.roles == ("viewer",)


FAILURES: list[tuple[Exception, str]] = [
    (NotAllowed("no rule lets it"), "not_allowed"),
    (rpc.RpcError(-32602, "bad params"), "upstream_error"),
    (RuntimeError("a secret of ours"), "internal"),
]


async def test_how_a_stored_call_failed_is_kept(hub: Hub) -> None:
    for failure, code in FAILURES:

        async def failing(call: Call, failure: Exception = failure) -> Result:
            raise failure

        hub.runs.way = failing
        held = await asked(hub)
        await approve(hub, held)
        error = error_of(await ended(hub, held))
        assert error["code"] == code
        assert "secret of ours" not in str(error)
        assert (await hub.told())[-1] == "ended"
        assert hub.book.rows[-1].details["error"] == code


async def test_a_question_of_the_server_finds_nobody_and_ends_the_call(hub: Hub) -> None:
    hub.answer = Result({"resultType": '"input_required"', "inputRequests": "{}"})
    held = await asked(hub)
    await approve(hub, held)
    assert "nobody was there" in error_of(await ended(hub, held))["message"]


async def test_a_stored_call_that_is_another_by_now_does_not_run(hub: Hub) -> None:
    reached: list[Call] = []

    async def inner(call: Call) -> Result:
        reached.append(call)
        return DONE

    stage = unchanged(inner, {"a": digest_of(CALL)}.get)
    for approval, call in ((None, CALL), ("b", CALL), ("a", call_of({"path": "/other"}))):
        call.approval = approval
        with pytest.raises(NotAllowed) as caught:
            await stage(call)
        assert caught.value.details["reason"] == "approval_mismatch"
    assert reached == []
    CALL.approval = "a"
    assert await stage(CALL) is DONE
    CALL.approval = None


async def test_a_caller_that_gives_up_while_it_asks_leaves_the_database_whole(hub: Hub) -> None:
    for wait_s in (0, 0.001, 0.002, 0.004, 0.008):
        with anyio.move_on_after(wait_s):
            await asked(hub)
    held = await asked(hub)
    assert await state(hub, held) == "pending"
    assert len(await hub.service.page(limit=50)) == 1


async def test_a_table_that_somebody_emptied_says_unknown(hub: Hub, place: Place) -> None:
    held = await asked(hub)
    await approve(hub, held, "elicitation")
    await hub.service.begin(held.id, held.digest)
    async with hub.database.write() as connection:
        await connection.exec_driver_sql("DELETE FROM hub_approvals")
    await hub.service.finish(held.id, DONE)
    assert hub.service.running.ids == ()
    with pytest.raises(NotFound):
        await hub.service.get(held.id)
