"""How long an engine is left alone, and why."""

import pytest
from structlog.testing import capture_logs

from flotilla import CircuitOpen, FlotillaError, InvalidArgument, RateLimited, TimedOut
from web_search.circuits import Circuits
from web_search.engine import Blocked, Found
from web_search.outcomes import Outcome, outcome_of

OK = Outcome(engine="e", status="ok", found=(Found(title="t", url="https://a.example"),))
EMPTY = Outcome(engine="e", status="empty")
BLOCKED = outcome_of("e", Blocked("e", "a puzzle"), 5)
FAILED = outcome_of("e", FlotillaError("broke"), 5)
SLOW = outcome_of("e", TimedOut("slow"), 5)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def circuits(clock: Clock) -> Circuits:
    return Circuits(clock)


def ask(circuits: Circuits, outcome: Outcome) -> bool:
    """Whether the call could go; what came of it is told."""
    ticket = circuits.admit("e", "web", probe_s=8)
    if ticket is not None:
        circuits.settle(ticket, "web", outcome)
    return ticket is not None


def limited(seconds: float) -> Outcome:
    return outcome_of("e", RateLimited("slowly", retry_after_ms=round(seconds * 1000)), 5)


def test_a_wall_opens_the_circuit_at_once_and_each_time_for_twice_as_long(circuits, clock) -> None:
    for rest_s in (600, 1200, 2400, 3600, 3600):
        assert ask(circuits, BLOCKED)
        assert circuits.circuit("e", "web").state == "open"
        assert circuits.circuit("e", "web").rest_s == pytest.approx(rest_s)
        clock.now += rest_s - 0.1
        assert not ask(circuits, OK)
        clock.now += 0.2
    assert ask(circuits, OK)
    assert circuits.circuit("e", "web").state == "closed"
    ask(circuits, BLOCKED)
    assert circuits.circuit("e", "web").rest_s == pytest.approx(600)


def test_several_that_met_the_wall_at_once_met_it_once(circuits) -> None:
    tickets = [circuits.admit("e", "web", probe_s=8) for _ in range(4)]
    for ticket in tickets:
        circuits.settle(ticket, "web", BLOCKED)
    assert circuits.circuit("e", "web").rest_s == 600


def test_throttling_lasts_as_long_as_the_engine_asked(circuits, clock) -> None:
    ask(circuits, limited(17))
    assert circuits.circuit("e", "web").rest_s == 17
    error = circuits.resting("e", "web").error
    assert isinstance(error, RateLimited)
    assert error.details["retryAfterMs"] == 17_000
    clock.now += 17
    assert ask(circuits, OK)


@pytest.mark.parametrize(("asked_s", "rest_s"), [(0, 1), (10**9, 3600)])
def test_throttling_is_never_for_nothing_nor_for_ever(circuits, asked_s, rest_s) -> None:
    ask(circuits, limited(asked_s))
    assert circuits.circuit("e", "web").rest_s == rest_s


@pytest.mark.parametrize("trouble", [FAILED, SLOW])
def test_trouble_opens_it_after_five_times_in_a_row(circuits, clock, trouble) -> None:
    for _ in range(4):
        ask(circuits, trouble)
    ask(circuits, EMPTY)
    for _ in range(5):
        assert ask(circuits, trouble)
    assert not ask(circuits, OK)
    error = circuits.resting("e", "web").error
    assert isinstance(error, CircuitOpen)
    assert error.details["reason"] == trouble.status
    clock.now += 60
    assert ask(circuits, trouble)
    assert not ask(circuits, OK)
    clock.now += 60
    assert ask(circuits, OK)
    assert ask(circuits, OK)


def test_only_one_call_probes_an_engine_that_rested(circuits, clock) -> None:
    ask(circuits, BLOCKED)
    clock.now += 600
    probe = circuits.admit("e", "web", probe_s=8)
    assert probe is not None
    assert circuits.admit("e", "web", probe_s=8) is None
    assert circuits.resting("e", "web").retry_after_ms == 8000
    circuits.drop("e", "web", probe)
    assert circuits.admit("e", "web", probe_s=8) is not None


def test_the_callers_own_mistake_says_nothing_of_the_engine(circuits) -> None:
    for _ in range(20):
        assert ask(circuits, outcome_of("e", InvalidArgument("no such region"), 5))
    assert circuits.circuit("e", "web").state == "closed"


def test_what_a_resting_engine_says_names_the_reason_and_the_time(circuits) -> None:
    ask(circuits, BLOCKED)
    outcome = circuits.resting("e", "web")
    assert outcome.status == "resting"
    assert isinstance(outcome.error, Blocked)
    assert outcome.error.details == {"reason": "blocked", "engine": "e", "retryAfterMs": 600_000}


def test_a_wall_before_one_kind_is_none_before_the_others(circuits) -> None:
    ask(circuits, BLOCKED)
    assert circuits.admit("e", "images", probe_s=8) is not None
    assert circuits.admit("e", "web", probe_s=8) is None


def test_the_log_says_when_an_engine_rests_and_when_it_answers_again(circuits, clock) -> None:
    with capture_logs() as lines:
        ask(circuits, BLOCKED)
        ask(circuits, OK)
        clock.now += 601
        ask(circuits, OK)
        ask(circuits, OK)
    assert [(each["event"], each["engine"], each.get("reason")) for each in lines] == [
        ("engine_rests", "e", "blocked"),
        ("engine_answers_again", "e", None),
    ]
