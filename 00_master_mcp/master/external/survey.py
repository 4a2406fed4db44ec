"""What this machine offers to shut a server in, found by trying."""

import os
import subprocess
import sys
from pathlib import Path
from shutil import which

from master.external.programs import needed_by
from master.external.sandbox import SYSTEM, Means, isolation, visible

_PROBE_S = 10.0
_FOLDER = Path(__file__).parent


def survey(*, cgroup: bool, bwrap: str | None = "bwrap") -> Means:
    """The means of this machine; it runs bubblewrap once or twice, and blocks for that.

    `cgroup` says whether memory groups can be made; `bwrap` is where to look for the program, None
    to do without.
    """
    python = os.path.realpath(sys.executable)
    is_root = os.geteuid() == 0
    program = which(bwrap) if bwrap else None
    why, modern = "bubblewrap is not installed", False
    if program is not None:
        for modern in (True, False):
            why = _refusal(program, is_root=is_root, modern=modern)
            if not why:
                break
    return Means(
        python=python,
        python_needs=needed_by(python),
        inside=str(_FOLDER / "inside.py"),
        is_root=is_root,
        bwrap=None if why else program,
        why_no_bwrap=why,
        modern_bwrap=modern and not why,
        resolver=_resolver(),
        cgroup=cgroup,
    )


def _refusal(program: str, *, is_root: bool, modern: bool) -> str:
    """Why bubblewrap cannot make the sandbox here, empty when it can."""
    size = ("--size", "1048576") if modern else ()
    argv = (
        program,
        *isolation(is_root=is_root, modern=modern, network=False),
        *("--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"),
        *("--perms", "1777", *size, "--tmpfs", "/tmp"),  # noqa: S108 - its own within
        *("--", "/bin/sh", "-c", ":"),
    )
    try:
        ended = subprocess.run(
            argv, env={}, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not run here: {type(error).__name__}"
    if ended.returncode == 0:
        return ""
    said = ended.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
    return f"bubblewrap cannot make a sandbox here: {said[0][:200]}"


def _resolver() -> str | None:
    real = os.path.realpath("/etc/resolv.conf")
    return None if visible(real, SYSTEM) else real
