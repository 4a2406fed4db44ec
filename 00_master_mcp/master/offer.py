"""What one server offers, as it lists it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["tools", "prompts", "resources", "resourceTemplates"]

KINDS: tuple[Kind, ...] = ("tools", "prompts", "resources", "resourceTemplates")
LIST_METHODS: Mapping[Kind, str] = {
    "tools": "tools/list",
    "prompts": "prompts/list",
    "resources": "resources/list",
    "resourceTemplates": "resources/templates/list",
}
CAPABILITIES: Mapping[Kind, str] = {
    "tools": "tools",
    "prompts": "prompts",
    "resources": "resources",
    "resourceTemplates": "resources",
}
"""Which capability says that a server has such lists."""

Listed = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Offer:
    """The lists of a server, each in its own order, and what it says of itself."""

    lists: Mapping[Kind, tuple[Listed, ...]]
    capabilities: Mapping[str, Any] = field(default_factory=dict[str, Any])
    instructions: str | None = None
    version: str | None = None
    ttl_ms: int | None = None
    """The shortest time for which one of its lists may be kept; None where it does not say."""

    def of(self, kind: Kind) -> tuple[Listed, ...]:
        return self.lists.get(kind, ())


NOTHING = Offer({})
