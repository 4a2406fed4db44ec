"""Starts services as processes that have imported all they need: `python nursery.py MODULE ...`.

Each is forked from here and runs its own entry point, so that a restart costs what a service does
at start and not the seconds that Python takes to import it. Asked by lines on standard input:
`start SCRIPT LOG` answers the process's ID, `reap PID` how it ended. When that input ends, whoever
asked is gone, and all processes are killed.
"""

import importlib
import os
import runpy
import signal
import sys
from contextlib import suppress
from pathlib import Path


def main() -> None:
    for module in sys.argv[1:]:
        importlib.import_module(module)
    living: set[int] = set()
    for line in iter(sys.stdin.readline, ""):
        match line.split():
            case ["start", script, log]:
                pid = os.fork()
                if pid == 0:
                    _become(script, log)
                living.add(pid)
                answer = pid
            case ["reap", number]:
                _, status = os.waitpid(int(number), 0)
                living.discard(int(number))
                answer = os.waitstatus_to_exitcode(status)
            case words:
                raise SystemExit(f"nobody knows what {words} asks for")
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()
    for pid in living:
        with suppress(ProcessLookupError):  # it has ended by itself
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _become(script: str, log: str) -> None:
    """Run the script in this process, as if Python had been given it."""
    with Path(os.devnull).open("rb") as nothing, Path(log).open("ab") as told:
        os.dup2(nothing.fileno(), 0)
        os.dup2(told.fileno(), 1)
        os.dup2(told.fileno(), 2)
    sys.argv = [script]
    sys.path.insert(0, str(Path(script).parent))
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main()
