"""Reads, lists and writes the files of a host over SFTP, as the user that we are there.

That user's rights are the bound; the insides of processes are refused as they are here.
"""

import hashlib
import posixpath
import secrets
from collections.abc import Sequence
from contextlib import suppress

import anyio
import asyncssh
from asyncssh import SFTPAttrs, SFTPClient
from asyncssh.constants import (
    FILEXFER_TYPE_BLOCK_DEVICE,
    FILEXFER_TYPE_CHAR_DEVICE,
    FILEXFER_TYPE_DIRECTORY,
    FILEXFER_TYPE_FIFO,
    FILEXFER_TYPE_REGULAR,
    FILEXFER_TYPE_SOCKET,
    FILEXFER_TYPE_SYMLINK,
    FXF_APPEND,
    FXF_CREAT,
    FXF_EXCL,
    FXF_READ,
    FXF_WRITE,
)

from flotilla import Conflict, InvalidArgument, NotAllowed, TooLarge
from linux_cli.host import Entry, Part, Writing, Written
from linux_cli.local.guard import is_inside_process
from linux_cli.mounts import is_within
from linux_cli.ssh.opened import OpenFile, opened
from linux_cli.ssh.pool import Link
from linux_cli.ssh.sftp import file_errors, file_session

_MAX_HASHED_BYTES = 256 * 1024 * 1024
_MAX_ENTRIES = 200_000
_MAX_LINKS_READ = 16
_CHUNK_BYTES = 1024 * 1024
_UNCHANGEABLE = ("/proc", "/sys", "/dev")
_KINDS = {
    FILEXFER_TYPE_REGULAR: "file",
    FILEXFER_TYPE_DIRECTORY: "folder",
    FILEXFER_TYPE_SYMLINK: "link",
    FILEXFER_TYPE_SOCKET: "socket",
    FILEXFER_TYPE_CHAR_DEVICE: "characterDevice",
    FILEXFER_TYPE_BLOCK_DEVICE: "blockDevice",
    FILEXFER_TYPE_FIFO: "fifo",
}
_WRITE_NEW = FXF_WRITE | FXF_CREAT | FXF_EXCL
_APPEND = FXF_READ | FXF_WRITE | FXF_APPEND


