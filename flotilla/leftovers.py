"""Finds and kills processes by the mark in their environment, wherever they have moved."""

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

MARK = "FLOTILLA_RUN"
"""The variable that every program is started with; its value is unguessable."""

_ROUNDS = 20
"""A fork bomb may start new ones while old ones die; after these rounds it has won."""
_EXEC_S = 1.0
_LOOK_S = 0.001
_KERNEL_THREAD = 0x00200000
"""A flag in /proc/<pid>/stat. Source: PF_KTHREAD of Linux's include/linux/sched.h."""


class Ledger:
    """Which marks belong to programs that run now, in a folder that outlives this process.

    A program that ended normally may leave a daemon behind on purpose, so that a mark alone does
    not say whether its process should still be there; an entry that nobody struck out does.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def entry(self, mark: str) -> Generator[None]:
        """The mark stands in the ledger within."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._folder / mark
        file.touch()
        try:
            yield
        finally:
            file.unlink(missing_ok=True)

    def settle(self) -> int:
        """Kill what a life of the service that was itself killed left running; how many marks."""
        with suppress(FileNotFoundError):
            marks = sorted(file.name for file in self._folder.iterdir())
            for mark in marks:
                kill_marked(mark)
                (self._folder / mark).unlink(missing_ok=True)
            return len(marks)
        return 0


def kill_marked(mark: str) -> None:
    """Kill every process whose environment says `MARK=mark`, until a look finds none.

    Within `exec` a process has no environment for a moment, and when it has died none until it is a
    zombie: of these it waits, for `_EXEC_S` in all, to see whose they are and that they are gone.
    One that is killed shows its environment until it has run once more, so that a round in which
    there are no others does not count: it waits for them, within the same time.
    """
    give_up_at = monotonic() + _EXEC_S
    dying: set[int] = set()
    rounds = 0
    while rounds < _ROUNDS:
        looks = {pid: _killed(pid, mark) for pid in _pids()}
        killed = {pid for pid, done in looks.items() if done}
        bare = [pid for pid, done in looks.items() if done is None]
        between = [pid for pid in bare if _is_between(pid)]
        while any(map(_is_between, between)) and monotonic() < give_up_at:
            sleep(_LOOK_S)
        # All of them: one may have got its environment before its state was asked for.
        killed.update(pid for pid in bare if _killed(pid, mark))
        if not killed:
            return
        if killed - dying:
            rounds += 1
        elif monotonic() < give_up_at:
            sleep(_LOOK_S)
        else:
            # Such as one in the kernel's hands, that a signal does not reach.
            return
        dying = killed


def _is_between(pid: int) -> bool:
    """Whether a process of ours has no environment yet, or none any more and is no zombie yet."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # Numbered as in proc_pid_stat(5), from the third on.
        state, flags, end_of_environment = words[0], int(words[9 - 3]), int(words[51 - 3])
        if state in "ZX" or flags & _KERNEL_THREAD or end_of_environment:
            return False
        # Of another user's it is not shown where its environment ends, and neither what that is.
        return not Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208


def _killed(pid: int, mark: str) -> bool | None:
    """Whether it was, as it has the mark; None where it shows no environment at all."""
    marked = _is_marked(pid, mark)
    if not marked:
        return marked
    # The descriptor holds the process; a look after opening makes sure that it is still the same.
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        marked = _is_marked(pid, mark)
        if marked:
            with suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        return marked
    finally:
        os.close(pidfd)


def _is_marked(pid: int, mark: str) -> bool | None:
    try:
        environ = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        # Gone, or another user's, whom we could not signal either. A zombie reads as empty.
        return False
    return None if not environ else f"{MARK}={mark}".encode() in environ.split(b"\0")
