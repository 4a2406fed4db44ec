"""What everybody may rely on of approvals, whichever database keeps them."""

from collections import Counter
from itertools import product
from typing import Any

import anyio
import pytest

from flotilla import (
    ApprovalDenied,
    ApprovalRequired,
    Conflict,
    FlotillaError,
    InvalidArgument,
    NotAllowed,
    NotConfigured,
    NotFound,
    Principal,
    RateLimited,
)
from master.approvals.digest import digest_of
from master.approvals.seam import Held, Way
from master.result import of_json

from ...conftest import until
from .conftest import APPROVER, ASKER, OTHER, OWNER, Clock, Hub, OpenHub, call_of

pytestmark = pytest.mark.anyio

CALL = call_of()


async def ask(hub: Hub, **more: Any) -> Held:
    return await hub.service.ask(call_of(**more), "It writes a file.", four_eyes=False)


async def refusal(work: Any, kind: type[FlotillaError]) -> str:
    """The reason of a refusal."""
    with pytest.raises(kind) as caught:
        await work
    return str(caught.value.details.get("reason"))


async def by_elicitation(hub: Hub, held: Held, **more: Any) -> Held:
    known: dict[str, Any] = {"by": ASKER, "answer": "approve", "interactive": True, **more}
    return await hub.service.answer(held.id, way="elicitation", **known)


async def out_of_band(hub: Hub, held: Held, **more: Any) -> Held:
    known: dict[str, Any] = {"by": APPROVER, "answer": "approve", "interactive": True, **more}
    return await hub.service.answer(held.id, way=known.pop("way", "tool"), **known)


async def ended(hub: Hub, held: Held) -> Held:
    async def is_done() -> bool:
        return (await hub.service.get(held.id)).state == "done"

    await until(is_done)
    return await hub.service.get(held.id)


async def test_what_is_asked_waits_as_it_was_asked(hub: Hub, clock: Clock) -> None:
    held = await ask(hub)
    found = await hub.service.get(held.id)
    assert found == held
    assert (found.state, found.tool, found.service) == (
        "pending",
        "os.linux.writeFile",
        "linux_cli",
    )
    assert (found.principal, found.shown) == (ASKER, "It writes a file.")
    assert found.digest == digest_of(CALL)
    assert found.correlation_id == "first-correlation"
    assert (found.expires_at - clock.now).total_seconds() == 900
    assert await hub.told() == ["asked"]


async def test_the_same_call_that_waits_already_is_not_asked_twice(hub: Hub) -> None:
    first = await ask(hub)
    assert (await ask(hub)).id == first.id
    assert (await ask(hub, principal=OTHER)).id != first.id
    assert (await ask(hub, arguments={"path": "/etc/y"})).id != first.id
    assert (await hub.service.ask(CALL, "", four_eyes=True)).id != first.id
    assert (await ask(hub, interactive=False)).id != first.id


async def test_the_asker_s_own_person_allows_it_in_the_client_and_it_runs_once(hub: Hub) -> None:
    held = await ask(hub)
    decided = await by_elicitation(hub, held)
    assert (decided.state, decided.decided_by, decided.way) == (
        "approved",
        "operator-1",
        "elicitation",
    )
    assert (await hub.service.begin(held.id, held.digest)).state == "running"
    assert await refusal(hub.service.begin(held.id, held.digest), Conflict) == "approval_replayed"
    await hub.service.finish(held.id, of_json({"content": [], "isError": False}))
    done = await hub.service.get(held.id)
    assert (done.state, done.result) == ("done", '{"content":[],"isError":false}')
    assert await refusal(hub.service.begin(held.id, held.digest), Conflict) == "approval_replayed"
    assert hub.ran == [], "the client's own call is the one that runs"
    replayed = ["approval_replayed"] * 2
    assert Counter(await hub.told()) == Counter(["asked", "approved", "begun", "ended", *replayed])


