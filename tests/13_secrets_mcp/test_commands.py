"""`python3 -m flotilla secrets`, through a running hub to the spoke and back."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from anyio import to_thread
from typer.testing import CliRunner

from flotilla import CommonSettings
from flotilla.cli.app import app
from flotilla.cli.secrets import without_line_break
from secret_store import build
from secret_store.settings import Settings
from tests.kept_files import contents

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import InProcessFleet, StartFleet

pytestmark = pytest.mark.anyio

CANARY = "canary-7f3e9a51c2-value"


class Terminal:
    """A person with the owner's token."""

    def __init__(self, fleet: InProcessFleet) -> None:
        self.fleet = fleet
        self._env = {
            "FLOTILLA_HUB_URL": fleet.url,
            "FLOTILLA_OWNER_TOKEN_FILE": str(fleet.common.data_dir / "owner_token"),
        }

    async def run(self, *words: str, stdin: str | bytes | None = None) -> Any:
        """The result of a command, run in a thread of this process."""
        runner = CliRunner()
        return await to_thread.run_sync(
            lambda: runner.invoke(app, ["secrets", *words], env=self._env, input=stdin)
        )

    async def told(self, *words: str, stdin: str | None = None) -> Any:
        done = await self.run(*words, "--json", stdin=stdin)
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
async def terminal(
    start_fleet: StartFleet, tmp_path: Path, heard: io.StringIO
) -> AsyncIterator[Terminal]:
    spoke = build(Settings(), CommonSettings(data_dir=tmp_path / "data"))
    async with start_fleet([spoke]) as fleet:
        yield Terminal(fleet)
    assert CANARY not in heard.getvalue()
    # Nothing is renamed any more: what a test saw only in part is seen whole.
    for path, content in contents(tmp_path / "data").items():
        assert CANARY.encode() not in content, path


async def test_a_secret_is_written_ruled_shown_rotated_and_deleted(
    terminal: Terminal, tmp_path: Path
) -> None:
    file = tmp_path / "value"
    file.write_text(f"{CANARY}\n")
    written = await terminal.told(
        "write", "db/pw", "--file", str(file), "--allow-tool", "os.linux.*", "--tag", "db"
    )
    assert (written["version"], written["tags"]) == (1, ["db"])
    again = await terminal.told("write", "db/pw", "--description", "of the shop", stdin="another\n")
    assert (again["version"], again["usableBy"]["tools"]) == (2, ["os.linux.*"])
    key = await terminal.told("generate", "ssh/key", "--kind", "ed25519", "--allow-service", "x")
    assert key["publicKey"].startswith("ssh-ed25519 ")
    allowed = await terminal.told(
        "allow", "db/pw", "--service", "cmdb", "--principal", "ann", "--expires", "8w"
    )
    assert allowed["usableBy"] == {
        "tools": ["os.linux.*"],
        "principals": ["ann"],
        "roles": [],
        "services": ["cmdb"],
    }
    less = await terminal.told("disallow", "db/pw", "--tool", "os.linux.*", "--principal", "ann")
    assert less["usableBy"]["tools"] == [] and less["expiresAt"]
    listed = await terminal.run("list")
    assert [line.split("\t")[0] for line in listed.stdout.splitlines()] == ["db/pw", "ssh/key"]
    assert "service cmdb" in listed.stdout
    shown = await terminal.run("show", "db/pw")
    assert "of the shop" in shown.stdout and "version 2" in shown.stdout
    assert (await terminal.told("rotate", "ssh/key"))["version"] == 2
    refused = await terminal.run("delete", "db/pw")
    assert refused.exit_code != 0
    assert (await terminal.told("delete", "db/pw", "--yes"))["versions"] == 2
    assert (await terminal.run("show", "db/pw")).exit_code != 0
    assert (await terminal.told("rewrap", "--new-master-key", "--values"))["values"] == 2
    assert (await terminal.told("verify"))["intact"] is True
    assert (await terminal.run("leases")).exit_code == 0
    for said in (written, again, listed.stdout, listed.stderr, shown.stdout, refused.stderr):
        assert CANARY not in str(said)
    files = contents(terminal.fleet.common.data_dir)
    assert files
    for path, content in files.items():
        assert CANARY.encode() not in content, path


async def test_a_client_of_the_hub_reaches_no_operation(terminal: Terminal) -> None:
    await terminal.told("write", "db/pw", stdin=CANARY)
    base = f"{terminal.fleet.url}/api/services/secrets/operations"
    owner = (terminal.fleet.common.data_dir / "owner_token").read_text().strip()
    async with httpx2.AsyncClient() as http:
        for name in ("resolve", "credentials", "released", "list"):
            refused = await http.post(f"{base}/{name}", json={}, headers=terminal.fleet.headers)
            assert refused.status_code in (401, 403)
        for name in ("resolve", "credentials", "released"):
            headers = {"Authorization": f"Bearer {owner}"}
            refused = await http.post(f"{base}/{name}", json={}, headers=headers)
            assert refused.status_code in (400, 403, 404)
            assert CANARY not in refused.text


async def test_a_lease_reaches_a_person_who_ends_it(terminal: Terminal) -> None:
    await terminal.told("write", "db/pw", "--allow-tool", "os.linux.runCommand", stdin=CANARY)
    async with terminal.fleet.client() as client:
        leased = await client.call_tool(
            "security.secrets.leaseSecret", {"path": "db/pw", "tool": "os.linux.runCommand"}
        )
        assert leased.structured_content is not None, leased
        handle = leased.structured_content["handle"]
    (shown,) = (await terminal.told("leases"))["leases"]
    assert shown["principal"] == "admin" and handle not in str(shown)
    ended = await terminal.run("revoke", shown["leaseId"])
    assert ended.stdout == f"revoked {shown['leaseId']} of db/pw\n"
    assert (await terminal.told("leases"))["leases"] == []


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (b"\xff\xfe", "UTF-8"),
        (b"", "1 to 65536"),
        (b"\n", "1 to 65536"),
        (b"x" * 65_537, "1 to 65536"),
    ],
)
async def test_what_cannot_be_a_value_is_said_before_anybody_is_asked(
    given: bytes, why: str
) -> None:
    done = CliRunner().invoke(app, ["secrets", "write", "a"], input=given)
    assert done.exit_code != 0
    assert why in str(done.exception)


def test_a_single_line_loses_its_line_break_and_a_key_keeps_it() -> None:
    key = "-----BEGIN X-----\nabc\n-----END X-----\n"
    pairs = (("pw\n", "pw"), ("pw\r\n", "pw"), ("pw", "pw"), (" pw \n", " pw "), (key, key))
    for given, kept in pairs:
        assert without_line_break(given) == kept


def test_a_value_is_never_an_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    done = CliRunner().invoke(app, ["secrets", "write", "a", CANARY])
    assert done.exit_code == 2
