"""The tests as several pytest processes, and what came of all of them together.

Each begins small: in one process, what thousands of earlier tests left in memory slows down and
holds up those that come later. Two run beside one another; what measures how long something takes
runs alone when they are done. The standard library alone.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from time import monotonic
from typing import Any

from tools.memory_folder import memory_folder

ROOT = Path(__file__).resolve().parents[1]
TALLY, LANE = "FLOTILLA_TEST_TALLY", "FLOTILLA_TEST_LANE"
"""What a process of tests is told: where its tally goes, and beside how many others it runs."""
NOTHING_TO_DO = 5
"""Of pytest: no test was selected."""
SHOWN_SLOW = 10
BASETEMP = "--basetemp="

HUB = "00_master_mcp"
APART = {
    HUB: (
        ("wire",),
        ("approvals", "policy"),
        ("external", "lines", "runner", "servers", "workers"),
        ("shed", "steadiness"),
        ("state",),
    ),
    "attacks": (("test_web_floods.py",),),
}
"""Folders whose tests are too many for one process: which of what is in them goes together; the
rest goes together too."""
MEASURING = (f"{HUB}/shed", f"{HUB}/state", "chaos", "real")
"""What stands still while anything else has the processors would fail, or tell nothing."""
MEASURING_AT_LENGTH = ("07_web_browsing_mcp", "attacks/test_web_floods.py")
"""What measures only where the tests that need much time run too: those start browsers, and pages
that take all there is."""
ON_DISK = (
    f"{HUB}/external",
    "01_linux_cli_mcp",
    "07_web_browsing_mcp",
    "attacks",
    "crash",
    "real",
)
"""Whose tests start sandboxes, which have a `/dev` of their own; care what a disk does; or have
sockets in their folders, whose paths must be short."""
FIRST = (f"{HUB}/wire", "fleet", f"{HUB}/external", f"{HUB}/audit", "12_cmdb_mcp", "attacks")
"""The longest, so that no process runs on when the others are done."""


@dataclass(frozen=True)
class Group:
    """Folders or files below `tests` that one process tests."""

    paths: tuple[str, ...]
    long: bool = False
    """Whether the tests that need much time are run too."""

    @property
    def name(self) -> str:
        return self.paths[0]

    @property
    def measures(self) -> bool:
        return self.name.startswith((*MEASURING, *(MEASURING_AT_LENGTH if self.long else ())))

    @property
    def in_memory(self) -> bool:
        """Whether its files may be where they cost the least time."""
        return not self.long and not self.name.startswith(ON_DISK)


@dataclass
class Outcome:
    """What came of a group, or of all of them."""

    code: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    slow: list[tuple[float, str, str]] = field(default_factory=list)

    def add(self, other: "Outcome") -> None:
        self.counts += other.counts
        self.failed += other.failed
        self.skipped += other.skipped
        self.slow += other.slow


def groups(tests: Path, folders: Sequence[str], *, long: bool = False) -> list[Group]:
    """Which processes there are for these folders below `tests`, for all of them where none is
    named; those that are to begin first stand first."""
    names = folders or [each.name for each in sorted(tests.iterdir()) if _has_tests(each)]
    found = [Group(paths, long) for name in names for paths in _parts(tests, name)]
    return sorted(found, key=lambda each: (each.measures, not each.name.startswith(FIRST)))


def _parts(tests: Path, name: str) -> Iterator[tuple[str, ...]]:
    apart = APART.get(name)
    if apart is None:
        yield (name,)
        return
    taken = {each for part in apart for each in part}
    for part in apart:
        yield tuple(f"{name}/{each}" for each in part)
    rest = [each for each in sorted((tests / name).iterdir()) if each.name not in taken]
    yield tuple(f"{name}/{each.name}" for each in rest if _has_tests(each))


def _has_tests(path: Path) -> bool:
    if path.is_dir():
        return next(path.rglob("test_*.py"), None) is not None
    return path.match("test_*.py")


class Suite:
    """Runs groups, `lanes` at a time; `options` are those of pytest."""

    def __init__(
        self,
        options: Sequence[str],
        lanes: int,
        say: Callable[[str], None],
        *,
        root: Path = ROOT,
    ) -> None:
        self._root = root
        self._options = options
        self._say = say
        self._lanes: SimpleQueue[int] = SimpleQueue()
        self._count = lanes
        for number in range(lanes):
            self._lanes.put(number)
        self._gives_up = bool({"-x", "--exitfirst"} & set(options))
        self._given_up = False

    def run(self, asked: Sequence[Group], also: Callable[[], object] | None = None) -> Outcome:
        """All of them; what is found goes to `say`, a group at a time.

        `also` is other work that may be done beside tests; it begins first.
        """
        whole, codes = Outcome(), list[int]()
        began = monotonic()
        for outcome in self._outcomes(asked, also):
            whole.add(outcome)
            codes.append(outcome.code)
        whole.code = code_of(codes)
        for line in told(whole, monotonic() - began):
            self._say(line)
        return whole

    def _outcomes(
        self, asked: Sequence[Group], also: Callable[[], object] | None
    ) -> Iterator[Outcome]:
        with ThreadPoolExecutor(self._count) as pool:
            other = None if also is None else pool.submit(also)
            if len(asked) > 1:
                yield from pool.map(self._tested, [each for each in asked if not each.measures])
            if other is not None:
                other.result()
        for group in asked:
            if len(asked) == 1 or group.measures:
                yield self._tested(group, shown=len(asked) == 1)

    def _tested(self, group: Group, *, shown: bool = False) -> Outcome:
        if self._given_up:
            return Outcome(code=NOTHING_TO_DO)
        lane, began = self._lanes.get(), monotonic()
        try:
            place = memory_folder() if group.in_memory else None
            with tempfile.TemporaryDirectory(
                prefix="flotilla-", dir=place, ignore_cleanup_errors=True
            ) as folder:
                tally, said = Path(folder) / "tally", Path(folder) / "said"
                with said.open("wb") as out:
                    done = subprocess.run(
                        [sys.executable, "-m", "pytest", *self._arguments(group, folder)],
                        cwd=self._root,
                        env=self._environment(lane, tally, None if place is None else folder),
                        stdin=subprocess.DEVNULL,
                        stdout=None if shown else out,
                        stderr=None if shown else subprocess.STDOUT,
                        check=False,
                    )
                text = said.read_text(errors="replace").rstrip()
                found = outcome_of(group, done.returncode, tally)
        finally:
            self._lanes.put(lane)
        self._given_up |= self._gives_up and bool(found.failed)
        took = f"exit code {done.returncode}, {monotonic() - began:.0f} s"
        self._say(f"== tests of {' '.join(group.paths)}: {took}\n{text}")
        return found

    def _environment(self, lane: int, tally: Path, files: str | None) -> dict[str, str]:
        told = {**os.environ, TALLY: str(tally), LANE: str(lane)}
        # Programs of ours are started by the hundred: they must not compile all they are each time.
        told.pop("PYTHONDONTWRITEBYTECODE", None)
        return told if files is None else told | {"TMPDIR": files}

    def _arguments(self, group: Group, folder: str) -> list[str]:
        """Each process gets what it would else share: the folder of its files, which each pytest
        that starts closes to other users, and its memory of which tests failed."""
        name = group.name.replace("/", "-")
        mine = ["-p", "tools.tally", "-q", "-rN", "-o", f"cache_dir=.pytest_cache/{name}"]
        # The last one counts: see below.
        options = [f"{BASETEMP}{folder}/files"]
        if {"--lf", "--last-failed"} & set(self._options):
            options.append("--last-failed-no-failures=none")
        for each in self._options:
            if each.startswith(BASETEMP):
                Path(each.removeprefix(BASETEMP)).mkdir(parents=True, exist_ok=True)
                options.append(f"{each}/{name}")
            else:
                options.append(each)
        return [*mine, *(f"tests/{each}" for each in group.paths), *options]


def outcome_of(group: Group, code: int, tally: Path) -> Outcome:
    """What the process told of its tests; one that told nothing has failed."""
    if not tally.exists():
        if code == NOTHING_TO_DO:
            return Outcome(code=code)
        code = code or 1  # the process ended before pytest did
        why = f"ERROR tests/{group.name} - pytest ended with exit code {code} and no tally"
        return Outcome(code, Counter(error=1), [why])
    read: dict[str, Any] = json.loads(tally.read_text())
    slow = [(float(took), str(when), str(test)) for took, when, test in read["slow"]]
    return Outcome(code, Counter(read["counts"]), read["failed"], read["skipped"], slow)


def code_of(codes: Iterable[int]) -> int:
    """As pytest's for all of them: 5 where no group had anything to do, else the worst."""
    told = set(codes)
    return max(told - {NOTHING_TO_DO}, default=NOTHING_TO_DO)


def told(whole: Outcome, took_s: float) -> Iterator[str]:
    """The last lines, in pytest's own words: what was slow, was skipped, failed, and how many."""
    slowest = sorted(whole.slow, reverse=True)[:SHOWN_SLOW]
    if slowest:
        yield f"== the slowest {len(slowest)}"
        yield from (f"{took:.2f}s {when} {test}" for took, when, test in slowest)
    if whole.skipped or whole.failed:
        yield "== short test summary info"
        for reason, count in Counter(whole.skipped).items():
            yield f"SKIPPED [{count}] {reason}"
        yield from whole.failed
    counted = ", ".join(f"{count} {outcome}" for outcome, count in whole.counts.items())
    yield f"{counted or 'no tests ran'} in {took_s:.2f}s"