async def test_what_is_allowed_out_of_band_runs_at_once_as_it_was_stored(hub: Hub) -> None:
    text = '{"path": "/etc/x", "size": 123456789012345678901234567890, "f": 1.50}'
    held = await ask(hub, arguments=text, requestState='"mine"', interactive=False)
    decided = await out_of_band(hub, held)
    assert (decided.state, decided.decided_by, decided.way) == ("approved", "ada", "tool")
    done = await ended(hub, held)
    (ran,) = hub.ran
    assert ran.params == {"arguments": text}, "byte for byte, and nothing of how it was asked"
    assert (ran.principal, ran.approval, ran.name) == (ASKER, held.id, "os.linux.writeFile")
    assert (ran.capabilities, ran.deadline, ran.interactive) == ({}, None, False)
    assert done.run_id == ran.correlation_id != held.correlation_id
    assert digest_of(ran_as(ran)) == held.digest
    assert await refusal(hub.service.begin(held.id, held.digest), Conflict) == "approval_replayed"


def ran_as(call: Any) -> Any:
    call.target = CALL.target
    return call


async def test_nobody_decides_over_a_call_of_their_own_from_outside(hub: Hub) -> None:
    held = await ask(hub)
    other_token = Principal(ASKER.name, ("admin", "approver"))
    ways: tuple[Way, ...] = ("tool", "cli", "console")
    for by, way, answer in product((ASKER, other_token), ways, ("approve", "deny")):
        why = await refusal(out_of_band(hub, held, by=by, way=way, answer=answer), NotAllowed)
        assert why == "self_approval", (by, way, answer)
    assert (await hub.service.get(held.id)).state == "pending"
    assert hub.ran == []
    assert (await hub.told()).count("self_approval") == 12


MAY_NOT: list[tuple[dict[str, Any], str]] = [
    ({"by": OTHER}, "not_an_approver"),
    ({"by": Principal("x", ())}, "not_an_approver"),
    ({"by": Principal("owner-2", ("owner",))}, "not_an_approver"),
    ({"interactive": False}, "not_interactive"),
    ({"by": APPROVER, "way": "elicitation"}, "not_an_approver"),
    ({"by": ASKER, "way": "elicitation", "interactive": False}, "not_interactive"),
]


async def test_who_may_not_decide_is_told_why_and_the_audit_too(hub: Hub) -> None:
    held = await ask(hub)
    for more, reason in MAY_NOT:
        assert await refusal(out_of_band(hub, held, **more), NotAllowed) == reason, more
        row = hub.book.rows[-1] if hub.book.rows[-1].outcome != "asked" else hub.book.rows[-2]
        assert (row.kind, row.outcome, row.approval) == ("approval", reason, held.id)
        assert (row.principal, row.tool) == (more.get("by", APPROVER).name, held.tool)
    assert (await hub.service.get(held.id)).state == "pending"
    assert hub.ran == []


async def test_four_eyes_are_never_those_of_the_asker(hub: Hub) -> None:
    held = await hub.service.ask(CALL, "", four_eyes=True)
    assert await refusal(by_elicitation(hub, held), NotAllowed) == "self_approval"
    await out_of_band(hub, held)
    await ended(hub, held)


async def test_the_owner_decides_without_any_role_of_the_hub(hub: Hub) -> None:
    held = await ask(hub)
    await out_of_band(hub, held, by=OWNER, way="cli")
    await ended(hub, held)


async def test_what_is_denied_does_not_run_and_says_why(hub: Hub) -> None:
    held = await ask(hub)
    denied = await out_of_band(hub, held, answer="deny", reason="not on a Friday")
    assert (denied.state, denied.reason) == ("denied", "not on a Friday")
    with pytest.raises(ApprovalDenied, match="not on a Friday"):
        await hub.service.begin(held.id, held.digest)
    assert (await ask(hub)).id != held.id, "it may be asked anew"
    assert hub.ran == []


