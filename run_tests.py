"""Check and test everything: `python3 run_tests.py`; `--help` tells how to do less."""

from __future__ import annotations  # so that an old Python gets as far as its sentence

import argparse
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from time import monotonic

OLDEST = (3, 11)
ROOT = Path(__file__).resolve().parent
SHORT = ("-m", "not real", "--hypothesis-profile=short")
"""Of pytest: no test that needs much time, and fewer examples where they are drawn."""
LANES = min(2, os.cpu_count() or 1)
"""A test and what it starts have a processor of their own, whose time it may count on."""
SHORT_LANES = LANES + 1
"""Of the short run, whose tests wait a third of their time and leave out what needs much."""


def options() -> argparse.Namespace:
    ours, after = _split(sys.argv[1:])
    parser = argparse.ArgumentParser(
        prog="run_tests.py",
        usage="run_tests.py [FOLDER ...] [--real] [--fast] [--lanes N] [-- PYTEST_OPTION ...]",
        description="Run ruff, the type check and all tests, in .venv, which is made when needed.",
    )
    parser.add_argument(
        "folders", nargs="*", help="only these, say 12_cmdb_mcp, flotilla or fleet (tests/fleet)"
    )
    parser.add_argument(
        "--real", action="store_true", help="also tests that start real servers or large programs"
    )
    parser.add_argument("--fast", action="store_true", help="tests alone: no ruff, no type check")
    parser.add_argument(
        "--lanes", type=int, help=f"processes of tests at once ({SHORT_LANES}; {LANES} with --real)"
    )
    asked = parser.parse_args(ours)
    asked.pytest = after
    if asked.lanes is None:
        asked.lanes = LANES if asked.real else SHORT_LANES
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
    results = _results(asked)
    told = ", ".join(f"{name} {'ok' if ok else 'FAILED'}" for name, ok in results.items())
    if not asked.real:
        told += "; the tests that start real servers were left out (--real runs them)"
    print(f"run_tests: {told}")
    return 0 if all(results.values()) else 1


def _results(asked: argparse.Namespace) -> dict[str, bool]:
    """Whether each part went well; the type check runs beside the first tests."""
    from tools.suite import Suite, groups

    results: dict[str, bool] = {}

    def check(name: str) -> None:
        results[name] = _run(name, to_check[name])

    to_check = {} if asked.fast else checks(asked.folders)
    for name in ("lint", "format"):
        if name in to_check:
            check(name)
    options = asked.pytest if asked.real else [*SHORT, *asked.pytest]
    suite = Suite(options, max(1, asked.lanes), partial(print, flush=True))
    asked_for = groups(ROOT / "tests", asked.folders, long=asked.real)
    if not (asked.real or asked.folders):
        asked_for = [each for each in asked_for if each.name != "real"]
    print(f"== tests: {len(asked_for)} processes, {asked.lanes} at a time", flush=True)
    outcome = suite.run(asked_for, partial(check, "types") if "types" in to_check else None)
    print(f"== tests: exit code {outcome.code}", flush=True)
    return results | {"tests": outcome.code == 0}


def checks(folders: list[str]) -> dict[str, list[str]]:
    """What looks at the code, by name; each as a module of the Python that runs this."""
    code = [name for name in folders if (ROOT / name).is_dir()]
    tests = [f"tests/{name}" for name in folders if (ROOT / "tests" / name).is_dir()]
    linted = [*code, *tests] if folders else ["."]
    found = {"lint": ["ruff", "check", *linted], "format": ["ruff", "format", "--check", *linted]}
    if code or not folders:
        found["types"] = ["basedpyright", *code]
    return found


def _run(name: str, command: list[str]) -> bool:
    started = monotonic()
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    took = f"exit code {done.returncode}, {monotonic() - started:.0f} s"
    print(f"== {name}: {' '.join(command)}: {took}\n{done.stdout.rstrip()}", flush=True)
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
