"""What no file tool may open: the fleet's own data and secrets, and the insides of processes.

The check is made on the opened descriptor, so that no link, `..` or rename in between can fool it.
"""

import ctypes
import errno
import os
import re
import stat
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from flotilla import InvalidArgument, NotAllowed, NotFound, TooLarge, UpstreamError
from linux_cli.mounts import Mount, Place, aliases_of, is_within, mounts_in, place_of

# A process's numbers are open to all; its environment, memory, descriptors and root are not.
_OPEN_IN_PROCESS = re.compile(
    r"(?:task/\d+/)?(?:status|stat|statm|cmdline|comm|limits|mounts|mountinfo|mountstats|cgroup|io"
    r"|sched|schedstat|wchan|oom_adj|oom_score|oom_score_adj|loginuid|sessionid|cpuset|net/.*)"
    r"|task|task/\d+|net|"
)
_PROCESS = re.compile(r"/proc/(?:\d+|self|thread-self)(?:/(?P<inside>.*))?\Z", re.DOTALL)
# Memory as a whole; and kmsg, which is taken from whoever else reads it.
_CLOSED = (
    "/proc/kcore", "/proc/kmem", "/proc/kmsg", "/proc/kpagecgroup", "/proc/kpagecount",
    "/proc/kpageflags", "/proc/vmcore", "/dev/kmem", "/dev/mem", "/dev/port",
)  # fmt: skip
_MAX_LINKED = 20_000
"""Files looked at to find whether a hard link leads into a protected folder."""

_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_AT_FDCWD = -100


class _How(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


_libc = ctypes.CDLL(None, use_errno=True)


class Guard:
    """Opens files, and refuses those that lie at or below a protected path by whatever way."""

    def __init__(self, protected: Sequence[Path]) -> None:
        self._given = tuple(protected)

    def paths(self) -> tuple[str, ...]:
        """Every real path that leads to something protected, bind mounts included."""
        mounts = _mounts()
        found: list[str] = []
        for path in self._real():
            place = place_of(path, mounts)
            found += [path, *(aliases_of(place, mounts) if place else ())]
        return tuple(dict.fromkeys(found))

    @contextmanager
    def opened(self, path: str, flags: int, dir_fd: int | None = None) -> Generator[int]:
        """A descriptor of `path`, which is a file or folder; opening it has no other effect.

        Raises NotAllowed for what is protected, and the error that fits when it cannot be opened.
        """
        # By O_PATH first, which touches nothing: to open a device may rewind a tape, to open a pipe
        # may wait for ever. What has been checked is then opened through its descriptor.
        looked_at = flags & (os.O_NOFOLLOW | os.O_DIRECTORY)
        with told(path):
            place = _open(path, os.O_PATH | os.O_CLOEXEC | looked_at, dir_fd)
        try:
            self._check(place, path)
            _check_kind(os.fstat(place), path)
            with told(path):
                again = (flags & ~os.O_NOFOLLOW) | os.O_NONBLOCK | os.O_CLOEXEC
                fd = os.open(f"/proc/self/fd/{place}", again)
        finally:
            os.close(place)
        try:
            yield fd
        finally:
            os.close(fd)

    def check_path(self, path: str, *, alone: bool = True, into: bool = False) -> None:
        """The same judgement by name, for programs that open the path themselves.

        With `alone`, devices are refused as well, since a disk read raw holds everything; with
        `into`, folders with something protected below, too.
        """
        if is_inside_process(path) or is_inside_process(real := real_path(path)):
            raise _refusal(path)
        closed = (*self.paths(), *(("/proc", "/dev") if into else ()))
        if any(is_within(real, place) or (into and is_within(place, real)) for place in closed):
            raise _refusal(path)
        self._check_place(real, path, _mounts())
        # What cannot be looked at cannot be read either; the program will say why.
        with suppress(OSError):
            found = Path(real).stat()
            if alone and real != os.devnull and _is_device(found):
                raise _refusal(path)
            self._check_links(found, path)

    def _check(self, fd: int, path: str) -> None:
        real = opened_path(fd).removesuffix(" (deleted)")
        if is_inside_process(real):
            raise _refusal(path)
        for protected in self._real():
            if is_within(real, protected):
                raise _refusal(path)
        self._check_place(real, path, _mounts())
        self._check_links(os.fstat(fd), path)

    def _check_place(self, real: str, path: str, mounts: Sequence[Mount]) -> None:
        place = place_of(real, mounts)
        for protected in self._places(mounts):
            if place and place.device == protected.device and is_within(place.path, protected.path):
                raise _refusal(path)

    def _check_links(self, found: os.stat_result, path: str) -> None:
        if not stat.S_ISREG(found.st_mode) or found.st_nlink < 2:
            return
        looked = 0
        for protected in self._real():
            for name in _files_on(protected, found.st_dev):
                looked += 1
                with suppress(OSError):
                    if os.path.samestat(os.lstat(name), found):
                        raise _refusal(path)
                if looked > _MAX_LINKED:
                    raise _refusal(path)

    def _real(self) -> tuple[str, ...]:
        return tuple(os.path.realpath(path) for path in self._given)

    def _places(self, mounts: Sequence[Mount]) -> list[Place]:
        places = (place_of(path, mounts) for path in self._real())
        return [place for place in places if place]


def real_path(path: str) -> str:
    """The path without links, as far as it exists."""
    # Even the lenient form fails on links that this user may not read, as in /proc.
    with told(path):
        return os.path.realpath(path)


def opened_path(fd: int) -> str:
    """The real path of what is open, as the kernel has it."""
    return str(Path(f"/proc/self/fd/{fd}").readlink())


def is_inside_process(path: str) -> bool:
    """Whether a path names what no one should read of a process or of the kernel's memory."""
    path = os.path.normpath(path)
    if path in _CLOSED:
        return True
    match = _PROCESS.match(path)
    return match is not None and not _OPEN_IN_PROCESS.fullmatch(match["inside"] or "")


@contextmanager
def told(path: str) -> Generator[None]:
    """Turns the system's errors about `path` into ours."""
    try:
        yield
    except FileNotFoundError:
        raise NotFound(f"there is no {path!r}") from None
    except PermissionError:
        raise NotAllowed(f"the system does not permit access to {path!r}") from None
    except OSError as error:
        raise _translated(error, path) from None


def _translated(error: OSError, path: str) -> Exception:
    if error.errno == errno.ELOOP:
        return NotAllowed(f"{path!r} goes through too many links, or through one of /proc's")
    if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.ENAMETOOLONG):
        return InvalidArgument(f"{path!r}: {os.strerror(error.errno)}")
    if error.errno in (errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP):
        return InvalidArgument(f"{path!r} is not a regular file")
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return TooLarge(f"{path!r}: {os.strerror(error.errno)}")
    if error.errno == errno.EROFS:
        return NotAllowed(f"{path!r} lies on a read-only file system")
    return UpstreamError(f"{path!r}: {error.strerror}")


