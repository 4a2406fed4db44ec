"""Keeps what the process holds out of dumps and out of other processes' sight."""

import ctypes
import resource
import sys
from collections.abc import Generator
from contextlib import contextmanager

_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4


@contextmanager
def shielded() -> Generator[None]:
    """Within, no core is written, and only root looks into the process (prctl(2), Linux).

    Others of the same user could read its memory through /proc or a debugger otherwise.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    dumpable = libc.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) if libc else 0
    if libc:
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    try:
        yield
    finally:
        if libc and dumpable == 1:
            libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
