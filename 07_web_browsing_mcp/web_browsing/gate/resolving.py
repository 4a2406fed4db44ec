"""From a place to the addresses that may be connected to: looked up here, judged, remembered.

Whoever connects gets the addresses that were judged and never the name, so that a second look-up
with another answer has no chance to come between.
"""

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, ip_address
from typing import Final
from weakref import WeakValueDictionary

from web_browsing.gate.addresses import Address, translated
from web_browsing.gate.refusing import Refused
from web_browsing.gate.rules import Place, refuse_inside

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a name for a port; raises OSError where it has none."""
IsOurs = Callable[[Address], bool]
"""Whether an address is one of this machine's own."""

LOOKUP_S: Final = 10.0
REMEMBERED_S: Final = 30.0
MAX_REMEMBERED: Final = 2048
MAX_ADDRESSES: Final = 8
"""Of one name: all are judged, but no more are tried."""
THREADS: Final = 32
TURNS: Final = 4
"""So many look-ups a visitor may have under way, so that one whose names nobody answers for keeps
the others from nothing."""


class SystemResolver:
    """Asks the system in threads of its own, so that a page with ten thousand names that nobody
    answers for takes them from nobody else."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="resolving")

    async def __call__(self, name: str, port: int) -> Sequence[str]:
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, _look_up, name, port
        )
        return list(dict.fromkeys(found))


def _look_up(name: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"no name for the DNS: {error}") from None
    return [str(each[4][0]) for each in found]


class Resolving:
    """Judges a place with all of its addresses, for all visitors."""

    def __init__(
        self, resolve: Resolve, is_ours: IsOurs, clock: Callable[[], float], lookup_s: float
    ) -> None:
        self._resolve, self._is_ours, self._clock = resolve, is_ours, clock
        self._lookup_s = lookup_s
        self._found: OrderedDict[str, tuple[float, tuple[Address, ...]]] = OrderedDict()
        self._ones: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def addresses(self, place: Place, turns: asyncio.Semaphore) -> tuple[Address, ...]:
        """Those that may be connected to, at least one; raises Refused. `turns` bounds how many
        look-ups the visitor has under way.

        A single one of the inside refuses the name as a whole: an honest name has none, and a
        mixed answer is how rebinding begins.
        """
        if place.host.address is not None:
            found = (place.host.address,)
        else:
            found = await self._looked_up(place.host.name, place.port, turns)
        for each in found:
            refuse_inside(place, each, ours=False)
        chosen = _in_turns(found)[:MAX_ADDRESSES]
        for each in chosen:
            refuse_inside(place, each, ours=self._is_ours(translated(each)))
        return chosen

    async def _looked_up(
        self, name: str, port: int, turns: asyncio.Semaphore
    ) -> tuple[Address, ...]:
        one = self._ones.setdefault(name, asyncio.Lock())
        try:
            async with asyncio.timeout(self._lookup_s), one:
                remembered = self._found.get(name)
                if remembered is not None and remembered[0] > self._clock():
                    return remembered[1]
                async with turns:
                    told = await self._resolve(name, port)
        except TimeoutError:
            raise Refused("no_address", f"Nobody told the address of {name} in time.") from None
        except OSError:
            raise Refused("no_address", f"{name} has no address.") from None
        found = tuple(map(_address, told))
        if not found:
            raise Refused("no_address", f"{name} has no address.")
        self._found[name] = self._clock() + REMEMBERED_S, found
        self._found.move_to_end(name)
        while len(self._found) > MAX_REMEMBERED:
            self._found.popitem(last=False)
        return found


def _address(told: str) -> Address:
    try:
        return ip_address(told)
    except ValueError:
        raise Refused("no_address", "The DNS answered with what is no address.") from None


def _in_turns(found: Sequence[Address]) -> tuple[Address, ...]:
    """The families in turns, beginning with that of the first. Source: RFC 8305 §4."""
    first = [each for each in found if each.version == found[0].version]
    second = [each for each in found if each.version != found[0].version]
    turns: list[Address] = []
    for index in range(max(len(first), len(second))):
        turns += first[index : index + 1] + second[index : index + 1]
    return tuple(turns)


class OwnAddresses:
    """Knows this machine's own addresses, public ones too, by trying to bind to them.

    No list that could be old: the kernel lets a socket be bound to exactly those that it takes
    packets for.
    """

    def __init__(self) -> None:
        self._foreign_binds = _binds(IPv4Address("192.0.2.1"))
        """`ip_nonlocal_bind` is set: then binding says nothing, but routing to oneself does."""

    def __call__(self, address: Address) -> bool:
        return _routes_to_itself(address) if self._foreign_binds else _binds(address)


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _binds(address: Address) -> bool:
    try:
        with socket.socket(_family(address), socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def _routes_to_itself(address: Address) -> bool:
    try:
        with socket.socket(_family(address), socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))
            return bool(probe.getsockname()[0] == str(address))
    except OSError:
        return False
