"""How a token of Vault is got: from a file, as an AppRole, as a Kubernetes service account.

Source: Vault API documentation, pages "Token auth method", "AppRole auth method", "Kubernetes auth
method", "/sys/wrapping/lookup" and "/sys/wrapping/unwrap".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import structlog

from flotilla import Misconfigured, NotConfigured, Unavailable, UpstreamError
from flotilla.settings import read_secret
from secret_store.backend import Learn
from secret_store.vault.settings import VaultSettings
from secret_store.vault.speaking import Answer, Speaker, told

log = structlog.get_logger(__name__)

Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Ticket:
    """A token; it ends `lease_s` seconds after it was asked for, never where that is 0."""

    token: str = field(repr=False)
    lease_s: float
    renewable: bool


class LoginRefused(Unavailable):
    """Vault knows us not. Asked too often, it locks the role."""


class Login(Protocol):
    @property
    def is_ours(self) -> bool:
        """Whether the token is made for us, to be revoked when we go."""
        ...

    def stamp(self) -> Stamp:
        """Another one when the credential's file was changed; None where there is no file."""
        ...

    async def login(self, speaker: Speaker) -> Ticket:
        """LoginRefused, Unavailable or NotConfigured when there is no token to be had."""
        ...


class TokenFile:
    is_ours = False

    def __init__(self, path: Path, learn: Learn) -> None:
        self._file = _File(path, "SECRETS_VAULT_TOKEN_FILE", learn)

    def stamp(self) -> Stamp:
        return self._file.stamp()

    async def login(self, speaker: Speaker) -> Ticket:
        token = self._file.text()
        answer = await speaker.read("auth/token/lookup-self", token=token)
        if answer.status != 200:
            raise _refused(answer, "the token in SECRETS_VAULT_TOKEN_FILE")
        data = answer.data
        return Ticket(token, _seconds(data, "ttl"), data.get("renewable") is True)


class AppRole:
    is_ours = True

    def __init__(
        self, mount: str, role_id: str, secret_id: Path, learn: Learn, *, wrapped: bool
    ) -> None:
        self._mount = mount
        self._role_id = role_id
        self._file = _File(secret_id, "SECRETS_VAULT_SECRET_ID_FILE", learn)
        self._learn = learn
        self._wrapped = wrapped
        self._unwrapped: tuple[str, str] | None = None

    def stamp(self) -> Stamp:
        return self._file.stamp()

    async def login(self, speaker: Speaker) -> Ticket:
        secret_id = self._file.text()
        if self._wrapped:
            secret_id = await self._unwrap(secret_id, speaker)
        body = {"role_id": self._role_id, "secret_id": secret_id}
        answer = await speaker.write(f"auth/{self._mount}/login", body)
        return _ticket(answer, "the AppRole")

    async def _unwrap(self, wrapping: str, speaker: Speaker) -> str:
        """The secret ID in it. It opens once, so what was in it is kept as long as we run."""
        if self._unwrapped is not None and self._unwrapped[0] == wrapping:
            return self._unwrapped[1]
        seen = await speaker.write("sys/wrapping/lookup", {"token": wrapping})
        if seen.status != 200:
            raise _does_not_open(seen)
        # Whoever put his own wrapped answer there would have us log in as he likes.
        if not _made_for_role(str(seen.data.get("creation_path", "")), self._mount):
            raise _not_ours()
        opened = await speaker.write("sys/wrapping/unwrap", token=wrapping)
        secret_id = opened.data.get("secret_id")
        if opened.status != 200 or not isinstance(secret_id, str):
            raise _does_not_open(opened)
        self._learn([secret_id])
        self._unwrapped = (wrapping, secret_id)
        return secret_id


