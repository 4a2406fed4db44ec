"""What commands print: names are text, at a terminal and in a pipe."""

import sys
from io import StringIO

import pytest

from flotilla.cli.terminal import plain, show_rows

HEADS = ("path", "used by")
STRANGE = ("db[prod]", "[/x] :key: a\x1b[31m\nb\tc")


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def table(monkeypatch: pytest.MonkeyPatch, *rows: tuple[str, ...]) -> list[str]:
    """The lines that a person sees who has 60 columns."""
    terminal = Terminal()
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "dumb")
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", terminal)
        show_rows(HEADS, rows, "There are none.")
    return terminal.getvalue().splitlines()


def test_a_table_shows_names_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    heads, row = table(monkeypatch, STRANGE)
    assert heads.split() == ["path", "used", "by"]
    assert row.rstrip().split(maxsplit=1) == ["db[prod]", r"[/x] :key: a\x1b[31m\nb\tc"]


def test_a_table_cuts_nothing_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "".join(table(monkeypatch, ("x" * 90, "nobody"))).count("x") == 90


def test_a_pipe_gets_a_line_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows(HEADS, [STRANGE, ("a", "")], "There are none.")
    out, err = capsys.readouterr()
    assert out.splitlines() == ["db[prod]\t" + r"[/x] :key: a\x1b[31m\nb\tc", "a\t"]
    assert err == ""


def test_that_there_are_none_is_said_beside_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows(HEADS, [], "There are none.")
    assert capsys.readouterr() == ("", "There are none.\n")


def test_what_would_steer_a_terminal_is_its_escape() -> None:
    assert plain("é 漢 \x9b \u202e") == "é 漢 \\x9b \\u202e"
    assert plain(7) == "7"
