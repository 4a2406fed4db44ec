"""What the stage decides of a call by itself, over a real store."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from flotilla import (
    ApprovalRequired,
    Deadline,
    FlotillaError,
    NotAllowed,
    NotFound,
    RateLimited,
    Unavailable,
)
from flotilla.redaction import Redactor
from master.approvals.asking.fitting import Fits
from master.approvals.asking.preview import Previews
from master.approvals.asking.tickets import Tickets
from master.approvals.asking.used import UsedTickets
from master.approvals.sealing import open_sealing
from master.call import Call, Stage
from master.catalogue import Catalogue
from master.policy.seam import Verdict
from master.result import Result
from master.rpc import RpcError
from master.stages.approve import Asking, approved
from tests.backends.hub_tables import with_tables

from ...cache.calls import Server, call, entry
from ..conftest import OWNER, Clock, Hub, opener
from .asked import wiping, wiping_call

pytestmark = pytest.mark.anyio

FORM = {"elicitation": {}}
DONE = Result({"content": "[]", "isError": "false"})


@dataclass
class Bench:
    """The stage before a server."""

    hub: Hub
    clock: Clock
    server: Server
    stage: Stage
    asking: Asking

    async def asks(self, call: Call) -> str:
        """The JSON text of the state of the question that a call is answered with."""
        result = await self.stage(call)
        assert result.asks and not self.server.asked
        return result.texts["requestState"]

    def again(self, call: Call, state: str, decision: str = "allow_once") -> Call:
        answer = {"flotilla.approval": {"action": "accept", "content": {"decision": decision}}}
        more = {"requestState": state, "inputResponses": json.dumps(answer)}
        return replace(call, params={**call.params, **more})

    async def last(self) -> Any:
        (held,) = await self.hub.service.page(limit=1)
        return await self.hub.service.get(held.id)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncGenerator[Bench]:
    clock, server = Clock(), Server(lambda _: DONE)
    place = with_tables(tmp_path)
    async with opener(place, tmp_path, clock)(max_pending_each=3) as hub:
        asking = Asking(
            approvals=hub.service,
            tickets=Tickets(open_sealing(tmp_path), lambda: clock().timestamp()),
            used=UsedTickets(hub.database, clock),
            previews=Previews(Catalogue({})),
            fits=Fits(),
            audit=hub.book,
            redactor=Redactor(),
            most_minutes=60.0,
        )
        stage = approved(server, asking, approvals_off=False)
        yield Bench(hub, clock, server, stage, asking)


def asked(consent: Any = "usual", *, can: bool = True, **arguments: Any) -> Call:
    """A call of a tool that waits for a person, as the stage before has judged it."""
    made = wiping_call(**arguments)
    made.verdict = Verdict(allowed=True, consent=consent)
    made.capabilities = FORM if can else {}
    return made


async def test_what_waits_for_nobody_goes_straight_on(bench: Bench) -> None:
    reading = call(entry())
    assert await bench.stage(reading) is DONE
    assert (reading.approved, reading.approval) == (False, None)


async def test_where_the_rules_ask_nobody_the_spoke_hears_that_it_is_allowed(bench: Bench) -> None:
    trusted = asked("never")
    assert await bench.stage(trusted) is DONE
    assert (trusted.approved, trusted.approval) == (True, None)


async def test_with_approvals_off_everything_runs_unasked(bench: Bench) -> None:
    stage = approved(bench.server, bench.asking, approvals_off=True)
    for consent in ("usual", "always", "four_eyes"):
        given = asked(consent)
        assert await stage(given) is DONE
        assert given.approved
    assert await bench.hub.service.page(limit=1) == []


async def test_rules_may_ask_for_a_person_where_the_tool_does_not(bench: Bench) -> None:
    reading = replace(
        call(entry(), capabilities=FORM), verdict=Verdict(allowed=True, consent="always")
    )
    state = await bench.asks(reading)
    again = bench.again(reading, state)
    assert await bench.stage(again) is DONE
    assert again.approved and again.approval == (await bench.last()).id


async def test_where_two_people_are_asked_for_the_caller_is_not_one_of_them(bench: Bench) -> None:
    with pytest.raises(ApprovalRequired) as told:
        await bench.stage(asked("four_eyes"))
    assert told.value.details["fourEyes"] is True
    assert (await bench.last()).four_eyes
    # A question that was open when the rules changed is no way around them.
    state = await bench.asks(asked(disk="b"))
    with pytest.raises(ApprovalRequired):
        await bench.stage(bench.again(asked("four_eyes", disk="b"), state))
    assert not bench.server.asked


async def test_what_the_callers_person_allowed_for_a_while_is_not_two_people(bench: Bench) -> None:
    state = await bench.asks(asked())
    await bench.stage(bench.again(asked(), state, "allow_60_minutes"))
    assert await bench.stage(asked()) is DONE
    with pytest.raises(ApprovalRequired):
        await bench.stage(asked("four_eyes"))
    bench.clock.on(minutes=61)
    assert (await bench.stage(asked())).asks


async def test_only_what_the_operator_lets_people_allow_is_offered(bench: Bench) -> None:
    for most, offered in ((60.0, 4), (59.0, 3), (1.0, 2)):
        stage = approved(
            bench.server, replace(bench.asking, most_minutes=most), approvals_off=False
        )
        result = await stage(asked())
        question = json.loads(result.texts["inputRequests"])["flotilla.approval"]
        choices = question["params"]["requestedSchema"]["properties"]["decision"]
        assert len(choices["enum"]) == len(choices["enumNames"]) == offered
        assert {"allow_once", "deny"} <= set(choices["enum"])


async def test_only_tools_can_be_approved(bench: Bench) -> None:
    prompt = replace(asked("always"), method="prompts/get")
    with pytest.raises(NotAllowed):
        await bench.stage(prompt)


async def test_a_stored_call_was_approved_before(bench: Bench) -> None:
    stored = replace(asked(), approval="of-the-store")
    assert await bench.stage(stored) is DONE
    assert stored.approved and stored.approval == "of-the-store"


async def test_neither_the_question_nor_its_answer_goes_on_to_the_server(bench: Bench) -> None:
    given = asked()
    again = bench.again(given, await bench.asks(given))
    await bench.stage(again)
    (sent,) = bench.server.asked
    assert sent.params == given.params


async def test_the_time_that_a_call_has_begins_anew_when_it_may_run(bench: Bench) -> None:
    state = await bench.asks(asked())
    again = bench.again(asked(), state)
    again.deadline = Deadline.after(30)
    before = again.deadline.at
    await bench.stage(again)
    assert again.due().at > before


@pytest.mark.parametrize(
    "error", [NotFound("it is gone"), RpcError(-32000, "no"), RuntimeError("of our own")]
)
async def test_however_a_call_ends_its_approval_ends_with_it(
    bench: Bench, error: Exception
) -> None:
    state = await bench.asks(asked())
    bench.server.answer = raising(error)
    with pytest.raises(type(error)):
        await bench.stage(bench.again(asked(), state))
    held = await bench.last()
    assert held.state == "done" and '"isError":true' in (held.result or "")
    assert "of our own" not in (held.result or "")


def raising(error: Exception) -> Callable[[Call], Any]:
    def answer(_: Call) -> Any:
        raise error

    return answer


async def test_a_call_that_is_cancelled_while_it_runs_is_over(bench: Bench) -> None:
    begun = asyncio.Event()

    async def hang() -> Result:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    state = await bench.asks(asked())
    bench.server.answer = lambda _: hang()
    running = asyncio.create_task(bench.stage(bench.again(asked(), state)))
    await asyncio.wait_for(begun.wait(), 5)
    assert (await bench.last()).state == "running"
    running.cancel()
    await asyncio.wait({running})
    async with asyncio.timeout(5):
        while (await bench.last()).state != "done":
            await asyncio.sleep(0)
    assert "not known" in ((await bench.last()).result or "")


async def test_nothing_runs_while_the_database_is_away(bench: Bench) -> None:
    state = await bench.asks(asked())
    again = bench.again(asked(), state)

    async def away(*_: Any, **__: Any) -> Any:
        raise Unavailable("the hub's database is away")

    for method in ("standing", "get", "answer", "begin"):
        kept = getattr(bench.hub.service, method)
        setattr(bench.hub.service, method, away)
        with pytest.raises(Unavailable):
            await bench.stage(again if method != "standing" else asked())
        setattr(bench.hub.service, method, kept)
    assert not bench.server.asked


async def test_who_asks_for_too_much_is_stopped_before_people_are_asked(bench: Bench) -> None:
    for number in range(3):
        await bench.asks(asked(disk=str(number)))
    with pytest.raises(RateLimited):
        await bench.stage(asked(disk="one more"))


async def test_arguments_with_a_member_twice_are_no_question(bench: Bench) -> None:
    twice = wiping_call(wiping(), text='{"disk":"harmless","disk":"sda"}')
    twice.capabilities = FORM
    with pytest.raises(FlotillaError, match="twice"):
        await bench.stage(twice)


async def test_the_owner_decides_over_what_was_asked_at_the_client(bench: Bench) -> None:
    state = await bench.asks(asked())
    held = await bench.last()
    bench.hub.service.run = lambda _: None
    await bench.hub.service.answer(held.id, by=OWNER, answer="approve", way="cli", interactive=True)
    with pytest.raises(FlotillaError, match="approved elsewhere"):
        await bench.stage(bench.again(asked(), state))
    assert not bench.server.asked


@pytest.mark.parametrize("state", ['"tag-of-a-hub.0123"', '{"any":"value"}', None])
async def test_what_a_server_asks_comes_back_to_it_as_it_was(
    bench: Bench, state: str | None
) -> None:
    own = {} if state is None else {"requestState": state}
    asks = Result({"resultType": '"input_required"', "inputRequests": '{"k":{}}', **own})
    first = await bench.asks(asked())
    bench.server.answer = lambda _: asks
    result = await bench.stage(bench.again(asked(), first))
    assert result.texts["inputRequests"] == '{"k":{}}'
    bench.server.answer = lambda _: DONE
    ticket, answers = result.texts["requestState"], '{"k":{"action":"accept"}}'
    more = {"requestState": ticket, "inputResponses": answers}
    again = replace(asked(), params={**asked().params, **more})
    assert await bench.stage(again) is DONE
    sent = bench.server.asked[-1]
    assert sent.params.get("requestState") == state
    assert sent.params["inputResponses"] == answers
    assert sent.approved and sent.approval == (await bench.last()).id


async def test_a_round_that_comes_too_late_does_not_go_on(bench: Bench) -> None:
    asks = Result({"resultType": '"input_required"', "inputRequests": "{}"})
    first = await bench.asks(asked())
    bench.server.answer = lambda _: asks
    ticket = (await bench.stage(bench.again(asked(), first))).texts["requestState"]
    bench.clock.on(minutes=16)
    again = replace(asked(), params={**asked().params, "requestState": ticket})
    with pytest.raises(FlotillaError) as told:
        await bench.stage(again)
    assert told.value.details["reason"] == "approval_expired"
    assert len(bench.server.asked) == 1
    assert bench.hub.book.outcomes[-1] == "approval_expired"


async def test_a_round_of_what_was_allowed_for_a_while_ends_when_that_is_taken_back(
    bench: Bench,
) -> None:
    first = await bench.asks(asked())
    await bench.stage(bench.again(asked(), first, "allow_60_minutes"))
    bench.server.answer = lambda _: Result(
        {"resultType": '"input_required"', "inputRequests": "{}"}
    )
    ticket = (await bench.stage(asked())).texts["requestState"]
    held = await bench.last()
    await bench.hub.service.answer(held.id, by=OWNER, answer="deny", way="cli", interactive=True)
    again = replace(asked(), params={**asked().params, "requestState": ticket})
    with pytest.raises(FlotillaError) as told:
        await bench.stage(again)
    assert told.value.details["reason"] == "approval_expired"
