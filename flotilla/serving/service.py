"""A service as it is run: its name, its ASGI application, and how to stop it gently."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from starlette.types import ASGIApp

from flotilla.serving.draining import Drain


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What `run` serves on one port."""

    name: str
    app: ASGIApp
    drain: Drain
    stop_streams: Callable[[], None]
    bind: str
    port: int
    grace_s: float
    tls: Path | None = None
    """The folder of the certificates by which it proves who it is, and knows its callers."""
    private: socket.socket | None = None
    """A second address, by which other processes of the same service reach this one."""
