"""What a hub that has just started shows while it does not know yet what it must hide."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs

from flotilla import Spoke, Unavailable
from flotilla.fleet import HUB
from flotilla.redaction import Redactor
from master.call import Call
from master.handles import courier
from master.handles.courier import Courier
from master.handles.released import Released
from master.handles.resolving import SECRETS
from master.result import Result
from master.stages.hide import hidden
from tests.conftest import plain_http, until

from .shop import CORE, VALUE, House, open_house, said, secrets_in
from .test_handles_alone import call_of

pytestmark = pytest.mark.anyio

LONG_S = 300.0
"""No test waits for it."""


async def waits_to_hide(house: House) -> bool:
    async with httpx2.AsyncClient(verify=plain_http()) as http:
        answer = await http.get(f"{house.fleet.url}/ready")
    return answer.status_code == 503 and "what to hide" in answer.text


def telling_after(told: asyncio.Event, spoke: Spoke) -> Spoke:
    """The secrets spoke that says only then what was released."""

    def late(run: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
        async def later(asked: Any) -> Any:
            await told.wait()
            return await run(asked)

        return later

    operations = [
        replace(each, run=late(each.run)) if each.name == "released" else each
        for each in spoke.operations
    ]
    return replace(spoke, operations=tuple(operations))


async def test_while_the_secrets_spoke_takes_its_time_the_hub_shows_nothing(
    start_fleet, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(courier, "HOLD_S", LONG_S)
    may_tell = asyncio.Event()
    async with open_house(start_fleet, tmp_path) as house:
        await house.release()
        await house.fleet.stop(HUB)
        await house.fleet.stop(SECRETS)
        await house.fleet.start_spoke(telling_after(may_tell, secrets_in(tmp_path)))
        await house.start_hub()
        await until(lambda: waits_to_hide(house))
        async with house.fleet.client() as client:
            calling = asyncio.create_task(client.call_tool("test.shop.readBack", {}))
            for _ in range(20):
                assert await waits_to_hide(house)
            assert not calling.done()
            may_tell.set()
            shown = said(await calling)
        await house.fleet.ready()
    assert CORE not in shown and "[redacted]" in shown


async def test_without_the_secrets_spoke_calls_wait_for_a_while_and_the_log_warns(
    start_fleet, tmp_path, monkeypatch
) -> None:
    async with open_house(start_fleet, tmp_path) as house:
        await house.release()
        await house.fleet.stop(HUB)
        await house.fleet.stop(SECRETS)
        monkeypatch.setattr(courier, "HOLD_S", 0.1)
        with capture_logs() as lines:
            await house.start_hub()
            await house.fleet.ready([SECRETS])
            await house.read_back()
        (warned,) = [each for each in lines if each["event"] == "released_secrets_not_hidden"]
        assert warned["log_level"] == "warning"

        monkeypatch.setattr(courier, "HOLD_S", LONG_S)
        await house.fleet.start_spoke(secrets_in(tmp_path))
        await house.fleet.ready()
        shown = await house.read_back()
    assert CORE not in shown and "[redacted]" in shown


async def test_no_call_goes_on_before_it_is_known_what_to_hide() -> None:
    released, began = Released(Redactor()), asyncio.Event()

    async def shows(call: Call) -> Result:
        began.set()
        return Result({"text": json.dumps(VALUE)})

    released.whole.clear()
    calling = asyncio.create_task(hidden(shows, released)(call_of("{}")))
    await asyncio.sleep(0)
    assert not began.is_set()
    released.add([VALUE])
    released.whole.set()
    assert (await calling).texts == {"text": '"[redacted]"'}


class Operations:
    """A secrets spoke that tells at the third try, and a shop that never says what it needs."""

    def __init__(self) -> None:
        self.asked = 0
        self.waiting = asyncio.Event()

    async def run(self, service: str, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        if service != SECRETS:
            self.waiting.set()
            await asyncio.Event().wait()
        self.asked += 1
        if self.asked < 3:
            raise Unavailable("it is sealed")
        return {"values": [VALUE]}


class News:
    def on(self, topic: str, hear: Callable[[str], None]) -> None: ...

    def on_return(self, hear: Callable[[], None]) -> None: ...


async def test_what_was_released_is_asked_for_until_it_is_told_whoever_else_is_waited_for(
    monkeypatch,
) -> None:
    monkeypatch.setattr(courier, "HOLD_S", LONG_S)
    operations, released = Operations(), Released(Redactor())
    brings = Courier(operations, released, None, News(), ("shop", SECRETS))  # pyright: ignore[reportArgumentType]
    async with brings.running():
        brings.connected("shop")
        await asyncio.wait_for(operations.waiting.wait(), 10)
        assert operations.asked == 1 and not released.whole.is_set()
        brings.connected(SECRETS)
        await until(released.whole.is_set)
    assert operations.asked == 3 and released.known
