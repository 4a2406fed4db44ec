"""How large a file may be that a call carries, and of which type."""

from collections.abc import Callable

from flotilla.resilience import Resilience
from master.call import Stage


def checked(inner: Stage, resilience: Callable[[str], Resilience]) -> Stage:
    del resilience
    return inner
