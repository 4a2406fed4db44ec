"""The owner's commands: they ask a hub that runs, or read a file that was copied."""

import asyncio
import json
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from flotilla.chain import digest_of
from flotilla.fleet import HUB
from master.audit.api import AuditApi  # the routes that are asked here
from tests.conftest import ROOT, InProcessFleet, StartFleet

from .conftest import Site, row

pytestmark = pytest.mark.anyio
assert AuditApi


async def flotilla(*arguments: str, fleet: InProcessFleet | None = None) -> tuple[int, str, str]:
    """Run a command as a person would; its exit code, output and errors."""
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    if fleet is not None:
        env["FLOTILLA_HUB_URL"] = fleet.url
        env["FLOTILLA_OWNER_TOKEN_FILE"] = str(fleet.common.data_dir / "owner_token")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "flotilla", "audit", *arguments),
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.mark.real
async def test_the_owner_looks_takes_away_and_checks(
    start_fleet: StartFleet, tmp_path: Path
) -> None:
    async with start_fleet() as fleet, fleet.client() as client:
        await client.call_tool("master_listServices", {})
        await client.call_tool("master_audit_query", {"tool": "a\x1b[31m.b"})
        async with asyncio.timeout(40):
            while "master.audit.query" not in (await flotilla("query", fleet=fleet))[1]:
                await asyncio.sleep(0.05)
        code, out, _ = await flotilla(
            "query", "--tool", "master.*", "--principal", "admin", "--json", fleet=fleet
        )
        items = json.loads(out)["items"]
        assert (code, len(items)) == (0, 2)
        assert items[1]["row"]["tool"] == "master.listServices"
        code, out, _ = await flotilla("query", fleet=fleet)
        assert "\x1b" not in out

        file = tmp_path / "export.jsonl"
        assert (await flotilla("export", "--out", str(file), fleet=fleet))[0] == 0
        lines = file.read_text().splitlines()
        last = json.loads(lines[-2])
        body = lines[-2].partition('"row":')[2][:-1]
        assert digest_of(last["number"], last["previous"], body) == last["hash"]
        assert json.loads(lines[-1])["signed"]["number"] == last["number"]
        assert file.stat().st_mode & 0o777 == 0o600
        code, _, told = await flotilla("export", "--out", str(file), fleet=fleet)
        assert (code, "File exists" in told) == (1, True)

        code, out, _ = await flotilla("verify", fleet=fleet)
        assert code == 0
        assert out.startswith("All ")
        database = fleet.common.data_dir / "hub" / "hub.sqlite3"
        with closing(sqlite3.connect(database)) as opened, opened:
            opened.execute("DROP TRIGGER hub_audit_is_not_changed")
            opened.execute("UPDATE hub_audit SET principal = 'eve' WHERE number = 2")
        code, _, told = await flotilla("verify", fleet=fleet)
        assert (code, told.startswith("Row 2: changed")) == (1, True)
        code, _, told = await flotilla("query", "--since", "yesterday", fleet=fleet)
        assert (code, "since is no moment" in told) == (2, True)


async def test_nobody_but_the_owner_asks(start_fleet: StartFleet) -> None:
    async with start_fleet() as fleet, httpx2.AsyncClient(headers=fleet.headers) as http:
        for path in ("/audit", "/audit/export", "/audit/verify"):
            assert (await http.get(f"{fleet.fleet.url(HUB)}/api{path}")).status_code == 403


@pytest.mark.real
async def test_a_copy_is_checked_without_a_hub(lite: Site, tmp_path: Path) -> None:
    async with lite.hub() as hub:
        for number in range(5):
            await hub.book.keep(row(f"t{number}"))
    copy = tmp_path / "copy"
    shutil.copytree(lite.folder, copy)
    code, out, told = await flotilla("verify", "--database", str(copy / "hub.sqlite3"), "--json")
    assert (code, told) == (0, "")
    assert json.loads(out) | {"seconds": 0} == {
        "first": 1, "last": 7, "fault": None, "seconds": 0
    }  # fmt: skip
    with closing(sqlite3.connect(copy / "hub.sqlite3")) as opened, opened:
        opened.execute("DROP TRIGGER hub_audit_is_not_removed")
        opened.execute("DELETE FROM hub_audit WHERE number > 5")
    code, _, told = await flotilla("verify", "--database", str(copy / "hub.sqlite3"))
    assert (code, told.startswith("Row 6: tail cut")) == (1, True)
    code, _, told = await flotilla("verify", "--database", str(copy / "no.sqlite3"))
    assert (code, "no such file" in told) == (2, True)
