"""What a preview may end a call with before anybody is asked."""

import pytest

from flotilla import (
    Conflict,
    FlotillaError,
    InvalidArgument,
    NotAllowed,
    NotConfigured,
    NotFound,
    TimedOut,
    TooLarge,
    Unavailable,
    UpstreamError,
)
from flotilla.preview import REJECTED, rejecting


@pytest.mark.parametrize("kind", [InvalidArgument, NotFound, NotAllowed, Conflict, TooLarge])
def test_what_is_wrong_with_the_call_rejects_it(kind: type[FlotillaError]) -> None:
    with pytest.raises(kind) as caught, rejecting():
        raise kind("no", details={"reason": "why"})
    assert caught.value.details == {"reason": "why", REJECTED: True}


@pytest.mark.parametrize("kind", [Unavailable, TimedOut, UpstreamError, NotConfigured])
def test_what_may_be_otherwise_later_does_not_unless_it_is_named(
    kind: type[FlotillaError],
) -> None:
    with pytest.raises(kind) as caught, rejecting():
        raise kind("not now")
    assert caught.value.details == {}
    with pytest.raises(kind) as caught, rejecting(kind):
        raise kind("never")
    assert caught.value.details == {REJECTED: True}


def test_a_defect_rejects_nothing() -> None:
    with pytest.raises(ZeroDivisionError), rejecting():
        _ = 1 / 0
