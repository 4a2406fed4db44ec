"""A vCenter on loopback: govmomi's simulator, built from our program in tests/real/vcsim.

It needs Go and Debian's govmomi (`golang-go`, `golang-github-vmware-govmomi-dev`). The program is
built once into build/vcsim/<hash of its source>/; where it can be neither found nor built, tests
that need it are skipped, with the reason.
"""

import hashlib
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from flotilla.certificates import make_certificates
from flotilla.tls import CERTIFICATE, KEY, TRUSTED

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = ROOT / "tests" / "real" / "vcsim" / "main.go"
GOPATH = Path("/usr/share/gocode")
LIBRARY = GOPATH / "src" / "github.com" / "vmware" / "govmomi" / "simulator"
BUILD_S = 600
START_S = 300.0
USER = "operator@vsphere.local"
PASSWORD = "Vc-Canary-9x7Kq!"


def program() -> Path:
    """The simulator's program, built where it is not there yet; skips where it cannot be had."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    place = ROOT / "build" / "vcsim" / digest / "vcsim"
    if place.exists():
        return place
    if shutil.which("go") is None or not LIBRARY.exists():
        pytest.skip("vcsim: needs the packages golang-go and golang-github-vmware-govmomi-dev")
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        made = Path(folder) / "vcsim"
        environment = {**os.environ, "GO111MODULE": "off", "GOPATH": str(GOPATH)}
        subprocess.run(
            ["go", "build", "-o", str(made), "."],
            cwd=SOURCE.parent,
            env=environment,
            check=True,
            timeout=BUILD_S,
        )
        made.rename(place)
    return place


class Vcsim:
    """A running simulator; `url` is https with a certificate of its own authority, or http."""

    def __init__(self, address: str, trusted: Path | None, certificate: Path | None) -> None:
        self.host, _, port = address.rpartition(":")
        self.port = int(port)
        self.trusted = trusted
        self.certificate = certificate

    @property
    def url(self) -> str:
        return f"{'http' if self.trusted is None else 'https'}://{self.host}:{self.port}"

    def entry(self, password: str, **more: Any) -> dict[str, Any]:
        """What vmware.yaml says of it."""
        return {
            "host": self.host,
            "port": self.port,
            "user": USER,
            "password": password,
            "ca_file": str(self.trusted),
            **more,
        }

    def start_task(self, vm_id: str) -> str:
        """A task on that machine which runs until `end_task`; its ID."""
        return self._control("start", vm=vm_id)

    def progress(self, task_id: str, percent: int) -> None:
        self._control("progress", task=task_id, percent=str(percent))

    def end_task(self, task_id: str, *, full_datastore: str = "") -> None:
        self._control("end", task=task_id, fault=full_datastore)

    def _control(self, action: str, **values: str) -> str:
        context = None
        if self.trusted is not None:
            context = ssl.create_default_context(cafile=self.trusted)
        asked = f"{self.url}/control/{action}?{urllib.parse.urlencode(values)}"
        with urllib.request.urlopen(asked, timeout=10, context=context) as answer:
            return answer.read().decode()


@contextmanager
def vcsim(
    folder: Path,
    *,
    machines_per_pool: int = 2,
    hosts: int = 3,
    datastores: int = 2,
    tls: bool = True,
) -> Generator[Vcsim]:
    """A simulator with two pools of machines, all running; it is gone afterwards."""
    made = program()
    options: list[str] = []
    trusted = certificate = None
    if tls:
        make_certificates(folder / "tls", "client", ["server"], names=["127.0.0.1", "localhost"])
        own = folder / "tls" / "server"
        trusted, certificate = folder / "tls" / "client" / TRUSTED, own / CERTIFICATE
        options = ["-cert", str(certificate), "-key", str(own / KEY)]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "vcsim.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(str(made), "-u", USER, "-vm", str(machines_per_pool), "-hosts", str(hosts)),
                *("-datastores", str(datastores), *options),
            ],
            env={**os.environ, "VCSIM_PASSWORD": PASSWORD},
            stdout=subprocess.PIPE,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
    try:
        yield Vcsim(_address(process, folder / "vcsim.log"), trusted, certificate)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """What it says when it serves: its host and port."""
    assert process.stdout is not None
    give_up_at = monotonic() + START_S
    line = process.stdout.readline().decode().strip()
    assert line and monotonic() < give_up_at, log.read_text(errors="replace")
    return line
