"""How a server is shut in: the command line that starts it, and what protection that gives. Pure.

With bubblewrap the server sees the system's programs read-only, a home and temporary folders of its
own, the folders that its entry names, and nothing else: no other home, no /run with the sockets of
Docker and D-Bus, no /srv, /mnt or /var, and neither the fleet's data nor its configuration. It has
process numbers, message queues and host name of its own, and no network unless the entry has it.
Started as root, the sandbox is made with root's rights and the server gets a user of its own in it;
else the sandbox is made in a user namespace. Without bubblewrap there remain the scrubbed
environment, the user of its own (as root), a session of its own and the limits.

The sandbox runs with a bare environment; the server's own, its arguments and its user reach it
through `inside.py` within.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

from flotilla import Model, NotConfigured
from flotilla.leftovers import MARK

HOME = "/.flotilla/home"
"""Where a server finds its home within the sandbox: in no folder that an entry could name."""
OWN_HOME = "${home}"
"""In arguments and variables it stands for that; without a sandbox for the home on this machine."""
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix")
"""What a program needs to run at all, and everyone may read; shown read-only."""
_INSIDE = "/.flotilla/inside.py"
_NEVER = ("/proc", "/dev", "/sys", "/.flotilla")
_PRIVATE = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - names within the sandbox
_MEBI = 1024 * 1024
_LIMITS = {"RLIMIT_CORE": 0, "RLIMIT_NOFILE": 4096}
_MAX_PROCESSES = 512
_HEAP_SHARE = 0.75
"""Of the memory limit, for Node's heap: it collects its garbage before the limit kills it."""


@dataclass(frozen=True)
class Means:
    """What this machine offers, found once by `survey`."""

    python: str
    """The real path of an interpreter, and below it what that needs to start."""
    python_needs: tuple[str, ...]
    inside: str
    """The path of `inside.py`."""
    is_root: bool
    bwrap: str | None = None
    why_no_bwrap: str = "bubblewrap is not installed"
    modern_bwrap: bool = False
    """It knows --size and --disable-userns."""
    resolver: str | None = None
    """The real path of /etc/resolv.conf where that is a link out of /etc."""
    cgroup: bool = False
    """A memory control group can be made for a server."""


@dataclass(frozen=True)
class Wish:
    """A server to be started: everything resolved, every path absolute and real."""

    server: str
    program: str
    args: tuple[str, ...] = field(default=(), repr=False)
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    path: str = "/usr/local/bin:/usr/bin:/bin"
    cwd: str | None = None
    home: str = "/nonexistent"
    """Its home folder on this machine; it belongs to `uid`."""
    uid: int | None = None
    """The user of its own, None when the hub cannot change users."""
    network: bool | tuple[str, ...] = False
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    """Where the program itself is installed, if not among the system's."""
    hidden: tuple[str, ...] = ()
    """The fleet's own folders that exist: never shown, whatever else is."""
    hidden_files: tuple[str, ...] = ()
    memory_mb: int = 1024


class Protection(Model):
    """What keeps a server in, for a person to read in the list of servers."""

    sandbox: Literal["bubblewrap", "none"]
    user: str
    files: str
    network: str
    memory: str
    weaker: tuple[str, ...] = ()
    """What is missing, and why; empty when everything is in force."""


@dataclass(frozen=True)
class Sealed:
    """A server ready to be started: `argv` and the number of a file that holds `order`."""

    server: str
    mark: str
    """Unguessable, in the environment of everything that the server starts."""
    argv: tuple[str, ...]
    order: bytes = field(repr=False)
    protection: Protection
    memory_bytes: int


