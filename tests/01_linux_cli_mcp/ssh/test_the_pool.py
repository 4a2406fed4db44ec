"""A connection that is being made, and what becomes of the one before it meanwhile."""

from pathlib import Path
from typing import cast

import anyio
import asyncssh
import pytest

from flotilla import Unavailable
from flotilla.credentials import Credentials
from linux_cli.ssh.connecting import Checks, Opened
from linux_cli.ssh.inventory import Inventory, SshEntry
from linux_cli.ssh.keys import Keys
from linux_cli.ssh.pins import Pins
from linux_cli.ssh.pool import Link, Links

pytestmark = pytest.mark.anyio


class NoHost:
    """A connection over which nothing goes."""

    def close(self) -> None: ...

    def abort(self) -> None: ...

    async def wait_closed(self) -> None: ...


class Gated(Links):
    """Each connection is there once its gate is open."""

    def __init__(self, folder: Path) -> None:
        entry = SshEntry(address="there.invalid", user="me", key="/key")
        keys, pins = Keys(Credentials(())), Pins(folder / "pins")
        super().__init__(Inventory({"there": entry}), keys, pins, connect_s=5)
        self.asked = anyio.Event()
        self.gate = anyio.Event()

    async def open(
        self,
        alias: str,
        entry: SshEntry,
        via: asyncssh.SSHClientConnection | None,
        checks: Checks | None = None,
    ) -> Opened:
        self.asked.set()
        await self.gate.wait()
        return Opened(cast("asyncssh.SSHClientConnection", NoHost()), Checks(None))


async def use(link: Link, said: list[str]) -> None:
    try:
        async with link.use():
            said.append("used")
    except Unavailable:
        said.append("unavailable")


@pytest.mark.parametrize("changed", [False, True])
async def test_only_a_change_of_key_or_trust_throws_away_one_that_is_being_made(
    tmp_path: Path, changed: bool
) -> None:
    links, said = Gated(tmp_path), list[str]()
    link = links.by_alias["there"]
    with anyio.fail_after(5):
        async with links.open_all(), anyio.create_task_group() as group:
            links.gate.set()
            async with link.use() as old:
                links.asked, links.gate = anyio.Event(), anyio.Event()
                link.retire(old)
                group.start_soon(use, link, said)
                await links.asked.wait()
                # Another call on the old one finds it broken only now.
                link.retire(None if changed else old)
                links.gate.set()
    assert said == (["unavailable"] if changed else ["used"])
