"""Finds and kills processes by the mark in their environment, wherever they have moved."""

import os
import signal
from contextlib import suppress
from pathlib import Path

MARK = "FLOTILLA_RUN"
"""The variable that every program is started with; its value is unguessable."""

_ROUNDS = 20
"""A fork bomb may start new ones while old ones die; after these rounds it has won."""


def kill_marked(mark: str) -> None:
    """Kill every process whose environment says `MARK=mark`, until a look finds none."""
    for _ in range(_ROUNDS):
        if not [pid for pid in _pids() if _killed(pid, mark)]:
            return


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208


def _killed(pid: int, mark: str) -> bool:
    if not _is_marked(pid, mark):
        return False
    # The descriptor holds the process; a look after opening makes sure that it is still the same.
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if not _is_marked(pid, mark):
            return False
        with suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        return True
    finally:
        os.close(pidfd)


def _is_marked(pid: int, mark: str) -> bool:
    try:
        environ = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        # Gone, or another user's, whom we could not signal either. A zombie reads as empty.
        return False
    return f"{MARK}={mark}".encode() in environ.split(b"\0")
