"""The one folder here from which files go to hosts and into which they come; blocking.

Each name is walked one folder at a time on open descriptors and never through a link, so that none
leads out of it, whatever is renamed meanwhile.
"""

import hashlib
import os
import re
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from flotilla import Conflict, InvalidArgument, NotFound, TooLarge, UpstreamError

_NAME = re.compile(r"[^/\0]{1,255}")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK_BYTES = 1024 * 1024
_MAX_TOLD = 20
PARTIAL = ".flotilla-part-"
"""How the name of a file begins that has not come whole yet."""


class Exchange:
    """Files of the exchange folder, by paths relative to it; FlotillaErrors say what is wrong."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def reading(self, name: str) -> Generator[int]:
        """The descriptor of a regular file."""
        parts = _parts(name)
        with self._parent(parts[:-1], name) as parent:
            try:
                fd = os.open(parts[-1], os.O_RDONLY | _FILE, dir_fd=parent)
            except OSError as error:
                raise self._refused(name, error) from None
            try:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise InvalidArgument(f"{name!r} in the exchange folder is no regular file")
                yield fd
            finally:
                os.close(fd)

    @contextmanager
    def arriving(self, name: str, mark: str) -> Generator["Arriving"]:
        """A place for a file that comes in parts; what is there of it stays for another try."""
        parts = _parts(name)
        with self._parent(parts[:-1], name) as parent:
            if _exists(parts[-1], parent):
                raise Conflict(f"{name!r} is in the exchange folder already")
            partial = f"{PARTIAL}{mark}"
            flags = os.O_RDWR | os.O_CREAT | _FILE
            try:
                fd = os.open(partial, flags, 0o600, dir_fd=parent)
            except OSError as error:
                raise self._refused(name, error) from None
            try:
                yield Arriving(fd, parent, partial, parts[-1])
            finally:
                os.close(fd)

    @contextmanager
    def _parent(self, folders: list[str], name: str) -> Generator[int]:
        self.make()
        fd = os.open(self.folder, _FOLDER)
        try:
            for folder in folders:
                try:
                    inner = os.open(folder, _FOLDER, dir_fd=fd)
                except OSError as error:
                    raise self._refused(name, error) from None
                os.close(fd)
                fd = inner
            yield fd
        finally:
            os.close(fd)

    def _refused(self, name: str, error: OSError) -> Exception:
        if isinstance(error, FileNotFoundError):
            there = sorted(
                path.name for path in self.folder.iterdir() if not path.name.startswith(".")
            )
            told = ", ".join(there[:_MAX_TOLD]) or "nothing"
            return NotFound(f"there is no {name!r} in the exchange folder", hint=f"In it: {told}.")
        return InvalidArgument(
            f"{name!r} in the exchange folder cannot be opened: {error.strerror}",
            hint="Links are not followed there.",
        )


class Arriving:
    """A file on its way into the exchange folder."""

    def __init__(self, fd: int, parent: int, partial: str, name: str) -> None:
        self.fd = fd
        self._parent = parent
        self._partial = partial
        self._name = name

    @property
    def size(self) -> int:
        return os.fstat(self.fd).st_size

    def write(self, data: bytes, offset: int) -> None:
        left = memoryview(data)
        while left:
            try:
                written = os.pwrite(self.fd, left, offset)
            except OSError as error:
                raise UpstreamError(
                    f"the exchange folder cannot take the file: {error.strerror}"
                ) from None
            offset += written
            left = left[written:]

    def drop(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self._partial, dir_fd=self._parent)

    def arrived(self) -> None:
        """Give the whole file its name; Conflict when somebody has taken that meanwhile."""
        os.fsync(self.fd)
        try:
            os.link(self._partial, self._name, src_dir_fd=self._parent, dst_dir_fd=self._parent)
        except FileExistsError:
            raise Conflict(f"{self._name!r} has come into the exchange folder meanwhile") from None
        os.unlink(self._partial, dir_fd=self._parent)
        os.fsync(self._parent)


def sha256_of(fd: int, max_bytes: int) -> tuple[str, int]:
    """Digest and size of an open file; TooLarge beyond `max_bytes`."""
    digest, offset = hashlib.sha256(), 0
    while data := os.pread(fd, _CHUNK_BYTES, offset):
        digest.update(data)
        offset += len(data)
        if offset > max_bytes:
            raise TooLarge(
                f"the file has more than {max_bytes} bytes, which is the most that is carried",
                hint="LINUX_CLI_MAX_TRANSFER_BYTES sets the limit.",
            )
    return digest.hexdigest(), offset


def _exists(name: str, parent: int) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _parts(name: str) -> list[str]:
    parts = name.split("/")
    for part in parts:
        if part in (".", "..") or part.startswith(PARTIAL) or not _NAME.fullmatch(part):
            raise InvalidArgument(
                f"{name!r} is no name in the exchange folder",
                hint="Give a name, or folder/name, relative to it; no leading slash and no `..`.",
            )
    return parts
