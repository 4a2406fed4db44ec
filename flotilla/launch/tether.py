"""The first thing a child process of the fleet runs: it ties the child's life to its launcher.

`python -P tether.py FD GRACE_S TARGET...` runs TARGET (a script, or `-m` and a module) as if Python
had been given it. FD is the reading end of a pipe whose other end the launcher alone holds: when
the launcher is gone, however it went, the kernel closes that end. Then the child is asked to stop
as by any SIGTERM, so that running calls and the programs they started end well, and its whole
process group is killed where that takes too long.

A pipe rather than Linux's PR_SET_PDEATHSIG: that one sends a single signal, which either is SIGKILL
and orphans what the child started, or lets a child that hangs live for ever. It also fires when
the thread that forked ends, and macOS lacks it. The standard library alone, to cost no time.
"""

import os
import runpy
import signal
import sys
import threading
import time


def _follow(pipe: int, grace_s: float) -> None:
    os.read(pipe, 1)  # nobody ever writes: it returns when the launcher's end is closed
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_s)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    pipe, grace_s, target, *arguments = sys.argv[1:]
    watch = threading.Thread(target=_follow, args=(int(pipe), float(grace_s)), daemon=True)
    watch.start()
    if target == "-m":
        sys.argv = arguments
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        return
    sys.argv = [target, *arguments]
    sys.path.insert(0, os.path.dirname(target))  # noqa: PTH120  pathlib would be its only use here
    runpy.run_path(target, run_name="__main__")


if __name__ == "__main__":
    main()
