"""All hosts over SSH, put together."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from flotilla import FlotillaError
from flotilla.credentials import Credentials
from linux_cli.settings import Settings
from linux_cli.ssh.diagnosis import Diagnosis
from linux_cli.ssh.exchange import Exchange
from linux_cli.ssh.host import SshHost
from linux_cli.ssh.inventory import Inventory
from linux_cli.ssh.keys import Keys
from linux_cli.ssh.pins import Pins
from linux_cli.ssh.pool import Links
from linux_cli.ssh.steps import Step
from linux_cli.ssh.transfer import Transfer
from linux_cli.ssh.tunnels import Tunnels


class SshFleet:
    """The hosts of the inventory, their connections and their trusted keys; `folder` is ours."""

    def __init__(
        self,
        settings: Settings,
        inventory: Inventory,
        credentials: Credentials,
        pins: Pins,
        folder: Path,
    ) -> None:
        self.inventory = inventory
        self.links = Links(inventory, Keys(credentials), pins, connect_s=settings.ssh_connect_s)
        self.hosts = tuple(
            SshHost(link, path=settings.path) for link in self.links.by_alias.values()
        )
        self._by_name = {host.name: host for host in self.hosts}
        self._exchange = Exchange(folder / "exchange")
        self.transfer = Transfer(self._exchange, max_bytes=settings.max_transfer_bytes)
        self.tunnels = Tunnels()
        credentials.changed = self.links.secret_changed

    def host(self, name: str) -> SshHost:
        return self._by_name[name]

    def trusts(self, name: str) -> bool:
        """Whether a key of the host is pinned."""
        return self.links.checks(name, self._by_name[name].link.entry).pinned is not None

    async def diagnose(self, host: SshHost) -> tuple[list[Step], FlotillaError | None]:
        """The steps of a new connection, and why it failed."""
        return await Diagnosis(self.links, host).walk()

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Hosts may be reached within."""
        self._exchange.make()
        # It tells of every session and request; what matters we tell ourselves.
        logging.getLogger("asyncssh").setLevel(logging.WARNING)
        async with self.links.open_all(), self.tunnels.open():
            yield
