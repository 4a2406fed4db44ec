"""What a page wants to send, held back until a person allows it.

The proxy asks `judge` before any request goes out that is not GET, HEAD or OPTIONS. One to a host
of `send_hosts` passes; a beacon (no-cors, which no page waits for) is refused; any other is held,
the page waiting for its answer as for a slow server, until `release` or `refuse`, or for `hold_s`.
"""

from collections.abc import Collection
from dataclasses import dataclass

from web_browsing.gate.visitor import Outgoing, Ruling


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRequest:
    """One that waits. `id` is what submitForm takes."""

    id: str
    outgoing: Outgoing
    held_at: float
    """On the monotonic clock."""


class Sending:
    """Of one session."""

    def __init__(self, send_hosts: Collection[str], *, hold_s: float = 120, most: int = 8) -> None:
        raise NotImplementedError

    async def judge(self, outgoing: Outgoing) -> Ruling:
        """The `Judge` of the session's visitor."""
        raise NotImplementedError

    def held(self) -> tuple[HeldRequest, ...]:
        raise NotImplementedError
