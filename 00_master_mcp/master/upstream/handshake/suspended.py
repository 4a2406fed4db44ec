"""Requests whose server waits for an answer of the client, until the client brings it.

A client of the 2026-07-28 revision brings it with a new request that repeats `requestState`. The
state is a random name for a request of this process: it tells nothing, works once, and only for the
same principal, method, name and arguments.
"""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from master import rpc
from master.call import Call
from master.upstream.handshake.pending import Pending

MAX_SUSPENDED = 1000


@dataclass(frozen=True, slots=True)
class _Held:
    pending: Pending
    binding: tuple[object, ...]
    expiry: asyncio.TimerHandle


class Suspended:
    """`give_up` is told of those for which nobody came within `limit_s`."""

    def __init__(self, limit_s: float, give_up: Callable[[Pending], None]) -> None:
        self._limit_s = limit_s
        self._give_up = give_up
        self._held: dict[str, _Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def keep(self, pending: Pending, call: Call) -> str:
        """Keep a request until it is taken; its `requestState`."""
        if len(self._held) >= MAX_SUSPENDED:
            oldest = next(iter(self._held))
            self._expire(oldest)
        state = secrets.token_urlsafe(24)
        expiry = asyncio.get_running_loop().call_later(self._limit_s, self._expire, state)
        pending.detach()
        self._held[state] = _Held(pending, _binding(call), expiry)
        return state

    def take(self, state: object, call: Call) -> Pending:
        """The request of that state; RpcError where there is none or it belongs to another call."""
        held = self._held.get(state) if isinstance(state, str) else None
        if held is None or held.binding != _binding(call):
            raise rpc.RpcError(
                rpc.INVALID_PARAMS,
                "requestState is not that of an open question of this call; call anew without it",
            )
        del self._held[str(state)]
        held.expiry.cancel()
        held.pending.attach(call)
        return held.pending

    def drop(self, pending: Pending) -> None:
        for state, held in list(self._held.items()):
            if held.pending is pending:
                held.expiry.cancel()
                del self._held[state]

    def clear(self) -> None:
        for held in self._held.values():
            held.expiry.cancel()
        self._held.clear()

    def _expire(self, state: str) -> None:
        held = self._held.pop(state, None)
        if held is not None:
            held.expiry.cancel()
            self._give_up(held.pending)


def _binding(call: Call) -> tuple[object, ...]:
    return call.principal, call.method, call.resolved().name, call.params.get("arguments")
