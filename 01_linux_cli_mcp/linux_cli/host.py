"""The seam to a machine: all that the tools ask of one, so that another kind can be added."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, Protocol

from pydantic import Field

from flotilla import InvalidArgument, NotFound

HostName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        description="Name of a known host; `local` is this one, listHosts names all.",
    ),
]
Stream = Literal["stdout", "stderr"]
Take = Callable[[Stream, bytes], None]
"""Receives output as it comes; must return quickly."""

TRUSTED_FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""Where a program that runs without approval must lie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A program to run; its environment is `env` on top of a small clean one.

    `confined` means that the host lets it read and do nothing else, where the host can.
    """

    argv: tuple[str, ...]
    timeout_s: float
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    stdin: bytes | None = None
    confined: bool = False
    label: str | None = None
    """Marks the program's processes, so that a later life of the spoke can find them."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended; `exit_code` is 128 + the signal's number when a signal ended it."""

    exit_code: int
    signal: str | None
    timed_out: bool
    duration_s: float


@dataclass(frozen=True, slots=True)
class Space:
    """What a file system holds, in bytes and inodes."""

    total_bytes: int
    free_bytes: int
    available_bytes: int
    total_inodes: int
    free_inodes: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a folder; the facts are None where they cannot be read."""

    name: str
    kind: str
    size_bytes: int | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    modified_s: float | None = None
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of a file from `offset`; `size_bytes` is None where the file has none, as in /proc."""

    path: str
    offset: int
    data: bytes
    size_bytes: int | None
    modified_s: float
    at_end: bool
    first: bytes
    """The first four bytes of the file, where a byte order mark would be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """A file to write. `mode` None keeps that of the old file, else 0644 less the umask."""

    path: str
    data: bytes
    how: Literal["create", "overwrite", "append"]
    mode: int | None
    expected_sha256: str | None
    create_parents: bool


@dataclass(frozen=True, slots=True)
class Written:
    """A file after it was written."""

    path: str
    size_bytes: int
    sha256: str
    created: bool


class Host(Protocol):
    """One machine. Failures are FlotillaErrors whose messages may be shown to a client."""

    @property
    def name(self) -> str: ...

    @property
    def elsewhere(self) -> bool:
        """Whether it is reached over a network, and so may be away."""
        ...

    @property
    def confines(self) -> bool:
        """Whether a confined order is held by the kernel, not by its argv alone."""
        ...

    @property
    def page_bytes(self) -> int:
        """The size of a memory page, in which /proc counts."""
        ...

    async def run(self, order: Order, take: Take) -> Ended:
        """Run a program to its end and feed its output to `take`; none of it outlives the call."""
        ...

    async def run_long(self, order: Order, take: Take) -> Ended:
        """As `run`, for work of hours: it goes on when the way to the host breaks meanwhile."""
        ...

    async def end_labelled(self, label: str) -> None:
        """Kill what an earlier life of the spoke left running under that label."""
        ...

    async def find_program(self, name: str, folders: Sequence[str] | None = None) -> str | None:
        """The path of an executable in one of `folders` (by default those of the host's PATH)."""
        ...

    async def read_system(self, paths: Sequence[str]) -> Mapping[str, str]:
        """Small texts of the system (/proc, /etc/os-release); what cannot be read is left out."""
        ...

    async def list_system(self, path: str) -> Sequence[str]:
        """The names in a folder of the system; empty when there is none."""
        ...

    async def links_in(self, folders: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Where the symbolic links in each folder point; what cannot be read is left out."""
        ...

    async def real_path(self, path: str) -> str:
        """The path without links, as far as it exists."""
        ...

    async def space(self, mount_points: Sequence[str]) -> Mapping[str, Space]:
        """The space of file systems; those that do not answer are left out."""
        ...

    async def check_readable(self, paths: Sequence[str], cwd: str, *, enters: bool) -> None:
        """NotAllowed when one of the paths is protected; `enters` when those below are read too.

        Where the host confines, what lies below is left to the kernel.
        """
        ...

    async def read_part(self, path: str, offset: int, max_bytes: int) -> Part:
        """Bytes of a regular file; a negative offset counts from its end."""
        ...

    async def list_folder(self, path: str) -> tuple[str, Sequence[Entry]]:
        """The real path of a folder and what is in it."""
        ...

    async def write_file(self, writing: Writing) -> Written: ...

    async def send_signal(self, pid: int, signal: int, start_ticks: int | None) -> bool:
        """Signal one process, and tell whether it is gone a moment later.

        `start_ticks` is when it must have started; Conflict when another has its pid now.
        """
        ...


class Hosts:
    """The hosts by name."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        self._hosts = {host.name: host for host in hosts}

    def find(self, name: str) -> Host:
        host = self._hosts.get(name)
        if host is None:
            known = ", ".join(sorted(self._hosts))
            raise NotFound(f"there is no host {name!r}", hint=f"Known hosts: {known}.")
        return host

    def __iter__(self) -> Iterator[Host]:
        return iter(self._hosts.values())


def absolute(path: str) -> str:
    """`path` when it is absolute; a relative one would depend on a folder the caller cannot see."""
    if not path.startswith("/"):
        raise InvalidArgument(f"{path!r} is not an absolute path", hint="Start it with a slash.")
    return path
