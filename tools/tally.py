"""A pytest plugin: what came of the tests, in a file that `tools.suite` sums up.

`python -m pytest -p tools.tally`, with the file's path in FLOTILLA_TEST_TALLY.
"""

import json
import os
from pathlib import Path
from typing import Any, cast

import pytest

PATH = "FLOTILLA_TEST_TALLY"
OUTCOMES = ("failed", "passed", "skipped", "deselected", "xfailed", "xpassed", "error")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    stats = terminalreporter.stats
    told: dict[str, Any] = {
        "counts": {each: len(stats[each]) for each in OUTCOMES if stats.get(each)},
        "failed": [
            f"{outcome.upper()} {each.nodeid} - {_why(each)}"
            for outcome in ("failed", "error")
            for each in stats.get(outcome, [])
        ],
        "skipped": [_skipped(each) for each in stats.get("skipped", [])],
        "slow": [
            (round(each.duration, 2), each.when, each.nodeid)
            for reports in stats.values()
            for each in reports
            if getattr(each, "duration", 0.0) > 1.0
        ],
    }
    Path(os.environ[PATH]).write_text(json.dumps(told))


def _why(report: Any) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    told = str(report.longrepr) if crash is None else crash.message
    return next(iter(told.splitlines()), "")[:200]


def _skipped(report: Any) -> str:
    """Where and why, as pytest's own summary has it."""
    where: tuple[str, int, str] | Any = report.longrepr
    if not isinstance(where, tuple):
        return f"{report.nodeid}: {_why(report)}"
    path, line, reason = cast("tuple[str, int, str]", where)
    return f"{os.path.relpath(path)}:{line}: {reason.removeprefix('Skipped: ')}"