async def test_a_second_decision_changes_nothing(hub: Hub) -> None:
    for first in ("approve", "deny"):
        held = await ask(hub)
        await by_elicitation(hub, held, answer=first)
        for second in ("approve", "deny"):
            again = out_of_band(hub, held, answer=second)
            assert await refusal(again, Conflict) == "already_decided"
            again = by_elicitation(hub, held, answer=second)
            assert await refusal(again, Conflict) == "already_decided"
        found = await hub.service.get(held.id)
        assert found.state == {"approve": "approved", "deny": "denied"}[first]
        assert found.decided_by == ASKER.name
    assert hub.ran == []


async def test_a_call_with_other_arguments_cannot_use_it(hub: Hub) -> None:
    held = await ask(hub)
    await by_elicitation(hub, held)
    swapped = digest_of(call_of({"path": "/etc/shadow"}))
    assert await refusal(hub.service.begin(held.id, swapped), NotAllowed) == "approval_mismatch"
    assert (await hub.service.begin(held.id, held.digest)).state == "running"


async def test_a_call_cannot_begin_before_it_was_decided(hub: Hub) -> None:
    held = await ask(hub)
    with pytest.raises(ApprovalRequired):
        await hub.service.begin(held.id, held.digest)


async def test_there_is_a_time_to_decide_and_one_to_use(hub: Hub, clock: Clock) -> None:
    late, unused = await ask(hub), await ask(hub, principal=OTHER)
    clock.on(seconds=899)
    await by_elicitation(hub, unused, by=OTHER)
    clock.on(seconds=1)
    assert await refusal(by_elicitation(hub, late), Conflict) == "approval_expired"
    assert await refusal(out_of_band(hub, late), Conflict) == "approval_expired"
    clock.on(seconds=599)
    why = await refusal(hub.service.begin(unused.id, unused.digest), Conflict)
    assert why == "approval_expired"
    await hub.upkeep.turn()
    for held in (late, unused):
        assert (await hub.service.get(held.id)).state == "expired"
        why = await refusal(hub.service.begin(held.id, held.digest), Conflict)
        assert why == "approval_expired"
    assert (await hub.told()).count("expired") == 2
    assert (await ask(hub)).id != late.id


async def test_what_was_never_asked_is_unknown_everywhere(hub: Hub) -> None:
    nothing = await ask(hub)
    for work in (
        hub.service.get("no-such"),
        hub.service.begin("no-such", nothing.digest),
        hub.service.answer("no-such", by=APPROVER, answer="approve", way="tool", interactive=True),
    ):
        assert await refusal(work, NotFound) == "approval_unknown"
    assert (await hub.told()).count("approval_unknown") == 2


async def test_an_exact_call_may_be_allowed_for_a_while(hub: Hub, clock: Clock) -> None:
    held = await ask(hub)
    assert await hub.service.standing(CALL) is None
    await by_elicitation(hub, held, for_minutes=60)
    await hub.service.begin(held.id, held.digest)
    await hub.service.finish(held.id, of_json({"content": []}))
    clock.on(minutes=59)
    found = await hub.service.standing(CALL)
    assert found is not None and found.id == held.id
    assert await hub.service.standing(call_of({"path": "/etc/y"})) is None
    assert await hub.service.standing(call_of(principal=OTHER)) is None
    four_eyes = call_of(consent="four_eyes")
    assert await hub.service.standing(four_eyes) is None, "its own person is not enough"
    clock.on(minutes=1)
    assert await hub.service.standing(CALL) is None
    assert (await hub.told()).count("standing_used") == 1


async def test_what_another_person_allowed_for_a_while_counts_for_four_eyes(hub: Hub) -> None:
    held = await hub.service.ask(CALL, "", four_eyes=True)
    await out_of_band(hub, held, for_minutes=5)
    await ended(hub, held)
    assert await hub.service.standing(call_of(consent="four_eyes")) is not None


