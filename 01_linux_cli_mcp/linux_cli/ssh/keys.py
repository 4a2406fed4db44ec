"""The private keys that the spoke shows to hosts, from stored secrets or files."""

import stat
from pathlib import Path

import asyncssh
from anyio import to_thread

from flotilla import NotConfigured
from flotilla.credentials import Credentials, secret_named
from linux_cli.ssh.inventory import SshEntry

_MAX_KEY_BYTES = 64 * 1024

ClientKey = asyncssh.SSHKey | tuple[asyncssh.SSHKey, asyncssh.SSHCertificate]


class Keys:
    """Reads a host's key when a connection is made, so that a rotated one is taken at once."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def of(self, alias: str, entry: SshEntry) -> ClientKey:
        """The key, with its certificate where there is one; NotConfigured says what is missing."""
        # In a thread: to derive the key of an encrypted file takes long by design.
        return await to_thread.run_sync(self._read, alias, entry)

    def _read(self, alias: str, entry: SshEntry) -> ClientKey:
        named = entry.passphrase and secret_named(entry.passphrase)
        passphrase = self._credentials.get(named) if named else None
        text = self._text(alias, entry.key)
        try:
            key = asyncssh.import_private_key(text, passphrase)
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError):
            # Without the cause, which may quote what it could not read.
            raise NotConfigured(
                f"the key of host {alias!r} cannot be read: it is no private key, or its "
                "passphrase is another, or it is encrypted in OpenSSH's own form",
                hint="A key with a passphrase is taken in PKCS#8 form (`ssh-keygen -m PKCS8`, for "
                "RSA and ECDSA). A key in the store needs none: the store encrypts it.",
            ) from None
        if entry.certificate is None:
            return key
        try:
            return key, asyncssh.import_certificate(self._text(alias, entry.certificate))
        except (asyncssh.KeyImportError, ValueError):
            raise NotConfigured(f"the certificate of host {alias!r} cannot be read") from None

    def _text(self, alias: str, place: str) -> str:
        name = secret_named(place)
        return self._credentials.get(name) if name else _file_text(alias, Path(place))


def _file_text(alias: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & 0o077 and not path.name.endswith(".pub"):
                raise NotConfigured(
                    f"the key file of host {alias!r} may be read by others (mode {mode:04o})",
                    hint=f"chmod 600 {path}",
                )
            return file.read(_MAX_KEY_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        told = error.strerror if isinstance(error, OSError) else "it is not text"
        raise NotConfigured(f"the key file of host {alias!r}, {path}: {told}") from None
