"""Sessions of handshake clients: whose they are, how many, how long."""

import pytest

from flotilla import Principal, RateLimited
from master.catalogue import View
from master.north import sessions as module
from master.north.sessions import Outbox, Sessions

pytestmark = pytest.mark.anyio

ANN, BOB = Principal("ann"), Principal("bob")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions(clock)


async def test_a_session_is_found_by_its_own_principal_alone(sessions: Sessions) -> None:
    session = sessions.open(ANN, View())
    assert sessions.find(session.id, ANN) is session
    assert sessions.find(session.id, BOB) is None
    assert sessions.find("guess", ANN) is None
    sessions.end(session)
    assert sessions.find(session.id, ANN) is None


async def test_an_idle_session_ends_and_one_in_use_stays(sessions: Sessions, clock: Clock) -> None:
    idle, used, streaming = (sessions.open(ANN, View()) for _ in range(3))
    streaming.has_stream = True
    clock.now = module.IDLE_S - 1
    assert sessions.find(used.id, ANN) is used
    clock.now = module.IDLE_S + 1
    assert sessions.find(used.id, ANN) is used
    assert sessions.find(idle.id, ANN) is None
    assert sessions.find(streaming.id, ANN) is streaming
    assert len(sessions) == 2


async def test_whoever_keeps_something_for_a_session_is_told_of_its_end(clock: Clock) -> None:
    ended: list[str] = []
    sessions = Sessions(clock, lambda session: ended.append(session.id))
    by_client, by_time = sessions.open(ANN, View()), sessions.open(ANN, View())
    sessions.end(by_client)
    sessions.end(by_client)
    clock.now = module.IDLE_S + 1
    assert sessions.find(by_time.id, ANN) is None
    assert ended == [by_client.id, by_time.id]


async def test_too_many_sessions_are_refused_until_some_end(
    sessions: Sessions, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SESSIONS", 2)
    first, _ = sessions.open(ANN, View()), sessions.open(ANN, View())
    with pytest.raises(RateLimited):
        sessions.open(ANN, View())
    sessions.end(first)
    sessions.open(ANN, View())
    clock.now = module.IDLE_S + 1
    assert sessions.open(ANN, View())
    assert len(sessions) == 1


async def test_an_outbox_keeps_order_and_ends_the_stream_of_a_client_that_does_not_read() -> None:
    outbox = Outbox()
    for number in range(3):
        outbox.put(b"%d" % number)
    assert [await outbox.next() for _ in range(3)] == [b"0", b"1", b"2"]
    for _ in range(module.MAX_WAITING + 1):
        outbox.put(b"x")
    assert await outbox.next() is None
    full = Outbox()
    for _ in range(module.MAX_WAITING):
        full.put(b"x")
    full.close()
    assert [await full.next() for _ in range(module.MAX_WAITING)][-1] is None