async def test_what_is_allowed_for_a_while_can_be_ended(hub: Hub) -> None:
    held = await ask(hub)
    await by_elicitation(hub, held, for_minutes=60)
    await hub.service.begin(held.id, held.digest)
    why = await refusal(out_of_band(hub, held, by=OTHER, answer="deny"), NotAllowed)
    assert why == "not_an_approver"
    await out_of_band(hub, held, answer="deny")
    assert await hub.service.standing(CALL) is None
    assert await refusal(out_of_band(hub, held, answer="deny"), Conflict) == "already_decided"
    assert "withdrawn" in await hub.told()


async def test_no_while_is_endless(hub: Hub) -> None:
    held = await ask(hub)
    for minutes in (0, -1, 480.5, float("nan"), float("inf")):
        with pytest.raises(InvalidArgument, match="forMinutes"):
            await by_elicitation(hub, held, for_minutes=minutes)
    with pytest.raises(InvalidArgument, match="forMinutes"):
        await by_elicitation(hub, held, answer="deny", for_minutes=5)
    assert (await hub.service.get(held.id)).state == "pending"


async def test_a_flood_of_one_principal_leaves_room_for_the_others(open_hub: OpenHub) -> None:
    async with open_hub(max_pending_each=3, max_pending=5, max_asked_per_minute=100) as hub:
        for number in range(3):
            await ask(hub, arguments={"path": f"/{number}"})
        with pytest.raises(RateLimited) as caught:
            await ask(hub, arguments={"path": "/more"})
        assert caught.value.details["reason"] == "too_many_pending"
        assert await ask(hub, arguments={"path": "/0"}), "what waits already is told again"
        for number in range(2):
            await ask(hub, arguments={"path": f"/{number}"}, principal=OTHER)
        third = Principal("third")
        assert await refusal(ask(hub, principal=third), RateLimited) == "too_many_pending"
        assert (await hub.told()).count("too_many_pending") == 2


async def test_who_asks_and_is_denied_again_and_again_must_slow_down(
    open_hub: OpenHub, clock: Clock
) -> None:
    async with open_hub(max_asked_per_minute=5) as hub:
        for number in range(5):
            held = await ask(hub, arguments={"path": f"/{number}"})
            await out_of_band(hub, held, answer="deny")
        assert await refusal(ask(hub), RateLimited) == "too_many_pending"
        clock.on(seconds=61)
        await ask(hub)


async def test_large_calls_of_one_principal_are_bounded_together(hub: Hub) -> None:
    large = "x" * 4_000_000
    for number in range(2):
        await ask(hub, arguments={"path": f"{number}{large}"})
    held = await ask(hub, arguments={"path": f"2{large}"}, principal=OTHER)
    assert len(str(held.arguments)) < 5000
    assert "4000001 characters" in str(held.arguments)
    with pytest.raises(RateLimited):
        for number in range(2, 5):
            await ask(hub, arguments={"path": f"{number}{large}"})


async def test_no_secret_lies_readable_in_the_database(hub: Hub) -> None:
    literal = call_of({"path": "/etc/hunter2-canary", "token": "t0p-secret-canary"})
    handle = call_of({"path": "/x", "token": "secret://abc"})
    shown = [await hub.service.ask(each, "", four_eyes=False) for each in (literal, handle)]
    assert shown[0].arguments == {"path": "/etc/[redacted]", "token": "(secret)"}
    assert shown[1].arguments == {"path": "/x", "token": "secret://abc"}
    hub.answer = of_json({"content": [{"type": "text", "text": "said hunter2-canary"}]})
    await out_of_band(hub, shown[0])
    done = await ended(hub, shown[0])
    assert hub.ran[0].arguments["token"] == "t0p-secret-canary", "the call itself is whole"
    assert done.result is not None and "canary" not in done.result
    async with hub.database.read() as connection:
        for table in ("hub_approvals", "hub_approval_news"):
            rows = (await connection.exec_driver_sql(f"SELECT * FROM {table}")).all()
            assert "canary" not in str(rows)


