"""What the owner of a fleet, and people in a browser, may ask the hub for: no model comes here."""

from functools import partial

from starlette.routing import BaseRoute

from master.approvals.api import ApprovalsApi
from master.audit.api import AuditApi
from master.audit.reading import Rows
from master.keys import Keys
from master.others import Others, managing
from master.outbound.api import GrantsApi
from master.outbound.pages import Pages
from master.owner_operations import OwnerOperations
from master.parts import Parts
from master.policy.api import PolicyApi, live_roles
from master.policy.opened import names_of
from master.principals.api import TokensApi
from master.principals.tokens import Tokens


def desk(parts: Parts, external: Others, keys: Keys) -> list[BaseRoute]:
    """The routes of `/api`, of `/mcp/servers`, and of the pages where people sign in."""
    kept = Tokens(parts.database)
    tokens = TokensApi(
        parts.principals,
        kept,
        parts.audit,
        parts.profiles,
        known_roles=lambda: parts.policy.rules.roles,
    )
    names, roles = names_of(parts.fleet), partial(live_roles, kept)
    return [
        *managing(external),
        *keys.routes(),
        *OwnerOperations(parts.operations, parts.audit, parts.courier.owner_did).routes(),
        *tokens.routes(),
        *ApprovalsApi(parts.approvals).routes(),
        *AuditApi(Rows(parts.database), parts.audit).routes(),
        *PolicyApi(parts.policy, parts.catalogue, names, roles).routes(),
        *GrantsApi(parts.outbound, parts.audit).routes(),
        *Pages(parts.outbound.flow).routes(),
        *parts.resource.routes(),
    ]
