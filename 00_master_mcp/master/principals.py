"""Who may talk to the hub: the two principals of the first start, each with a token in a file."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.types import Receive, Scope

from flotilla import Principal
from flotilla.identity import Caller, write_once
from flotilla.serving.gates import Admitted, Authenticate, Refused, bearer_token
from flotilla.settings import read_secret

TOKEN_PREFIX = "flt_"  # noqa: S105  a mark by which a leaked token is recognised, no secret
ADMIN = Principal("admin", ("admin",))
OWNER = Principal("owner", ("owner",))
_FIRST = {"admin_token": ADMIN, "owner_token": OWNER}


@dataclass(frozen=True, slots=True)
class TokenBook:
    """The principals by the SHA-256 of their tokens; a token itself is never kept."""

    by_digest: Mapping[bytes, Principal]

    def principal(self, token: str) -> Principal | None:
        """Whose token it is. Looked up by digest, so that timing tells nothing of the token."""
        return self.by_digest.get(_digest(token))


def open_token_book(folder: Path) -> TokenBook:
    """The tokens in `folder` (`admin_token`, `owner_token`, mode 0600), made when missing.

    Raises Misconfigured when a file is there and cannot be read as a token.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    book: dict[bytes, Principal] = {}
    for name, principal in _FIRST.items():
        file = folder / name
        fresh = f"{TOKEN_PREFIX}{secrets.token_urlsafe(32)}\n"
        write_once(file, fresh.encode(), mode=0o600)
        token = read_secret(file, name).strip()
        # A copy or a restored backup may have opened it to others.
        file.chmod(0o600)
        book[_digest(token)] = principal
    return TokenBook(book)


def clients_only(book: TokenBook, owners: Sequence[str]) -> Authenticate:
    """Admit clients by their bearer token; the owner only to the paths `owners` and below."""
    within = tuple(f"{path}/" for path in owners)

    async def authenticate(scope: Scope, receive: Receive) -> Admitted | Refused:
        token = bearer_token(scope)
        principal = None if token is None else book.principal(token)
        if principal is None:
            why = "no bearer token came with the request" if token is None else "unknown token"
            hint = "Send 'Authorization: Bearer <token>'; the first start wrote admin_token."
            return Refused(401, "not_allowed", why, hint)
        if principal == OWNER and not f"{scope['path']}/".startswith(within):
            hint = "Use the admin token for clients."
            return Refused(403, "not_allowed", "the owner's token is not for MCP clients", hint)
        return Admitted(Caller(principal), receive)

    return authenticate


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
