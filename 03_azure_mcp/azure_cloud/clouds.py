"""The accounts of this spoke at work: each with its connection and its subscriptions."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from time import monotonic

from azure_cloud.account import AzureAccount
from azure_cloud.arm import Arm
from azure_cloud.subscriptions import Subscriptions
from azure_cloud.wire import Wire
from flotilla import __version__
from flotilla.accounts import Accounts
from flotilla.credentials import Credentials

AGENT = f"flotilla/{__version__}"


class Cloud:
    """One account as tools use it."""

    def __init__(self, arm: Arm, clock: Callable[[], float]) -> None:
        self.arm = arm
        self.alias = arm.alias
        self.subscriptions = Subscriptions(arm, clock)


class Clouds:
    """All accounts by alias."""

    def __init__(
        self,
        accounts: Accounts[AzureAccount],
        credentials: Credentials,
        *,
        request_timeout_s: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._accounts = accounts
        self._credentials = credentials
        self._clouds = {
            alias: Cloud(
                Arm(alias, account, self._connect, request_timeout_s=request_timeout_s), clock
            )
            for alias, account in accounts
        }
        credentials.changed = self._changed

    def __len__(self) -> int:
        return len(self._clouds)

    def chosen(self, alias: str | None) -> Cloud:
        """The one that a call means, as `Accounts.chosen`."""
        return self._clouds[self._accounts.chosen(alias)[0]]

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            for cloud in self._clouds.values():
                await cloud.arm.close()

    async def _connect(self, account: AzureAccount) -> Wire:
        return await Wire.opened(account, self._credentials, AGENT)

    def _changed(self, secret: str) -> None:
        for alias, account in self._accounts:
            if secret in account.secrets():
                self._clouds[alias].arm.renew()
