"""kill -9 at any moment loses no decided approval, and nothing that the audit is to be told."""

import os
import random
import sqlite3
import subprocess
import sys
from collections import defaultdict
from contextlib import closing
from pathlib import Path

import pytest

from flotilla.json_text import from_json
from tests.backends.hub_tables import with_tables
from tests.conftest import ROOT

pytestmark = pytest.mark.real

KILLS = 5
STEPS = {
    "pending": ["asked"],
    "denied": ["asked", "denied"],
    "approved": ["asked", "approved"],
    "running": ["asked", "approved", "begun"],
    "done": ["asked", "approved", "begun", "ended"],
}


def killed(folder: Path, after_lines: int) -> dict[str, list[str]]:
    """What a hub told of each approval before it was killed in the middle of its work."""
    path = os.pathsep.join((str(ROOT), str(ROOT / "00_master_mcp")))
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "dying.py"), str(folder)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    told: dict[str, list[str]] = defaultdict(list)
    with process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(after_lines)]
        process.kill()
        lines += process.stdout.readlines()
    assert process.returncode == -9
    for line in lines:
        if line.endswith(b"\n"):
            approval, step = line.decode().split()
            told[approval].append(step)
    return told


@pytest.mark.parametrize("seed", range(4))
def test_what_a_hub_told_before_it_was_killed_is_there(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    place = with_tables(tmp_path)
    told: dict[str, list[str]] = {}
    for _ in range(KILLS):
        told |= killed(tmp_path, rng.randint(1, 60))
        with closing(sqlite3.connect(str(place.url.database))) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            states = dict(database.execute("SELECT id, state FROM hub_approvals"))
            news: dict[str, list[str]] = defaultdict(list)
            for (body,) in database.execute("SELECT body FROM hub_approval_news ORDER BY number"):
                row = from_json(body.encode())
                news[row["approval"]].append(row["outcome"])
        assert news == {approval: STEPS[state] for approval, state in states.items()}
        for approval, steps in told.items():
            assert STEPS[states[approval]][: len(steps)] == steps, "what was told is durable"
    assert len(told) > KILLS
