"""A hub that stops while it tells the audit of its approvals."""

import anyio
import pytest

from master.approvals import upkeep
from master.audit.seam import Row

from .conftest import Hub, OpenHub, call_of

pytestmark = pytest.mark.anyio


class Kept:
    """Holds the book up once it has a row."""

    def __init__(self, hub: Hub) -> None:
        self._keep = hub.book.keep
        self.there = anyio.Event()
        self.going_on = anyio.Event()

    async def __call__(self, row: Row) -> None:
        await self._keep(row)
        self.there.set()
        await self.going_on.wait()


async def test_a_stop_in_between_tells_the_audit_nothing_twice(open_hub: OpenHub) -> None:
    async with open_hub(kept_up=False) as hub:
        hub.book.keep = kept = Kept(hub)
        await hub.service.ask(call_of(), "It writes a file.", four_eyes=False)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hub.upkeep.deliver)
            with anyio.fail_after(5):
                await kept.there.wait()
            tasks.cancel_scope.cancel()
            kept.going_on.set()
        assert await hub.told() == ["asked"]


async def test_an_audit_that_never_answers_holds_up_no_stop(
    open_hub: OpenHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_STOP_S", 0.05)
    async with open_hub(kept_up=False) as hub:
        hub.book.keep = kept = Kept(hub)
        await hub.service.ask(call_of(), "It writes a file.", four_eyes=False)
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(hub.upkeep.deliver)
                await kept.there.wait()
                tasks.cancel_scope.cancel()
