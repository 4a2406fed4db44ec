"""A real OpenBao or Vault on a free port of loopback, where its program is installed."""

import os
import secrets
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.ports import find_free_port


@dataclass(frozen=True)
class VaultProgram:
    """A real Vault or OpenBao, in its development mode: all in memory, KV version 2 at `secret`."""

    url: str
    token: str


@pytest.fixture(scope="session")
def vault_program() -> Generator[VaultProgram]:
    program = shutil.which("bao") or shutil.which("vault")
    if program is None:
        pytest.skip("neither OpenBao (bao) nor Vault (vault) is installed here")
    port = find_free_port()
    token = f"root-{secrets.token_hex(12)}"
    with tempfile.TemporaryDirectory(prefix="flotilla-vault-") as folder:
        told = Path(folder) / "log"
        with told.open("wb") as log:
            process = subprocess.Popen(
                [
                    *(program, "server", "-dev", "-dev-no-store-token"),
                    *(f"-dev-root-token-id={token}", f"-dev-listen-address=127.0.0.1:{port}"),
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={"PATH": os.environ.get("PATH", ""), "HOME": folder},
            )
        try:
            url = f"http://127.0.0.1:{port}"
            give_up_at = time.monotonic() + 20
            while not _is_up(url):
                assert process.poll() is None, told.read_text(errors="replace")
                assert time.monotonic() < give_up_at, told.read_text(errors="replace")
                time.sleep(0.05)
            yield VaultProgram(url, token)
        finally:
            process.kill()
            process.wait(timeout=20)


def _is_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/v1/sys/health", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False
