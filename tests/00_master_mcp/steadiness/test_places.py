"""The places of a service: first come, first served, and nobody has more than their share."""

import asyncio
from collections.abc import Sequence

import pytest

from flotilla import Deadline, RateLimited, TimedOut
from flotilla.resilience import Places as Limits
from master.steadiness.places import Places

pytestmark = pytest.mark.anyio


def places(calls: int = 4, waiting: int = 4, wait_s: float = 5, share: float = 1) -> Places:
    return Places("lab", Limits(calls=calls, waiting=waiting, wait_s=wait_s, share=share))


def fill(some: Places, principals: Sequence[str]) -> None:
    for principal in principals:
        assert some.take(principal)


async def queued(some: Places, principal: str, deadline_s: float = 5) -> asyncio.Task[None]:
    """A call that waits in the queue now."""
    before = some.waiting
    task = asyncio.create_task(some.wait(principal, Deadline.after(deadline_s)))
    await asyncio.sleep(0)
    assert some.waiting == before + 1
    return task


async def test_places_run_out_and_come_back() -> None:
    some = places(calls=2)
    fill(some, ["ann", "bob"])
    assert not some.take("cid")
    some.leave("ann")
    assert some.take("cid")
    assert some.in_flight == 2


async def test_who_waits_longest_is_next() -> None:
    some = places(calls=1)
    fill(some, ["ann"])
    first, second = await queued(some, "bob"), await queued(some, "cid")
    some.leave("ann")
    await first
    assert not second.done()
    some.leave("bob")
    await second
    assert (some.in_flight, some.waiting) == (1, 0)


async def test_nobody_has_more_than_their_share_of_the_places() -> None:
    some = places(calls=4, share=0.75)
    fill(some, ["ann", "ann", "ann"])
    assert not some.take("ann")
    assert some.take("bob")


async def test_a_place_goes_past_whoever_has_their_share() -> None:
    some = places(calls=4, share=0.5)
    fill(some, ["ann", "ann", "bob", "bob"])
    ann, cid = await queued(some, "ann"), await queued(some, "cid")
    some.leave("bob")
    await cid
    assert not ann.done()
    some.leave("ann")
    await ann


async def test_nobody_has_more_than_their_share_of_the_queue() -> None:
    some = places(calls=1, waiting=4, share=0.5)
    fill(some, ["ann"])
    waiting = [await queued(some, "ann"), await queued(some, "ann")]
    with pytest.raises(RateLimited):
        await some.wait("ann", Deadline.after(5))
    waiting.append(await queued(some, "bob"))
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert some.waiting == 0


async def test_a_full_queue_is_told_at_once_with_the_time_to_wait() -> None:
    some = places(calls=1, waiting=0, wait_s=2)
    fill(some, ["ann"])
    with pytest.raises(RateLimited, match="1 calls at work and 0 waiting") as told:
        await asyncio.wait_for(some.wait("bob", Deadline.after(5)), 0.5)
    assert told.value.details == {"retryAfterMs": 2000}


async def test_a_wait_ends_with_its_own_time_or_with_the_deadline() -> None:
    some = places(calls=1, wait_s=0.01)
    fill(some, ["ann"])
    with pytest.raises(RateLimited):
        await some.wait("bob", Deadline.after(5))
    patient = places(calls=1, wait_s=5)
    fill(patient, ["ann"])
    with pytest.raises(TimedOut):
        await patient.wait("bob", Deadline.after(0.01))
    assert some.waiting == patient.waiting == 0


async def test_who_hangs_up_in_the_queue_leaves_it() -> None:
    some = places(calls=1)
    fill(some, ["ann"])
    task = await queued(some, "bob")
    task.cancel()
    await asyncio.wait({task})
    some.leave("ann")
    assert (some.in_flight, some.waiting) == (0, 0)


async def test_who_hangs_up_as_the_place_comes_gives_it_back() -> None:
    some = places(calls=1)
    fill(some, ["ann"])
    task = await queued(some, "bob")
    some.leave("ann")
    task.cancel()
    await asyncio.wait({task})
    assert some.in_flight == 0
    assert some.take("cid")


async def test_a_queue_of_one_has_room_for_one_whatever_the_share() -> None:
    some = places(calls=1, waiting=1, share=0.5)
    fill(some, ["ann"])
    task = await queued(some, "ann")
    some.leave("ann")
    await task
    assert (some.in_flight, some.waiting) == (1, 0)
