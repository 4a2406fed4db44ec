"""The hub's signed word to a spoke: who calls, with which roles, and whether a person allowed it.

Tokens are JWTs signed with Ed25519 (RFC 8037), good for 60 seconds. The hub alone holds the private
key; spokes hold the public one. A call that needs approval carries a token of its own, bound to the
tool and to the SHA-256 of the request's body.
"""

import hashlib
import os
import secrets
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from flotilla.context import Principal
from flotilla.settings import Misconfigured

ISSUER = "flotilla-hub"
LIFETIME_S = 60
REUSE_S = 30
"""A cached token is handed out for this long, so that it never runs out on its way."""
LEEWAY_S = 5
_ALGORITHM = "EdDSA"
_MAX_CACHED = 1024
_PEM_END = b"-----END PUBLIC KEY-----"


class BadToken(Exception):
    """The token does not prove that the hub sent this call; the message is for the log only."""


@dataclass(frozen=True, slots=True)
class Caller:
    """What a verified token says: the principal, and the call that was approved, if one was."""

    principal: Principal
    approved_tool: str | None = None
    approval: str | None = None
    """The ID of the approval by which that call runs, for the log; None where nobody was asked."""
    interactive: bool = True
    """A person sits at the client, who can be asked there; a robot's token says no."""
    profiles: frozenset[str] | None = None
    """The profiles that the credential may use; None: all."""
    subject: str | None = field(default=None, repr=False, compare=False)
    """The token itself, where a provider signed it: to be exchanged at that provider alone."""


def body_hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


class Signer:
    """Makes the hub's tokens; the ones for calls without approval are reused for half a minute."""

    def __init__(
        self,
        key: Ed25519PrivateKey | Callable[[], Ed25519PrivateKey],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`key` may be what tells the key that signs now."""
        self._key = (lambda: key) if isinstance(key, Ed25519PrivateKey) else key
        self._clock = clock
        self._cache: OrderedDict[tuple[str, Principal], tuple[float, str]] = OrderedDict()

    def token(self, audience: str, principal: Principal) -> str:
        """A token with which `principal` may call whatever needs no approval at `audience`."""
        now = self._clock()
        cached = self._cache.get((audience, principal))
        if cached is not None and now - cached[0] < REUSE_S:
            return cached[1]
        token = self._signed(audience, principal, now, {})
        self._cache[(audience, principal)] = (now, token)
        self._cache.move_to_end((audience, principal))
        if len(self._cache) > _MAX_CACHED:
            self._cache.popitem(last=False)
        return token

    def token_for_call(
        self,
        audience: str,
        principal: Principal,
        *,
        tool: str,
        body: bytes,
        approval: str | None = None,
    ) -> str:
        """A token for this very request: the tool was approved, with these bytes and no others.

        `approval` is the ID of the approval, where a person gave one.
        """
        # Ed25519 signs the same words alike: without an ID two requests of one second would carry
        # the same token, and one that may be used once could not be told from a copy.
        claims = {"tool": tool, "body": body_hash(body), "jti": secrets.token_urlsafe(12)}
        if approval is not None:
            claims["approval"] = approval
        return self._signed(audience, principal, self._clock(), claims)

    def _signed(
        self, audience: str, principal: Principal, now: float, more: Mapping[str, str]
    ) -> str:
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": audience,
            "sub": principal.name,
            "roles": list(principal.roles),
            "iat": int(now),
            "exp": int(now) + LIFETIME_S,
            **more,
        }
        key = self._key()
        return jwt.encode(claims, key, _ALGORITHM, headers={"kid": key_id(key.public_key())})


@dataclass(frozen=True, slots=True)
class _Word:
    """What a token whose signature is good says, and for which body alone, if for one."""

    caller: Caller
    body: str | None
    until: float


def _word(claims: Mapping[str, Any]) -> _Word:
    roles = claims["roles"]
    if not isinstance(roles, list):
        raise BadToken("roles is not a list")
    principal = Principal(str(claims["sub"]), tuple(map(str, roles)))  # pyright: ignore[reportUnknownArgumentType]
    until, body = float(claims["exp"]), claims.get("body")
    if body is None:
        return _Word(Caller(principal), None, until)
    approval = claims.get("approval")
    caller = Caller(
        principal,
        approved_tool=str(claims.get("tool", "")),
        approval=None if approval is None else str(approval),
    )
    return _Word(caller, str(body), until)


class Verifier:
    """Reads the hub's tokens at a spoke.

    The file of the hub's public keys may appear later and may change: it holds every key that may
    have signed a token which still lives, each in PEM.
    """

    def __init__(self, public_key_file: Path, audience: str) -> None:
        self._file = public_key_file
        self._path = str(public_key_file)
        self._audience = audience
        self._keys: Mapping[str, Ed25519PublicKey] = {}
        self._key_stamp: tuple[int, int] | None = None
        self._seen: OrderedDict[str, _Word] = OrderedDict()

    def has_key(self) -> bool:
        """Whether the hub's public key is there and can be read."""
        try:
            self._current_keys()
        except BadToken:
            return False
        return True

    def unbound(self, token: str) -> Caller | None:
        """As `verify`, but None where the body is needed to verify the token."""
        word = self._read(token)
        return word.caller if word.body is None else None

    def verify(self, token: str, body: bytes | None = None) -> Caller:
        """The caller that the token speaks of; BadToken for any doubt.

        `body` is the request's body, without which a token bound to one is refused.
        """
        word = self._read(token)
        if word.body is not None and (body is None or body_hash(body) != word.body):
            raise BadToken("the token was made for another body")
        return word.caller

    def _read(self, token: str) -> _Word:
        keys = self._current_keys()
        seen = self._seen.get(token)
        if seen is not None and time.time() < seen.until:
            return seen
        try:
            key = keys.get(str(jwt.get_unverified_header(token).get("kid")))
            if key is None:
                raise BadToken("it is signed by a key that this service does not know")
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                audience=self._audience,
                issuer=ISSUER,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iat", "sub", "aud", "iss", "roles"]},
            )
        except jwt.InvalidTokenError as error:
            raise BadToken(f"{type(error).__name__}: {error}") from None
        word = _word(claims)
        if word.body is None:
            self._seen[token] = word
            if len(self._seen) > _MAX_CACHED:
                self._seen.popitem(last=False)
        return word

    def _current_keys(self) -> Mapping[str, Ed25519PublicKey]:
        try:
            # At each request: what a Path adds around this call is half of it again.
            status = os.stat(self._path)  # noqa: PTH116
            stamp = (status.st_mtime_ns, status.st_ino)
            if stamp != self._key_stamp:
                self._keys = public_keys_in(self._file.read_bytes())
                self._key_stamp = stamp
                # What a key signed that is gone is good no more.
                self._seen.clear()
        except (OSError, ValueError) as error:
            raise BadToken(f"no public key of the hub: {error}") from None
        return self._keys


