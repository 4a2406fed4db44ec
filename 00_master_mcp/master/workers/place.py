"""Where a process of the hub stands: which of its host's workers it is, and how others reach it."""

import secrets
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from flotilla import Misconfigured
from flotilla.serving.run import bound_socket

_ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  compared with only
_BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class Place:
    """One worker. The socket is the parent's too, so that whoever calls waits out a restart."""

    host: str = ""
    """A token for all workers that one parent has started."""
    number: int = 0
    addresses: tuple[str, ...] = ()
    """The private addresses of all workers of the host by their numbers; empty without workers."""
    announced: str | None = None
    """The private address for hubs elsewhere; None where they cannot reach this one."""
    private: socket.socket | None = field(default=None, repr=False)

    @property
    def is_lead(self) -> bool:
        """Whether it is the one that runs what there is once a host."""
        return self.number == 0

    @property
    def alone(self) -> bool:
        """Whether no other process can reach this one."""
        return self.private is None

    @property
    def names(self) -> list[str]:
        """What others call this host, as in the Host header."""
        addresses = [*self.addresses, *([self.announced] if self.announced else [])]
        return sorted({urlsplit(each).hostname or "" for each in addresses})

    @property
    def siblings(self) -> dict[int, str]:
        """The addresses of the host's other workers."""
        return {
            number: address
            for number, address in enumerate(self.addresses)
            if number != self.number
        }


ALONE = Place()


def private_sockets(count: int, bind: str, advertise: str | None) -> list[socket.socket]:
    """A private socket for each of so many workers; none for a hub that is one process.

    `advertise` is the address of the first as hubs elsewhere reach it, each next has the next port;
    without it they are of loopback. Misconfigured where a port cannot be had.
    """
    if advertise is None:
        return [_listening("127.0.0.1", 0) for _ in range(count)] if count > 1 else []
    first = urlsplit(advertise).port or 0
    with ExitStack() as opened:
        try:
            found = [opened.enter_context(_listening(bind, first + each)) for each in range(count)]
        except (OSError, OverflowError) as error:
            raise Misconfigured(
                f"FLOTILLA_ADVERTISE: cannot listen on {count} ports from {bind}:{first}: {error}"
            ) from None
        opened.pop_all()
        return found


def places(opened: Sequence[socket.socket], bind: str, advertise: str | None) -> list[Place]:
    """The places of the workers with these private sockets; one alone where there is none."""
    if not opened:
        return [ALONE]
    ports = [int(each.getsockname()[1]) for each in opened]
    own = "127.0.0.1" if advertise is None else _ANY.get(bind, f"[{bind}]" if ":" in bind else bind)
    host = secrets.token_hex(4)
    addresses = tuple(f"http://{own}:{port}" for port in ports) if len(ports) > 1 else ()
    named = None if advertise is None else advertise.rpartition(":")[0]
    return [
        Place(host, number, addresses, named and f"{named}:{ports[number]}", private)
        for number, private in enumerate(opened)
    ]


def _listening(bind: str, port: int) -> socket.socket:
    opened = bound_socket(bind, port)
    opened.listen(_BACKLOG)
    return opened
