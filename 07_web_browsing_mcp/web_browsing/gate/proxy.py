"""The proxy that all traffic goes through, of pages fetched and of the browser."""

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from web_browsing.gate.rules import Rules
from web_browsing.gate.visitor import Visitor


class Proxy:
    """Serves each visitor on a socket of their own; resolves, judges, pins, counts."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    @property
    def spki_hash(self) -> str:
        """Base64 of the SHA-256 of the public key that all certificates of looked-into tunnels
        have, for Chromium's --ignore-certificate-errors-spki-list."""
        raise NotImplementedError

    @asynccontextmanager
    async def serving(self, visitor: Visitor, listening: socket.socket) -> AsyncGenerator[None]:
        """Serve a visitor on a listening TCP or Unix socket; at the end all of it is closed."""
        raise NotImplementedError
        yield
