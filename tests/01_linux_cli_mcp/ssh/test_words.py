"""A word for the shell arrives as it was given, whatever it holds."""

import secrets
import subprocess
from pathlib import Path
from shutil import which

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flotilla import InvalidArgument
from linux_cli.ssh.scripts import BOOTSTRAP, KILL_MARKED, run_script
from linux_cli.ssh.words import word

BYTES = st.binary(max_size=200).map(lambda raw: raw.replace(b"\0", b"\x01"))
SHELLS = tuple(found for name in ("sh", "bash", "dash", "busybox") if (found := which(name)))


def said_by(argv: list[str], script: bytes) -> bytes:
    """What it writes after the mark; its input stays open, as a connection does."""
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin and process.stdout
        process.stdin.write(script)
        process.stdin.flush()
        _, _, said = process.stdout.read().partition(b"a" * 32 + b" go\n")
    return said


@settings(max_examples=15, deadline=None)
@given(st.lists(BYTES, min_size=1, max_size=12))
def test_any_bytes_arrive_unchanged_through_the_script_and_any_login_shell(
    values: list[bytes],
) -> None:
    printer = ("/usr/bin/printf", "%s\\0", *values)
    # A label of its own: what watches an example before may be about to end that one's processes.
    label = secrets.token_hex(16)
    script = run_script(
        printer,
        env={},
        path="/usr/bin:/bin",
        cwd="/",
        mark="a" * 32,
        label=label,
        input_bytes=None,
    )
    assert script.isascii() and script.count(b"\n.\n") == 1
    for shell in SHELLS:
        argv = [shell, *(["sh"] if shell.endswith("busybox") else []), "-c", BOOTSTRAP]
        assert said_by(argv, script) == b"".join(value + b"\0" for value in values), shell


@pytest.mark.parametrize(
    "value", ["", "'", "a'b", '"', "$(id)", "`id`", "\\", "-n", "\n", "a\n\n", "é\n", "%s%d", "!x"]
)
def test_a_word_is_one_line_of_ascii(value: str) -> None:
    made = word(value)
    assert made.isascii() and "\n" not in made


def test_a_nul_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        word(b"a\0b")


FAKE_KILL = """\
give() { command printf 'FLOTILLA_RUN=m\\0' >/proc/7/environ; }
kill() { echo "$@"; : >/proc/7/environ; echo '7 (a) Z' >/proc/7/stat; give() { :; }; }
"""
ONCE_WAITED_FOR = "sleep() { give; }\n"
BEFORE_THE_SECOND_LOOK = """\
printf() { command printf "$@"; [ ! -e /proc/looked ] || give; : >/proc/looked; }
"""


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("state", "flags", "environment_ends_at", "given", "killed"),
    [
        pytest.param("R", 4194304, 0, ONCE_WAITED_FOR, True, id="within exec"),
        pytest.param("R", 4194304, 140736, BEFORE_THE_SECOND_LOOK, True, id="just after exec"),
        pytest.param("S", 4194304, 140736, ONCE_WAITED_FOR, False, id="without variables"),
        pytest.param("Z", 4194304, 0, ONCE_WAITED_FOR, False, id="a zombie"),
        pytest.param("I", 2129984, 0, ONCE_WAITED_FOR, False, id="a kernel thread"),
    ],
)
def test_what_has_no_environment_yet_is_looked_at_again(
    tmp_path: Path,
    shell: str,
    state: str,
    flags: int,
    environment_ends_at: int,
    given: str,
    killed: bool,
) -> None:
    process = tmp_path / "7"
    process.mkdir()
    (process / "environ").touch()
    words = [state, *("0",) * 5, str(flags), *("0",) * 41, str(environment_ends_at), "0"]
    (process / "stat").write_text(f"7 (a) b) {' '.join(words)}\n")
    script = (FAKE_KILL + given + KILL_MARKED + "kill_marked m\n").replace("/proc", str(tmp_path))
    argv = [shell, *(["sh"] if shell.endswith("busybox") else []), "-c", script]
    done = subprocess.run(argv, capture_output=True, check=False, timeout=20)
    assert (done.stdout, done.stderr) == (b"-s KILL 7\n" if killed else b"", b"")
