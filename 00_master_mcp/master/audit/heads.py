"""What tells of the newest row beside the database: a file, signed, that only ever goes forward."""

import fcntl
import os
import tempfile
from pathlib import Path

import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from flotilla import Misconfigured
from flotilla.chain import Head
from flotilla.identity import open_signing_key

log = structlog.get_logger(__name__)

KEY = "FLOTILLA_AUDIT_KEY"
FOLDER = "audit"
FILE_NAME = "head"


def open_audit_key(folder: Path, given: str | None) -> Ed25519PrivateKey:
    """The key that signs heads: the one that hubs share, or one made in `folder`.

    It is not the key of the hub's tokens: that one changes from time to time. Misconfigured where
    it cannot be read.
    """
    if given is None:
        return open_signing_key(folder)
    try:
        key = serialization.load_pem_private_key(given.encode(), password=None)
    except (ValueError, TypeError):
        raise Misconfigured(f"{KEY}: not a PEM key") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise Misconfigured(f"{KEY}: not an Ed25519 key")
    return key


class HeadFile:
    """The head in `folder`; processes of one hub may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / FILE_NAME

    def read(self) -> Head | None:
        """The head; None where there is none, ValueError where the file holds something else."""
        try:
            text = self.path.read_text()
        except FileNotFoundError:
            return None
        return Head.read(text)

    def write(self, head: Head) -> None:
        """Keep a newer head, durably; blocks. OSError where the disk does not take it."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            if self._is_newer(head):
                self._replace(head)
                os.fsync(folder)
        finally:
            os.close(folder)

    def _is_newer(self, head: Head) -> bool:
        try:
            held = self.read()
        except ValueError:
            log.error("audit_head_unreadable", file=str(self.path))
            return True
        return held is None or held.key != head.key or held.number < head.number

    def _replace(self, head: Head) -> None:
        descriptor, name = tempfile.mkstemp(dir=self._folder, prefix=f".{FILE_NAME}.")
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{head.text()}\n")
                file.flush()
                os.fsync(descriptor)
            Path(name).replace(self.path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
