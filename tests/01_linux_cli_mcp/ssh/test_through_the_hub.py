"""The whole way: a key from the store, trust by the owner's command, a call through the hub."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread
from typer.testing import CliRunner

from flotilla import CommonSettings
from flotilla.cli.app import app
from secret_store import build as build_secrets
from secret_store.settings import Settings as SecretSettings
from tests.backends.sshd_server import Sshd
from tests.conftest import InProcessFleet, StartFleet, until

from .conftest import Site

pytestmark = pytest.mark.anyio

Command = Callable[..., Awaitable[Any]]


def commands(fleet: InProcessFleet) -> Command:
    env = {
        "FLOTILLA_HUB_URL": fleet.url,
        "FLOTILLA_OWNER_TOKEN_FILE": str(fleet.common.data_dir / "owner_token"),
    }

    async def run(*words: str, stdin: str | None = None) -> Any:
        invoke = CliRunner().invoke
        return await to_thread.run_sync(lambda: invoke(app, words, env=env, input=stdin))

    return run


def json_in(text: str) -> Any:
    """The one line of JSON among the log of the fleet, which runs in this very process."""
    (line,) = [line for line in text.splitlines() if line.startswith("{")]
    return json.loads(line)


async def test_a_key_from_the_store_and_a_host_that_the_owner_trusts(
    start_fleet: StartFleet, site: Site, own_target: Sshd, client_key: Path
) -> None:
    own_target.start()
    site.add("there", own_target, trusted=False, key="secret:ssh/there")
    linux = site.build()
    secrets = build_secrets(SecretSettings(), CommonSettings(data_dir=site.folder / "store"))
    asked = {"argv": ["id", "-un"], "host": "there"}
    async with start_fleet([linux, secrets]) as fleet:
        command = commands(fleet)
        written = await command(
            *("secrets", "write", "ssh/there", "--allow-service", "linux_cli"),
            stdin=client_key.read_text(),
        )
        assert written.exit_code == 0, written.stderr
        assert linux.credentials is not None
        needed = linux.credentials
        # At the latest by the hub's next round, and sooner since it was told of the new version.
        await until(lambda: not needed.missing(), within_s=30)
        async with fleet.client() as client:
            refused = await client.call_tool("os.linux.runReadOnly", asked)
            assert refused.is_error and "host_key_unknown" in refused.content[0].text
            scanned = await command("hosts", "scan", "there", "--json")
            assert json_in(scanned.stdout)["fingerprint"] == own_target.fingerprint
            other = "SHA256:" + "A" * 43
            wrong = await command("hosts", "trust", "there", "--fingerprint", other)
            assert wrong.exit_code == 1 and "not the key" in str(wrong.exception)
            nowhere = await command("hosts", "scan", "nowhere")
            assert nowhere.exit_code == 1 and "nowhere" in str(nowhere.exception)
            doubted = await command("hosts", "trust", "there", stdin="n\n")
            assert doubted.exit_code != 0
            trusted = await command("hosts", "trust", "there", stdin="y\n")
            assert trusted.exit_code == 0 and own_target.fingerprint in trusted.stdout
            done = await client.call_tool("os.linux.runReadOnly", asked)
            assert not done.is_error, done.content
            assert done.structured_content["stdout"] == f"{own_target.user}\n"
            # The key that the store brought is known, and not shown though a file there holds it.
            shown = await client.call_tool(
                "os.linux.readFile", {"path": str(client_key), "host": "there"}
            )
            assert not shown.is_error, shown.content
            assert client_key.read_text().splitlines()[1] not in str(shown)
        listed = await command("hosts", "list")
        assert own_target.fingerprint[:20] in listed.stdout and "there" in listed.stdout
        forgotten = await command("hosts", "forget", "there")
        assert forgotten.exit_code == 0
        again = await command("hosts", "forget", "there")
        assert again.exit_code == 1 and "no key" in str(again.exception or again.stderr)
