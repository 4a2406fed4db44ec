"""Where a server's program is, and what of this machine must be shown for it to run."""

import os
import shutil
from pathlib import Path

from flotilla import NotConfigured
from master.external.sandbox import SYSTEM, visible

_INSTALLATION = ("pyvenv.cfg", "lib/node_modules", "lib/python3*")
"""What stands beside `bin` in a folder that one installation has for itself."""
_BROAD = {".local", "home", "root", "usr", "local"}
"""Folders that look like one and hold everything of somebody."""
_NEEDED_BESIDE = {"uvx": "uv"}
_CONTAINERS = ("docker", "podman", "nerdctl")
_HINTS = {
    "npx": "Install Node.js, whose npx fetches and runs the server.",
    "uvx": "Install uv, whose uvx fetches and runs the server.",
}


def find_program(command: str, search_path: str, cwd: str | None = None) -> str:
    """The absolute path of a command; NotConfigured when there is none to run.

    Nor is there one that runs containers: those are children of a daemon, out of every limit that
    is set here, and outlive the hub.
    """
    if Path(command).name in _CONTAINERS:
        raise NotConfigured(
            f"{command} runs the server out of the fleet's reach",
            hint="Give the program itself; or run the container yourself and give its url.",
        )
    if "/" in command and not command.startswith("/"):
        command = os.path.join(cwd or "/", command)  # noqa: PTH118 - `./a` stays `./a`
    found = shutil.which(command, path=search_path)
    if found is None:
        hint = _HINTS.get(command, "Install it, or give its full path as the command.")
        raise NotConfigured(f"there is no program {command!r}", hint=hint)
    return os.path.abspath(found)  # noqa: PTH100 - links stay, by whose name some programs go


def needed_by(program: str) -> tuple[str, ...]:
    """The folders and files outside of the system's own that `program` is made of.

    An installation that has a folder to itself (a virtual environment, a Node of nvm, a Python of
    pyenv) is shown whole, anything else file by file: what lies beside it is somebody's own.
    """
    needed: dict[str, None] = {}
    for path in _chain(program):
        if not visible(path, SYSTEM):
            needed[_installation_of(path) or path] = None
    return tuple(needed)


def _chain(program: str) -> list[str]:
    """The program, where its link leads, and the same for what it cannot run without."""
    chain = [program, os.path.realpath(program)]
    beside = _NEEDED_BESIDE.get(Path(program).name)
    if beside:
        chain += [
            str(path) for name in chain[:2] if (path := Path(name).with_name(beside)).exists()
        ]
    for path in tuple(chain):
        installation = _installation_of(path)
        python = Path(installation or "/nonexistent") / "bin" / "python3"
        if python.exists():
            # The interpreter of a virtual environment is a link to another installation.
            chain.append(os.path.realpath(python))
    return list(dict.fromkeys(chain))


def _installation_of(path: str) -> str | None:
    for folder in Path(path).parents:
        if folder.name in _BROAD or folder == Path.home() or folder == Path("/"):
            return None
        if folder.parent != Path("/") and any(
            next(folder.glob(sign), None) is not None for sign in _INSTALLATION
        ):
            return str(folder)
    return None
