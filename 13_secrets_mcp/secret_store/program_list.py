"""Which programs runWithSecret can be allowed at all. Pure."""

import re
from collections.abc import Iterable
from pathlib import Path

from flotilla import Misconfigured

_RUNS_ANYTHING = re.compile(
    r"(?:ba|da|z|k|c|tc|fi|a|pw)?sh|busybox|toybox|env|printenv|set|export|xargs|find|nohup|nice|"
    r"time(?:out)?|stdbuf|setsid|unshare|nsenter|chroot|sudo|su|doas|runuser|script|watch|strace|"
    r"ltrace|gdb|awk|[gmn]awk|sed|perl[\d.]*|python[\d.]*|pypy[\d.]*|ruby[\d.]*|node|nodejs|deno|"
    r"bun|php[\d.]*|lua[\d.]*|tclsh[\d.]*|java|make|vim?|nvim|emacs|ed|less|more|man|tmux|screen|"
    r"cat|tee|dd|od|xxd|hexdump|base64|strings|ps|systemd-run|ld(?:-linux.*)?\.so.*"
)
"""Shells, interpreters and whatever else starts or shows what its arguments name: given a secret,
they would hand it to whoever writes the arguments."""


def check_programs(programs: Iterable[Path]) -> None:
    """Raise Misconfigured for a program that cannot be allowed, whoever vouches for it."""
    for program in programs:
        if not program.is_absolute() or ".." in program.parts:
            raise Misconfigured(f"SECRETS_PROGRAMS: {program} is not an absolute path")
        if _RUNS_ANYTHING.fullmatch(program.name):
            raise Misconfigured(
                f"SECRETS_PROGRAMS: {program} runs or shows whatever its arguments say, so a "
                "secret in its environment is everybody's; name the program that needs the secret"
            )