class Kubernetes:
    is_ours = True

    def __init__(self, mount: str, role: str, token: Path, learn: Learn) -> None:
        self._mount = mount
        self._role = role
        self._file = _File(token, "SECRETS_VAULT_KUBERNETES_TOKEN_FILE", learn)

    def stamp(self) -> Stamp:
        return self._file.stamp()

    async def login(self, speaker: Speaker) -> Ticket:
        body = {"role": self._role, "jwt": self._file.text()}
        answer = await speaker.write(f"auth/{self._mount}/login", body)
        return _ticket(answer, "the service account")


def login_of(settings: VaultSettings, learn: Learn) -> Login:
    """The way that the settings name; they have been checked."""
    if settings.token_file is not None:
        return TokenFile(settings.token_file, learn)
    if settings.role_id is not None and settings.secret_id_file is not None:
        mount, wrapped = settings.auth_mount or "approle", settings.wrapped == "on"
        return AppRole(mount, settings.role_id, settings.secret_id_file, learn, wrapped=wrapped)
    assert settings.kubernetes_role is not None, "the settings have been checked"
    mount = settings.auth_mount or "kubernetes"
    return Kubernetes(mount, settings.kubernetes_role, settings.kubernetes_token_file, learn)


class _File:
    def __init__(self, path: Path, key: str, learn: Learn) -> None:
        self._path = path
        self._key = key
        self._learn = learn

    def stamp(self) -> Stamp:
        try:
            seen = self._path.stat()
        except OSError:
            return None
        return seen.st_mtime_ns, seen.st_ino, seen.st_size

    def text(self) -> str:
        try:
            text = read_secret(self._path, self._key).strip()
        except Misconfigured as wrong:
            raise NotConfigured(str(wrong), details={"reason": "vault_credential"}) from None
        if not text.isascii() or not text.isprintable():
            raise NotConfigured(
                f"{self._key}: {self._path} holds more than a token",
                details={"reason": "vault_credential"},
            )
        self._learn([text])
        return text


def _made_for_role(path: str, mount: str) -> bool:
    return re.fullmatch(rf"auth/{re.escape(mount)}/role/[^/]+/secret-id", path) is not None


def _ticket(answer: Answer, who: str) -> Ticket:
    if answer.status != 200:
        raise _refused(answer, who)
    auth = answer.auth
    token = auth.get("client_token")
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise UpstreamError(
            "Vault's answer to the login has no token in it", details={"reason": "vault_garbage"}
        )
    return Ticket(token, _seconds(auth, "lease_duration"), auth.get("renewable") is True)


def ticket_renewed(answer: Answer, held: Ticket) -> Ticket | None:
    """The ticket that goes on, by the answer to renew-self; None where it does not."""
    auth = answer.auth
    if answer.status != 200 or not auth:
        return None
    return Ticket(held.token, _seconds(auth, "lease_duration"), auth.get("renewable") is True)


def _seconds(of: Mapping[str, Any], name: str) -> float:
    given = of.get(name)
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < 2**40:
        raise UpstreamError(
            "Vault does not say how long the token lives", details={"reason": "vault_garbage"}
        )
    return float(given)


def _refused(answer: Answer, who: str) -> LoginRefused:
    log.warning("vault_login_refused", who=who, status=answer.status, told=told(answer))
    return LoginRefused(
        f"Vault refuses {who} (HTTP {answer.status})",
        hint="Put a credential there that is good, and let the role or policy allow it.",
        details={"reason": "vault_login_refused"},
    )


def _not_ours() -> LoginRefused:
    log.error("vault_secret_id_was_not_wrapped_for_us")
    return LoginRefused(
        "what is wrapped in SECRETS_VAULT_SECRET_ID_FILE is no secret ID of an AppRole",
        hint="Take it for an attack: find out who put it there.",
        details={"reason": "vault_login_refused"},
    )


def _does_not_open(answer: Answer) -> LoginRefused:
    log.error("vault_secret_id_does_not_unwrap", status=answer.status, told=told(answer))
    return LoginRefused(
        "the wrapped secret ID does not open: it is too old, or somebody opened it before",
        hint="Unless that was you, take it for stolen: destroy it and wrap another one.",
        details={"reason": "vault_login_refused"},
    )
