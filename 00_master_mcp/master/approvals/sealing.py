"""Calls that wait, sealed: their arguments may hold secrets that the database must not show."""

import base64
import binascii
from pathlib import Path

from flotilla import NotConfigured
from master.sealing import CannotOpen, Seal, open_key

KEY_FILE = "approvals_key"


class Sealing:
    """Seals texts, each to be opened only for what it was sealed for."""

    def __init__(self, key: bytes) -> None:
        self._seal = Seal(key, "flotilla.approvals")

    def seal(self, text: str, purpose: str) -> str:
        sealed = self._seal.close(text.encode("utf-8", "surrogatepass"), purpose)
        return base64.b64encode(sealed).decode()

    def open(self, sealed: str, purpose: str) -> str:
        """NotConfigured where it was sealed by another key, for something else, or changed."""
        try:
            opened = self._seal.open(base64.b64decode(sealed, validate=True), purpose)
        except (CannotOpen, ValueError, binascii.Error):
            raise NotConfigured(
                "this hub cannot read what was stored for the approval",
                hint=f"Hubs that share a database need the same hub/{KEY_FILE} in their data "
                "folders. Ask for the approval again.",
            ) from None
        return opened.decode("utf-8", "surrogatepass")


def open_sealing(folder: Path) -> Sealing:
    """With the key in `folder`, made when missing; Misconfigured where it is none."""
    return Sealing(open_key(folder, KEY_FILE))
