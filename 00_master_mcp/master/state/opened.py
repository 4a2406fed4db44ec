"""Which of the two keeps the shared state: the hub's own process, or Redis."""

from flotilla import Misconfigured
from flotilla.fleet import HubLimits
from master.state.embedded import Embedded
from master.state.seam import SharedState


def open_state(redis_url: str | None, hub: HubLimits) -> SharedState:
    """The shared state of this process; Misconfigured where the URL cannot be one of Redis."""
    if redis_url is None:
        return Embedded(hub)
    # A hub alone does without the client, which takes 10 MB.
    from master.state.redis_state import RedisState

    try:
        return RedisState(redis_url, hub)
    except ValueError as error:
        raise Misconfigured(f"FLOTILLA_REDIS_URL: {error}") from None
