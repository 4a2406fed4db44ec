"""Addresses of hosts, asked of the system and remembered for a little while."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Any

Ask = Callable[..., Awaitable[Sequence[tuple[Any, ...]]]]
"""As the loop's `getaddrinfo`."""

REMEMBERED_S = 10.0
MAX_NAMES = 1000


class Names:
    def __init__(self, ask: Ask | None = None) -> None:
        self._ask = ask or asyncio.get_running_loop().getaddrinfo
        self._known: dict[tuple[str, int], tuple[float, list[str]]] = {}

    async def addresses(self, host: str, port: int) -> list[str]:
        """IPv4 and IPv6 addresses in the system's order; OSError where the name has none."""
        known = self._known.get((host, port))
        if known is not None and known[0] > monotonic():
            return known[1]
        found = await self._ask(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        if len(self._known) >= MAX_NAMES:
            self._known.clear()
        self._known[host, port] = (monotonic() + REMEMBERED_S, addresses)
        return addresses

    def forget(self, host: str, port: int) -> None:
        """Nobody answers there: ask anew the next time."""
        self._known.pop((host, port), None)
