"""Grants at rest, encrypted: whoever reads the database or a backup of it has no token.

AES-256-GCM (NIST SP 800-38D) with a random nonce of 96 bits under a key in the hub's data folder.
What is sealed opens only for what it was sealed for: its purpose is associated data. Hubs that
share a database need the same key.
"""

import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from flotilla import NotConfigured
from flotilla.identity import write_once
from flotilla.settings import Misconfigured

KEY_FILE = "grants_key"
_KEY_BYTES = 32
_NONCE_BYTES = 12


class Sealing:
    """`purpose` is a tuple of texts; no two tuples are ever taken for each other."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, raw: bytes, *purpose: str) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, raw, _aad(purpose))

    def open(self, sealed: bytes, *purpose: str) -> bytes:
        """NotConfigured where it was sealed by another key, for something else, or changed."""
        try:
            nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            return self._cipher.decrypt(nonce, rest, _aad(purpose))
        except (InvalidTag, ValueError):
            raise NotConfigured(
                "this hub cannot read what was granted for the server",
                hint=f"Hubs that share a database need the same hub/{KEY_FILE} in their data "
                "folders. Revoke the grant and give it anew.",
            ) from None


def open_sealing(folder: Path) -> Sealing:
    """With the key in `folder` (mode 0600), made when missing; Misconfigured where it is none."""
    file = folder / KEY_FILE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_once(file, secrets.token_bytes(_KEY_BYTES).hex().encode() + b"\n", mode=0o600)
        key = bytes.fromhex(file.read_text("ascii").strip())
        # A copy or a restored backup may have opened it to others.
        file.chmod(0o600)
    except OSError as error:
        raise Misconfigured(f"cannot read {file}: {error.strerror}") from None
    except ValueError:
        raise Misconfigured(f"{file} is no key: 64 hexadecimal digits are expected") from None
    if len(key) != _KEY_BYTES:
        raise Misconfigured(f"{file} is no key: 64 hexadecimal digits are expected")
    return Sealing(key)


def _aad(purpose: tuple[str, ...]) -> bytes:
    parts = [part.encode() for part in ("flotilla.grants", *purpose)]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
