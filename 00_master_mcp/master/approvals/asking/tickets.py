"""`requestState` of the hub's own: which call a person was asked about, or said yes to.

It is sealed, so that a client can neither read nor make one, and any process of the hub can open
it; nothing of it is kept in memory. A ticket is for one call of one principal and for a time.

Source: MCP 2026-07-28, multi-round-trip requests: servers must protect the state that they hand
out and must not take it from anybody else or for anything else.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

from flotilla import NotConfigured, TooLarge
from flotilla.json_text import from_json, to_json
from master import rpc
from master.approvals.sealing import Sealing

STATE = "requestState"
PREFIX = "flotilla1."
MAX_STATE_CHARS = 1024 * 1024
"""Of the state of a server that is held inside."""
_PURPOSE = "requestState"

Kind = Literal["asked", "allowed", "standing"]
"""
asked     the person at the client is asked; the approval waits
allowed   the call was begun by an approval that is used up, and its server asks something itself
standing  as `allowed`, by an approval that allows the call for a while
"""


class BadTicket(Exception):
    """The state is not one that this hub has sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    kind: Kind
    approval: str
    digest: str
    principal: str
    party: str
    until: float
    """Seconds since 1970."""
    id: str
    state: str | None = None
    """The JSON text of the `requestState` of the server that asks, where it gave one."""


class Tickets:
    def __init__(self, sealing: Sealing, clock: Callable[[], float] = time.time) -> None:
        self._sealing = sealing
        self._clock = clock

    def made(
        self,
        kind: Kind,
        *,
        approval: str,
        digest: str,
        principal: str,
        party: str,
        for_s: float,
        state: str | None = None,
    ) -> str:
        """The JSON text of a `requestState`; TooLarge where the server's own has no room in it."""
        if state is not None and len(state) > MAX_STATE_CHARS:
            raise TooLarge(f"the server's requestState has over {MAX_STATE_CHARS} characters")
        ticket = Ticket(
            kind=kind,
            approval=approval,
            digest=digest,
            principal=principal,
            party=party,
            until=self._clock() + for_s,
            id=secrets.token_hex(16),
            state=state,
        )
        sealed = self._sealing.seal(to_json(asdict(ticket)).decode(), _PURPOSE)
        return rpc.text_of(PREFIX + sealed)

    def read(self, text: str) -> Ticket:
        """The ticket in the JSON text of a `requestState`; BadTicket where there is none."""
        try:
            # Read as JSON: a client may escape what it sends back otherwise than it came.
            state = from_json(text.encode("utf-8", "surrogatepass"))
            if not isinstance(state, str) or not state.startswith(PREFIX):
                raise BadTicket
            opened = self._sealing.open(state.removeprefix(PREFIX), _PURPOSE)
        except (NotConfigured, ValueError):
            raise BadTicket from None
        return Ticket(**from_json(opened.encode("utf-8", "surrogatepass")))

    def is_over(self, ticket: Ticket) -> bool:
        return self._clock() >= ticket.until
