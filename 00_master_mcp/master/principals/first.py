"""The two principals of the first start, each with a token in a file of its own."""

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flotilla import Principal
from flotilla.identity import write_once
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
        return self.by_digest.get(digest_of(token))


def _nobody(_values: Sequence[str]) -> None:
    """Told the tokens where no redactor is to know them."""


def open_token_book(folder: Path, learn: Callable[[Sequence[str]], None] = _nobody) -> TokenBook:
    """The tokens in `folder` (`admin_token`, `owner_token`, mode 0600), made when missing.

    `learn` is told them, so that the process never says them, whatever they are glued to. Raises
    Misconfigured when a file is there and cannot be read as a token.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    book: dict[bytes, Principal] = {}
    for name, principal in _FIRST.items():
        file = folder / name
        write_once(file, f"{fresh_token()}\n".encode(), mode=0o600)
        token = read_secret(file, name).strip()
        # A copy or a restored backup may have opened it to others.
        file.chmod(0o600)
        book[digest_of(token)] = principal
        learn([token])
    return TokenBook(book)


def fresh_token() -> str:
    """256 random bits, in characters that a header, a shell and a URL leave alone."""
    return f"{TOKEN_PREFIX}{secrets.token_urlsafe(32)}"


def digest_of(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
