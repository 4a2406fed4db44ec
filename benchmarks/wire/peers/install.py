"""Each peer in a folder of its own below build/peers, or PEERS_FOLDER, with one pinned version."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from wire.peers.peer import Skipped
from wire.processes import ROOT

FOLDER = Path(os.environ.get("PEERS_FOLDER") or ROOT / "build" / "peers")
INSTALL_S = 900


def python_peer(name: str, requirement: str) -> None:
    """A virtual environment with one requirement; nothing is done when it is there already."""
    folder = FOLDER / name
    if _is_there(folder, requirement):
        return
    folder.mkdir(parents=True, exist_ok=True)
    _run(folder, [sys.executable, "-m", "venv", "--clear", str(folder)])
    pip = [str(program(name, "python")), "-m", "pip", "install", "--disable-pip-version-check"]
    _run(folder, [*pip, "--quiet", requirement])
    _installed(folder).write_text(requirement)


def node_peer(name: str, requirement: str) -> None:
    """A node_modules with one package; nothing is done when it is there already."""
    folder = FOLDER / name
    if _is_there(folder, requirement):
        return
    folder.mkdir(parents=True, exist_ok=True)
    npm = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund"]
    _run(folder, [*npm, requirement])
    _installed(folder).write_text(requirement)


def program(name: str, file: str) -> Path:
    """A program of a Python peer."""
    return FOLDER / name / "bin" / file


def script(name: str) -> Path:
    """The script of a Node peer; to be run by `node`, so that no shell stands between."""
    return (FOLDER / name / "node_modules" / ".bin" / name).resolve()


def _installed(folder: Path) -> Path:
    return folder / "installed"


def _is_there(folder: Path, requirement: str) -> bool:
    mark = _installed(folder)
    return mark.exists() and mark.read_text() == requirement


def _run(folder: Path, argv: Sequence[str]) -> None:
    try:
        done = subprocess.run(
            argv, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S, check=False
        )
    except FileNotFoundError:
        raise Skipped(f"there is no {argv[0]} here") from None
    except subprocess.TimeoutExpired:
        raise Skipped(f"installing took over {INSTALL_S} s") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "rror" in line]
        raise Skipped(f"does not install: {(said or ['no reason given'])[-1].strip()[:200]}")
