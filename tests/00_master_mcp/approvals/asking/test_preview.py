"""What is asked of a reading tool before a person is, and what is told when that fails."""

import asyncio
import json
from functools import partial
from typing import Any

import pytest

from flotilla import (
    Model,
    NotAllowed,
    Preview,
    Spoke,
    UpstreamError,
    destroys,
    meta,
    reads,
    writes,
)
from flotilla.names import BadName
from flotilla.redaction import Redactor
from flotilla.toolbox import Toolbox
from master.approvals.asking.preview import Previews, unasked
from master.approvals.asking.words import Previewed
from master.call import Call
from master.catalogue import Catalogue
from master.entry import Entry, Origin
from master.offer import Offer
from master.policy.seam import Verdict
from master.result import Result, of_json
from master.rpc import RpcError

from ...cache.calls import Server, call, entry
from .asked import wiping, wiping_call

pytestmark = pytest.mark.anyio

LOOK = "test.shop.look"
MARK = {"tool": LOOK, "taken": {"name": "disk", "where": "host"}, "fixed": {"deep": True}}


def offering(**listed: Any) -> Catalogue:
    catalogue = Catalogue({"shop": Origin(frozenset({"test.shop"}))})
    tool = {"name": LOOK, "annotations": {"readOnlyHint": True}, "inputSchema": {}, **listed}
    catalogue.offer("shop", Offer({"tools": (tool,)}))
    return catalogue


def marked(mark: Any = None) -> Entry:
    return wiping(marks={meta.PREVIEW: MARK if mark is None else mark})


async def seen(
    answer: Any, given: Call | None = None, catalogue: Catalogue | None = None
) -> tuple[Previewed | None, list[Call]]:
    """What the preview says, and the calls that it made for that."""
    server = Server(answer)
    previews = Previews(catalogue or offering(), limit_s=0.1)
    previews.way = server
    return await previews.of(given or wiping_call(marked())), server.asked


def said(_: Call) -> Result:
    return of_json({"structuredContent": {"files": 3}, "isError": False})


async def test_it_is_asked_as_whoever_asks_with_their_arguments_as_they_wrote_them() -> None:
    text = '{"disk": "sd\\u0061", "host" :"h", "password":"hunter2"}'
    given = wiping_call(marked(), text=text)
    preview, (asked,) = await seen(said, given)
    assert preview == Previewed(LOOK, '{\n  "files": 3\n}')
    assert asked.principal == given.principal and not asked.interactive
    assert asked.params["arguments"] == '{"name":"sd\\u0061","where":"h","deep":true}'
    assert asked.arguments == {"name": "sda", "where": "h", "deep": True}
    assert asked.approval is None and asked.correlation_id == given.correlation_id


async def test_what_is_left_out_of_the_call_is_left_out_of_the_preview() -> None:
    _, (asked,) = await seen(said, wiping_call(marked(), text="{}"))
    assert asked.arguments == {"deep": True}


async def test_secrets_are_no_part_of_it() -> None:
    mark = {"tool": LOOK, "taken": {"name": "password"}}
    _, (asked,) = await seen(said, wiping_call(marked(mark), password="secret://0"))
    assert asked.arguments == {}


async def test_a_tool_without_one_has_none() -> None:
    assert await seen(said, wiping_call()) == (None, [])
    assert await seen(said, wiping_call(marked("nonsense"))) == (None, [])


async def test_a_stranger_names_no_tool_to_call() -> None:
    stranger = wiping(Origin(external=True), marks={meta.PREVIEW: MARK})
    assert await seen(said, wiping_call(stranger)) == (None, [])


@pytest.mark.parametrize(
    "catalogue",
    [
        Catalogue({"shop": Origin(frozenset({"test.shop"}))}),
        offering(annotations={"readOnlyHint": False}),
        offering(name="test.shop.other"),
    ],
)
async def test_only_a_reading_tool_that_is_there_is_called(catalogue: Catalogue) -> None:
    preview, asked = await seen(said, catalogue=catalogue)
    assert preview == Previewed(LOOK, None, "there is no such tool just now")
    assert not asked


async def hang() -> Result:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


def raising(error: Exception) -> Any:
    def answer(_: Call) -> Result:
        raise error

    return answer


FAILED = {
    "content": [],
    "isError": True,
    "_meta": {meta.ERROR: {"code": "not_found", "message": "x"}},
}


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda _: hang(), "it took over 0.1 s"),
        (raising(UpstreamError("x")), "upstream_error"),
        (raising(RpcError(-1, "x")), "its server refused"),
        (lambda _: of_json(FAILED), "not_found"),
        (lambda _: Result({"resultType": '"input_required"'}), "it asks something itself"),
    ],
)
async def test_what_fails_is_said_and_hides_no_question(answer: Any, problem: str) -> None:
    preview, _ = await seen(answer)
    assert preview == Previewed(LOOK, None, problem)


async def test_texts_of_strangers_are_marked() -> None:
    def answer(_: Call) -> Result:
        content = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]
        return of_json({"content": content, "_meta": {meta.UNTRUSTED: True}})

    preview, _ = await seen(answer)
    assert preview == Previewed(LOOK, "a\nb", untrusted=True)


async def test_a_question_never_asks_another_one() -> None:
    server = Server(said)
    reading = call(entry())
    for consent, allowed in (("usual", True), ("always", False), ("four_eyes", False)):
        reading.verdict = Verdict(allowed=True, consent=consent)
        if allowed:
            await unasked(server)(reading)
            continue
        with pytest.raises(NotAllowed):
            await unasked(server)(reading)
    with pytest.raises(NotAllowed):
        await unasked(server)(call(entry(read_only=False)))
    assert json.loads((await unasked(server)(call(entry()))).texts["isError"]) is False


class Done(Model):
    ok: bool = True


async def act(name: str = "") -> Done:
    """Do it."""
    return Done()


def test_a_spoke_names_a_reading_tool_of_its_own_as_preview() -> None:
    preview = Preview(tool=LOOK, taken={"name": "name"})
    acting = destroys("test.shop.act", act, preview=preview, cost="3 EUR", risk="it runs as root")
    spoke = partial(Spoke, name="shop", version="1", instructions="x", namespaces=("test.shop",))
    for others in ((), (writes(LOOK, act),)):
        with pytest.raises(BadName, match="preview"):
            spoke(tools=(acting, *others))
    tools = spoke(tools=(acting, reads(LOOK, act))).tools
    marks = Toolbox(tools, Redactor()).listing()[0]["_meta"]
    assert marks[meta.PREVIEW] == {
        "tool": LOOK,
        "operation": "",
        "taken": {"name": "name"},
        "fixed": {},
    }
    assert (marks[meta.COST], marks[meta.RISK]) == ("3 EUR", "it runs as root")


def test_the_asker_is_a_parameter_of_an_operation_that_no_argument_fills() -> None:
    assert Preview(operation="foresee", asker="owner").mark()["asker"] == "owner"
    assert "asker" not in Preview(operation="foresee").mark()
    wrongs: tuple[dict[str, Any], ...] = (
        {"tool": LOOK, "asker": "owner"},
        {"operation": "foresee", "asker": "owner", "taken": {"owner": "name"}},
        {"operation": "foresee", "asker": "owner", "fixed": {"owner": 1}},
    )
    for wrong in wrongs:
        with pytest.raises(ValueError, match="asker"):
            Preview(**wrong)
