"""Run as a script, within the sandbox: gives up every right and becomes the server.

`python -I -S inside.py FD`: FD is a file with the order as JSON. The server's arguments and its
environment come in this way and not by the command line or environment of the sandbox, where they
could be read, or could load code into a process that still has rights. Standard library alone.
"""

import ctypes
import json
import os
import resource
import signal
import sys
from typing import Any

_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 24, 38
_LAST_CAP = 63


def _give_up_rights(order: dict[str, Any]) -> None:
    for name, limit in order["limits"].items():
        number = getattr(resource, name)
        _, hard = resource.getrlimit(number)
        most = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(number, (most, most))
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None
    if order["uid"] is not None:
        if prctl:
            for capability in range(_LAST_CAP + 1):
                prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
        os.setgroups([])
        os.setresgid(order["uid"], order["uid"], order["uid"])
        os.setresuid(order["uid"], order["uid"], order["uid"])
    if prctl:
        prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        # After the change of user, which clears it: whoever started us takes us along.
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.umask(0o077)


def main(fd: int) -> int:
    """Become the server; 126 with a sentence on standard error when that fails, as shells say."""
    with os.fdopen(fd, "rb") as file:
        file.seek(0)
        order = json.loads(file.read())
    doing = "give up the rights"
    try:
        _give_up_rights(order)
        doing = f"enter {order['cwd']}"
        os.chdir(order["cwd"])
        for folder in order["folders"]:
            os.makedirs(folder, mode=0o700, exist_ok=True)  # noqa: PTH103
        doing = f"run {order['argv'][0]}"
        os.execve(order["argv"][0], order["argv"], order["env"])  # noqa: S606 - no shell
    except OSError as error:
        who = "" if order["uid"] is None else f" as user {order['uid']}"
        sys.stderr.write(f"cannot {doing}{who}: {error.strerror}\n")
    return 126


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
