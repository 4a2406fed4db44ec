"""Runs in front of Chromium, as a program of its own: becomes who it shall be, where it shall be.

Started with `python -I launcher.py ORDER ARGUMENT...`: ORDER is a JSON file with the members of
`Order`, the arguments are Chromium's. The standard library alone; nothing is loaded any more once
the rights are dropped, as the user that is left may not reach Python's files.

What it makes, as far as the kernel lets it (`Placed` says how far it came):
- an unprivileged user without further groups, where it was started as root;
- a network namespace with nothing in it but loopback, so that a browser that somebody broke into
  reaches the proxy's sockets, which `relay` joins to its ports, and nothing else.
"""

import ctypes
import fcntl
import json
import os
import socket
import struct
import sys
from collections.abc import Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1


class Order(NamedTuple):
    """What the engine orders; `folder` is its private one, in which all the rest lies."""

    program: str
    folder: str
    uid: int
    """Who to become where this was started as root."""
    gid: int
    namespace: bool
    """Whether a network namespace shall be tried."""
    slots: int
    """How many sockets `sockets/<n>.sock` there are to be joined."""
    flags: list[str]
    """Added to Chromium's arguments."""
    dropped: list[str]
    """Names of arguments that are taken out."""
    max_data_bytes: int
    """Private memory of each process (RLIMIT_DATA)."""
    max_file_bytes: int


class Placed(NamedTuple):
    """`namespace` is None where there is one, else why there is none."""

    namespace: str | None


def main(argv: Sequence[str]) -> int:
    order = Order(**json.loads(Path(argv[0]).read_bytes()))
    run = _loaded("relay").run
    placed = place(order)
    return run(order, placed, list(argv[1:]))


def place(order: Order) -> Placed:
    """Become the user and enter the namespace; raises OSError where root cannot be given up."""
    refused: str | None = "switched off"
    if order.namespace:
        refused = _with_no_network()
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(order.gid, order.gid, order.gid)
        os.setresuid(order.uid, order.uid, order.uid)
    if order.namespace and refused is not None:
        refused = _as_user_with_no_network()
    return Placed(refused)


def _with_no_network() -> str | None:
    """As root: no user namespace is needed."""
    if os.geteuid() != 0:
        return "not root"
    return _entered(_CLONE_NEWNET)


def _as_user_with_no_network() -> str | None:
    uid, gid = os.geteuid(), os.getegid()
    # Whoever changed their user is not dumpable, and may then not write their own maps (proc(5)).
    _prctl(4, 1)
    refused = _tried(_CLONE_NEWUSER | _CLONE_NEWNET)
    if refused is not None:
        return refused
    entered = _entered(_CLONE_NEWUSER | _CLONE_NEWNET)
    if entered is not None:
        return entered
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    return None


def _tried(flags: int) -> str | None:
    """Why a child of this process cannot go there and bring loopback up; None where it can.

    Tried beforehand, since there is no way back: AppArmor lets some kernels' users in, and then
    gives them no rights there.
    """
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if _entered(flags) is None else 1)
        except BaseException:  # noqa: BLE001 - a forked child must not run on in its parent's code
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return None if status == 0 else "the kernel gives this user no network namespace"


def _entered(flags: int) -> str | None:
    """Enter new namespaces and bring loopback up there: None, or what was refused."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        return f"unshare: {os.strerror(ctypes.get_errno())}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        name = struct.pack("16sh", b"lo", 0)
        try:
            (state,) = struct.unpack_from("h", fcntl.ioctl(probe, _SIOCGIFFLAGS, name), 16)
            fcntl.ioctl(probe, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", state | _IFF_UP))
        except OSError as error:
            return f"loopback: {error.strerror}"
    return None


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _loaded(name: str) -> Any:
    """The module beside this one, without its package, which would need libraries."""
    spec = spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
