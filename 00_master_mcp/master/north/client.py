"""The client of one request, as whatever answers it may deal with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from flotilla import Principal
from master.catalogue import View

Era = Literal["modern", "handshake"]


class Teller(Protocol):
    """Where a request's notifications go: its own response, or its session's stream."""

    async def tell(self, message: bytes) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Who asks, what they see, what they can do, and how to tell them something meanwhile."""

    principal: Principal
    view: View
    era: Era
    correlation_id: str
    traceparent: str | None
    capabilities: Mapping[str, Any]
    teller: Teller = field(repr=False)
