"""Check and test everything: `python3 run_tests.py`; `--help` tells how to do less."""

from __future__ import annotations  # so that an old Python gets as far as its sentence

import argparse
import subprocess
import sys
from pathlib import Path
from time import monotonic

OLDEST = (3, 11)
ROOT = Path(__file__).resolve().parent


def options() -> argparse.Namespace:
    ours, after = _split(sys.argv[1:])
    parser = argparse.ArgumentParser(
        prog="run_tests.py",
        usage="run_tests.py [FOLDER ...] [--real] [--fast] [-- PYTEST_OPTION ...]",
        description="Run ruff, the type check and all tests, in .venv, which is made when needed.",
    )
    parser.add_argument(
        "folders", nargs="*", help="only these, say 12_cmdb_mcp, flotilla or fleet (tests/fleet)"
    )
    parser.add_argument(
        "--real", action="store_true", help="also tests that start real servers or large programs"
    )
    parser.add_argument("--fast", action="store_true", help="tests alone: no ruff, no type check")
    asked = parser.parse_args(ours)
    asked.pytest = after
    return asked


def main() -> int:
    if sys.version_info < OLDEST:
        found = ".".join(map(str, sys.version_info[:2]))
        print(f"run_tests: Python 3.11 or newer is needed; this is {found}", file=sys.stderr)
        return 2
    asked = options()
    unknown = [name for name in asked.folders if not _known(name)]
    if unknown:
        print(f"run_tests: there is no folder {', '.join(unknown)} with tests", file=sys.stderr)
        return 2
    from tools.environment import DEV_LOCK, CannotInstall, enter

    try:
        enter(DEV_LOCK)
    except CannotInstall as error:
        print(f"run_tests: {error}", file=sys.stderr)
        return 1
    results = {
        name: _run(name, command) for name, command in commands(asked.folders, asked).items()
    }
    told = ", ".join(f"{name} {'ok' if ok else 'FAILED'}" for name, ok in results.items())
    if not asked.real:
        told += "; the tests that start real servers were left out (--real runs them)"
    print(f"run_tests: {told}")
    return 0 if all(results.values()) else 1


def commands(folders: list[str], asked: argparse.Namespace) -> dict[str, list[str]]:
    """What is run, by name; each as a module of the Python that runs this."""
    code = [name for name in folders if (ROOT / name).is_dir()]
    tests = [f"tests/{name}" for name in folders if (ROOT / "tests" / name).is_dir()]
    # Short reasons of what was skipped stand right above pytest's closing line.
    pytest = ["pytest", "-q", "-ra", "--durations=5", *(tests or ["tests"])]
    if not asked.real:
        pytest += ["-m", "not real"]
    tested = {"tests": [*pytest, *asked.pytest]}
    if asked.fast:
        return tested
    linted = [*code, *tests] if folders else ["."]
    checks = {"lint": ["ruff", "check", *linted], "format": ["ruff", "format", "--check", *linted]}
    if code or not folders:
        checks["types"] = ["basedpyright", *code]
    return checks | tested


def _run(name: str, command: list[str]) -> bool:
    started = monotonic()
    print(f"== {name}: {' '.join(command)}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, stdin=subprocess.DEVNULL, check=False
    )
    print(f"== {name}: exit code {done.returncode}, {monotonic() - started:.0f} s", flush=True)
    return done.returncode == 0


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _known(name: str) -> bool:
    return (ROOT / "tests" / name).is_dir()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
