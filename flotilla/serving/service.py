"""A service as it is run: its name, its ASGI application, and how to stop it gently."""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp

from flotilla.serving.draining import Drain


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What `run` serves on one port; `tools` is only for telling a person."""

    name: str
    app: ASGIApp
    drain: Drain
    stop_streams: Callable[[], None]
    bind: str
    port: int
    grace_s: float