def seal(wish: Wish, means: Means, mark: str) -> Sealed:
    """How to start `wish`; NotConfigured when it wants what is the fleet's own."""
    _check(wish)
    boxed = means.bwrap is not None
    home = HOME if boxed else wish.home
    order: dict[str, Any] = {
        "argv": [wish.program, *(arg.replace(OWN_HOME, home) for arg in wish.args)],
        "env": _environment(wish, home, boxed, mark),
        "uid": wish.uid,
        "cwd": wish.cwd or home,
        "folders": [] if boxed else [f"{home}/.tmp"],
        "limits": _limits(wish, means),
    }
    inside = (means.python, "-I", "-S", _INSIDE if boxed else means.inside)
    return Sealed(
        server=wish.server,
        mark=mark,
        argv=(*_bwrap(wish, means), *inside) if boxed else inside,
        order=json.dumps(order).encode(),
        protection=_protection(wish, means),
        memory_bytes=wish.memory_mb * _MEBI,
    )


def is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def visible(path: str, folders: Iterable[str]) -> bool:
    """Whether a path lies in one of the folders."""
    return any(is_within(path, folder) for folder in folders)


def isolation(*, is_root: bool, modern: bool, network: bool) -> tuple[str, ...]:
    """The flags that part a server from the rest of the machine."""
    own = ("--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try")
    # As root the sandbox needs no user namespace, and the server gets a user without any rights;
    # else it must have one, and shall make no further ones in it.
    users = () if is_root else ("--unshare-user", *(("--disable-userns",) if modern else ()))
    net = () if network else ("--unshare-net",)
    return (*own, *users, *net, "--die-with-parent", "--new-session")


def _check(wish: Wish) -> None:
    named = {"writable": wish.writable, "readable": wish.readable, "cwd": (wish.cwd or "/tmp",)}  # noqa: S108
    for member, paths in named.items():
        for path in paths:
            if visible(path, _NEVER) or path == "/":
                raise NotConfigured(
                    f"external server {wish.server}: {member}: {path} is the machine itself",
                    hint="Name the folders that the server is about.",
                )
            if visible(path, (*wish.hidden, *wish.hidden_files)):
                raise NotConfigured(
                    f"external server {wish.server}: {member}: {path} belongs to the fleet",
                    hint="Name a folder outside of the fleet's data, configuration and secrets.",
                )


def _environment(wish: Wish, home: str, boxed: bool, mark: str) -> dict[str, str]:
    """All that a server's environment holds; nothing of the hub's own but the search path."""
    heap_mb = int(wish.memory_mb * _HEAP_SHARE)
    temporary = "/tmp" if boxed else f"{home}/.tmp"  # noqa: S108 - its own within the sandbox
    return {
        "PATH": wish.path,
        "LANG": "C.UTF-8",
        "HOME": home,
        "TMPDIR": temporary,
        "NODE_OPTIONS": f"--max-old-space-size={heap_mb}",
        **{name: value.replace(OWN_HOME, home) for name, value in wish.env.items()},
        MARK: mark,
    }


def _limits(wish: Wish, means: Means) -> dict[str, int]:
    limits = dict(_LIMITS)
    if wish.uid is not None:
        # Counted by user: with the hub's own user it would count the fleet's processes.
        limits["RLIMIT_NPROC"] = _MAX_PROCESSES
    if not means.cgroup:
        # Memory that is really writable. RLIMIT_AS would count what a runtime only reserves.
        limits["RLIMIT_DATA"] = wish.memory_mb * _MEBI
    return limits


