"""Processes that may end while they are looked at."""

import asyncio
from collections.abc import Awaitable, Iterable
from pathlib import Path
from signal import Signals

import anyio
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


def program_of(process: psutil.Process) -> str:
    """The name of the file that it runs; empty for one that has ended."""
    try:
        return Path(process.exe()).name
    except psutil.NoSuchProcess:
        return ""


async def stop(
    process: asyncio.subprocess.Process, by: Signals, within_s: float, *then: Awaitable[object]
) -> None:
    """Signal it if it runs, and wait for its end and `then`, also where the test is cancelled."""
    if process.returncode is None:
        process.send_signal(by)
    with anyio.fail_after(within_s, shield=True):
        await process.wait()
        for each in then:
            await each
