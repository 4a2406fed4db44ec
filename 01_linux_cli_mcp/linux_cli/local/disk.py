"""Reads, lists and writes files of this machine, within what the guard allows; blocking."""

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress

from flotilla import Conflict, InvalidArgument, NotAllowed, TooLarge
from linux_cli.host import Entry, Part, Writing, Written
from linux_cli.local.guard import Guard, is_inside_process, opened_path, real_path, told
from linux_cli.mounts import is_within

_MAX_HASHED_BYTES = 256 * 1024 * 1024
_MAX_ENTRIES = 200_000
_UNCHANGEABLE = ("/proc", "/sys", "/dev")
_KINDS = (
    (stat.S_ISREG, "file"),
    (stat.S_ISDIR, "folder"),
    (stat.S_ISLNK, "link"),
    (stat.S_ISFIFO, "fifo"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "characterDevice"),
    (stat.S_ISBLK, "blockDevice"),
)


class Disk:
    """The files of this machine; every method may block and raises FlotillaErrors."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def read_part(self, path: str, offset: int, max_bytes: int) -> Part:
        with self._guard.opened(path, os.O_RDONLY) as fd, told(path):
            found = os.fstat(fd)
            _check_regular(found, path)
            # Files of /proc and /sys say 0 or 4096 and hold something else.
            sized = found.st_size > 0 and not path.startswith(("/proc/", "/sys/"))
            start = offset if offset >= 0 else max(0, found.st_size + offset)
            data = _read_at(fd, start, max_bytes)
            at_end = len(data) < max_bytes or not os.pread(fd, 1, start + len(data))
            first = data[:4] if start == 0 else os.pread(fd, 4, 0)
            real = opened_path(fd)
        size = found.st_size if sized or not data else None
        return Part(real, start, data, size, found.st_mtime, at_end, first)

    def list_folder(self, path: str) -> tuple[str, list[Entry]]:
        with self._guard.opened(path, os.O_RDONLY | os.O_DIRECTORY) as fd, told(path):
            real = opened_path(fd)
            with os.scandir(fd) as found:
                entries: list[Entry] = []
                for entry in found:
                    if len(entries) == _MAX_ENTRIES:
                        raise TooLarge(
                            f"{path!r} holds more than {_MAX_ENTRIES} names",
                            hint="Look for some of them with runReadOnly and find.",
                        )
                    entries.append(_described(entry, fd))
        return real, entries

    def write_file(self, writing: Writing) -> Written:
        if is_inside_process(writing.path):
            raise NotAllowed(f"{writing.path!r} belongs to a process")
        path = real_path(writing.path)
        folder, name = os.path.split(path)
        if not name or any(is_within(path, place) for place in _UNCHANGEABLE):
            raise NotAllowed(f"{writing.path!r} cannot be written: it is not on a disk")
        # By name first, so that no folder is made within a protected one.
        self._guard.check_path(path)
        with self._folder(folder, make=writing.create_parents) as folder_fd:
            return self._write_in(folder_fd, name, path, writing)

    @contextmanager
    def _folder(self, path: str, *, make: bool) -> Generator[int]:
        """A folder's descriptor. Those that are missing are made one by one in what is open and was
        checked: by name, a link could be put in the way between the check and the making."""
        there, missing = path, list[str]()
        while make and not os.path.lexists(there):
            there, part = os.path.split(there)
            missing.append(part)
        flags = os.O_RDONLY | os.O_DIRECTORY
        with ExitStack() as held:
            fd = held.enter_context(self._guard.opened(there, flags))
            for part in reversed(missing):
                with told(path), suppress(FileExistsError):
                    os.mkdir(part, dir_fd=fd)
                fd = held.enter_context(self._guard.opened(part, flags | os.O_NOFOLLOW, fd))
            yield fd

    def _write_in(self, folder_fd: int, name: str, path: str, writing: Writing) -> Written:
        old = _stat_in(folder_fd, name)
        if old is not None:
            _check_regular(old, path)
            if writing.how == "create":
                raise Conflict(f"{path!r} exists already", hint="Pass overwrite or append.")
            # A protected file may have a second name here.
            flags = os.O_RDONLY | os.O_NOFOLLOW
            with self._guard.opened(name, flags, folder_fd) as fd:
                self._check_unchanged(fd, path, writing)
        elif writing.expected_sha256 is not None:
            raise Conflict(f"{path!r} does not exist, so it is not what was expected")
        with told(path):
            if writing.how == "append" and old is not None:
                return self._append(folder_fd, name, path, writing)
            _replace(folder_fd, name, writing, old)
        digest = hashlib.sha256(writing.data).hexdigest()
        return Written(path, len(writing.data), digest, old is None)

    def _check_unchanged(self, fd: int, path: str, writing: Writing) -> None:
        expected = writing.expected_sha256
        if expected is not None and _digest(fd, path) != expected.lower():
            raise Conflict(
                f"{path!r} has changed: its SHA-256 is not the expected one",
                hint="Read it again and write what should be there now.",
            )

    def _append(self, folder_fd: int, name: str, path: str, writing: Writing) -> Written:
        flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW
        with self._guard.opened(name, flags, folder_fd) as fd:
            _write_all(fd, writing.data)
            if writing.mode is not None:
                os.fchmod(fd, writing.mode)
            os.fsync(fd)
            return Written(path, os.fstat(fd).st_size, _digest(fd, path), False)


def _replace(folder_fd: int, name: str, writing: Writing, old: os.stat_result | None) -> None:
    """A temporary file in the same folder, synced and renamed: readers see old or new, whole."""
    temporary = f".{secrets.token_hex(16)}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    # 0600 until it is complete: it may hold what the old file's mode kept from others.
    fd = os.open(temporary, flags, 0o600, dir_fd=folder_fd)
    try:
        try:
            _write_all(fd, writing.data)
            if old is not None:
                with suppress(PermissionError):
                    os.fchown(fd, old.st_uid, old.st_gid)
            os.fchmod(fd, _mode(writing, old))
            os.fsync(fd)
        finally:
            os.close(fd)
        if writing.how == "create":
            _name_new(folder_fd, temporary, name)
        else:
            os.rename(temporary, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder_fd)
        raise
    os.fsync(folder_fd)


def _name_new(folder_fd: int, temporary: str, name: str) -> None:
    # link() refuses a name that has come up meanwhile; rename() would replace it.
    try:
        os.link(temporary, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
    except FileExistsError:
        raise Conflict(f"{name!r} has just been created by somebody else") from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
            raise
        # A file system without hard links, such as a USB stick's.
        os.rename(temporary, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
    else:
        os.unlink(temporary, dir_fd=folder_fd)


def _mode(writing: Writing, old: os.stat_result | None) -> int:
    if writing.mode is not None:
        return writing.mode
    return 0o644 if old is None else stat.S_IMODE(old.st_mode)


def _stat_in(folder_fd: int, name: str) -> os.stat_result | None:
    with told(name):
        try:
            return os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
        except FileNotFoundError:
            return None


def _check_regular(found: os.stat_result, path: str) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise InvalidArgument(f"{path!r} is a folder", hint="listDirectory shows what is in it.")
    if not stat.S_ISREG(found.st_mode):
        raise InvalidArgument(f"{path!r} is a {_kind(found.st_mode)}, not a regular file")


def _read_at(fd: int, offset: int, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    left = max_bytes
    while left and (part := os.pread(fd, left, offset)):
        parts.append(part)
        offset += len(part)
        left -= len(part)
    return b"".join(parts)


def _write_all(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def _digest(fd: int, path: str) -> str:
    if os.fstat(fd).st_size > _MAX_HASHED_BYTES:
        raise TooLarge(f"{path!r} is too large to be hashed ({_MAX_HASHED_BYTES} bytes at most)")
    digest = hashlib.sha256()
    offset = 0
    while part := os.pread(fd, 1024 * 1024, offset):
        digest.update(part)
        offset += len(part)
    return digest.hexdigest()


def _described(entry: "os.DirEntry[str]", folder_fd: int) -> Entry:
    name = os.fsencode(entry.name).decode(errors="backslashreplace")
    try:
        found = entry.stat(follow_symlinks=False)
        target = os.readlink(entry.name, dir_fd=folder_fd) if entry.is_symlink() else None
    except OSError:
        return Entry(name, "unknown")
    shown = None if target is None else os.fsencode(target).decode(errors="backslashreplace")
    return Entry(
        name,
        _kind(found.st_mode),
        found.st_size,
        stat.S_IMODE(found.st_mode),
        found.st_uid,
        found.st_gid,
        found.st_mtime,
        shown,
    )


def _kind(mode: int) -> str:
    return next((kind for test, kind in _KINDS if test(mode)), "unknown")
