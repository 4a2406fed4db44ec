"""Tokens made, listed and revoked, through the owner's interface and by the commands."""

import asyncio
import json
import os
import stat
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread
from typer.testing import CliRunner

from flotilla.cli.app import app
from flotilla.cli.owner import CommandFailed
from flotilla.cli.tokens import lasting_s
from tests.conftest import ROOT
from tests.kept_files import contents

from .conftest import Hub, OpenHub, bearing

pytestmark = pytest.mark.anyio


def env_of(hub: Hub) -> dict[str, str]:
    return {
        "FLOTILLA_HUB_URL": hub.url,
        "FLOTILLA_OWNER_TOKEN_FILE": str(hub.fleet.common.data_dir / "owner_token"),
    }


async def command(hub: Hub, *words: str) -> Any:
    """The result of a command of ours, run in a thread of this process."""
    invoke = CliRunner().invoke
    return await to_thread.run_sync(lambda: invoke(app, ["tokens", *words], env=env_of(hub)))


async def test_a_token_is_made_shown_once_used_listed_and_revoked(open_hub: OpenHub) -> None:
    async with open_hub() as hub:
        made = await command(hub, "make", "deploy-bot", "--role", "viewer", "--robot", "--json")
        told = json.loads(made.stdout)
        secret = told["secret"]
        assert secret.startswith("flt_")
        assert await hub.who(secret) == {"name": "deploy-bot", "roles": ["viewer"]}

        listed = await command(hub, "list", "--json")
        (token,) = json.loads(listed.stdout)["tokens"]
        assert token["principal"] == "deploy-bot"
        assert token["interactive"] is False
        assert token["state"] == "live"
        expires_at = datetime.fromisoformat(token["expiresAt"])
        assert timedelta(days=89) < expires_at - datetime.now(UTC) <= timedelta(days=90)
        assert secret not in listed.stdout
        assert secret[4:] not in listed.stdout

        assert (await command(hub, "revoke", token["id"])).exit_code == 0
        refused = await hub.ask(secret)
        assert refused.status_code == 401
        assert 'error="invalid_token"' in refused.headers["www-authenticate"]
        assert json.loads((await command(hub, "list", "--json")).stdout)["tokens"] == []
        everything = json.loads((await command(hub, "list", "--all", "--json")).stdout)
        assert everything["tokens"][0]["state"] == "revoked"


@pytest.mark.real
async def test_a_token_can_be_written_to_a_new_file_that_only_its_owner_reads(
    open_hub: OpenHub, tmp_path: Path
) -> None:
    async with open_hub() as hub:
        file = tmp_path / "token"
        made = await command(hub, "make", "ada", "--role", "admin", "--out", str(file))
        assert made.exit_code == 0
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        secret = file.read_text().strip()
        assert secret not in made.output
        assert (await hub.who(secret))["name"] == "ada"

        again = await command(hub, "make", "ada", "--role", "admin", "--out", str(file))
        assert isinstance(again.exception, CommandFailed)
        assert file.read_text().strip() == secret
        # Nobody could have read it, so it was not made.
        assert len((await hub.api("GET", "/tokens"))["tokens"]) == 1

        other = tmp_path / "other"
        refused = await command(hub, "make", "owner", "--role", "admin", "--out", str(other))
        assert isinstance(refused.exception, CommandFailed)
        assert not other.exists()


@pytest.mark.real
async def test_the_command_as_a_person_runs_it_says_what_is_wrong_on_standard_error(
    open_hub: OpenHub,
) -> None:
    async with open_hub() as hub:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "flotilla", "tokens", "make", "owner", "--role", "viewer",
            env={**os.environ, **env_of(hub)}, cwd=ROOT,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 2
        assert out == b""
        assert b"the hub's own" in err


WRONG: list[dict[str, Any]] = [
    {"name": "admin"},
    {"name": "owner"},
    {"name": "hub"},
    {"name": "Ada"},
    {"name": "oidc:ada"},
    {"name": "tok_1"},
    {"name": "a" * 64},
    {"name": "ada\n"},
    {"name": "аda"},
    {"name": ""},
    {"roles": []},
    {"roles": ["owner"]},
    {"roles": ["hub"]},
    {"roles": ["viewer admin"]},
    {"roles": [f"r{n}" for n in range(17)]},
    {"profiles": []},
    {"profiles": ["nowhere"]},
    {"expiresInS": 0},
    {"expiresInS": 1e12},
    {"expiresInS": 60, "never": True},
    {"principal": "ada"},
]


async def test_what_no_token_can_be_is_refused_and_nothing_is_made(open_hub: OpenHub) -> None:
    async with open_hub() as hub:
        for wrong in WRONG:
            told = await hub.api("POST", "/tokens", {"name": "ada", "roles": ["viewer"], **wrong})
            assert told["error"]["code"] == "invalid_argument", wrong
        assert (await hub.api("GET", "/tokens"))["tokens"] == []


async def test_nobody_but_the_owner_makes_sees_or_revokes_tokens(open_hub: OpenHub) -> None:
    async with open_hub() as hub:
        made = await hub.make("ada", "admin")
        for token in (hub.admin, made["secret"]):
            for method, path, body in (
                ("GET", "/tokens", None),
                ("POST", "/tokens", {"name": "eve", "roles": ["admin"]}),
                ("DELETE", f"/tokens/{made['token']['id']}", None),
            ):
                told = await hub.api(method, path, body, token)
                assert told["error"]["code"] == "not_allowed"
        assert [each["principal"] for each in (await hub.api("GET", "/tokens"))["tokens"]] == [
            "ada"
        ]
        for headers in ({}, bearing("flt_guess")):
            response = await hub.http.get(f"{hub.url}/api/tokens", headers=headers)
            assert response.status_code == 401


@pytest.mark.real
async def test_tokens_and_revocations_survive_a_restart_and_only_digests_are_on_the_disk(
    open_hub: OpenHub,
) -> None:
    async with open_hub() as hub:
        kept, gone = await hub.make("ada", "viewer"), await hub.make("bob", "viewer")
        await hub.revoke("bob")
        folder = hub.fleet.common.data_dir
        while_it_runs = contents(folder)
    for files in (while_it_runs, contents(folder)):
        assert any(path.name.startswith("hub.sqlite3") for path in files)
        for path, content in files.items():
            assert kept["secret"].encode() not in content, path
    async with open_hub() as hub:
        assert (await hub.who(kept["secret"]))["name"] == "ada"
        assert (await hub.ask(gone["secret"])).status_code == 401


def test_a_length_of_time_is_a_number_and_a_unit_or_never() -> None:
    assert lasting_s("never") is None
    assert lasting_s("90m") == 5400
    assert lasting_s("30d") == 30 * 86_400
    for wrong in ("", "30", "d", "0d", "-1d", "1.5d", "30 d", "1y", "999999d"):
        with pytest.raises(CommandFailed):
            lasting_s(wrong)
