"""What carries a mark is killed, however long the kernel takes over it."""

import secrets
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from time import sleep

import pytest

from flotilla.leftovers import MARK, kill_marked

SLOW = secrets.token_hex(16)


@pytest.fixture
def marked() -> Iterator[subprocess.Popen[bytes]]:
    """A process with the mark SLOW."""
    with subprocess.Popen(["sleep", "600"], env={MARK: SLOW}) as process:
        # It is loaded first.
        while not Path(f"/proc/{process.pid}/environ").read_bytes():
            sleep(0.001)
        yield process
        process.kill()


def test_a_process_that_takes_long_to_die_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, marked: subprocess.Popen[bytes]
) -> None:
    send, sent = signal.pidfd_send_signal, list[int]()

    def late(pidfd: int, number: signal.Signals) -> None:
        sent.append(pidfd)
        # More looks than there are rounds find it as it was.
        if len(sent) == 25:
            send(pidfd, number)

    monkeypatch.setattr(signal, "pidfd_send_signal", late)
    monkeypatch.setattr("flotilla.leftovers._EXEC_S", 60.0)
    kill_marked(SLOW)
    assert len(sent) >= 25 and marked.wait(5) == -signal.SIGKILL


def test_a_process_that_gets_its_environment_just_after_the_look_is_found(
    monkeypatch: pytest.MonkeyPatch, marked: subprocess.Popen[bytes]
) -> None:
    environ, read, looks = Path(f"/proc/{marked.pid}/environ"), Path.read_bytes, list[Path]()

    def late(path: Path) -> bytes:
        looks.append(path)
        return b"" if path == environ and looks.count(path) == 1 else read(path)

    monkeypatch.setattr(Path, "read_bytes", late)
    kill_marked(SLOW)
    assert marked.wait(5) == -signal.SIGKILL


def test_a_process_that_does_not_die_holds_nobody_for_ever(
    monkeypatch: pytest.MonkeyPatch, marked: subprocess.Popen[bytes]
) -> None:
    def never(*_: int) -> None: ...

    monkeypatch.setattr(signal, "pidfd_send_signal", never)
    monkeypatch.setattr("flotilla.leftovers._EXEC_S", 0.01)
    kill_marked(SLOW)
    assert marked.poll() is None
