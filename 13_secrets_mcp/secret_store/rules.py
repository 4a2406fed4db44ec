"""Who may use a secret, as a person has set it. Pure."""

from collections.abc import Iterable
from hmac import compare_digest
from typing import Annotated

from pydantic import Field

from flotilla import Model

Pattern = Annotated[
    str,
    Field(max_length=128, pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(\.\*)?$"),
]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]
_MOST = 200

ToolNames = Annotated[list[Pattern], Field(max_length=_MOST)]
Names = Annotated[list[Name], Field(max_length=_MOST)]


class Rules(Model):
    """Without a rule nobody uses the secret.

    `tools` (os.linux.runCommand, or os.linux.* for a namespace) may be handed it for a caller,
    whom `principals` and `roles` bound where either is set; `services` may have it as credentials.
    """

    tools: ToolNames = Field(default_factory=list[str])
    principals: Names = Field(default_factory=list[str])
    roles: Names = Field(default_factory=list[str])
    services: Names = Field(default_factory=list[str])

    def with_more(self, more: "Rules") -> "Rules":
        return Rules(
            tools=_joined(self.tools, more.tools),
            principals=_joined(self.principals, more.principals),
            roles=_joined(self.roles, more.roles),
            services=_joined(self.services, more.services),
        )

    def without(self, less: "Rules") -> "Rules":
        return Rules(
            tools=_left(self.tools, less.tools),
            principals=_left(self.principals, less.principals),
            roles=_left(self.roles, less.roles),
            services=_left(self.services, less.services),
        )

    def refusal(self, *, principal: str, roles: Iterable[str], tool: str) -> str | None:
        """Why `tool` may not have the secret for that principal, as a reason, or None."""
        if not any(_matches(pattern, tool) for pattern in self.tools):
            return "tool_not_allowed"
        if not self.principals and not self.roles:
            return None
        if any(same(principal, allowed) for allowed in self.principals):
            return None
        return None if set(self.roles).intersection(roles) else "principal_not_allowed"

    def gives(self, service: str) -> bool:
        """Whether that service may have the secret as credentials."""
        return any(same(service, allowed) for allowed in self.services)


def same(one: str, other: str) -> bool:
    """Equality that takes as long whatever differs."""
    return compare_digest(one.encode(), other.encode())


def _matches(pattern: str, tool: str) -> bool:
    if pattern.endswith(".*"):
        return tool.startswith(pattern[:-1])
    return same(pattern, tool)


def _joined(held: list[str], more: list[str]) -> list[str]:
    return list(dict.fromkeys([*held, *more]))


def _left(held: list[str], less: list[str]) -> list[str]:
    return [each for each in held if each not in less]