def _bwrap(wish: Wish, means: Means) -> tuple[str, ...]:
    assert means.bwrap is not None
    args = [means.bwrap]
    args += isolation(is_root=means.is_root, modern=means.modern_bwrap, network=bool(wish.network))
    for folder in SYSTEM:
        args += ("--ro-bind-try", folder, folder)
    args += ("--proc", "/proc", "--dev", "/dev")
    size = ("--size", str(wish.memory_mb * _MEBI)) if means.modern_bwrap else ()
    for folder in _PRIVATE:
        args += (*_parents(folder), "--perms", "1777", *size, "--tmpfs", folder)
    args += _bind("--ro-bind", means.inside, _INSIDE)
    for path in _outside((*means.python_needs, *wish.shown), SYSTEM):
        args += _bind("--ro-bind", path, path)
    if wish.network and means.resolver:
        args += _bind("--ro-bind-try", means.resolver, means.resolver)
    args += _bind("--bind", wish.home, HOME)
    # A folder within a readable one may be writable, and the other way round: the longer path last.
    binds = dict.fromkeys((*wish.readable, *((wish.cwd,) if wish.cwd else ())), "--ro-bind")
    if wish.cwd and visible(wish.cwd, (HOME, *_PRIVATE, *wish.writable)):
        del binds[wish.cwd]
    binds |= dict.fromkeys(wish.writable, "--bind")
    for path in sorted(binds, key=lambda each: len(PurePosixPath(each).parts)):
        args += _bind(binds[path], path, path)
    args += _mask(wish, means, binds)
    # What holds all these mounts is a file system in memory, without a limit.
    return (*args, "--remount-ro", "/", "--")


def _mask(wish: Wish, means: Means, binds: Iterable[str]) -> list[str]:
    """Cover the fleet's own where a folder around it is shown."""
    shown = (*SYSTEM, *means.python_needs, *wish.shown, *binds)
    args: list[str] = []
    for path in wish.hidden:
        if visible(path, shown):
            args += ("--tmpfs", path, "--remount-ro", path)
    for path in wish.hidden_files:
        if visible(path, shown):
            args += ("--ro-bind", "/dev/null", path)
    return args


def _outside(paths: Sequence[str], folders: Sequence[str]) -> list[str]:
    return [path for path in dict.fromkeys(paths) if not visible(path, folders)]


def _bind(how: str, source: str, target: str) -> list[str]:
    return [*_parents(target), how, source, target]


def _parents(path: str) -> list[str]:
    """The folders above it, passable for everyone: bubblewrap would close them."""
    above = [str(parent) for parent in reversed(PurePosixPath(path).parents)][1:]
    return [arg for parent in above for arg in ("--perms", "0755", "--dir", parent)]


def _protection(wish: Wish, means: Means) -> Protection:
    boxed = means.bwrap is not None
    weaker: list[str] = []
    if not boxed:
        weaker.append(f"no sandbox: {means.why_no_bwrap}")
        if not wish.network:
            weaker.append("it can reach the network, which only a sandbox prevents")
    elif isinstance(wish.network, tuple):
        weaker.append("it can reach every host: the sandbox does not tell them apart")
    if wish.uid is None and not boxed:
        weaker.append("it runs as the hub's user and can read what the hub can")
    if not means.cgroup:
        weaker.append("memory is limited for each process, not for all together")
    return Protection(
        sandbox="bubblewrap" if boxed else "none",
        user=_user(wish, boxed),
        files=_files(wish, boxed),
        network=_network(wish, boxed),
        memory=f"{wish.memory_mb} MB "
        + ("for all its processes (cgroup)" if means.cgroup else "for each process (RLIMIT_DATA)"),
        weaker=tuple(weaker),
    )


def _user(wish: Wish, boxed: bool) -> str:
    if wish.uid is not None:
        return f"its own ({wish.uid}), without rights"
    return "the hub's, without rights in a namespace of its own" if boxed else "the hub's"


def _files(wish: Wish, boxed: bool) -> str:
    if not boxed:
        whose = "its user" if wish.uid is not None else "the hub"
        return f"whatever {whose} may read and write"
    more = [f"reads {path}" for path in wish.readable] + [
        f"writes {path}" for path in wish.writable
    ]
    return "; ".join(("the system's programs read-only", "a home of its own", *more))


def _network(wish: Wish, boxed: bool) -> str:
    if not boxed or wish.network is True:
        return "all, this machine's own ports included"
    if not wish.network:
        return "none"
    return f"all, this machine's own ports included (meant for {', '.join(wish.network)})"
