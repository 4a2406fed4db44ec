"""A Docker engine for tests: the machine's own, or one started from Debian's packages."""

import os
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

SCRIPTS = Path(__file__).parent / "engine"
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Docker:
    """The engine's command line, each call within a time limit."""

    env: Mapping[str, str]

    def run(
        self, *arguments: str, within_s: float = 30, check: bool = True, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["docker", *arguments],
            env=dict(self.env),
            cwd=ROOT,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=within_s,
        )
        if check:
            assert done.returncode == 0, f"docker {' '.join(arguments)}:\n{done.stderr[-4000:]}"
        return done

    def out(self, *arguments: str, within_s: float = 30) -> str:
        return self.run(*arguments, within_s=within_s).stdout.strip()


@contextmanager
def docker_engine() -> Generator[Docker]:
    """The engine that answers already, else one of our own that leaves nothing; skips without."""
    given = Docker(os.environ)
    if _answers(given):
        yield given
        return
    if os.geteuid() != 0 or not Path("/etc/apt/sources.list.d/debian.sources").exists():
        pytest.skip("no Docker engine answers, and one can be started as root on Debian alone")
    # The images that it holds make the next start short, so they are kept.
    folder = (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flotilla" / "engine"
    )
    env = {
        **os.environ,
        "DOCKER_HOST": f"unix://{folder}/docker.sock",
        "DOCKER_CONFIG": f"{folder}/config",
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
    }
    ours = Docker(env)
    was_running = folder.exists() and _answers(ours)
    try:
        _script("up.sh", folder, within_s=420)
        yield ours
    finally:
        if not was_running:
            _script("down.sh", folder, within_s=90)
            assert not _left_behind(folder)


def _answers(docker: Docker) -> bool:
    try:
        return docker.run("compose", "ls", within_s=10, check=False).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False


def _script(name: str, folder: Path, within_s: float) -> None:
    # A file for the output: the daemon, which outlives the script, would hold a pipe open.
    log = folder.with_suffix(f".{name}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        done = subprocess.run(
            [str(SCRIPTS / name), str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            timeout=within_s,
        )
    assert done.returncode == 0, f"{name}:\n{log.read_text()[-4000:]}"


def _left_behind(folder: Path) -> Sequence[str]:
    """What an engine that has ended should have taken with it."""
    processes = [" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])]
    mounts = Path("/proc/mounts").read_text().splitlines()
    bridges = [f"bridge {each.name}" for each in Path("/sys/class/net").glob("docker0")]
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, timeout=10).stdout
    return [
        *(line for line in processes if str(folder) in line and "dockerd" in line),
        *(line for line in mounts if str(folder) in line),
        *bridges,
        *(line for line in rules.splitlines() if "DOCKER" in line),
    ]
