"""Log messages of servers: at the level that each client wants, to the one that called."""

from typing import Any

import anyio
import mcp_types as types
import pytest

from .house import House
from .raw import answer_of
from .ways import THROUGH, WAYS, Way

pytestmark = pytest.mark.anyio

SEVERE = ["error", "critical", "alert", "emergency"]
EVERY = ["debug", "info", "notice", "warning", *SEVERE]


class Log:
    def __init__(self) -> None:
        self.levels: list[str] = []

    async def note(self, params: types.LoggingMessageNotificationParams) -> None:
        self.levels.append(params.level)


async def set_level(client: Any, level: types.LoggingLevel) -> None:
    # The client's own method warns that the newer revision has none.
    asked = types.SetLevelRequest(params=types.SetLevelRequestParams(level=level))
    await client.session.send_request(asked, types.EmptyResult)


def wanted(way: Way, log: Log, level: str) -> dict[str, Any]:
    """The arguments of a client that wants that level; in the older era it says so later."""
    return {"logging_callback": log.note, **({"log_level": level} if way.modern else {})}


async def test_log_messages_come_at_the_level_that_was_asked_for(house: House, way: Way) -> None:
    log = Log()
    async with house.client(way, **wanted(way, log, "error")) as client:
        if not way.modern:
            await set_level(client, "error")
        await client.call_tool("test_logging_tool", {})
        if not way.modern:
            await client.call_tool("test_simple_text", {})
    assert log.levels == SEVERE


@pytest.mark.parametrize("way", THROUGH, ids=str)
async def test_the_level_of_one_client_is_not_that_of_another(house: House, way: Way) -> None:
    quiet, loud = Log(), Log()
    async with (
        house.client(way, **wanted(way, quiet, "emergency")) as first,
        house.client(way, **wanted(way, loud, "debug")) as second,
    ):
        if not way.modern:
            await set_level(first, "emergency")
            await set_level(second, "debug")
        for client in (first, second):
            await client.call_tool("test_logging_tool", {})
            await client.call_tool("test_simple_text", {})
    assert quiet.levels == ["emergency"]
    assert loud.levels == EVERY


@pytest.mark.parametrize("way", [way for way in THROUGH if not way.modern], ids=str)
async def test_who_has_set_no_level_hears_though_another_wants_next_to_nothing(
    house: House, way: Way
) -> None:
    quiet, usual = Log(), Log()
    async with (
        house.client(way, logging_callback=quiet.note) as first,
        house.client(way, logging_callback=usual.note) as second,
    ):
        await set_level(first, "emergency")
        await second.call_tool("test_logging_tool", {})
        await second.call_tool("test_simple_text", {})
    assert set(EVERY[1:]) <= set(usual.levels)


@pytest.mark.parametrize("way", [way for way in WAYS if way.modern], ids=str)
async def test_a_modern_client_that_asked_for_no_log_gets_none(house: House, way: Way) -> None:
    log = Log()
    async with house.client(way, logging_callback=log.note) as client:
        await client.call_tool("test_logging_tool", {})
    assert log.levels == []


@pytest.mark.parametrize("way", [way for way in THROUGH if way.south.transport != "sse"], ids=str)
async def test_a_log_message_reaches_the_caller_alone(house: House, way: Way) -> None:
    mine, others = Log(), Log()
    key = f"log {way}"
    async with (
        house.client(way, **wanted(way, mine, "debug")) as client,
        house.client(way, **wanted(way, others, "debug")) as other,
    ):
        if not way.modern:
            await set_level(client, "debug")
            await set_level(other, "debug")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other.call_tool, "wait_until_cancelled", {"key": key})
            await client.call_tool("has_started", {"key": key, "withinMs": 5000})
            await client.call_tool("test_logging_tool", {})
            await client.call_tool("test_simple_text", {})
            tasks.cancel_scope.cancel()
        await other.call_tool("was_cancelled", {"key": key, "withinMs": 3000})
    assert (mine.levels, others.levels) == (EVERY, [])


@pytest.mark.parametrize("way", [way for way in WAYS if not way.modern], ids=str)
async def test_a_level_that_does_not_exist_is_refused(house: House, way: Way) -> None:
    async with house.raw(way) as raw:
        answer = await answer_of(raw.send("logging/setLevel", level='"loud"'))
    assert b"-32602" in answer
