"""What a stream has said is there for a client that lost it, within bounds."""

import asyncio

import anyio
import pytest

from master.north import tracks as module
from master.north.tracks import Track, Tracks

pytestmark = pytest.mark.anyio


async def everything_after(track: Track, number: int) -> list[bytes]:
    with anyio.fail_after(5):
        return [message async for _, message in track.after(number)]


async def test_a_reader_gets_what_it_missed_and_what_is_still_said() -> None:
    tracks = Tracks()
    track = tracks.new()
    ids = [track.add(b"%d" % number) for number in range(3)]
    found = tracks.find(ids[0])
    assert found == (track, 0)
    reading = asyncio.create_task(everything_after(*found))
    await asyncio.sleep(0)
    track.add(b"late")
    track.end()
    assert await reading == [b"1", b"2", b"late"]
    assert await everything_after(track, 3) == []


@pytest.mark.parametrize("event_id", ["", "-", "x-0", "-0", "{name}-", "{name}-x", "{name}-\u0663"])
async def test_an_id_that_no_stream_gave_finds_nothing(event_id: str) -> None:
    tracks = Tracks()
    assert tracks.find(event_id.format(name=tracks.new().name)) is None


async def test_a_flood_of_events_keeps_the_latest_and_never_loses_the_last() -> None:
    track = Tracks().new()
    for number in range(3 * module.MAX_EVENTS):
        track.add(b"%d" % number)
    huge = b"x" * (2 * module.MAX_BYTES)
    track.add(huge)
    track.end()
    assert await everything_after(track, 0) == [huge]


async def test_ended_streams_are_forgotten_before_they_fill_the_memory() -> None:
    tracks = Tracks()
    first = tracks.new()
    first_id = first.add(b"x" * module.MAX_BYTES)
    first.end()
    for _ in range(2 * module.MAX_SESSION_BYTES // module.MAX_BYTES):
        track = tracks.new()
        last_id = track.add(b"x" * module.MAX_BYTES)
        track.end()
    assert tracks.find(first_id) is None
    assert tracks.find(last_id) is not None
    running = tracks.new()
    running_id = running.add(b"")
    for _ in range(2 * module.MAX_TRACKS):
        tracks.new()
    assert tracks.find(running_id) is None
