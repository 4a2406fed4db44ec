"""What the stage `resolve` makes of a call, above all of one that names another."""

import json
from collections.abc import AsyncIterator, Mapping

import pytest

from flotilla import InvalidArgument, NotFound, Principal, meta
from master import rpc
from master.call import Call
from master.catalogue import Catalogue, Origin, View
from master.offer import Offer
from master.profiles import CALL, FINDERS, Profile, Profiles
from master.result import Result
from master.stages.resolve import resolved
from master.streaming.splitter import Piece

pytestmark = pytest.mark.anyio


class Deaf:
    async def notify(self, method: str, params: Mapping[str, str]) -> None: ...
    async def report(self, progress: float, total: float | None, said: str | None) -> None: ...
    async def pause(self) -> None: ...
    async def pour(self, pieces: AsyncIterator[Piece]) -> bool:
        raise AssertionError("nothing is poured here")


@pytest.fixture
def catalogue() -> Catalogue:
    profiles = Profiles({"small": Profile(include=("os.files.read",))})
    made = Catalogue(
        {"master": Origin(frozenset(["master"])), "files": Origin(frozenset(["os.files"]))},
        profiles,
    )
    made.offer("master", Offer({"tools": tuple({"name": name} for name in FINDERS)}))
    slow = {"name": "os.files.pack", "_meta": {meta.LONG: True}}
    made.offer("files", Offer({"tools": ({"name": "os.files.read"}, slow)}))
    return made


def call(name: str, arguments: str | None, view: View | None = None, **params: str) -> Call:
    texts = params if arguments is None else {"arguments": arguments, **params}
    return Call(
        principal=Principal("ann"),
        name=name,
        params={"name": json.dumps(name), **texts},
        arguments={} if arguments is None else json.loads(arguments),
        meta={},
        correlation_id="c",
        traceparent=None,
        view=view or View(),
        capabilities={},
        arrived=0,
        hearer=Deaf(),
    )


async def passed_on(catalogue: Catalogue, call: Call) -> Call:
    """The call as the stages behind `resolve` see it."""
    seen: list[Call] = []

    async def inner(call: Call) -> Result:
        seen.append(call)
        return Result({})

    limits = {"master": (1.0, 2.0), "files": (30.0, 300.0)}
    await resolved(inner, catalogue, limits.__getitem__)(call)
    return seen[0]


async def test_the_inner_call_takes_the_place_of_the_outer_one(catalogue: Catalogue) -> None:
    wrapped = '{"name":"os_files_pack","arguments":{"path":"/tmp"}}'
    seen = await passed_on(catalogue, call(CALL, wrapped))
    assert seen.resolved().name == "os.files.pack"
    assert (seen.name, seen.arguments) == ("os_files_pack", {"path": "/tmp"})
    assert 290 < seen.due().remaining_s() <= 300, "the time is what the inner tool gets"


async def test_what_the_client_wrote_stays_to_the_letter(catalogue: Catalogue) -> None:
    inner = '{ "n": 1e2, "big": 123456789012345678901234567890, "n": 2 , "ü": "\\u00fc" }'
    wrapped = f'{{"arguments" : {inner} , "name":"os.files.read"}}'
    seen = await passed_on(catalogue, call(CALL, wrapped, requestState='"s"', _meta="{}"))
    assert seen.params["arguments"] == inner
    assert seen.params["requestState"] == '"s"', "a round of questions goes on"


@pytest.mark.parametrize("more", ["", ',"arguments":null'])
async def test_a_tool_without_arguments_needs_none(catalogue: Catalogue, more: str) -> None:
    seen = await passed_on(catalogue, call(CALL, f'{{"name":"os.files.read"{more}}}'))
    assert (seen.params["arguments"], seen.arguments) == ("{}", {})


async def test_the_second_round_of_a_call_that_was_unwrapped_is_the_inner_one(
    catalogue: Catalogue,
) -> None:
    seen = await passed_on(catalogue, call(CALL, '{"name":"os.files.read","arguments":{"a":1}}'))
    again = await passed_on(catalogue, seen)
    assert again.resolved().name == "os.files.read"
    assert again.params["arguments"] == '{"a":1}'


@pytest.mark.parametrize("name", [CALL, "master_tools_call"])
async def test_it_cannot_call_itself_nor_what_its_view_does_not_have(
    catalogue: Catalogue, name: str
) -> None:
    with pytest.raises(InvalidArgument, match="itself"):
        await passed_on(catalogue, call(name, f'{{"name":"{name}","arguments":{{"name":"x"}}}}'))
    small = View(profile="small")
    assert await passed_on(catalogue, call(name, '{"name":"os.files.read"}', small))
    with pytest.raises(NotFound, match="in profile 'small'"):
        await passed_on(catalogue, call(name, '{"name":"os.files.pack"}', small))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (None, "needs name"),
        ('{"arguments":{}}', "needs name"),
        ('{"name":null}', "needs name"),
        ('{"name":"x","arguments":"{}"}', "must be an object, not str"),
        ('{"name":"x","arguments":false}', "must be an object, not bool"),
        ('{"name":"x","argument":{}}', "not 'argument'"),
    ],
)
async def test_a_mistake_is_told_and_leaves_the_call_as_it_was(
    catalogue: Catalogue, given: str | None, told: str
) -> None:
    wrong = call(CALL, given)
    before = dict(wrong.params)
    with pytest.raises(InvalidArgument) as raised:
        await passed_on(catalogue, wrong)
    assert told in raised.value.message
    assert raised.value.hint
    assert (wrong.name, wrong.params) == (CALL, before)


async def test_a_direct_call_is_untouched(catalogue: Catalogue) -> None:
    direct = call("os.files.read", '{"name":"master.tools.call","arguments":{}}')
    texts = direct.params
    seen = await passed_on(catalogue, direct)
    assert seen.params is texts
    assert rpc.members(seen.params["arguments"])[0]["name"] == CALL
