"""How long to wait before trying again. Pure."""

import random
from collections.abc import Callable

BASE_S = 0.1
CAP_S = 30.0


def delay_s(
    attempt: int,
    base_s: float = BASE_S,
    cap_s: float = CAP_S,
    jitter: Callable[[], float] = random.random,
    factor: float = 2.0,
) -> float:
    """Seconds before try number `attempt` (0 is at once), from `base_s` by `factor` to `cap_s`.

    Between half and the whole of that, so that many who wait do not come back together.
    """
    if attempt <= 0:
        return 0.0
    full = min(cap_s, base_s * factor ** min(attempt - 1, 60))
    return full * (0.5 + jitter() / 2)
