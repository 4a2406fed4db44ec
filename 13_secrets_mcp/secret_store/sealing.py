"""Sealing with AES-256-GCM (NIST SP 800-38D), and the derivation of keys. Pure but for randomness.

A sealed text is its 96-bit random nonce, the ciphertext and the 128-bit tag. What it belongs to is
associated data, so that it opens at its own place alone.
"""

import base64
import binascii
import hmac
import os
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

KEY_BYTES = 32
_NONCE_BYTES = 12
_SALT_BYTES = 16


class WrongSeal(Exception):
    """It was sealed with another key or for another place, or changed since."""


@dataclass(frozen=True, slots=True)
class Argon2:
    """What a passphrase was derived with; by default RFC 9106's choice for little memory (§4)."""

    salt: bytes
    iterations: int = 3
    lanes: int = 4
    memory_kib: int = 64 * 1024

    def __post_init__(self) -> None:
        # They come from the database: whoever can write there must not pick their cost.
        sane = 1 <= self.iterations <= 16 and 1 <= self.lanes <= 16
        if not sane or not 8 * 1024 <= self.memory_kib <= 1024 * 1024:
            raise WrongSeal("the stored parameters of the passphrase are out of bounds")

    @classmethod
    def fresh(cls) -> "Argon2":
        return cls(os.urandom(_SALT_BYTES))

    def derive(self, passphrase: str) -> bytes:
        """The key of a passphrase; takes a tenth of a second and `memory_kib`, by design."""
        kdf = Argon2id(
            salt=self.salt,
            length=KEY_BYTES,
            iterations=self.iterations,
            lanes=self.lanes,
            memory_cost=self.memory_kib,
        )
        return kdf.derive(passphrase.encode())


def new_key() -> bytes:
    return os.urandom(KEY_BYTES)


def seal(key: bytes, plain: bytes, belongs_to: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, belongs_to)


def unseal(key: bytes, sealed: bytes, belongs_to: bytes) -> bytes:
    """What was sealed; WrongSeal for another key, another place or a change of one bit."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], belongs_to)
    except (InvalidTag, ValueError):
        raise WrongSeal("a sealed text does not open") from None


def place_of_value(path: str, version: int, key_id: int) -> bytes:
    """Associated data of a value; no path holds a NUL, so no two places are written alike."""
    return f"flotilla/secret\0{path}\0{version}\0{key_id}".encode()


def place_of_key(key_id: int, purpose: str, master_id: str) -> bytes:
    """Associated data of a data key."""
    return f"flotilla/data-key\0{key_id}\0{purpose}\0{master_id}".encode()


def id_of(master: bytes) -> str:
    """A name for a master key, from which the key cannot be told."""
    return sha256(b"flotilla/master-key\0" + master).hexdigest()[:16]


def chained(key: bytes, before: str, entry: bytes) -> str:
    """The link of an entry to the one before, which only a holder of the key can make."""
    return hmac.new(key, before.encode() + b"\0" + entry, sha256).hexdigest()


def written_key(key: bytes) -> str:
    return base64.b64encode(key).decode()


def read_key(text: str) -> bytes | None:
    """A master key of 32 bytes from base64 or hexadecimal; None for anything else."""
    told = text.strip()
    try:
        if len(told) == 2 * KEY_BYTES:
            return bytes.fromhex(told)
        key = base64.b64decode(told, validate=True)
    except (ValueError, binascii.Error):
        return None
    return key if len(key) == KEY_BYTES else None