class RemoteDisk:
    """The files of one host; every method raises FlotillaErrors."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._alias = link.alias

    async def read_part(self, path: str, offset: int, max_bytes: int) -> Part:
        async with file_session(self._link) as sftp:
            with file_errors(self._alias, path):
                real = await self.checked(sftp, path)
                found = await sftp.stat(real)
                check_regular(found, path)
                async with opened(sftp, real, FXF_READ) as file:
                    return await self._part(file, path, real, offset, max_bytes)

    async def _part(
        self,
        file: OpenFile,
        path: str,
        real: bytes,
        offset: int,
        max_bytes: int,
    ) -> Part:
        # What was looked at by name may be another file by now; this one is open.
        found = await file.stat()
        check_regular(found, path)
        size = found.size or 0
        # Files of /proc and /sys say 0 or 4096 and hold something else.
        sized = size > 0 and not path.startswith(("/proc/", "/sys/"))
        start = offset if offset >= 0 else max(0, size + offset)
        data = await _read_at(file, start, max_bytes + 1)
        at_end, data = len(data) <= max_bytes, data[:max_bytes]
        first = data[:4] if start == 0 else await _read_at(file, 0, 4)
        told_size = size if sized or not data else None
        return Part(_shown(real), start, data, told_size, found.mtime or 0, at_end, first)

    async def list_folder(self, path: str) -> tuple[str, Sequence[Entry]]:
        async with file_session(self._link) as sftp:
            with file_errors(self._alias, path):
                real = await self.checked(sftp, path)
                if (await sftp.stat(real)).type != FILEXFER_TYPE_DIRECTORY:
                    raise InvalidArgument(f"{path!r} is not a folder")
                names: list[tuple[bytes, SFTPAttrs]] = []
                async for one in sftp.scandir(real):
                    if one.filename in (b".", b".."):
                        continue
                    if len(names) == _MAX_ENTRIES:
                        raise TooLarge(
                            f"{path!r} holds more than {_MAX_ENTRIES} names",
                            hint="Look for some of them with runReadOnly and find.",
                        )
                    names.append((_raw(one.filename), one.attrs))
                targets = await _targets(sftp, real, names)
        return _shown(real), [_described(name, attrs, targets) for name, attrs in names]

    async def write_file(self, writing: Writing) -> Written:
        async with file_session(self._link) as sftp:
            with file_errors(self._alias, writing.path):
                path = await self.checked(sftp, writing.path)
                folder, name = posixpath.split(path)
                if not name or any(is_within(_shown(path), one) for one in _UNCHANGEABLE):
                    raise NotAllowed(f"{writing.path!r} cannot be written: it is not on a disk")
                if writing.create_parents:
                    await sftp.makedirs(folder, exist_ok=True)
                return await self._write(sftp, path, writing)

    async def _write(self, sftp: SFTPClient, path: bytes, writing: Writing) -> Written:
        shown = _shown(path)
        old = await stat_or_none(sftp, path)
        if old is not None:
            check_regular(old, shown)
            if writing.how == "create":
                raise Conflict(f"{shown!r} exists already", hint="Pass overwrite or append.")
            await _check_unchanged(sftp, path, writing)
        elif writing.expected_sha256 is not None:
            raise Conflict(f"{shown!r} does not exist, so it is not what was expected")
        if writing.how == "append" and old is not None:
            return await _append(sftp, path, writing)
        await _replace(sftp, path, writing, old)
        digest = hashlib.sha256(writing.data).hexdigest()
        return Written(shown, len(writing.data), digest, old is None)

    async def checked(self, sftp: SFTPClient, path: str) -> bytes:
        """The real path as far as it exists; NotAllowed inside processes."""
        raw = posixpath.normpath(path.encode("utf-8", "surrogateescape"))
        if 0 in raw:
            raise InvalidArgument("a path cannot hold a NUL byte")
        real = raw
        with suppress(asyncssh.SFTPNoSuchFile, asyncssh.SFTPFailure):
            real = await sftp.realpath(raw)
        if is_inside_process(_shown(raw)) or is_inside_process(_shown(real)):
            raise NotAllowed(f"{path!r} is protected: it belongs to the inside of a process")
        return real


async def stat_or_none(sftp: SFTPClient, path: bytes) -> SFTPAttrs | None:
    """What is there by that name, without following a link."""
    try:
        return await sftp.lstat(path)
    except asyncssh.SFTPNoSuchFile:
        return None


def temporary_beside(path: bytes) -> bytes:
    """A new name in the same folder."""
    return posixpath.join(posixpath.dirname(path), f".{secrets.token_hex(16)}.tmp".encode())


async def put_in_place(sftp: SFTPClient, temporary: bytes, path: bytes, *, new: bool) -> None:
    """Give a complete file its name; with `new`, Conflict when somebody else has taken it."""
    if not new:
        await sftp.posix_rename(temporary, path)
        return
    try:
        # link() refuses a name that exists; a rename would replace it.
        await sftp.link(temporary, path)
    except asyncssh.SFTPFailure:
        if await stat_or_none(sftp, path) is not None:
            raise Conflict(f"{_shown(path)!r} has just been created by somebody else") from None
        # A file system without hard links; version 3's own rename refuses a name that exists.
        await sftp.rename(temporary, path)
    else:
        await sftp.remove(temporary)


async def _replace(sftp: SFTPClient, path: bytes, writing: Writing, old: SFTPAttrs | None) -> None:
    """A temporary file in the same folder, synced and renamed: readers see old or new, whole."""
    temporary = temporary_beside(path)
    try:
        # 0600 until it is complete: it may hold what the old file's mode kept from others.
        async with opened(sftp, temporary, _WRITE_NEW, mode=0o600) as file:
            await file.write(writing.data, 0)
            if old is not None and old.uid is not None and old.gid is not None:
                with suppress(asyncssh.SFTPPermissionDenied, asyncssh.SFTPFailure):
                    await file.chown(old.uid, old.gid)
            await file.chmod(_mode(writing, old))
            await file.sync()
        await put_in_place(sftp, temporary, path, new=writing.how == "create")
    except BaseException:
        with anyio.move_on_after(2, shield=True), suppress(asyncssh.Error, OSError):
            await sftp.remove(temporary)
        raise


async def _append(sftp: SFTPClient, path: bytes, writing: Writing) -> Written:
    async with opened(sftp, path, _APPEND) as file:
        await file.append(writing.data)
        if writing.mode is not None:
            await file.chmod(writing.mode)
        await file.sync()
        size = await file.size()
        return Written(_shown(path), size, await digest_of(file, path), False)


async def _check_unchanged(sftp: SFTPClient, path: bytes, writing: Writing) -> None:
    if writing.expected_sha256 is None:
        return
    async with opened(sftp, path, FXF_READ) as file:
        found = await digest_of(file, path)
    if found != writing.expected_sha256.lower():
        raise Conflict(
            f"{_shown(path)!r} has changed: its SHA-256 is not the expected one",
            hint="Read it again and write what should be there now.",
        )


async def digest_of(file: OpenFile, path: bytes) -> str:
    if await file.size() > _MAX_HASHED_BYTES:
        raise TooLarge(
            f"{_shown(path)!r} is too large to be hashed ({_MAX_HASHED_BYTES} bytes at most)"
        )
    digest = hashlib.sha256()
    offset = 0
    while data := await file.read_once(offset, _CHUNK_BYTES):
        digest.update(data)
        offset += len(data)
    return digest.hexdigest()


async def _read_at(file: OpenFile, offset: int, max_bytes: int) -> bytes:
    # Files of /proc give what they have ready, and more when asked again.
    parts: list[bytes] = []
    left = max_bytes
    while left and (data := await file.read_once(offset, left)):
        parts.append(data)
        offset += len(data)
        left -= len(data)
    return b"".join(parts)


async def _targets(
    sftp: SFTPClient, folder: bytes, names: Sequence[tuple[bytes, SFTPAttrs]]
) -> dict[bytes, str]:
    found: dict[bytes, str] = {}
    free = anyio.Semaphore(_MAX_LINKS_READ)

    async def look(name: bytes) -> None:
        # Gone since it was listed.
        async with free:
            with suppress(asyncssh.SFTPError):
                found[name] = _shown(await sftp.readlink(posixpath.join(folder, name)))

    async with anyio.create_task_group() as group:
        for name, attrs in names:
            if attrs.type == FILEXFER_TYPE_SYMLINK:
                group.start_soon(look, name)
    return found


def check_regular(found: SFTPAttrs, path: str) -> None:
    if found.type == FILEXFER_TYPE_DIRECTORY:
        raise InvalidArgument(f"{path!r} is a folder", hint="listDirectory shows what is in it.")
    if found.type != FILEXFER_TYPE_REGULAR:
        raise InvalidArgument(f"{path!r} is a {_kind(found)}, not a regular file")


def _kind(attrs: SFTPAttrs) -> str:
    return _KINDS.get(attrs.type, "unknown")


def _mode(writing: Writing, old: SFTPAttrs | None) -> int:
    if writing.mode is not None:
        return writing.mode
    return 0o644 if old is None or old.permissions is None else old.permissions & 0o7777


def _described(name: bytes, attrs: SFTPAttrs, targets: dict[bytes, str]) -> Entry:
    return Entry(
        _shown(name),
        _kind(attrs),
        attrs.size,
        None if attrs.permissions is None else attrs.permissions & 0o7777,
        attrs.uid,
        attrs.gid,
        attrs.mtime,
        targets.get(name),
    )


def _raw(name: bytes | str) -> bytes:
    return name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")


def _shown(path: bytes) -> str:
    return path.decode(errors="backslashreplace")
