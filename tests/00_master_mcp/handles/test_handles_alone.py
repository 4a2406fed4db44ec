"""The stage, what it hides and what it forgets, each alone."""

from dataclasses import replace
from typing import Any

import anyio
import pytest

from flotilla import InvalidArgument, Principal, RateLimited, Unavailable
from flotilla.context import Deadline
from flotilla.known_values import Known
from flotilla.redaction import Redactor
from master.audit.seam import Row
from master.call import Call
from master.entry import Entry, View
from master.handles.hidden_text import hidden_text
from master.handles.hiding import hidden_error, hidden_pieces
from master.handles.released import Released
from master.handles.resolving import Handles, may_hold_handle
from master.handles.spots import revealing_places
from master.result import Result
from master.rpc import RpcError, members
from master.stages.reveal import revealed
from master.streaming.splitter import Splitter

pytestmark = pytest.mark.anyio

HANDLE = "secret://AAAAAAAAAAAAAAAAAAAAAA"
VALUE = "value-of-a-secret"
SCHEMA = {
    "type": "object",
    "properties": {
        "password": {"type": "string", "x-flotilla-secret": True},
        "big": {"type": "integer"},
        "note": {"type": "string"},
        "logins": {"type": "array", "items": {"$ref": "#/$defs/login"}},
        "either": {
            "anyOf": [
                {"properties": {"kind": {"const": "text"}, "data": {"type": "string"}}},
                {
                    "properties": {
                        "kind": {"const": "secret"},
                        "data": {"type": "string", "x-flotilla-secret": True},
                    }
                },
            ]
        },
    },
    "$defs": {"login": {"properties": {"word": {"x-flotilla-secret": True}}}},
}
ENTRY = Entry("test.shop.use", "shop", {"name": "use", "inputSchema": SCHEMA})


