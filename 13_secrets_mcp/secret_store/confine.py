"""Run as a script: becomes a program that the kernel keeps from everything of the fleet.

`python -I -S confine.py <opened as JSON> <program> <argv0> [argument ...]`, where opened is
`{"read": [path, ...], "write": [path, ...]}`.

Landlock (Linux 5.13) needs no privilege. Here files can be read and run below `read` alone, and
written below `write` alone; with it goes the right to look into processes outside, so that neither
the master key nor the spoke's memory can be read. The network stays: programs that take a secret
mostly need it to reach somebody. Nothing but the standard library is imported.
"""

import ctypes
import json
import os
import sys

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_IOCTL_DEVICE, _TRUNCATE = 1 << 15, 1 << 14
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE
_SCOPES = 0b11
_PR_SET_NO_NEW_PRIVS = 38

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


def confine(read: list[str], write: list[str]) -> None:
    """Give up, for good, all files but those; OSError when the kernel won't."""
    abi = landlock_abi()
    if abi == 0:
        raise OSError("this kernel has no Landlock")
    rights = (1 << _RIGHTS_BY_ABI.get(abi, 16)) - 1
    handled = _Ruleset(rights, 0, _SCOPES if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = _checked(_libc.syscall(_CREATE_RULESET, ctypes.byref(handled), size, 0))
    for path in read:
        _allow(ruleset, path, _READ_FILE | _READ_DIR | _EXECUTE)
    for path in write:
        _allow(ruleset, path, rights)
    _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _checked(_libc.syscall(_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


def _allow(ruleset: int, path: str, allowed: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        # Not on this machine: without a rule it stays closed.
        return
    try:
        is_folder = os.path.isdir(path)  # noqa: PTH112 - pathlib would double the start's time
        rule = _Beneath(allowed if is_folder else allowed & _FILE_RIGHTS, fd)
        _checked(_libc.syscall(_ADD_RULE, ruleset, 1, ctypes.byref(rule), 0))
    finally:
        os.close(fd)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def main(arguments: list[str]) -> int:
    """Confine this process and become the program; 126 when that fails, as shells say it."""
    opened, program, *argv = arguments
    try:
        paths = json.loads(opened)
        confine(paths["read"], paths["write"])
        os.execv(program, argv)  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.stderr.write(f"cannot run {argv[0]} confined: {error}\n")
    return 126


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
