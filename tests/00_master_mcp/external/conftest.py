"""Servers of ours as real processes, shut in by whatever this machine has."""

import os
import sys
import textwrap
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from flotilla.leftovers import Ledger
from flotilla.redaction import Redactor
from master.external.cgroup import Cgroups
from master.external.child import Child, running
from master.external.config import parse_entry
from master.external.handles import resolve
from master.external.prepare import prepare
from master.external.sandbox import Means, Sealed, seal
from master.external.survey import survey

PYTHON = which("python3", path="/usr/bin:/usr/local/bin") or sys.executable
"""One that every user may run: a test's own may lie in somebody's home."""


@cache
def found_means() -> Means:
    return survey(cgroup=False)


@cache
def bare_means() -> Means:
    return survey(cgroup=False, bwrap=None)


def has_bubblewrap() -> None:
    """Skip where the sandbox cannot be made."""
    if found_means().bwrap is None:
        pytest.skip(found_means().why_no_bwrap)


@dataclass
class Den:
    """A folder for external servers, and how to start one of ours in it."""

    folder: Path
    means: Means
    cgroups: Cgroups | None = None

    def sealed(self, script: str, *args: str, **entry: Any) -> Sealed:
        """A Python program as a server."""
        file = self.folder / "server.py"
        file.write_text(textwrap.dedent(script))
        entry.setdefault("readable", [])
        entry["readable"] = [*entry["readable"], str(file)]
        return self.sealed_command(PYTHON, "-u", str(file), *args, **entry)

    def sealed_command(
        self, command: str, *args: str, name: str = "toy", hidden: Any = (), **entry: Any
    ) -> Sealed:
        told = {"command": command, "args": list(args), **entry}
        wish = prepare(
            name,
            resolve(name, parse_entry(name, told), {}),
            self.means,
            folder=self.folder / "external",
            hidden=hidden,
            env={"PATH": os.environ["PATH"], "FLEET_SECRET": "never-to-be-seen"},
        )
        means = replace(self.means, cgroup=self.cgroups is not None)
        return seal(wish, means, mark=os.urandom(16).hex())

    def running(self, sealed: Sealed, **more: Any) -> AbstractAsyncContextManager[Child]:
        more = {"redactor": Redactor(), "grace_s": 0.5, **more}
        return running(sealed, ledger=Ledger(self.folder / "ledger"), cgroups=self.cgroups, **more)


def opened_up(folder: Path) -> Path:
    """Let the users of the servers pass down to the folder, as a data folder does."""
    for each in (folder, *folder.parents):
        if each.stat().st_uid == os.geteuid() and each != Path("/"):
            each.chmod(each.stat().st_mode | 0o011)
    return folder


@pytest.fixture
def bare(tmp_path: Path) -> Den:
    """Without bubblewrap, as on a machine that lacks it."""
    return Den(opened_up(tmp_path), bare_means())


@pytest.fixture
def boxed(tmp_path: Path) -> Den:
    has_bubblewrap()
    return Den(opened_up(tmp_path), found_means())


@pytest.fixture(params=["bare", "boxed"])
def den(request: pytest.FixtureRequest) -> Den:
    """Each of the two."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop that the hub runs under."""
    return "asyncio", {"use_uvloop": True}
