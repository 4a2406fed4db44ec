"""Processes that may end while they are looked at."""

from collections.abc import Iterable

import psutil


def runs(process: psutil.Process) -> bool:
    """Whether it is there and has not ended, even where it ends between two looks at it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that run."""
    return [each for each in processes if runs(each)]


def command_of(process: psutil.Process) -> str:
    """Its command line in one; empty for one that has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # as is one that is a zombie
        return ""
