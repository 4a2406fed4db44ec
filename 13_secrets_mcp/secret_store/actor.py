"""Who does something to a secret, as the trail names him."""

from dataclasses import dataclass
from typing import Self

from flotilla import Context
from flotilla.logs import bound_field
from flotilla.operations import OWNER_ROLE, scope_of

NAMESPACE = "security.secrets"


@dataclass(frozen=True, slots=True)
class Actor:
    """A principal with his roles, and by which tool or operation he acts."""

    principal: str
    roles: tuple[str, ...]
    tool: str
    correlation_id: str

    @classmethod
    def calling(cls, context: Context, action: str) -> Self:
        """The caller of one of our tools."""
        who = context.principal
        return cls(who.name, who.roles, f"{NAMESPACE}.{action}", context.correlation_id)

    @classmethod
    def owner(cls, operation: str) -> Self:
        """The owner of the fleet, by the hub's own interface."""
        return cls("owner", (OWNER_ROLE,), scope_of(operation), _correlation_id())

    @classmethod
    def through_hub(cls, principal: str, tool: str) -> Self:
        """A principal for whom the hub resolves a handle on the way to `tool`."""
        return cls(principal, (), tool, _correlation_id())

    @classmethod
    def service(cls, name: str, operation: str) -> Self:
        """A service of the fleet, for which the hub fetches credentials."""
        return cls(f"service:{name}", (), scope_of(operation), _correlation_id())


def _correlation_id() -> str:
    # An operation is handed no context; its log lines know the ID.
    return str(bound_field("correlation_id") or "")
