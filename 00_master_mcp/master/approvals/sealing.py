"""Calls that wait, encrypted: their arguments may hold secrets that the database must not show.

AES-256-GCM (NIST SP 800-38D) with a random nonce of 96 bits under a key that never leaves the hub's
data folder. Hubs that share a database need the same key, as they need the same signing key.
"""

import base64
import binascii
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from flotilla import NotConfigured
from flotilla.identity import write_once
from flotilla.settings import Misconfigured

KEY_FILE = "approvals_key"
_KEY_BYTES = 32
_NONCE_BYTES = 12


class Sealing:
    """Seals texts, each to be opened only for what it was sealed for."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, text: str, purpose: str) -> str:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, text.encode("utf-8", "surrogatepass"), _aad(purpose))
        return base64.b64encode(nonce + sealed).decode()

    def open(self, sealed: str, purpose: str) -> str:
        """NotConfigured where it was sealed by another key, for something else, or changed."""
        try:
            raw = base64.b64decode(sealed, validate=True)
            opened = self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _aad(purpose))
        except (InvalidTag, ValueError, binascii.Error):
            raise NotConfigured(
                "this hub cannot read what was stored for the approval",
                hint=f"Hubs that share a database need the same hub/{KEY_FILE} in their data "
                "folders. Ask for the approval again.",
            ) from None
        return opened.decode("utf-8", "surrogatepass")


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


def _aad(purpose: str) -> bytes:
    return f"flotilla.approvals:{purpose}".encode()
