"""A real OpenSSH server on a free port of loopback: to stop, to pause, to start with another key.

It runs as the current user with keys of its own, and reads nothing of the machine's configuration.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests.ports import find_free_port

START_S = 20.0
MISSING = "no OpenSSH server is installed here (apt package openssh-server)"


def sshd_program() -> str | None:
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def make_key(
    file: Path, *, kind: str = "ed25519", passphrase: str = "", form: str = "RFC4716"
) -> Path:
    """A key pair in `file` and `file.pub`; RFC4716 is what OpenSSH calls its own form."""
    subprocess.run(
        [
            "ssh-keygen",
            "-q",
            "-t",
            kind,
            "-N",
            passphrase,
            "-C",
            file.name,
            "-m",
            form,
            "-f",
            str(file),
        ],
        check=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    return file


class Sshd:
    """`port` stays the same however often it is stopped and started."""

    def __init__(self, program: str, folder: Path, client_key: Path) -> None:
        self._program = program
        self.folder = folder
        self._client_key = client_key
        self._process: subprocess.Popen[bytes] | None = None
        self.user = pwd.getpwuid(os.getuid()).pw_name
        folder.mkdir(parents=True, exist_ok=True)
        self.host_key = make_key(folder / "host_ed25519")
        (folder / "authorized_keys").write_text(client_key.with_suffix(".pub").read_text())
        self.port = find_free_port()

    @property
    def pid(self) -> int:
        assert self._process is not None, "it does not run"
        return self._process.pid

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.host_key)

    def start(self, *options: str) -> None:
        """Return when it takes connections; `options` are lines of its own: `MaxSessions 2`."""
        assert self._process is None, "it runs already"
        if os.getuid() == 0:
            # Its root while it speaks with strangers; it will not start without.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        file = self.folder / "config"
        # The first word on a matter counts; but a subsystem may be named only once.
        named = any(option.startswith("Subsystem") for option in options)
        own = [line for line in self._lines() if not (named and line.startswith("Subsystem"))]
        file.write_text("\n".join([*options, *own, ""]))
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-D", "-e", "-f", str(file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # None of what the tests' own environment holds.
                env={"PATH": "/usr/bin:/bin"},
            )
        give_up_at = monotonic() + START_S
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self._process.poll() is None, self.log
            assert monotonic() < give_up_at, self.log
            sleep(0.01)

    def stop(self) -> None:
        """Kill it with all its connections."""
        if self._process is None:
            return
        for pid in (*self.connections(), self.pid):
            _signal(pid, signal.SIGCONT)
            _signal(pid, signal.SIGKILL)
        self._process.wait(timeout=20)
        self._process = None

    def drop(self) -> None:
        """Kill its connections; new ones are taken."""
        for pid in self.connections():
            _signal(pid, signal.SIGKILL)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within, it and its connections answer nothing, as when the network is gone."""
        held = (*self.connections(), self.pid)
        for pid in held:
            _signal(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in held:
                _signal(pid, signal.SIGCONT)

    def connections(self) -> list[int]:
        """The server's own processes, one or two for each connection; no program that they run."""
        found: list[int] = []
        look = [self.pid]
        while look:
            for pid in _children(look.pop()):
                name = _name_of(pid)
                if name.startswith("sshd"):
                    found.append(pid)
                    look.append(pid)
        return found

    def change_host_key(self) -> None:
        """From the next start on it is another host, as far as anybody can tell."""
        for file in (self.host_key, self.host_key.with_suffix(".pub")):
            file.unlink()
        make_key(self.host_key)

    def _lines(self) -> list[str]:
        return [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.host_key}",
            f"AuthorizedKeysFile {self.folder / 'authorized_keys'}",
            "PidFile none",
            "UsePAM no",
            "StrictModes no",
            "PermitRootLogin prohibit-password",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "LogLevel DEBUG1",
            "MaxStartups 100",
            "PrintMotd no",
            # So bash takes itself for a shell within another, and reads no set-up of the user's.
            "SetEnv SHLVL=1",
            "Subsystem sftp internal-sftp",
        ]


def fingerprint_of(key: Path) -> str:
    """`SHA256:...` of a key, as OpenSSH itself tells it."""
    said = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(key.with_suffix(".pub"))],
        check=True,
        capture_output=True,
        text=True,
        timeout=20,
    )
    return said.stdout.split()[1]


@contextmanager
def running(server: Sshd, *options: str) -> Iterator[Sshd]:
    server.start(*options)
    try:
        yield server
    finally:
        server.stop()


def _children(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


@pytest.fixture(scope="session")
def sshd_at() -> str:
    program = sshd_program()
    if program is None or shutil.which("ssh-keygen") is None:
        pytest.skip(MISSING)
    return program


@pytest.fixture(scope="session")
def client_key(sshd_at: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    del sshd_at
    return make_key(tmp_path_factory.mktemp("ssh-client") / "id")
