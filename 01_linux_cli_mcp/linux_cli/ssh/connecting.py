"""One connection to one host: only keys, only modern algorithms, only the host key that is pinned.

Nothing of the user's own SSH set-up is read: no ~/.ssh, no agent, no configuration.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from socket import gaierror
from typing import Any

import anyio
import asyncssh
from asyncssh.encryption import get_encryption_algs
from asyncssh.kex import get_kex_algs
from asyncssh.mac import get_mac_algs

from flotilla import FlotillaError, NotAllowed, Unavailable, UpstreamError
from linux_cli.ssh.inventory import SshEntry
from linux_cli.ssh.keys import ClientKey

HOST_KEY_ALGORITHMS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
_KEY_EXCHANGES = (
    "mlkem768x25519-sha256",
    "sntrup761x25519-sha512",
    "sntrup761x25519-sha512@openssh.com",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
    "diffie-hellman-group14-sha256",
)
_CIPHERS = (
    "chacha20-poly1305@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-gcm@openssh.com",
    "aes256-ctr",
    "aes192-ctr",
    "aes128-ctr",
)
_MACS = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
)
_KEEPALIVES = 3
_NOBODY_TRUSTED: tuple[tuple[asyncssh.SSHKey, ...], ...] = ((), (), ())
"""As known hosts: no key is trusted by a list, so that each is put to `_Checks`."""


def _offered(wanted: tuple[str, ...], available: Callable[[], list[bytes]]) -> list[str]:
    """Those of `wanted` that this build of the library has."""
    names = {name.decode("ascii") for name in available()}
    return [name for name in wanted if name in names]


@dataclass(frozen=True, slots=True)
class Shown:
    """The key that a host has shown."""

    algorithm: str
    fingerprint: str

    @classmethod
    def of(cls, key: asyncssh.SSHKey) -> "Shown":
        return cls(key.get_algorithm(), key.get_fingerprint("sha256"))


class Checks(asyncssh.SSHClient):
    """Takes the one pinned key; keeps what was shown, and tells when the connection is gone."""

    def __init__(self, pinned: str | None) -> None:
        self.pinned = pinned
        self.shown: Shown | None = None
        self.authenticated = False
        self.lost: Callable[[], None] = lambda: None

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        del host, addr, port
        self.shown = Shown.of(key)
        return self.pinned is not None and self.shown.fingerprint == self.pinned

    def validate_host_ca_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        del host, addr, port, key
        return False

    def auth_completed(self) -> None:
        self.authenticated = True

    def password_auth_requested(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.lost()


class Looks(Checks):
    """Takes any key, to see which one it is; nothing of ours is shown to the host after it."""

    def __init__(self) -> None:
        super().__init__(None)

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        super().validate_host_public_key(host, addr, port, key)
        return True


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection, authenticated."""

    connection: asyncssh.SSHClientConnection
    checks: Checks


async def open_connection(
    alias: str,
    entry: SshEntry,
    checks: Checks,
    key: ClientKey | None,
    *,
    via: asyncssh.SSHClientConnection | None,
    timeout_s: float,
    algorithm: str | None = None,
) -> Opened:
    """Connect, check the host's key and authenticate, within `timeout_s`.

    `key` None shows no key of ours, and so ends after the host's key was shown. Raises the errors
    of `told`.
    """
    # That of the pin first: a host that has several keys then shows the one that we know.
    host_keys = sorted(HOST_KEY_ALGORITHMS, key=lambda name: name != algorithm)
    if algorithm == "ssh-rsa":
        host_keys.sort(key=lambda name: not name.startswith("rsa-"))
    try:
        connection, _ = await asyncssh.create_connection(
            lambda: checks,
            entry.address,
            entry.port,
            tunnel=via,
            config=None,
            username=entry.user,
            client_keys=[] if key is None else [key],
            client_certs=[],
            known_hosts=_NOBODY_TRUSTED,
            server_host_key_algs=host_keys,
            x509_trusted_certs=None,
            x509_trusted_cert_paths=[],
            agent_path=None,
            agent_forwarding=False,
            x11_forwarding=False,
            pkcs11_provider=None,
            password=None,
            password_auth=False,
            kbdint_auth=False,
            host_based_auth=False,
            gss_kex=False,
            gss_auth=False,
            public_key_auth=True,
            preferred_auth="publickey",
            disable_trivial_auth=True,
            kex_algs=_offered(_KEY_EXCHANGES, get_kex_algs),
            encryption_algs=_offered(_CIPHERS, get_encryption_algs),
            mac_algs=_offered(_MACS, get_mac_algs),
            compression_algs=None,
            keepalive_interval=entry.keepalive_s,
            keepalive_count_max=_KEEPALIVES,
            connect_timeout=timeout_s,
            login_timeout=timeout_s,
        )
    except Exception as error:  # noqa: BLE001 - all that a library or a socket can raise is told
        raise told(alias, entry, error, checks) from None
    return Opened(connection, checks)


