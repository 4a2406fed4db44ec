"""The retry budget: a storm of failures may make a fifth more calls, never twice as many."""

from hypothesis import given
from hypothesis import strategies as st

from master.steadiness.budget import RESERVE, WINDOW_S, RetryBudget


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_quiet_service_has_the_reserve() -> None:
    budget = RetryBudget(0.2, Clock())
    assert sum(budget.spend() for _ in range(100)) == RESERVE


def test_the_reserve_comes_back_in_time() -> None:
    clock = Clock()
    budget = RetryBudget(0.2, clock)
    while budget.spend():
        pass
    clock.now += WINDOW_S / 2
    assert sum(budget.spend() for _ in range(100)) == RESERVE / 2


def test_no_ratio_is_no_retry() -> None:
    budget = RetryBudget(0, Clock())
    budget.called()
    assert not budget.spend()


@given(st.integers(1, 2000), st.floats(0.01, 1), st.integers(1, 4))
def test_a_storm_is_retried_by_its_ratio_and_the_reserve_at_most(
    calls: int, ratio: float, tries: int
) -> None:
    budget = RetryBudget(ratio, Clock())
    retries = 0
    for _ in range(calls):
        budget.called()
        retries += sum(budget.spend() for _ in range(tries))
    assert retries <= calls * ratio + RESERVE + 1e-6
