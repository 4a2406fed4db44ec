"""How often a caller may go: the generic cell rate algorithm of ATM Forum TM 4.0 and ITU-T I.371.

All that is remembered of a caller is one number: when its next call is due if it never stopped
calling at the full rate, the theoretical arrival time. Pure.
"""

from flotilla.resilience import RateLimit


def arrival(tat: float, now: float, limit: RateLimit) -> tuple[float, float]:
    """The new theoretical arrival time, and the seconds to wait: 0.0 where the call may go now.

    A call that must wait is not counted: the time comes back as it was. All in seconds of one
    clock; `tat` is 0.0, or any time that has passed, for a caller that was not seen before.
    """
    interval_s = 60.0 / limit.per_minute
    if tat < now:
        return now + interval_s, 0.0
    wait_s = tat - interval_s * (limit.at_once - 1) - now
    if wait_s > 0.0:
        return tat, wait_s
    return tat + interval_s, 0.0
