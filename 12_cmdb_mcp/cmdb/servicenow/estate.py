"""All ServiceNow instances of the file, and what is opened to them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from pydantic import Field

from cmdb.servicenow.connection import Connection
from cmdb.servicenow.hidden_fields import HiddenFields
from cmdb.servicenow.instances import Instance
from flotilla import NotConfigured
from flotilla.accounts import Accounts
from flotilla.credentials import Credentials, secret_named
from flotilla.settings import Misconfigured, read_secret

FILE_NAME = "servicenow.yaml"

InstanceName = Annotated[
    str | None,
    Field(max_length=64, description="Alias of the instance; may be left out where there is one."),
]


class Estate:
    """The instances by alias; a call names one, and what it needs is opened then."""

    def __init__(self, file: Path) -> None:
        self._accounts = Accounts[Instance].load("instance", file, Instance)
        self.credentials = Credentials(self._accounts.needs())
        self.hidden = HiddenFields()
        self._files, self._unread = _files(self._accounts)
        self._connections = {
            alias: Connection(alias, one, self._secret) for alias, one in self._accounts
        }
        self.credentials.changed = self._changed

    @property
    def secrets(self) -> tuple[str, ...]:
        """What was read from files and must never leave."""
        return tuple(self._files.values())

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

    def _secret(self, place: str) -> str:
        name = secret_named(place)
        if name is not None:
            return self.credentials.get(name)
        if place in self._unread:
            raise NotConfigured(self._unread[place], hint="Mend the file and start again.")
        return self._files[place]

    def _changed(self, _name: str) -> None:
        for connection in self._connections.values():
            connection.forget_token()


def _files(accounts: Accounts[Instance]) -> tuple[dict[str, str], dict[str, str]]:
    """The secrets that stand in files, and why others could not be read.

    Read at start, so that the redactor knows them; a file that is not there stops these tools only.
    """
    found: dict[str, str] = {}
    unread: dict[str, str] = {}
    for alias, one in accounts:
        for place in (one.password, one.client_secret, one.refresh_token):
            if place is None or secret_named(place) is not None:
                continue
            try:
                found[place] = read_secret(Path(place), f"{FILE_NAME}: {alias}")
            except Misconfigured as error:
                unread[place] = str(error)
    return found, unread
