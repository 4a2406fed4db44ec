"""The rules as the owner asks for them: `/api/policy`."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.routing import BaseRoute

from flotilla import InvalidArgument, Model, NotFound, Principal
from master.catalogue import Catalogue
from master.entry import Entry, View
from master.owner import body_of, owner_routes
from master.policy.book import Rulebook
from master.policy.checks import Names, unknown_names
from master.policy.context import Situation
from master.policy.explain import Explanation, ToldRule, explained, told
from master.principals import ADMIN
from master.principals.tokens import Tokens
from master.profiles import DEFAULT

RolesOf = Callable[[str], Awaitable[Sequence[tuple[str, ...]]]]


async def live_roles(tokens: Tokens, name: str) -> Sequence[tuple[str, ...]]:
    """The roles of each live token of a principal."""
    if name == ADMIN.name:
        return [ADMIN.roles]
    known = [kept.token for kept in await tokens.all() if kept.token.principal == name]
    return [token.roles for token in known if token.state(datetime.now(UTC)) == "live"]


class Asking(Model):
    """One call, as somebody might make it."""

    principal: str | None = Field(default=None, max_length=200)
    roles: list[str] = Field(default_factory=list, max_length=32)
    tool: str | None = Field(default=None, max_length=500)
    prompt: str | None = Field(default=None, max_length=500)
    resource: str | None = Field(default=None, max_length=4096)
    arguments: dict[str, Any] = Field(default_factory=dict)
    at: datetime | None = None
    interactive: bool = True
    profile: str = DEFAULT


class ListedRule(ToldRule):
    """`unknown`: what it names that the fleet does not have just now."""

    unknown: list[str]


class Listed(Model):
    source: str
    digest: str
    roles: list[str]
    rules: list[ListedRule]


class PolicyApi:
    def __init__(
        self, book: Rulebook, catalogue: Catalogue, names: Names, roles_of: RolesOf
    ) -> None:
        self._book = book
        self._catalogue = catalogue
        self._names = names
        self._roles_of = roles_of

    def routes(self) -> list[BaseRoute]:
        return owner_routes(
            [
                ("GET", "/policy/rules", self._list),
                ("POST", "/policy/explain", self._explain),
            ]
        )

    async def _list(self, _: Request) -> Listed:
        rules = self._book.rules
        tools = {tool.name for tool in self._catalogue.everything()}
        services = Names(self._names.namespaces, self._names.services | set(self._catalogue))
        return Listed(
            source=rules.source,
            digest=rules.digest,
            roles=sorted(rules.roles),
            rules=[
                ListedRule(
                    **told(rule).model_dump(),
                    unknown=list(unknown_names(rule.parsed, services, tools)),
                )
                for rule in rules.by_id.values()
            ],
        )

    async def _explain(self, request: Request) -> Explanation:
        asking = await body_of(request, Asking)
        principal = await self._principal(asking)
        if asking.profile and asking.profile not in self._catalogue.profiles:
            raise NotFound(f"there is no profile {asking.profile[:100]!r}")
        entry = self._entry(asking)
        situation = Situation(
            asking.arguments, entry.upstream_name, asking.interactive, asking.profile
        )
        at = asking.at or datetime.now(UTC)
        if at.tzinfo is None:
            raise InvalidArgument(f"{at.isoformat()} has no time zone", hint="End it with Z.")
        return explained(self._book, principal, entry, situation, self._book.clock.at(at))

    async def _principal(self, asking: Asking) -> Principal:
        name = asking.principal or ""
        if asking.roles:
            return Principal(name, tuple(asking.roles))
        if not name:
            raise InvalidArgument("say who asks: a principal, or roles")
        known = sorted(set(await self._roles_of(name)))
        if not known:
            raise NotFound(
                f"no live token is that of {name!r}",
                hint="Say the roles instead; the hub keeps none of those who sign in elsewhere.",
            )
        if len(known) > 1:
            each = " or ".join(",".join(roles) for roles in known)
            raise InvalidArgument(f"{name} has tokens of several roles: {each}", hint="Say which.")
        return Principal(name, known[0])

    def _entry(self, asking: Asking) -> Entry:
        """Looked for in all that there is: no profile hides it here."""
        given = [each for each in (asking.tool, asking.prompt, asking.resource) if each]
        if len(given) != 1:
            raise InvalidArgument("say one of tool, prompt and resource")
        if asking.resource:
            return self._catalogue.find_uri(asking.resource, View("dotted"))
        kind = "tools" if asking.tool else "prompts"
        found = [
            entry
            for entry in self._catalogue.everything(kind)
            if given[0] in (entry.name, entry.safe)
        ]
        if not found:
            raise NotFound(
                f"no service offers the {kind.removesuffix('s')} {given[0][:100]!r} just now",
                hint="`master.tools.search` finds names.",
            )
        return found[0]
