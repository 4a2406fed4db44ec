"""Makes `.venv` from a lock file and continues the running script inside it.

The standard library alone, and outside `flotilla/`: this runs before anything is installed, and
importing any module of that package imports what it has yet to install.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
FLEET_LOCK = "requirements.txt"
DEV_LOCK = "requirements-dev.txt"
_INCLUDES = {FLEET_LOCK: (FLEET_LOCK,), DEV_LOCK: (FLEET_LOCK, DEV_LOCK)}
"""Which locks an installed one satisfies: one resolution serves all, and dev holds the fleet's."""


class CannotInstall(Exception):
    """The environment could not be made; the message says what to do."""


def enter(lock: str, venv: Path = VENV) -> None:
    """Install what `lock` pins unless it is there, then go on inside `.venv`; CannotInstall."""
    with _alone():
        if not is_installed(lock, venv):
            _install(lock, venv)
    if Path(sys.prefix).resolve() != venv.resolve():
        inside = str(python_of(venv))
        os.execv(inside, [inside, *sys.orig_argv[1:]])  # noqa: S606  the same script, no shell


def python_of(venv: Path) -> Path:
    return venv / "bin" / "python"


def is_installed(lock: str, venv: Path) -> bool:
    """Whether `.venv` was made from this very lock, with the Python that it still points to."""
    return _stamped(venv).get(lock) == _digest(ROOT / lock) and _is_sound(venv)


def _install(lock: str, venv: Path) -> None:
    print(f"flotilla: installing what {lock} pins into {venv.name} (only when the lock changed)")
    sys.stdout.flush()
    clear = not _is_sound(venv)
    _stamp_of(venv).unlink(missing_ok=True)
    failed: list[str] = []
    for way in _ways(lock, venv, clear):
        failure = _first_failure(way)
        if failure is None:
            _write_stamp(lock, venv)
            return
        failed.append(failure)
    raise CannotInstall(
        f"cannot install what {lock} pins: {'; then '.join(failed)}. Its own words stand above. "
        "The package index must be reachable, and Debian needs the package python3-venv"
    )


def _ways(lock: str, venv: Path, clear: bool) -> list[list[list[str]]]:
    """The commands of each way to install, in the order in which to try them.

    pip comes after uv also where uv is there: it alone reads a pip.conf that names a mirror.
    """
    inside, flags = str(python_of(venv)), ["--clear"] if clear else []
    options = ["--require-hashes", "-r", str(ROOT / lock)]
    pip = [
        [sys.executable, "-m", "venv", *flags, str(venv)],
        [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *options],
    ]
    uv = shutil.which("uv")
    if uv is None:
        return [pip]
    make = [[uv, "venv", "--quiet", *flags, "--python", sys.executable, str(venv)]] if clear else []
    return [[*make, [uv, "pip", "install", "--python", inside, *options]], pip]


def _first_failure(commands: Sequence[Sequence[str]]) -> str | None:
    for command in commands:
        tool = Path(command[0]).name if command[1] != "-m" else command[2]
        try:
            code = subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
        except OSError as error:
            return f"{tool} does not start ({error.strerror})"
        if code != 0:
            return f"{tool} ended with code {code}"
    return None


def _is_sound(venv: Path) -> bool:
    """The Python of `.venv` is there, and not another than the one that it was made with.

    A new minor version behind the same link would look for the packages elsewhere.
    """
    inside = python_of(venv)
    made_with = _stamped(venv).get("python", str(inside.resolve()))
    return os.access(inside, os.X_OK) and str(inside.resolve()) == made_with


def _stamp_of(venv: Path) -> Path:
    return venv / "flotilla-stamp.json"


def _stamped(venv: Path) -> Mapping[str, str]:
    with suppress(OSError, ValueError):  # no stamp, or half of one: then nothing is installed
        return json.loads(_stamp_of(venv).read_text(encoding="utf-8"))
    return {}


def _write_stamp(lock: str, venv: Path) -> None:
    stamp = {each: _digest(ROOT / each) for each in _INCLUDES[lock]}
    stamp["python"] = str(python_of(venv).resolve())
    _stamp_of(venv).write_text(json.dumps(stamp, indent=2), encoding="utf-8")


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise CannotInstall(f"cannot read {file}: {error.strerror}") from None


@contextmanager
def _alone() -> Generator[None]:
    """One at a time: the fleet and its tests may be started together, with one `.venv`."""
    descriptor = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