async def test_a_hub_with_another_key_decides_nothing_it_cannot_run(
    open_hub: OpenHub, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    async with open_hub("one") as one, open_hub("two", key_in=elsewhere) as two:
        held = await ask(one)
        with pytest.raises(NotConfigured, match="cannot read"):
            await out_of_band(two, held)
        assert (await one.service.get(held.id)).state == "pending"
        await out_of_band(one, held)
        await ended(one, held)
        assert (await two.service.get(held.id)).result is None


async def test_of_200_decisions_at_two_hubs_exactly_one_wins(open_hub: OpenHub) -> None:
    outcomes: Counter[str] = Counter()
    async with open_hub("one") as one, open_hub("two") as two:
        held = await ask(one)

        async def decide(number: int) -> None:
            hub, answer = (one, two)[number % 2], ("approve", "deny")[number // 2 % 2]
            try:
                await out_of_band(hub, held, answer=answer)
                outcomes[f"won {answer}"] += 1
            except Conflict as error:
                outcomes[str(error.details["reason"])] += 1

        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for number in range(200):
                    tasks.start_soon(decide, number)
        assert outcomes.pop("already_decided") == 199
        ((won, times),) = outcomes.items()
        assert times == 1
        if won == "won approve":
            await ended(one, held)
        assert len(one.ran) + len(two.ran) == (won == "won approve")
        told = Counter([*await one.told(), *await two.told()])
        assert told["already_decided"] == 199
        assert told["approved"] + told["denied"] == 1


async def test_a_call_that_waits_in_its_client_and_is_allowed_elsewhere_runs_once(
    open_hub: OpenHub,
) -> None:
    async with open_hub("one") as one, open_hub("two") as two:
        for number in range(10):
            held = await ask(one, arguments={"path": f"/{number}"})
            begun: list[str] = []

            async def use(hub: Hub, held: Held = held, begun: list[str] = begun) -> None:
                with anyio.fail_after(10):
                    while True:
                        try:
                            await hub.service.begin(held.id, held.digest)
                        except ApprovalRequired:
                            await anyio.sleep(0.001)
                            continue
                        except Conflict:
                            return
                        begun.append("client")
                        await hub.service.finish(held.id, of_json({"content": []}))
                        return

            before = len(two.ran)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(use, one)
                tasks.start_soon(out_of_band, two, held)
            await ended(one, held)
            assert len(begun) + len(two.ran) - before == 1


async def test_pages_tell_each_approval_once_the_latest_first(hub: Hub, clock: Clock) -> None:
    made: list[str] = []
    for number in range(7):
        made.append((await ask(hub, arguments={"path": f"/{number}"})).id)
        clock.on(seconds=number % 2)
    seen: list[str] = []
    before = None
    while page := await hub.service.page(limit=2, before=before):
        seen += [each.id for each in page]
        before = page[-1].place
    assert sorted(seen) == sorted(made) and len(set(seen)) == 7
    assert seen[0] == made[-1]
    assert await hub.service.page(principal="nobody", limit=5) == []
    assert await hub.service.page(states=["denied"], limit=5) == []
    assert len(await hub.service.page(tool="os.linux.writeFile", limit=50)) == 7


async def test_results_are_forgotten_after_a_day_and_approvals_after_a_month(
    hub: Hub, clock: Clock
) -> None:
    held = await ask(hub)
    await out_of_band(hub, held)
    assert (await ended(hub, held)).result is not None
    clock.on(hours=23.9)
    await hub.upkeep.turn(forget=True)
    assert (await hub.service.get(held.id)).result is not None
    clock.on(hours=0.2)
    await hub.upkeep.turn(forget=True)
    found = await hub.service.get(held.id)
    assert (found.state, found.result) == ("done", None)
    clock.on(days=29)
    await hub.upkeep.turn(forget=True)
    assert await refusal(hub.service.get(held.id), NotFound) == "approval_unknown"
