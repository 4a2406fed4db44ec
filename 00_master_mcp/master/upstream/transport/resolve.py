"""Addresses of hosts, asked of the system and remembered for a little while."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from time import monotonic
from typing import Any

Found = Sequence[tuple[Any, ...]]
Ask = Callable[..., Awaitable[Found]]
"""As the loop's `getaddrinfo`."""

REMEMBERED_S = 10.0
MAX_NAMES = 1000


class Names:
    def __init__(self, ask: Ask | None = None) -> None:
        self._ask = ask or asked_aside
        self._known: dict[tuple[str, int], tuple[float, list[str]]] = {}
        self._asking: dict[tuple[str, int], asyncio.Task[list[str]]] = {}

    async def addresses(self, host: str, port: int) -> list[str]:
        """IPv4 and IPv6 addresses in the system's order; OSError where the name has none."""
        known = self._known.get((host, port))
        if known is not None and known[0] > monotonic():
            return known[1]
        if _is_address(host):
            return [host]
        asking = self._asking.get((host, port))
        if asking is None:
            # One question at a time for each name: one that hangs is not asked more often.
            asking = self._asking[host, port] = asyncio.create_task(self._asked(host, port))
            asking.add_done_callback(partial(self._answered, (host, port)))
        # Whoever gives up leaves the others their answer.
        await asyncio.wait({asking})
        if asking.cancelled():
            raise OSError("nobody waits for addresses any more")
        return asking.result()

    def close(self) -> None:
        """Wait for no answer any more."""
        for asking in self._asking.values():
            asking.cancel()

    def forget(self, host: str, port: int) -> None:
        """Nobody answers there: ask anew the next time."""
        self._known.pop((host, port), None)

    def _answered(self, name: tuple[str, int], asking: asyncio.Task[list[str]]) -> None:
        del self._asking[name]
        if not asking.cancelled():
            asking.exception()  # all who waited may have given up

    async def _asked(self, host: str, port: int) -> list[str]:
        found = await self._ask(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        if len(self._known) >= MAX_NAMES:
            self._known.clear()
        self._known[host, port] = (monotonic() + REMEMBERED_S, addresses)
        return addresses


async def asked_aside(host: str, port: int, *, type: int) -> Found:  # noqa: A002 - its name there
    """As the loop's `getaddrinfo`, in a thread that nobody waits for.

    The system may take many seconds over a name. In the loop's few threads some such names would
    keep all others waiting, and a thread that has to be waited for keeps the hub from ending.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Found] = loop.create_future()

    def give(found: Found | None, error: Exception | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(found or ())

    def ask() -> None:
        found: Found | None = None
        failed: Exception | None = None
        try:
            found = socket.getaddrinfo(host, port, type=type)
        except (OSError, UnicodeError) as error:
            failed = error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(give, found, failed)

    threading.Thread(target=ask, name=f"resolve {host}", daemon=True).start()
    return await answer


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
