"""Which programs and variables runWithSecret can take at all. Pure."""

import re
from collections.abc import Iterable
from pathlib import Path

from flotilla import InvalidArgument, Misconfigured

_RUNS_ANYTHING = re.compile(
    r"(?:ba|da|z|k|c|tc|fi|a|pw)?sh|busybox|toybox|env|printenv|set|export|xargs|find|nohup|nice|"
    r"time(?:out)?|stdbuf|setsid|unshare|nsenter|chroot|sudo|su|doas|runuser|script|watch|strace|"
    r"ltrace|gdb|awk|[gmn]awk|sed|perl[\d.]*|python[\d.]*|pypy[\d.]*|ruby[\d.]*|node|nodejs|deno|"
    r"bun|php[\d.]*|lua[\d.]*|tclsh[\d.]*|java|make|vim?|nvim|emacs|ed|less|more|man|tmux|screen|"
    r"cat|tee|dd|od|xxd|hexdump|base64|strings|ps|systemd-run|ld(?:-linux.*)?\.so.*"
)
"""Shells, interpreters and whatever else starts or shows what its arguments name: given a secret,
they would hand it to whoever writes the arguments."""
_STEERS = re.compile(
    r"PATH|HOME|TMPDIR|SHELL|IFS|ENV|BASH_.*|LD_.*|DYLD_.*|GCONV_PATH|LOCPATH|NLSPATH|PYTHON.*|"
    r"PERL.*|RUBY.*|NODE_.*|JAVA_.*|_JAVA.*|JDK_.*|GIT_.*|EDITOR|VISUAL|PAGER|BROWSER|"
    r"MALLOC_.*|GLIBC_.*|HTTPS?_PROXY|ALL_PROXY|FLOTILLA_.*|SECRETS_.*"
)
"""Variables that say what else is run or loaded, or where traffic goes: no place for a secret."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


def runs_anything(name: str) -> bool:
    """Whether a program of that name does whatever its arguments say."""
    return _RUNS_ANYTHING.fullmatch(name) is not None


def check_programs(programs: Iterable[Path]) -> None:
    """Raise Misconfigured for a program that cannot be allowed, whoever vouches for it."""
    for program in programs:
        if not program.is_absolute() or ".." in program.parts:
            raise Misconfigured(f"SECRETS_PROGRAMS: {program} is not an absolute path")
        if runs_anything(program.name):
            raise Misconfigured(
                f"SECRETS_PROGRAMS: {program} runs or shows whatever its arguments say, so a "
                "secret in its environment is everybody's; name the program that needs the secret"
            )


def check_variable(name: str) -> None:
    """Raise InvalidArgument for a variable that is no place for a secret."""
    if not _NAME.fullmatch(name) or _STEERS.fullmatch(name.upper()):
        raise InvalidArgument(
            "env names a variable that cannot hold a secret",
            hint="Letters, digits and _; none of those by which a system finds programs.",
        )