def _open(path: str, flags: int, dir_fd: int | None) -> int:
    # RESOLVE_NO_MAGICLINKS: /proc/<pid>/root and /proc/<pid>/fd lead where no name does.
    how = _How(flags, 0, _RESOLVE_NO_MAGICLINKS)
    at = _AT_FDCWD if dir_fd is None else dir_fd
    fd: int = _libc.syscall(_OPENAT2, at, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
    if fd >= 0:
        return fd
    number = ctypes.get_errno()
    # Kernels before 5.6, and container filters that do not know the call yet.
    if number in (errno.ENOSYS, errno.EPERM):
        if is_inside_process(os.path.realpath(path)):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return os.open(path, flags, dir_fd=dir_fd)
    raise OSError(number, os.strerror(number))


def _mounts() -> tuple[Mount, ...]:
    try:
        return mounts_in(Path("/proc/self/mountinfo").read_text(errors="surrogateescape"))
    except OSError:
        return ()


def _files_on(folder: str, device: int) -> Iterator[str]:
    if Path(folder).is_file():
        yield folder
    for inside, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if _device(f"{inside}/{name}") == device]
        yield from (f"{inside}/{name}" for name in names)


def _device(path: str) -> int | None:
    try:
        return os.lstat(path).st_dev
    except OSError:
        return None


def _check_kind(found: os.stat_result, path: str) -> None:
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise InvalidArgument(f"{path!r} is neither a regular file nor a folder")


def _is_device(found: os.stat_result) -> bool:
    return stat.S_ISBLK(found.st_mode) or stat.S_ISCHR(found.st_mode)


def _refusal(path: str) -> NotAllowed:
    return NotAllowed(
        f"{path!r} is protected: it belongs to the fleet itself or to the inside of a process"
    )
