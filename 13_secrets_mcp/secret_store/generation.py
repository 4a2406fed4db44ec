"""Values that nobody has to think of. Pure but for randomness."""

import base64
import math
import secrets
import string
import uuid
from dataclasses import dataclass, field
from typing import Annotated, Literal

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from pydantic import Field

from flotilla import InvalidArgument, Model

Kind = Literal["password", "hex", "base64", "uuid", "ed25519", "rsa"]
Length = Annotated[
    int,
    Field(
        ge=1,
        le=4096,
        description="Characters of a password (32), random bytes of hex and base64 (32), bits of "
        "an RSA key (3072); the others have their own.",
    ),
]
Alphabet = Annotated[
    str,
    Field(
        min_length=2,
        max_length=256,
        pattern=r"^[!-~]+$",
        description="The characters that a password is drawn from; letters, digits and -_.~+ by "
        "default, which need no quoting anywhere.",
    ),
]
_PLAIN = f"{string.ascii_letters}{string.digits}-_.~+"
_LEAST_BITS = 64
_RSA_BITS = (2048, 3072, 4096)
_RSA_EXPONENT = 65537


class Recipe(Model):
    """How a value is generated, again at each rotation."""

    kind: Kind = "password"
    length: int | None = None
    alphabet: str | None = None


@dataclass(frozen=True, slots=True)
class Generated:
    """A value, and what of it may be shown."""

    value: str = field(repr=False)
    public_key: str | None = None


def generated(recipe: Recipe) -> Generated:
    """A value of that kind; InvalidArgument for one that could be guessed. RSA takes a second."""
    if recipe.alphabet is not None and recipe.kind != "password":
        raise InvalidArgument(f"alphabet is for passwords; a {recipe.kind} has its own")
    match recipe.kind:
        case "password":
            return Generated(_password(recipe.length or 32, recipe.alphabet or _PLAIN))
        case "hex":
            return Generated(_random_bytes(recipe.length).hex())
        case "base64":
            return Generated(base64.b64encode(_random_bytes(recipe.length)).decode())
        case "uuid":
            # 122 bits from the system's randomness (RFC 9562 §5.4).
            return Generated(str(uuid.uuid4()))
        case "ed25519":
            return _key_pair(Ed25519PrivateKey.generate())
        case "rsa":
            return _key_pair(_rsa(recipe.length or 3072))


def _password(length: int, alphabet: str) -> str:
    distinct = sorted(set(alphabet))
    bits = length * math.log2(len(distinct))
    if bits < _LEAST_BITS:
        raise InvalidArgument(
            f"{length} characters out of {len(distinct)} can be guessed ({bits:.0f} bits)",
            hint=f"Take a length and an alphabet that make {_LEAST_BITS} bits or more.",
        )
    return "".join(secrets.choice(distinct) for _ in range(length))


def _random_bytes(length: int | None) -> bytes:
    count = length or 32
    if count * 8 < _LEAST_BITS:
        raise InvalidArgument(f"{count} random bytes can be guessed; take 8 or more")
    return secrets.token_bytes(count)


def _rsa(bits: int) -> RSAPrivateKey:
    if bits not in _RSA_BITS:
        raise InvalidArgument(f"an RSA key has {', '.join(map(str, _RSA_BITS))} bits, not {bits}")
    return generate_private_key(_RSA_EXPONENT, bits)


def _key_pair(key: Ed25519PrivateKey | RSAPrivateKey) -> Generated:
    """The private key as OpenSSH writes it, with the line for authorized_keys."""
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return Generated(private.decode(), public.decode())