class Store:
    """Stands for the way to the secrets spoke."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    async def run(self, service: str, name: str, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        self.asked.append(body)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {"value": answer, "path": "a/b", "version": 3}


class Book:
    def __init__(self) -> None:
        self.kept: list[Row] = []
        self.noted: list[Row] = []
        self.broken = False

    async def keep(self, row: Row) -> None:
        if self.broken:
            raise Unavailable("the disk is full")
        self.kept.append(row)

    def note(self, row: Row) -> None:
        self.noted.append(row)


class Desk:
    def __init__(self, *answers: Any, most_values: int = 2000) -> None:
        self.store, self.book = Store(*answers), Book()
        self.redactor = Redactor()
        self.released = Released(self.redactor, most_values)
        self.told: list[bool] = []
        self.changes = 0
        self.handles = Handles(
            self.store,  # pyright: ignore[reportArgumentType]
            self.released,
            self.book,  # pyright: ignore[reportArgumentType]
            telling=self._telling,
            changed=self._changed,
        )

    async def _telling(self) -> None:
        self.told.append(bool(self.released.known))

    def _changed(self) -> None:
        self.changes += 1


def call_of(text: str, entry: Entry = ENTRY) -> Call:
    return Call(
        principal=Principal("ann", ("operator",)),
        name="use",
        params={"name": '"use"', "arguments": text},
        arguments=members(text)[0],
        meta={},
        correlation_id="c",
        traceparent=None,
        view=View(),
        capabilities={},
        arrived=0.0,
        hearer=None,  # pyright: ignore[reportArgumentType]
        target=entry,
        deadline=Deadline.after(30),
    )


async def passed(desk: Desk, call: Call, times: int = 1) -> list[Call]:
    """What the service is sent, so many times."""
    seen: list[Call] = []

    async def send(call: Call) -> Result:
        seen.append(call)
        return Result({})

    async def again(call: Call) -> Result:
        for _ in range(times):
            result = await send(call)
        return result

    await revealed(again, desk.handles)(call)
    return seen


async def test_the_value_is_in_a_copy_alone_and_all_else_as_it_was_written() -> None:
    desk = Desk(VALUE)
    text = f'{{"note":"\\u00e9", "big":1180591620717411303424,"password":"{HANDLE}"}}'
    call = call_of(text)
    (sent,) = await passed(desk, call)
    assert sent.params["arguments"] == (
        f'{{"note":"\\u00e9","big":1180591620717411303424,"password":"{VALUE}"}}'
    )
    assert sent.arguments["password"] == VALUE
    assert call.params["arguments"] == text and call.arguments["password"] == HANDLE
    assert desk.store.asked == [{"handle": HANDLE, "tool": "test.shop.use", "principal": "ann"}]


async def test_what_is_tried_again_has_the_value_of_one_resolution() -> None:
    desk = Desk(VALUE)
    sent = await passed(desk, call_of(f'{{"password":"{HANDLE}"}}'), times=3)
    assert [call.arguments["password"] for call in sent] == [VALUE] * 3
    assert len(desk.store.asked) == 1


async def test_handles_deep_in_lists_and_escaped_are_found() -> None:
    desk = Desk(VALUE)
    slashed = HANDLE.replace("/", "\\/")
    text = f'{{"logins":[{{"word":"own"}},{{"word":"{slashed}","n":1}}],"password":"{HANDLE}"}}'
    (sent,) = await passed(desk, call_of(text))
    assert sent.arguments["logins"] == [{"word": "own"}, {"word": VALUE, "n": 1}]
    assert members(sent.params["arguments"])[0] == sent.arguments
    assert len(desk.store.asked) == 1


@pytest.mark.parametrize("text", [HANDLE, HANDLE.replace("/", "\\/"), "\\u0073ecret://x"])
def test_a_handle_may_be_in_a_text_however_it_is_escaped(text: str) -> None:
    assert may_hold_handle(f'{{"a":"{text}"}}')
    assert not may_hold_handle('{"a":"see https://x.org, 1/2, \\n"}')


@pytest.mark.parametrize(
    "text",
    [
        f'{{"note":"{HANDLE}"}}',
        f'{{"password":"x{HANDLE}"}}',
        f'{{"either":{{"kind":"text","data":"{HANDLE}"}}}}',
        '{"password":"plain"}',
        "{}",
    ],
)
async def test_what_is_no_secret_of_the_tool_goes_on_as_it_is(text: str) -> None:
    desk = Desk()
    call = call_of(text)
    assert await passed(desk, call) == [call]
    assert desk.store.asked == []


async def test_the_choice_that_a_value_makes_says_whether_it_is_secret() -> None:
    text = f'{{"either":{{"kind":"secret","data":"{HANDLE}"}}}}'
    (sent,) = await passed(Desk(VALUE), call_of(text))
    assert sent.arguments["either"]["data"] == VALUE


async def test_nothing_is_revealed_where_there_is_too_much_to_look_at() -> None:
    logins = ",".join(['{"word":"x"}'] * 11_000)
    call = call_of(f'{{"logins":[{logins}],"note":"{HANDLE}"}}')
    with pytest.raises(InvalidArgument, match="too many"):
        revealing_places(ENTRY, call.arguments)
    with pytest.raises(InvalidArgument, match="too many"):
        await passed(Desk(), call)


async def test_a_stranger_s_tool_is_given_no_value_whatever_its_schema_says() -> None:
    outside = replace(ENTRY, origin=replace(ENTRY.origin, external=True))
    call = call_of(f'{{"password":"{HANDLE}"}}', outside)
    assert await passed(Desk(), call) == [call]


async def test_the_value_is_hidden_and_written_down_before_it_goes_on() -> None:
    desk = Desk(VALUE)
    await passed(desk, call_of(f'{{"password":"{HANDLE}"}}'))
    assert desk.told == [True]
    assert desk.redactor.text(f"a {VALUE}") == "a [redacted]"
    (row,) = desk.book.kept
    assert (row.kind, row.outcome, row.principal) == ("secret", "ok", "ann")
    assert VALUE not in str(row) and HANDLE not in str(row)


async def test_a_value_whose_row_cannot_be_written_goes_nowhere() -> None:
    desk = Desk(VALUE)
    desk.book.broken = True
    with pytest.raises(Unavailable):
        await passed(desk, call_of(f'{{"password":"{HANDLE}"}}'))


async def test_a_refusal_is_written_down_with_its_reason() -> None:
    refusal = InvalidArgument("no", details={"reason": "handle_expired"})
    desk = Desk(refusal)
    with pytest.raises(InvalidArgument):
        await passed(desk, call_of(f'{{"password":"{HANDLE}"}}'))
    assert [row.outcome for row in desk.book.noted] == ["handle_expired"]


async def test_no_further_value_is_released_before_one_would_be_forgotten() -> None:
    desk = Desk(VALUE, most_values=2)
    desk.released.add(["first-secret-value", "other-secret-value"])
    with pytest.raises(RateLimited):
        await passed(desk, call_of(f'{{"password":"{HANDLE}"}}'))
    assert desk.store.asked == []


def test_values_are_known_as_long_as_they_were_last_released() -> None:
    now = [0.0]
    redactor = Redactor(clock=lambda: now[0])
    redactor.learn_for(["first-secret-value"], 10)
    now[0] = 6
    redactor.learn_for(["first-secret-value"], 10)
    now[0] = 12
    redactor.learn_for(["other-secret-value"], 10)
    assert redactor.text("first-secret-value") == "[redacted]"
    now[0] = 17
    redactor.learn_for(["third-secret-value"], 10)
    assert redactor.text("first-secret-value") == "first-secret-value"
    assert redactor.text("other-secret-value") == "[redacted]"


def test_texts_errors_and_pieces_are_hidden() -> None:
    known = Known([VALUE])
    assert hidden_text(f'["{VALUE}", 1e2]', known) == '["[redacted]", 1e2]'
    untouched = '["plain", 1e2]'
    assert hidden_text(untouched, known) is untouched
    error = hidden_error(RpcError(-1, f"no {VALUE}", {"said": [VALUE]}, status=404), known)
    assert (error.message, error.data) == ("no [redacted]", {"said": ["[redacted]"]})
    assert (error.code, error.status) == (-1, 404)


@pytest.mark.parametrize("size", [1000, 7000, 100_000])
async def test_an_answer_in_pieces_is_hidden_wherever_it_is_cut(size: int) -> None:
    large = "x" * 70_000 + VALUE + "y" * 70_000
    raw = f'{{"id":1,"result":{{"small":"{VALUE}","large":["{large}"]}}}}'.encode()

    async def pieces():
        splitter = Splitter()
        for at in range(0, len(raw), size):
            for piece in splitter.feed(raw[at : at + size]):
                yield piece

    with anyio.fail_after(20):
        told = [piece async for piece in hidden_pieces(pieces(), Known([VALUE]))]
    written = b"".join(getattr(piece, "data", b"") or getattr(piece, "text", b"") for piece in told)
    assert VALUE.encode() not in written
    assert written.count(b"[redacted]") == 2
    assert len(written) == len(f'1"[redacted]"["{large}"]') - len(VALUE) + len("[redacted]")


def test_what_a_service_tells_by_itself_is_hidden_too() -> None:
    released = Released(Redactor())
    told = {"data": f'"now {VALUE}"', "level": '"info"'}
    assert released.hidden(told) == told
    released.add([VALUE])
    assert released.hidden(told) == {"data": '"now [redacted]"', "level": '"info"'}
