"""All ServiceNow instances of the file, and what is opened to them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from pydantic import Field

from cmdb.servicenow.connection import Connection
from cmdb.servicenow.hidden_fields import HiddenFields
from cmdb.servicenow.instances import Instance
from flotilla.accounts import Accounts
from flotilla.placed_secrets import PlacedSecrets

FILE_NAME = "servicenow.yaml"

InstanceName = Annotated[
    str | None,
    Field(max_length=64, description="Alias of the instance; may be left out where there is one."),
]


class Estate:
    """The instances by alias; a call names one, and what it needs is opened then."""

    def __init__(self, file: Path) -> None:
        self._accounts = Accounts[Instance].load("instance", file, Instance)
        placed = PlacedSecrets(_places(self._accounts))
        self.credentials = placed.credentials
        self.secrets = placed.from_files
        """What was read from files and must never leave."""
        self.hidden = HiddenFields()
        self._connections = {
            alias: Connection(alias, one, placed.get) for alias, one in self._accounts
        }
        self.credentials.changed = self._changed

    def chosen(self, alias: str | None) -> Connection:
        """The instance that a call means; NotConfigured and hints as `Accounts.chosen`."""
        return self._connections[self._accounts.chosen(alias)[0]]

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            for connection in self._connections.values():
                await connection.close()

    def _changed(self, _name: str) -> None:
        for connection in self._connections.values():
            connection.forget_token()


def _places(accounts: Accounts[Instance]) -> dict[str, str]:
    """Where the secrets of all instances stand, and whose they are."""
    return {
        place: f"{FILE_NAME}: {alias}"
        for alias, one in accounts
        for place in (one.password, one.client_secret, one.refresh_token)
        if place is not None
    }