def key_id(key: Ed25519PublicKey) -> str:
    """By which a token names the key that signed it."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def public_keys_in(bundle: bytes) -> Mapping[str, Ed25519PublicKey]:
    """The Ed25519 keys of a text of PEM blocks, by their IDs; ValueError for anything else."""
    found: dict[str, Ed25519PublicKey] = {}
    for block in bundle.split(_PEM_END)[:-1]:
        key = serialization.load_pem_public_key(block.strip() + b"\n" + _PEM_END + b"\n")
        if not isinstance(key, Ed25519PublicKey):
            raise ValueError("a key in the file is not an Ed25519 key")
        found[key_id(key)] = key
    if not found:
        raise ValueError("the file holds no public key in PEM")
    return found


def pem_of(key: Ed25519PrivateKey) -> bytes:
    """The private key as its file holds it."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def private_key_in(file: Path) -> Ed25519PrivateKey:
    """The private key of a PEM file; Misconfigured where there is none."""
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise Misconfigured(f"{file} is not a readable PEM key: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise Misconfigured(f"{file} is not an Ed25519 key")
    return key


def publish(keys: Sequence[Ed25519PrivateKey], public_file: Path) -> None:
    """Write the public halves where spokes read them; Misconfigured where that cannot be done."""
    bundle = b"".join(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        for key in keys
    )
    try:
        if not public_file.exists() or public_file.read_bytes() != bundle:
            _replace(public_file, bundle, mode=0o644)
    except OSError as error:
        raise Misconfigured(f"cannot write {public_file}: {error.strerror}") from None


def open_signing_key(folder: Path, public_file: Path | None = None) -> Ed25519PrivateKey:
    """The hub's key pair in `folder` (private_key.pem 0600, public_key.pem), made when missing.

    The public one goes to `public_file` instead where that is given: spokes that share no data
    folder with the hub read it there. Raises Misconfigured when the private key cannot be read or
    is not Ed25519, or the public one cannot be written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    private_file = folder / "private_key.pem"
    write_once(private_file, pem_of(Ed25519PrivateKey.generate()), mode=0o600)
    key = private_key_in(private_file)
    publish([key], public_file or folder / "public_key.pem")
    return key


def write_once(path: Path, content: bytes, mode: int) -> bool:
    """Create `path` with this content unless it exists; True when it was made.

    A reader, and another process that does the same, never sees half of it.
    """
    if path.exists():
        return False
    temporary = _temporary(path, content, mode)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True


def _replace(path: Path, content: bytes, mode: int) -> None:
    _temporary(path, content, mode).replace(path)


def _temporary(path: Path, content: bytes, mode: int) -> Path:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    return Path(name)
