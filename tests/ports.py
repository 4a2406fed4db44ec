"""Ports of loopback that are found here and bound by somebody a little later.

They are below those that the system gives to whoever binds port 0 or connects (Linux's
`ip_local_port_range`), and each process of tests has its own: what is free here stays so until the
server that it is for is there, and again between its end and its next start.
"""

import contextlib
import os
import socket
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from random import SystemRandom

FIRST = 12_000
"""Browsers refuse some below, and people's own servers are there."""
LANES = 8
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_choice = SystemRandom()
_found: deque[int] = deque(maxlen=1000)
"""A port that was found and is not bound yet is found again."""


def _own() -> range:
    """The ports of this process of tests, of so many beside one another."""
    given = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32_768
    # Where the system gives from lower ones on, they are its own, too.
    count = ((given if given >= 20_000 else 32_768) - FIRST) // LANES
    lane = int(os.environ.get("FLOTILLA_TEST_LANE") or 0) % LANES
    return range(FIRST + lane * count, FIRST + (lane + 1) * count)


_OWN = _own()


def find_free_port() -> int:
    """One that nobody has, and that was not found here lately."""
    return free_base([0])


def free_base(numbers: Sequence[int]) -> int:
    """A port base above which every one of these numbers is free."""
    while True:
        base = _choice.choice(_OWN[: -max(numbers) or None])
        ports = [base + number for number in numbers]
        if not set(ports).isdisjoint(_found) or not all(map(_is_free, ports)):
            continue
        _found.extend(ports)
        return base


def _is_free(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False
