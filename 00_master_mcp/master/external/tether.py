"""Run as a script: starts a program, and leaves nothing of it behind, whatever happens to the hub.

`python -I -S tether.py LIFE GRACE_S CGROUP_FILE PROGRAM [ARGUMENT ...]`

LIFE is the reading end of a pipe whose other end the hub alone holds. The byte `t` on it asks the
program to end (SIGTERM), `k` kills; when it is closed, because the hub was killed, the program is
asked and GRACE_S seconds later killed. CGROUP_FILE is a `cgroup.procs` that the program shall be
in, or empty.

The tether is the program's subreaper: a daemon that left its group, its session and its environment
is its child in the end, so it finds every one. When the program itself has ended, the rest is
killed, and the exit code is the program's (128 + n for signal n). Standard library alone: each
server has a process of this.
"""

import ctypes
import os
import select
import signal
import sys
from contextlib import suppress
from time import monotonic
from types import FrameType

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_KILL_S = 10.0
_LOOK_S = 0.02
_SANDBOX = "bwrap"
"""Asked to end, it would take the program with it at once; so it is not asked."""


def _noted(_number: int, _frame: FrameType | None) -> None:
    """The number is in the wake-up pipe already."""


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _start(argv: list[str], cgroup_file: str, life: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os.close(life)
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if cgroup_file:
            with open(cgroup_file, "w") as file:  # noqa: PTH123 - pathlib is not imported
                file.write("0")
        os.execv(argv[0], argv)  # noqa: S606 - no shell is the point
    except OSError as error:
        os.write(2, f"cannot start {argv[0]}: {error.strerror}\n".encode())
    os._exit(126)


def _let_go_of_pipes(*kept: int) -> None:
    """Close what the program was given, so that its ends of the pipes are the only ones."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():  # noqa: PTH112, PTH208
        if int(name) > 2 and int(name) not in kept:
            with suppress(OSError):
                os.close(int(name))


def _descendants() -> list[tuple[int, str]]:
    """Every process below this one with its name, children before theirs."""
    children: dict[int, list[tuple[int, str]]] = {}
    for entry in os.listdir("/proc") if os.path.isdir("/proc/1") else ():  # noqa: PTH112, PTH208
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="latin-1") as file:  # noqa: PTH123
                stat = file.read()
        except OSError:
            continue
        # The name stands in parentheses and may itself hold some.
        name, _, rest = stat.partition("(")[2].rpartition(")")
        children.setdefault(int(rest.split()[1]), []).append((int(entry), name))
    found = list(children.get(os.getpid(), ()))
    for pid, _ in found:  # grows while it is walked
        found.extend(children.get(pid, ()))
    return found


def _send(program: int, number: int) -> None:
    kill = number == signal.SIGKILL
    for pid, name in _descendants():
        if kill or name != _SANDBOX:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
    if kill or not os.path.isdir("/proc/1"):  # noqa: PTH112
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(program, number)


class _Reaper:
    """Takes the status of whoever ended: the program's own is kept."""

    def __init__(self, program: int) -> None:
        self._program = program
        self.code: int | None = None

    def reap(self) -> bool:
        """Whether any child, adopted ones included, is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._program:
                code = os.waitstatus_to_exitcode(status)
                self.code = code if code >= 0 else 128 - code


def _follow(program: int, life: int, grace_s: float, woken: int) -> _Reaper:
    """Return when the program ended, or everything shall be killed."""
    reaper = _Reaper(program)
    kill_at: float | None = None
    poll = select.poll()
    poll.register(life, select.POLLIN)
    poll.register(woken, select.POLLIN)
    while True:
        reaper.reap()
        left_s = None if kill_at is None else kill_at - monotonic()
        if reaper.code is not None or (left_s is not None and left_s <= 0):
            return reaper
        for fd, _ in poll.poll(None if left_s is None else left_s * 1000 + 1):
            if fd == woken:
                for number in os.read(woken, 512):
                    if number != signal.SIGCHLD:
                        _send(program, signal.SIGTERM)
                continue
            asked = os.read(life, 16)
            if b"k" in asked:
                return reaper
            _send(program, signal.SIGTERM)
            if not asked:
                poll.unregister(life)
                kill_at = monotonic() + grace_s


def main(arguments: list[str]) -> int:
    life, grace_s, cgroup_file, *argv = arguments
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _noted)
    program = _start(argv, cgroup_file, int(life))
    _let_go_of_pipes(int(life), woken, wake)
    reaper = _follow(program, int(life), float(grace_s), woken)
    until = monotonic() + _KILL_S
    while reaper.reap() and monotonic() < until:
        _send(program, signal.SIGKILL)
        select.select([], [], [], _LOOK_S)
    return 137 if reaper.code is None else reaper.code


if __name__ == "__main__":
    code = main(sys.argv[1:])
    os._exit(code)
