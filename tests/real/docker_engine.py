"""A Docker engine for tests: the machine's own, or one started from Debian's packages."""

import fcntl
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
DEBIAN_SOURCES = Path("/etc/apt/sources.list.d/debian.sources")
CANNOT = 75
"""The exit code of up.sh where the machine, and not the test, is at fault."""


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
    """The engine that answers already, else one of our own that leaves nothing; skips without.

    One test run at a time has it, whichever checkout it belongs to.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flotilla"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "engine.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        given = Docker(os.environ)
        if _answers(given):
            yield given
        elif os.geteuid() != 0 or not DEBIAN_SOURCES.exists():
            pytest.skip("no Docker engine answers, and only root on Debian can start one here")
        else:
            yield from _our_own(folder / "engine")


def _our_own(folder: Path) -> Generator[Docker]:
    """An engine in `folder`, which keeps the images that make the next start short."""
    env = {
        **os.environ,
        "DOCKER_HOST": f"unix://{folder}/docker.sock",
        "DOCKER_CONFIG": f"{folder}/config",
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
    }
    try:
        _script("up.sh", folder, within_s=420)
        yield Docker(env)
    finally:
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
    if done.returncode == CANNOT:
        pytest.skip(log.read_text().strip().splitlines()[-1])
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
