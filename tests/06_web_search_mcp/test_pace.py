"""How many engines are asked at a time, and for how long anyone is waited for."""

import pytest

from web_search.pace import Pace, Race, Step, is_enough, next_step

PACE = Pace(at_once=3, enough=2, grace_s=0.5, late_s=2.5)
DUE = 100.0


@pytest.mark.parametrize(
    ("race", "now", "step"),
    [
        # At the start, as many as may be asked, or as there are.
        (Race(out_since=(), more=5), 10.0, Step(3, 12.5)),
        (Race(out_since=(), more=1), 10.0, Step(1, 12.5)),
        # One failed: another in its stead.
        (Race(out_since=(10.0, 10.0), more=2), 10.4, Step(1, 12.5)),
        # One answered: nobody else.
        (Race(out_since=(10.0, 10.0), answered=1, more=2), 10.4, Step(0, 12.5)),
        # Two are late: two others are asked beside them, once.
        (Race(out_since=(10.0, 10.0), answered=1, more=4), 12.5, Step(2, 15.0)),
        (Race(out_since=(10.0, 10.0, 12.5, 12.5), answered=1, more=2), 12.6, Step(0, 15.0)),
        # Nobody is left to be asked: those that are out have all the time.
        (Race(out_since=(10.0,), answered=1, more=0), 13.0, Step(0, DUE)),
        # Enough answered: the rest have the grace and no more, and nobody else is asked.
        (Race(out_since=(10.0,), answered=2, enough_since=11.0, more=2), 11.1, Step(0, 11.5)),
        (Race(out_since=(10.0,), answered=2, enough_since=11.0, more=2), 11.5, Step(0, None)),
        (Race(out_since=(), answered=2, enough_since=11.0, more=2), 11.1, Step(0, None)),
        # All answered, nobody is out, or the time is over.
        (Race(out_since=(10.0,), answered=3, more=2), 11.0, Step(0, None)),
        (Race(out_since=(), answered=0, more=0), 11.0, Step(0, None)),
        (Race(out_since=(10.0,), answered=0, more=2), DUE, Step(0, None)),
    ],
)
def test_the_next_step_of_a_search(race, now, step) -> None:
    assert next_step(race, PACE, now, DUE) == step


def test_two_empty_answers_are_not_enough_to_give_up_on_the_third() -> None:
    assert not is_enough(Race(out_since=(1.0,), answered=2, with_results=False), PACE)
    assert is_enough(Race(out_since=(1.0,), answered=2, with_results=True), PACE)
    assert not is_enough(Race(out_since=(1.0,), answered=1, with_results=True), PACE)
