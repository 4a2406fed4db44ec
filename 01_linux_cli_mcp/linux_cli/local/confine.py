"""Run as a script: becomes a program that the kernel lets read, and neither write nor look further.

`python -I -S confine.py <protected paths as JSON> <program> <argv0> [argument ...]`

Landlock (Linux 5.13) needs no privilege and no namespace, so it works in a plain container. Here it
allows to read and execute everything but the protected paths, and, where the kernel knows how,
refuses TCP and signals to others; with it goes the right to look into other processes. Capabilities
go too, but for those that only read. Nothing but the standard library is imported, because this
runs before each confined program.
"""

import ctypes
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_TCP = 0b11
_SCOPES = 0b11
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38
_CAP_DAC_READ_SEARCH, _CAP_SYSLOG, _LAST_CAP = 2, 34, 63
_KEPT = 1 << _CAP_DAC_READ_SEARCH | 1 << _CAP_SYSLOG
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def landlock_abi() -> int:
    """The version of Landlock that this kernel offers; 0 for none."""
    # Elsewhere the same number is another call.
    if sys.platform != "linux":
        return 0
    return max(0, _libc.syscall(_CREATE_RULESET, None, 0, 1))


def readable(protected: list[str], folder: str = "/") -> Iterator[str]:
    """The fewest paths that hold everything below `folder` but the protected paths."""
    prefix = folder.rstrip("/") + "/"
    if folder in protected:
        return
    if not any(path.startswith(prefix) for path in protected):
        yield folder
        return
    with suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - pathlib would double the start's time
            # A link grants where it points, which has, or has not, a rule of its own.
            if not os.path.islink(prefix + name):  # noqa: PTH114
                yield from readable(protected, prefix + name)


def confine(paths: Iterable[str]) -> None:
    """Give up, for good, all but reading those; OSError when the kernel won't.

    A path that leads elsewhere, by a link anywhere in it, stays closed.
    """
    abi = landlock_abi()
    if abi == 0:
        raise OSError("this kernel has no Landlock")
    rights = (1 << _RIGHTS_BY_ABI.get(abi, 16)) - 1
    handled = _Ruleset(rights, _TCP if abi >= 4 else 0, _SCOPES if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = _checked(_libc.syscall(_CREATE_RULESET, ctypes.byref(handled), size, 0))
    # Names of folders may be listed everywhere: `ls /` works though /data below it is closed.
    _allow(ruleset, "/", _READ_DIR)
    for path in paths:
        _allow(ruleset, path, _READ_FILE | _EXECUTE)
    _allow(ruleset, os.path.realpath(os.devnull), _READ_FILE | _WRITE_FILE)
    _drop_capabilities()
    _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _checked(_libc.syscall(_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


def _allow(ruleset: int, path: str, allowed: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        # Gone since it was listed: without a rule it stays closed.
        return
    try:
        # Whoever may rename beside a protected path may have put a link to it there since.
        if os.readlink(f"/proc/self/fd/{fd}") != path:  # noqa: PTH115
            return
        rule = _Beneath(allowed, fd)
        _checked(_libc.syscall(_ADD_RULE, ruleset, 1, ctypes.byref(rule), 0))
    finally:
        os.close(fd)


def _drop_capabilities() -> None:
    for capability in range(_LAST_CAP + 1):
        if not _KEPT >> capability & 1:
            # Refused for numbers beyond the kernel's last, and without CAP_SETPCAP, where there is
            # nothing to lose.
            _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()
    _checked(_libc.capget(header, data))
    for half, shift in ((0, 0), (1, 32)):
        mask = _KEPT >> shift & 0xFFFFFFFF
        data[half * 3] &= mask
        data[half * 3 + 1] &= mask
        data[half * 3 + 2] = 0
    _checked(_libc.capset(header, data))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def main(arguments: list[str]) -> int:
    """Confine this process and become the program; 126 when that fails, as shells say it."""
    protected, program, *argv = arguments
    try:
        confine(readable(json.loads(protected)))
        os.execv(program, argv)  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.stderr.write(f"cannot run {argv[0]} confined: {error}\n")
    return 126


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
