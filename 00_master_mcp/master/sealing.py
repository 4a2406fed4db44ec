"""What the hub keeps encrypted in a database: whoever reads it, or a backup of it, learns nothing.

AES-256-GCM (NIST SP 800-38D) with a random nonce of 96 bits under a key in the hub's data folder.
What is sealed opens only for what it was sealed for: its purpose is associated data. Hubs that
share a database need the same keys, as they need the same signing key.
"""

import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from flotilla.identity import write_once
from flotilla.settings import Misconfigured

KEY_BYTES = 32
_NONCE_BYTES = 12


class CannotOpen(Exception):
    """It was sealed by another key, for something else, or it was changed."""


class Seal:
    """Seals bytes for a purpose, which is several texts.

    No two purposes, and no two `use`s of one key, are ever taken for each other.
    """

    def __init__(self, key: bytes, use: str) -> None:
        self._cipher = AESGCM(key)
        self._use = use

    def close(self, raw: bytes, *purpose: str) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, raw, self._bound_to(purpose))

    def open(self, sealed: bytes, *purpose: str) -> bytes:
        """CannotOpen for any doubt."""
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, rest, self._bound_to(purpose))
        except (InvalidTag, ValueError):
            raise CannotOpen from None

    def _bound_to(self, purpose: tuple[str, ...]) -> bytes:
        parts = [part.encode() for part in (self._use, *purpose)]
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def open_key(folder: Path, name: str) -> bytes:
    """The key in that file of `folder` (mode 0600), made when missing; Misconfigured for no key."""
    file = folder / name
    no_key = f"{file} is no key: {2 * KEY_BYTES} hexadecimal digits are expected"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_once(file, secrets.token_bytes(KEY_BYTES).hex().encode() + b"\n", mode=0o600)
        key = bytes.fromhex(file.read_text("ascii").strip())
        # A copy or a restored backup may have opened it to others.
        file.chmod(0o600)
    except OSError as error:
        raise Misconfigured(f"cannot read {file}: {error.strerror}") from None
    except ValueError:
        raise Misconfigured(no_key) from None
    if len(key) != KEY_BYTES:
        raise Misconfigured(no_key)
    return key
