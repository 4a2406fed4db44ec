"""What may be reached at all: schemes, ports, addresses. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """`exceptions` are (host or address, port) pairs that are let through whatever they are."""

    ports: frozenset[int] = field(default_factory=lambda: frozenset({80, 443, 8080, 8443}))
    exceptions: frozenset[tuple[str, int]] = frozenset()

    @classmethod
    def of(cls, ports: Iterable[int], allow_hosts: Iterable[str]) -> Self:
        """Reads `host:port` and `[address]:port`; ValueError names what is neither."""
        raise NotImplementedError
