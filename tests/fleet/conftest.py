"""What the tests across services share."""

import contextlib
import socket

import pytest

NUMBERS = (0, 1, 12, 13, 77)
"""Of the services that these tests start."""


@pytest.fixture
def port_base() -> int:
    """A port above which the port of each of these services is free."""
    while True:
        with contextlib.ExitStack() as held, contextlib.suppress(OSError, OverflowError):
            first = held.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            base: int = first.getsockname()[1]
            for number in NUMBERS[1:]:
                held.enter_context(socket.socket()).bind(("127.0.0.1", base + number))
            return base