def told(
    alias: str, entry: SshEntry, error: BaseException, checks: Checks | None = None
) -> Exception:
    """What went wrong with a host, as an error that a client may see, with a `reason`."""
    if isinstance(error, FlotillaError):
        return error
    for kinds, tell in _TOLD:
        if isinstance(error, kinds):
            return tell(alias, entry, error, checks)
    raise error


def host_key_refused(alias: str, shown: Shown | None, *, pinned: str | None) -> FlotillaError:
    """The refusal of a host whose key is not the pinned one."""
    seen = f"{shown.algorithm} {shown.fingerprint}" if shown else "a key that cannot be used"
    told_key = {"fingerprint": shown.fingerprint, "algorithm": shown.algorithm} if shown else {}
    if pinned is None:
        return NotAllowed(
            f"the key of host {alias!r} is not known here: it shows {seen}",
            hint="The owner of the fleet compares it with the host's own and pins it: "
            f"python3 -m flotilla hosts trust {alias}",
            details={"reason": "host_key_unknown", **told_key},
        )
    return NotAllowed(
        f"THE KEY OF HOST {alias!r} HAS CHANGED: it shows {seen}, and {pinned} is trusted. "
        "Somebody may stand in between, or the host was set up anew. Nothing was sent to it.",
        hint="Only when the change is known to be right, the owner pins the new key: "
        f"python3 -m flotilla hosts trust {alias} --replace",
        details={"reason": "host_key_changed", "pinned": pinned, **told_key},
    )


def _away(why: str) -> Callable[..., FlotillaError]:
    def tell(alias: str, entry: SshEntry, error: BaseException, _: Any) -> FlotillaError:
        detail = error.strerror if isinstance(error, OSError) and error.strerror else None
        return Unavailable(
            f"host {alias!r} ({entry.address}, port {entry.port}) {why}"
            + (f": {detail}" if detail else ""),
            hint="os.ssh.testConnection shows at which step it fails.",
            details={"reason": "host_away"},
        )

    return tell


def _host_key(alias: str, entry: SshEntry, _: BaseException, checks: Checks | None) -> Exception:
    del entry
    return host_key_refused(
        alias, checks.shown if checks else None, pinned=checks.pinned if checks else None
    )


def _key_refused(alias: str, entry: SshEntry, *_: Any) -> Exception:
    return UpstreamError(
        f"host {alias!r} does not accept our key for user {entry.user!r}",
        hint="Put the public key into that user's authorized_keys, or name another key in "
        "hosts.yaml.",
        details={"reason": "key_refused"},
    )


def _no_common(alias: str, *_: Any) -> Exception:
    return UpstreamError(
        f"host {alias!r} offers no algorithm that is safe today",
        hint="Update its SSH server; old ciphers, key exchanges and key kinds are refused.",
        details={"reason": "no_common_algorithm"},
    )


def _channel_refused(alias: str, entry: SshEntry, *_: Any) -> Exception:
    through = f"jump host {entry.jump!r}" if entry.jump else "it"
    return Unavailable(
        f"host {alias!r} cannot be reached: {through} cannot or may not open a connection to it",
        hint="The jump host's sshd must allow TCP forwarding to that address and port.",
        details={"reason": "channel_refused"},
    )


# The first that fits; a connection that is lost is also a disconnection, and a timeout an OSError.
_TOLD: tuple[tuple[Any, Callable[..., Exception]], ...] = (
    (asyncssh.HostKeyNotVerifiable, _host_key),
    (asyncssh.PermissionDenied, _key_refused),
    (asyncssh.KeyExchangeFailed, _no_common),
    (asyncssh.ChannelOpenError, _channel_refused),
    (TimeoutError, _away("does not answer in time")),
    (gaierror, _away("has a name that cannot be resolved")),
    (OSError, _away("cannot be reached")),
    ((asyncssh.ConnectionLost, asyncssh.DisconnectError), _away("closed the connection")),
    (asyncssh.SFTPError, _away("ended the file session")),
    (asyncssh.Error, _away("broke the protocol")),
)


async def close_connection(connection: asyncssh.SSHClientConnection, wait_s: float = 2.0) -> None:
    """End a connection, and wait for its end only so long."""
    connection.close()
    with anyio.move_on_after(wait_s), suppress(asyncssh.Error, OSError):
        await connection.wait_closed()
    connection.abort()
