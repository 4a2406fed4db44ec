"""A server that is away is answered for at once, and found as soon as it is back."""

import asyncio
import socket
from typing import Any

import anyio
import pytest

from flotilla.resilience import HealthCheck
from master.upstream.failure import judged
from master.upstream.transport.client import Unreachable
from tests.conftest import until

from .conftest import Reach, Reached, Trouble, call, timed

pytestmark = pytest.mark.anyio

AT_ONCE_S = 0.1
FOUND_S = 0.75
"""After its return; then it opens as it did at first, which is the server's own time."""
TROUBLES: tuple[Trouble, ...] = ("refused", "hole", "deaf", "garbage")
KINDS = ("modern", "handshake", "sse", "probing")
QUICKLY = {("modern", "hole"), ("handshake", "refused")}
"""What every run tries; all of it takes half a minute."""


def every_trouble() -> list[Any]:
    return [
        pytest.param(kind, trouble, marks=() if (kind, trouble) in QUICKLY else pytest.mark.real)
        for kind in KINDS
        for trouble in TROUBLES
    ]


async def told_at_once(far: Reached) -> Unreachable:
    """How a call ends. Other programs on this machine may hold up one of three, not all."""
    tries = [await timed(far.link.send(call())) for _ in range(3)]
    errors = [error for _, error in tries if isinstance(error, Unreachable)]
    assert len(errors) == len(tries), tries
    assert min(took_s for took_s, _ in tries) < AT_ONCE_S, tries
    return errors[0]


@pytest.mark.parametrize(("kind", "trouble"), every_trouble())
async def test_a_server_away_is_answered_for_at_once_and_found_when_it_is_back(
    reaching: Reach, kind: str, trouble: Trouble
) -> None:
    async with reaching(kind) as far:
        await far.gate.shut(trouble)
        await until(lambda: not far.link.connected, 5)
        error = await told_at_once(far)
        assert judged(error).kind == "not_sent"
        assert far.link.health.status == "unreachable"
        if trouble in ("hole", "garbage"):
            await until(lambda: far.gate.knocked >= 4)
        await far.gate.open()
        with anyio.fail_after(FOUND_S + 1.5 * far.opened_s):
            await far.link.up()
        answered = await far.link.send(call())
        assert "hello" in answered.texts["content"]
        assert far.link.health.status == "healthy"
        assert [each.partition(":")[0] for each in far.heard] == ["away", "back"]


async def test_a_name_without_an_address_is_away_as_any_other_and_found_when_it_has_one(
    reaching: Reach,
) -> None:
    known, asked = True, 0

    async def ask(host: str, port: int, **_: Any) -> Any:
        nonlocal asked
        asked += 1
        if not known:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    async with reaching("modern", host="localhost", ask=ask) as far:
        known, before = False, asked
        await far.gate.shut("refused")
        await until(lambda: not far.link.connected and asked > before)
        await told_at_once(far)
        await far.gate.open()
        before = asked
        await until(lambda: asked > before)
        assert not far.link.connected
        known = True
        with anyio.fail_after(FOUND_S + 1.5 * far.opened_s):
            await far.link.up()


async def test_many_calls_to_a_server_away_do_not_make_the_hub_look_more_often(
    reaching: Reach,
) -> None:
    async with reaching("modern") as far:
        await far.gate.shut("garbage")
        await until(lambda: not far.link.connected, 5)
        far.gate.knocked = 0
        started = asyncio.get_running_loop().time()
        for _ in range(5):
            took = await asyncio.gather(*(timed(far.link.send(call())) for _ in range(100)))
            assert all(isinstance(error, Unreachable) for _, error in took)
        looked_s = asyncio.get_running_loop().time() - started
        # Each attempt connects twice: for its lists and for its changes.
        assert far.gate.knocked <= 2 * (looked_s / 0.1 + 2)


async def test_a_stream_that_is_cut_is_taken_up_again_before_anybody_notices(
    reaching: Reach,
) -> None:
    async with reaching("modern", HealthCheck()) as far:
        stood_since = asyncio.get_running_loop().time()
        await until(lambda: asyncio.get_running_loop().time() - stood_since > 1.1)
        before = far.gate.knocked
        far.gate.cut()
        await until(lambda: far.gate.knocked > before)
        answered = await far.link.send(call())
        assert "hello" in answered.texts["content"]
        assert far.heard == []
        assert far.link.connected


@pytest.mark.real
@pytest.mark.parametrize("kind", ["modern", "handshake", "sse"])
async def test_connecting_again_and_again_leaves_nothing_behind(reaching: Reach, kind: str) -> None:
    async with reaching(kind, HealthCheck()) as far:
        offers = 0

        def offered(service: str, offer: Any) -> None:
            nonlocal offers
            offers += 1
            told(service, offer)

        told = far.links.offered
        far.links.offered = offered  # pyright: ignore[reportAttributeAccessIssue]
        counts: list[int] = []
        for _ in range(5):
            before = offers
            far.link.renew()
            await until(lambda before=before: offers > before)
            counts.append(_tasks_of_the_hub())
        assert max(counts[1:]) <= counts[0] + 2
        assert far.heard == []


def _tasks_of_the_hub() -> int:
    coroutines: list[Any] = [task.get_coro() for task in asyncio.all_tasks()]
    codes = [getattr(each, "cr_code", None) for each in coroutines]
    names = [code.co_filename for code in codes if code is not None]
    return sum("/master/" in name or name.endswith("asyncio/locks.py") for name in names)
