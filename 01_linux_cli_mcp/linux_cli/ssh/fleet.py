"""All hosts over SSH, put together."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from flotilla.credentials import Credentials
from linux_cli.settings import Settings
from linux_cli.ssh.host import SshHost
from linux_cli.ssh.inventory import Inventory
from linux_cli.ssh.keys import Keys
from linux_cli.ssh.pins import Pins
from linux_cli.ssh.pool import Links


class SshFleet:
    """The hosts of the inventory, their connections and their trusted keys."""

    def __init__(
        self, settings: Settings, inventory: Inventory, credentials: Credentials, pins_file: Path
    ) -> None:
        self.inventory = inventory
        self.pins = Pins(pins_file)
        self.links = Links(
            inventory, Keys(credentials), self.pins, connect_s=settings.ssh_connect_s
        )
        self.hosts = tuple(
            SshHost(link, path=settings.path) for link in self.links.by_alias.values()
        )
        credentials.changed = self.links.secret_changed

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Hosts may be reached within."""
        async with self.links.open_all():
            yield
