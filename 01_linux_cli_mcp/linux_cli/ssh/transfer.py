"""Carries files between the exchange folder and a host: in parts, checked at both ends."""

import os
import posixpath
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from time import monotonic

import asyncssh
from anyio import to_thread
from asyncssh import SFTPAttrs, SFTPClient
from asyncssh.constants import (
    FILEXFER_TYPE_DIRECTORY,
    FXF_CREAT,
    FXF_READ,
    FXF_WRITE,
)

from flotilla import Conflict, Context, NotAllowed, NotConfigured, TooLarge, UpstreamError
from linux_cli.mounts import is_within
from linux_cli.programs import timeout_within
from linux_cli.ssh.disk import check_regular, put_in_place, stat_or_none
from linux_cli.ssh.exchange import Arriving, Exchange, sha256_of
from linux_cli.ssh.host import SshHost
from linux_cli.ssh.opened import opened
from linux_cli.ssh.sftp import file_errors, file_session

_HERE = ""
"""The exchange folder, among the places that files are carried to; no host is called so."""
_PART_BYTES = 1024 * 1024
_REPORT_S = 0.5
_UNCHANGEABLE = ("/proc", "/sys", "/dev")
_SHA256 = """\
if command -v sha256sum >/dev/null 2>&1; then exec sha256sum <"$1"; fi
if command -v shasum >/dev/null 2>&1; then exec shasum -a 256 <"$1"; fi
exec openssl dgst -r -sha256 <"$1"
"""


@dataclass(frozen=True, slots=True)
class Carried:
    """A file that is whole at both ends."""

    path: str
    size_bytes: int
    sha256: str
    resumed_at: int


