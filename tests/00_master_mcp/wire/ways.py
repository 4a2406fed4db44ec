"""The ways that a message may take: what the client speaks, through the hub or not, to a server."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.everything import Era

TESTS = Path(__file__).resolve().parents[2]
HANDSHAKE, MODERN = "2025-11-25", "2026-07-28"


@dataclass(frozen=True)
class South:
    """A fixture server, by the one transport and era that it speaks."""

    name: str
    transport: str
    era: Era

    @property
    def modern(self) -> bool:
        return self.era is Era.MODERN

    @property
    def twin(self) -> str:
        """The server of its era that a client can reach without the hub."""
        if self.transport != "stdio":
            return self.name
        return "modern" if self.modern else "handshake"

    def entry(self, url: str = "") -> dict[str, Any]:
        """What stands in mcp.json of it."""
        if self.transport == "stdio":
            command = ["-m", "everything", "--transport", "stdio", "--era", self.era.value]
            return {
                "command": sys.executable,
                "args": command,
                "env": {"PYTHONPATH": str(TESTS)},
                "readable": [str(TESTS), sys.prefix],
                "timeoutS": 20,
            }
        return {"type": "sse" if self.transport == "sse" else "http", "url": url, "timeoutS": 20}


@dataclass(frozen=True)
class North:
    """A client of the SDK: the era and the transport that it speaks to the hub."""

    name: str
    mode: str
    sse: bool = False


@dataclass(frozen=True)
class Way:
    """`north` is None where the client speaks to the server itself, without the hub."""

    north: North | None
    south: South

    def __str__(self) -> str:
        return f"{self.north.name if self.north else 'direct'}-{self.south.name}"

    @property
    def direct(self) -> bool:
        return self.north is None

    @property
    def modern(self) -> bool:
        """Whether the client speaks 2026-07-28."""
        return self.south.modern if self.north is None else self.north.mode == MODERN

    @property
    def shared_stream(self) -> bool:
        """Whether all answers to the client come by one stream."""
        return self.south.transport == "sse" if self.north is None else self.north.sse

    @property
    def mode(self) -> str:
        return MODERN if self.modern else "legacy"


NORTHS = (
    North("modern", MODERN),
    North("handshake", "legacy"),
    North("sse", "legacy", sse=True),
)
SOUTHS = (
    South("modern", "streamable-http", Era.MODERN),
    South("handshake", "streamable-http", Era.HANDSHAKE),
    South("sse", "sse", Era.HANDSHAKE),
)
PIPES = (
    South("stdio-modern", "stdio", Era.MODERN),
    South("stdio-handshake", "stdio", Era.HANDSHAKE),
)
"""The same as programs that the hub starts; nobody reaches them without it."""
ALIKE = ("modern-modern", "handshake-handshake", "sse-sse")
PIPED = [Way(north, south) for south in PIPES for north in NORTHS]
THROUGH = [Way(north, south) for south in SOUTHS for north in NORTHS]
"""Every way through the hub."""
SLOWLY = [pytest.param(way, marks=() if str(way) in ALIKE else pytest.mark.real) for way in THROUGH]
"""The same for tests that take seconds: but for the long run, each client and each server once."""
SLOWEST = [
    pytest.param(way, marks=() if str(way) in ALIKE[:2] else pytest.mark.real) for way in THROUGH
]
"""For tests that take more seconds still: but for the long run, each era once."""
WAYS = [*(Way(None, south) for south in SOUTHS), *THROUGH]
"""Those, and the ways past it: what fails there is no fault of the hub's."""
SHORTLY = (*ALIKE, "modern-stdio-handshake", "handshake-stdio-modern")
"""What the short run tries: each client, each server, and from either era into the other."""
