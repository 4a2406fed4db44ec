"""A real Redis or Valkey server on a free port of loopback: to stop, to pause, to start anew.

Nothing of it is kept on a disk: a server that starts again is empty.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests.ports import find_free_port

START_S = 20.0


class RedisServer:
    """`url` stays the same however often it is stopped and started."""

    def __init__(self, program: str, folder: Path, *, password: str | None = None) -> None:
        self._program = program
        self._folder = folder
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None
        self.port = find_free_port()
        credentials = f":{password}@" if password else ""
        self.url = f"redis://{credentials}127.0.0.1:{self.port}/0"

    def start(self, *options: str) -> None:
        """Return when it answers; `options` are arguments of its own: `--maxmemory 1mb`."""
        assert self._process is None, "it runs already"
        secret = ("--requirepass", self._password) if self._password else ()
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(self._program, "--port", str(self.port), "--bind", "127.0.0.1"),
                    *("--dir", str(self._folder), "--save", "", "--appendonly", "no"),
                    *("--daemonize", "no", *secret, *options),
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        give_up_at = monotonic() + START_S
        while True:
            try:
                self.command("PING")
            except OSError as error:
                told = (self._folder / "log").read_text(errors="replace")
                assert self._process.poll() is None, told
                assert monotonic() < give_up_at, f"{error}: {told}"
                sleep(0.01)
            else:
                return

    def stop(self) -> None:
        """Kill it: what it held is lost, and its connections are reset."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=20)
            self._process = None

    def pause(self) -> None:
        """From now on it takes connections and answers nothing."""
        assert self._process is not None, "it does not run"
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None, "it does not run"
        os.kill(self._process.pid, signal.SIGCONT)

    def fresh(self) -> None:
        """Running, going on and empty, whatever was done to it."""
        if self._process is not None and self._process.poll() is None:
            self.go_on()
            self.command("FLUSHALL")
        else:
            self._process = None
            self.start()

    def command(self, *words: str) -> str:
        """What it answers to a command, as it came over the wire; OSError when it cannot."""
        said = [["AUTH", self._password]] if self._password else []
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=5) as way,
            way.makefile("rb") as answers,
        ):
            for each in [*said, list(words)]:
                written = [f"*{len(each)}\r\n"]
                written += [f"${len(word.encode())}\r\n{word}\r\n" for word in each]
                way.sendall("".join(written).encode())
                answer = answers.readline().decode().rstrip()
                if not answer:
                    raise ConnectionResetError("it closed the connection")
            if answer.startswith("$") and answer != "$-1":
                return answers.read(int(answer[1:])).decode()
            return answer


def redis_program() -> str | None:
    return shutil.which("redis-server") or shutil.which("valkey-server")


@pytest.fixture(scope="session")
def redis_process() -> Generator[RedisServer]:
    program = redis_program()
    if program is None:
        pytest.skip("no Redis or Valkey server is installed here (apt package redis-server)")
    with tempfile.TemporaryDirectory(prefix="flotilla-redis-") as folder:
        server = RedisServer(program, Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def redis_server(redis_process: RedisServer) -> RedisServer:
    """Empty, and running at the start of each test whatever the last one did to it."""
    redis_process.fresh()
    return redis_process
