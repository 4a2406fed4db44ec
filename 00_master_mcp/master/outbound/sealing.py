"""Grants at rest, sealed: whoever reads the database or a backup of it has no token."""

from pathlib import Path

from flotilla import NotConfigured
from master.sealing import CannotOpen, Seal, open_key

KEY_FILE = "grants_key"


class Sealing:
    """Seals bytes, each to be opened only for what they were sealed for: several texts."""

    def __init__(self, key: bytes) -> None:
        self._seal = Seal(key, "flotilla.grants")

    def seal(self, raw: bytes, *purpose: str) -> bytes:
        return self._seal.close(raw, *purpose)

    def open(self, sealed: bytes, *purpose: str) -> bytes:
        """NotConfigured where it was sealed by another key, for something else, or changed."""
        try:
            return self._seal.open(sealed, *purpose)
        except CannotOpen:
            raise NotConfigured(
                "this hub cannot read what was granted for the server",
                hint=f"Hubs that share a database need the same hub/{KEY_FILE} in their data "
                "folders. Revoke the grant and give it anew.",
            ) from None


def open_sealing(folder: Path) -> Sealing:
    """With the key in `folder`, made when missing; Misconfigured where it is none."""
    return Sealing(open_key(folder, KEY_FILE))
