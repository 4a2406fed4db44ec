"""The life of a circuit, and what no order of events can make it do."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from flotilla.breaker import (
    CLOSED,
    Standing,
    admit,
    dropped,
    failed,
    restored,
    state_at,
    succeeded,
    tripped,
)
from flotilla.resilience import Breaker

BREAKER = Breaker(failures=3, open_s=60)
PROBE_S = 30.0


def admitted(standing: Standing, now: float = 0.0) -> tuple[Standing, int]:
    after, ticket = admit(standing, now, PROBE_S)
    assert ticket is not None
    return after, ticket


def opened(now: float = 0.0) -> Standing:
    standing, ticket = admitted(CLOSED, now)
    for _ in range(BREAKER.failures):
        standing = failed(standing, ticket, "refused", now, BREAKER)
    assert standing.state == "open"
    return standing


def test_it_opens_at_so_many_failures_in_a_row_and_tells_the_last_reason() -> None:
    standing, ticket = admitted(CLOSED)
    for reason in ("refused", "reset"):
        standing = failed(standing, ticket, reason, 1.0, BREAKER)
        assert standing.state == "closed"
    standing = failed(standing, ticket, "timed out", 1.0, BREAKER)
    assert (standing.state, standing.failures, standing.reason) == ("open", 3, "timed out")
    assert state_at(standing, 11.0) == ("open", 50.0)


def test_a_success_in_between_starts_the_count_anew() -> None:
    standing, ticket = admitted(CLOSED)
    for _ in range(10):
        for _ in range(BREAKER.failures - 1):
            standing = failed(standing, ticket, "refused", 0.0, BREAKER)
        standing = succeeded(standing, ticket)
        assert (standing.state, standing.failures, standing.reason) == ("closed", 0, None)


def test_a_success_while_nothing_failed_changes_nothing() -> None:
    standing, ticket = admitted(CLOSED)
    assert succeeded(standing, ticket) is standing is CLOSED


def test_an_open_circuit_admits_nobody_until_its_rest_is_over_and_then_one() -> None:
    standing = opened()
    assert admit(standing, 59.9, PROBE_S) == (standing, None)
    probing, ticket = admitted(standing, 60.0)
    assert probing.state == "half_open"
    assert admit(probing, 60.0, PROBE_S) == (probing, None)
    assert ticket == probing.era


def test_the_success_of_the_probe_closes_it() -> None:
    probing, ticket = admitted(opened(), 60.0)
    closed = succeeded(probing, ticket)
    assert (closed.state, closed.failures, closed.reason) == ("closed", 0, None)


def test_the_failure_of_the_probe_opens_it_anew_for_the_whole_time() -> None:
    probing, ticket = admitted(opened(), 60.0)
    again = failed(probing, ticket, "still refused", 70.0, BREAKER)
    assert state_at(again, 70.0) == ("open", 60.0)
    assert again.reason == "still refused"
    assert again.failures == 4


def test_a_probe_that_told_nothing_leaves_its_place_to_the_next_call() -> None:
    probing, ticket = admitted(opened(), 60.0)
    waiting = dropped(probing, ticket, 61.0)
    again, next_ticket = admitted(waiting, 61.0)
    assert again.state == "half_open"
    assert next_ticket != ticket


def test_a_probe_that_never_reports_back_frees_its_place_after_the_longest_it_may_take() -> None:
    probing, lost = admitted(opened(), 60.0)
    assert admit(probing, 60.0 + PROBE_S - 0.1, PROBE_S)[1] is None
    again, ticket = admitted(probing, 60.0 + PROBE_S)
    assert again.state == "half_open"
    assert succeeded(again, lost) is again, "it came too late to speak for the service"
    assert succeeded(again, ticket).state == "closed"


def test_calls_from_before_the_opening_change_nothing_however_they_end() -> None:
    standing, early = admitted(CLOSED)
    for _ in range(BREAKER.failures):
        standing = failed(standing, early, "refused", 0.0, BREAKER)
    probing, ticket = admitted(standing, 60.0)
    closed = succeeded(probing, ticket)
    for late in (standing, probing, closed):
        assert succeeded(late, early) is late
        assert failed(late, early, "late", 99.0, BREAKER) is late
        assert dropped(late, early, 99.0) is late


def test_it_can_be_opened_from_outside_and_stays_so_while_that_goes_on() -> None:
    standing = tripped(CLOSED, "health checks fail", 0.0, BREAKER)
    assert (state_at(standing, 0.0), standing.failures) == (("open", 60.0), 1)
    assert state_at(tripped(standing, "they still do", 50.0, BREAKER), 50.0) == ("open", 60.0)


def test_a_service_that_is_back_is_probed_at_once() -> None:
    waiting = restored(opened(), 5.0)
    assert state_at(waiting, 5.0) == ("open", 0.0)
    assert restored(waiting, 5.0) is waiting
    assert restored(CLOSED, 5.0) is CLOSED
    assert admitted(waiting, 5.0)[0].state == "half_open"


def test_a_probe_that_hangs_does_not_hinder_one_after_the_service_is_back() -> None:
    probing, hanging = admitted(opened(), 60.0)
    again, ticket = admitted(restored(probing, 61.0), 61.0)
    assert ticket != hanging
    assert failed(again, hanging, "timed out", 90.0, BREAKER) is again


class AnyLife(RuleBasedStateMachine):
    """Any order of events, with as many calls out as one likes."""

    @initialize()
    def begin(self) -> None:
        self.now = 0.0
        self.standing = CLOSED
        self.out: list[int] = []

    def become(self, after: Standing) -> None:
        if after is not self.standing:
            assert after.revision == self.standing.revision + 1
            if after.state != self.standing.state:
                assert after.era == after.revision, "another state is another era"
        self.standing = after

    @rule(seconds=st.sampled_from([0.0, 1.0, 29.0, 31.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def a_call_comes(self) -> None:
        before = self.standing
        after, ticket = admit(before, self.now, PROBE_S)
        assert (ticket is None) == (before.state != "closed" and self.now < before.until)
        self.become(after)
        if ticket is not None:
            self.out.append(ticket)

    @rule(which=st.integers(min_value=0), how=st.sampled_from(["well", "badly", "untold"]))
    def a_call_ends(self, which: int, how: str) -> None:
        if not self.out:
            return
        ticket = self.out.pop(which % len(self.out))
        before = self.standing
        after = {
            "well": lambda: succeeded(before, ticket),
            "badly": lambda: failed(before, ticket, "refused", self.now, BREAKER),
            "untold": lambda: dropped(before, ticket, self.now),
        }[how]()
        if ticket != before.era:
            assert after is before
        if before.state != "closed" and after.state == "closed":
            assert (how, ticket, before.state) == ("well", before.era, "half_open")
        self.become(after)

    @rule()
    def it_is_tripped(self) -> None:
        self.become(tripped(self.standing, "away", self.now, BREAKER))
        assert admit(self.standing, self.now, PROBE_S)[1] is None

    @rule()
    def it_is_restored(self) -> None:
        self.become(restored(self.standing, self.now))
        assert admit(self.standing, self.now, PROBE_S)[1] is not None

    @invariant()
    def one_probe_at_most_has_a_voice(self) -> None:
        if self.standing.state == "half_open":
            assert self.out.count(self.standing.era) <= 1

    @invariant()
    def it_is_never_shut_for_good(self) -> None:
        later = self.now + max(BREAKER.open_s, PROBE_S)
        assert admit(self.standing, later, PROBE_S)[1] is not None

    @invariant()
    def a_closed_circuit_has_fewer_failures_than_open_it(self) -> None:
        if self.standing.state == "closed":
            assert self.standing.failures < BREAKER.failures


AnyLife.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAnyLife = AnyLife.TestCase
