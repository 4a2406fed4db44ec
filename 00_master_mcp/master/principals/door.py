"""Admits clients by the token that they bear, or says why not, as RFC 6750 has it."""

from collections.abc import Callable, Sequence

from starlette.types import Receive, Scope

from flotilla import Unavailable
from flotilla.serving.gates import Admitted, Authenticate, Refused, bearer_token
from master.principals.credential import BadBearer, Credential, NoRight
from master.principals.first import OWNER
from master.principals.known import Principals

MAX_TOKEN_CHARS = 16 * 1024
"""A longer one is no token, and is not even hashed."""
RETRY_AFTER_S = 5

Challenge = Callable[[Scope, str | None, str | None], str | None]
"""What a refusal adds to its WWW-Authenticate, by request, error and the scope that is missing."""


def no_challenge(_scope: Scope, _error: str | None, _lacks: str | None) -> str | None:
    return None


def clients_only(
    principals: Principals, owners: Sequence[str], challenge: Challenge = no_challenge
) -> Authenticate:
    """Admit clients by their bearer token; the owner only to the paths `owners` and below."""
    within = tuple(f"{path}/" for path in owners)

    async def authenticate(scope: Scope, receive: Receive) -> Admitted | Refused:
        token = bearer_token(scope)
        if token is None:
            return _refused(scope, "no bearer token came with the request", None)
        if len(token) > MAX_TOKEN_CHARS:
            return _refused(scope, "the token is too long to be one", "invalid_token")
        credential: Credential | None = principals.at_hand(token)
        if credential is None:
            try:
                credential = await principals.judged(token)
            except BadBearer as error:
                return _refused(scope, str(error), "invalid_token")
            except NoRight as error:
                lacks = error.scope
                told = lacks and challenge(scope, "insufficient_scope", lacks)
                hint = "Ask whoever looks after the fleet, or sign in with another account."
                return Refused(403, "not_allowed", str(error), hint, challenge=told)
            except Unavailable as error:
                hint = error.hint or "Try again in a while."
                return Refused(503, error.code, error.message, hint, retry_after_s=RETRY_AFTER_S)
        caller = credential.caller
        if caller.principal == OWNER and not f"{scope['path']}/".startswith(within):
            hint = "Use the admin token for clients."
            return Refused(403, "not_allowed", "the owner's token is not for MCP clients", hint)
        return Admitted(caller, credential.watched(receive))

    def _refused(scope: Scope, why: str, error: str | None) -> Refused:
        hint = (
            "Send 'Authorization: Bearer <token>'; the first start wrote admin_token, and "
            "`python3 -m flotilla tokens make` makes others."
        )
        return Refused(401, "not_allowed", why, hint, challenge=challenge(scope, error, None))

    return authenticate