class Transfer:
    """One host's carrier; files of at most `max_bytes`."""

    def __init__(self, exchange: Exchange, *, max_bytes: int) -> None:
        self._exchange = exchange
        self._max_bytes = max_bytes
        self._carried: set[tuple[str, str]] = set()

    async def upload(
        self, context: Context, host: SshHost, name: str, path: str, mode: int
    ) -> Carried:
        """From the exchange folder to a new file of the host."""
        with self._exchange.reading(name) as fd:
            sha256, size = await to_thread.run_sync(sha256_of, fd, self._max_bytes)
            own_uid = await host.own_uid()
            async with file_session(host.link) as sftp:
                with (
                    file_errors(host.name, path),
                    self._alone(host.name, path, path),
                    self._alone(host.name, sha256, path),
                ):
                    real = await self._new_place(sftp, host, path)
                    async with _private(sftp, real, sha256, own_uid) as partial:
                        resumed_at = await self._send(context, sftp, fd, partial, size, mode)
                        found = await self._digest(context, host, partial)
                        if found != sha256:
                            await sftp.remove(partial)
                            raise UpstreamError(
                                f"{path!r} did not arrive as it was sent", hint="Try again."
                            )
                        await put_in_place(sftp, partial, real, new=True)
        return Carried(real.decode(errors="backslashreplace"), size, sha256, resumed_at)

    async def download(self, context: Context, host: SshHost, path: str, name: str) -> Carried:
        """From the host to a new file of the exchange folder."""
        async with file_session(host.link) as sftp:
            with file_errors(host.name, path), self._alone(_HERE, name, name):
                real = await host.disk.checked(sftp, path)
                found = await sftp.stat(real)
                check_regular(found, path)
                if (found.size or 0) > self._max_bytes:
                    raise TooLarge(
                        f"{path!r} has {found.size} bytes; at most {self._max_bytes} are carried"
                    )
                sha256 = await self._digest(context, host, real)
                with (
                    self._alone(_HERE, sha256, name),
                    self._exchange.arriving(name, sha256[:32]) as arriving,
                ):
                    resumed_at = await self._fetch(context, sftp, real, arriving)
                    got, size = await to_thread.run_sync(sha256_of, arriving.fd, self._max_bytes)
                    if got != sha256:
                        arriving.drop()
                        raise Conflict(
                            f"{path!r} changed while it was carried, or did not arrive whole",
                            hint="Try again when nobody writes it.",
                        )
                    await to_thread.run_sync(arriving.arrived)
        return Carried(name, size, sha256, resumed_at)

    @contextmanager
    def _alone(self, where: str, what: str, path: str) -> Generator[None]:
        """One at a time to a name, and with a content: both would write the same part."""
        carried = (where, what)
        if carried in self._carried:
            raise Conflict(
                f"{path!r}, or a file with the same content, is being carried just now",
                hint="Try again when that is done.",
            )
        self._carried.add(carried)
        try:
            yield
        finally:
            self._carried.discard(carried)

    async def _new_place(self, sftp: SFTPClient, host: SshHost, path: str) -> bytes:
        real = await host.disk.checked(sftp, path)
        shown = real.decode(errors="backslashreplace")
        if any(is_within(shown, one) for one in _UNCHANGEABLE):
            raise NotAllowed(f"{path!r} cannot be written: it is not on a disk")
        if await stat_or_none(sftp, real) is not None:
            raise Conflict(
                f"{path!r} exists already on {host.name}",
                hint="Upload under another name; files there are not replaced.",
            )
        return real

    async def _send(
        self,
        context: Context,
        sftp: SFTPClient,
        fd: int,
        partial: bytes,
        size: int,
        mode: int,
    ) -> int:
        async with opened(sftp, partial, FXF_WRITE | FXF_CREAT, mode=0o600) as file:
            there = await file.size()
            begun = offset = there if there <= size else 0
            report = _Report(context, size)
            while data := await to_thread.run_sync(os.pread, fd, _PART_BYTES, offset):
                await file.write(data, offset)
                offset += len(data)
                await report.at(offset)
            await file.truncate(size)
            await file.chmod(mode)
            await file.sync()
        return begun

    async def _fetch(
        self, context: Context, sftp: SFTPClient, real: bytes, arriving: Arriving
    ) -> int:
        async with opened(sftp, real, FXF_READ) as file:
            begun = offset = arriving.size
            report = _Report(context, await file.size())
            while data := await file.read_once(offset, _PART_BYTES):
                if offset + len(data) > self._max_bytes:
                    raise TooLarge(f"the file has grown beyond {self._max_bytes} bytes")
                await to_thread.run_sync(arriving.write, data, offset)
                offset += len(data)
                await report.at(offset)
        return begun

    async def _digest(self, context: Context, host: SshHost, path: bytes) -> str:
        """As the host itself works it out, which also reads back what it has written."""
        asked = path.decode("utf-8", "surrogateescape")
        said = await host.ask(_SHA256, asked, timeout_s=timeout_within(context, None))
        digest = said[:64].decode("ascii", "replace").lower()
        if len(digest) != 64 or not all(one in "0123456789abcdef" for one in digest):
            raise NotConfigured(
                f"host {host.name!r} cannot work out a SHA-256 of the file",
                hint="It needs sha256sum, shasum or openssl, and its user must be able to read it.",
            )
        return digest


class _Report:
    """Tells the caller how far it is, now and then."""

    def __init__(self, context: Context, total: int) -> None:
        self._context = context
        self._total = total
        self._next = monotonic() + _REPORT_S

    async def at(self, offset: int) -> None:
        if monotonic() >= self._next or offset == self._total:
            self._next = monotonic() + _REPORT_S
            await self._context.report(offset, self._total, f"{offset} of {self._total} bytes")


@asynccontextmanager
async def _private(
    sftp: SFTPClient, path: bytes, sha256: str, own_uid: int
) -> AsyncGenerator[bytes]:
    """The name of a partial file in a folder beside `path` that only our user may enter.

    It is the same for the same content, so that another try finds what came so far; nobody else
    there can put a link in its place.
    """
    name = f".flotilla-part-{sha256[:32]}".encode()
    folder = posixpath.join(posixpath.dirname(path), name)
    with suppress(asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists):
        await sftp.mkdir(folder, SFTPAttrs(permissions=0o700))
    found = await sftp.lstat(folder)
    is_ours = found.type == FILEXFER_TYPE_DIRECTORY and found.uid == own_uid
    if not is_ours or (found.permissions or 0) & 0o077:
        raise NotAllowed(
            f"{folder.decode(errors='backslashreplace')!r} on the host is not ours alone",
            hint="Somebody there has put it in the way; remove it.",
        )
    yield posixpath.join(folder, b"part")
    with suppress(asyncssh.SFTPError):
        await sftp.rmdir(folder)
