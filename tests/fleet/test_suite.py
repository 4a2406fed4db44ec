"""What `run_tests.py` runs in which process, and what it makes of all of them together."""

import shutil
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from tools.suite import ROOT, Group, Outcome, Suite, code_of, groups, told

TESTS = ROOT / "tests"


def test_every_file_of_tests_is_in_exactly_one_process() -> None:
    found: Counter[Path] = Counter()
    for group in groups(TESTS, []):
        for path in (TESTS / each for each in group.paths):
            found.update(path.rglob("test_*.py") if path.is_dir() else [path])
    assert found == Counter(TESTS.rglob("test_*.py"))


def test_what_measures_runs_when_all_others_are_done() -> None:
    measuring = [each.measures for each in groups(TESTS, [])]
    assert any(measuring) and measuring == sorted(measuring)
    alone = {each.name for each in groups(TESTS, []) if each.measures}
    at_length = {each.name for each in groups(TESTS, [], long=True) if each.measures}
    with_browsers = {"07_web_browsing_mcp", "attacks/test_web_floods.py"}
    assert at_length - alone == with_browsers, "their browsers start in the long run alone"


def test_a_folder_that_is_asked_for_is_tested_as_in_the_whole() -> None:
    assert groups(TESTS, ["fleet"]) == [Group(("fleet",))]
    hub = groups(TESTS, ["00_master_mcp"])
    assert hub == [each for each in groups(TESTS, []) if each.name.startswith("00_master_mcp")]


@pytest.mark.parametrize(
    ("codes", "whole"), [([0, 0], 0), ([0, 5], 0), ([5, 5], 5), ([], 5), ([0, 1, 5, 2], 2)]
)
def test_the_exit_code_is_that_of_pytest_for_all_of_them(codes: list[int], whole: int) -> None:
    assert code_of(codes) == whole


@pytest.fixture(autouse=True)
def plain_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes that are started here need none of pytest's plugins, which load for seconds."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def project(folder: Path, **tests: str) -> Path:
    # Another process may just be compiling there.
    shutil.copytree(ROOT / "tools", folder / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in tests.items():
        file = folder / "tests" / name / f"test_{name}.py"
        file.parent.mkdir(parents=True)
        file.write_text("import os, pytest\n" + textwrap.dedent(text))
    return folder


def run(folder: Path, *options: str) -> tuple[Outcome, str]:
    said: list[str] = []
    suite = Suite(options, 2, said.append, root=folder)
    return suite.run(groups(folder / "tests", [])), "\n".join(said)


def test_what_came_of_several_processes_is_told_together(tmp_path: Path) -> None:
    folder = project(
        tmp_path,
        good="""
            def test_good(): pass
            def test_left_out(): pytest.skip("no tool here")
        """,
        bad="""
            def test_bad(): assert 1 == 2, "the reason"
        """,
    )
    outcome, said = run(folder)
    assert outcome.code == 1
    assert outcome.counts == {"passed": 1, "skipped": 1, "failed": 1}
    last = said.splitlines()[-3:]
    assert last[0] == "SKIPPED [1] tests/good/test_good.py:4: no tool here"
    assert last[1].startswith("FAILED tests/bad/test_bad.py::test_bad - AssertionError: the reason")
    assert "1 failed" in last[2] and "1 passed" in last[2] and "1 skipped" in last[2]
    assert "assert 1 == 2" in said, "where it failed is shown"


def test_options_of_pytest_reach_every_process(tmp_path: Path) -> None:
    text = """
        def test_one(tmp_path): assert "mine" in str(tmp_path)
        def test_two(): raise AssertionError
    """
    outcome, _ = run(
        project(tmp_path, first=text, second=text), "-k", "one", f"--basetemp={tmp_path}/mine"
    )
    assert outcome.code == 0
    assert outcome.counts == {"passed": 2, "deselected": 2}


def test_no_process_puts_its_files_where_another_does(tmp_path: Path) -> None:
    text = "def test_it(tmp_path): assert 'pytest-of-' not in str(tmp_path)"
    assert run(project(tmp_path, first=text, second=text))[0].counts == {"passed": 2}


def test_only_what_failed_is_tested_again(tmp_path: Path) -> None:
    folder = project(tmp_path, good="def test_good(): pass", bad="def test_bad(): assert 0")
    assert run(folder)[0].counts == {"passed": 1, "failed": 1}
    again = run(folder, "--lf")[0].counts
    assert (again["failed"], again["passed"]) == (1, 0)


def test_a_process_that_dies_has_failed(tmp_path: Path) -> None:
    outcome, said = run(project(tmp_path, dies="def test_it(): os._exit(0)", lives="", stays=""))
    assert outcome.code == 1
    assert "ERROR tests/dies - pytest ended with exit code 1 and no tally" in said


def test_the_last_lines_name_the_slowest_tests() -> None:
    whole = Outcome(slow=[(float(each), "call", f"test_{each}") for each in range(2, 30)])
    lines = list(told(whole, 3.0))
    assert lines[1] == "29.00s call test_29" and len(lines) == 12
