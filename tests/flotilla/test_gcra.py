"""How often a caller may go: what the algorithm promises, whatever the times of the calls."""

from hypothesis import given
from hypothesis import strategies as st

from flotilla.gcra import arrival
from flotilla.resilience import RateLimit

LIMITS = st.builds(
    RateLimit,
    per_minute=st.floats(min_value=0.5, max_value=100_000),
    burst=st.none() | st.integers(min_value=1, max_value=50),
)
GAPS_S = st.lists(st.floats(min_value=0, max_value=30), max_size=80)
NEAR_S = 1e-6


def passed(limit: RateLimit, times: list[float]) -> list[float]:
    """The times at which a caller that calls at all of these times may go."""
    due, went = 0.0, list[float]()
    for now in times:
        due, wait_s = arrival(due, now, limit)
        if not wait_s:
            went.append(now)
    return went


def at(gaps_s: list[float]) -> list[float]:
    now, times = 1000.0, list[float]()
    for gap_s in gaps_s:
        now += gap_s
        times.append(now)
    return times


def test_so_many_go_at_once_and_then_one_each_interval() -> None:
    limit = RateLimit(per_minute=60, burst=3)
    assert len(passed(limit, [0.0] * 10)) == 3
    assert passed(limit, [0.0] * 10 + [0.5, 0.99, 1.0, 1.0, 2.0]) == [0.0, 0.0, 0.0, 1.0, 2.0]


def test_a_caller_that_rested_may_send_a_burst_again_and_no_more() -> None:
    limit = RateLimit(per_minute=60, burst=3)
    assert len(passed(limit, [0.0] * 5 + [3600.0] * 10)) == 6


def test_without_a_burst_it_is_what_may_come_in_six_seconds_and_at_least_one() -> None:
    assert len(passed(RateLimit(per_minute=60), [0.0] * 100)) == 6
    assert len(passed(RateLimit(per_minute=10), [0.0] * 100)) == 1
    assert len(passed(RateLimit(per_minute=1), [0.0] * 100)) == 1


@given(limit=LIMITS, gaps_s=GAPS_S)
def test_no_window_of_time_ever_sees_more_than_the_burst_and_the_rate(
    limit: RateLimit, gaps_s: list[float]
) -> None:
    went = passed(limit, at(gaps_s))
    for first, start in enumerate(went):
        for count, end in enumerate(went[first:], start=1):
            assert count <= limit.at_once + (end - start) * limit.per_minute / 60 + NEAR_S


@given(limit=LIMITS, gaps_s=GAPS_S)
def test_who_waits_as_long_as_told_may_go_and_a_little_sooner_may_not(
    limit: RateLimit, gaps_s: list[float]
) -> None:
    due = 0.0
    for now in at(gaps_s):
        due, wait_s = arrival(due, now, limit)
        if wait_s:
            assert arrival(due, now, limit) == (due, wait_s), "a refused call is not counted"
            assert not arrival(due, now + wait_s + NEAR_S, limit)[1]
            if wait_s > NEAR_S:
                assert arrival(due, now + wait_s - NEAR_S, limit)[1]


@given(limit=LIMITS)
def test_a_caller_at_the_full_rate_is_never_turned_away(limit: RateLimit) -> None:
    times = [1000.0 + n * (60 / limit.per_minute + NEAR_S) for n in range(200)]
    assert passed(limit, times) == times
