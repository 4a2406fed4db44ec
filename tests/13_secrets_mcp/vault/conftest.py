"""A Vault of our own on loopback, and backends that speak to it."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla import FlotillaError
from secret_store.backend import Kept, Wanted, whole
from secret_store.stamps import Clock
from secret_store.vault.making import vault_backend
from secret_store.vault.settings import VaultSettings
from secret_store.vault.store import Vault
from tests.backends.vault_server import VaultServer

KEPT = 4
NO_TRANSACTION = cast("AsyncConnection", None)
"""This backend writes in none."""


class Ours:
    """The backend, with `learnt`: what it told the redactor to hide."""

    def __init__(self, backend: Vault, learnt: list[str]) -> None:
        self.backend = backend
        self.learnt = learnt

    async def put(self, path: str, value: str, expected: int | None = None) -> Kept:
        return await self.backend.put(path, value, expected=expected, transaction=NO_TRANSACTION)

    async def delete(self, path: str) -> None:
        await self.backend.delete(path, transaction=NO_TRANSACTION)

    async def value(self, path: str, version: int | None = None) -> str | None:
        (found,) = await self.backend.get([Wanted(path, version)])
        value = whole(found)
        return None if value is None else value.text

    async def no_value(self, path: str = "a") -> FlotillaError:
        """The error of a read that must fail."""
        with pytest.raises(FlotillaError) as caught:
            await self.value(path)
        return caught.value

    async def no_put(self, path: str = "a", value: str = "x") -> FlotillaError:
        with pytest.raises(FlotillaError) as caught:
            await self.put(path, value)
        return caught.value


Speaking = Callable[..., AbstractAsyncContextManager[Ours]]


@pytest.fixture
async def vault() -> AsyncIterator[VaultServer]:
    async with VaultServer().running() as server:
        yield server


@pytest.fixture
def speaking(tmp_path: Path, vault: VaultServer) -> Speaking:
    """`speaking(role_id=...)`: a backend with these settings, by default with the root token."""

    @asynccontextmanager
    async def opened(**settings: Any) -> AsyncGenerator[Ours]:
        if not {"token_file", "role_id", "kubernetes_role"} & settings.keys():
            token = tmp_path / "token"
            token.write_text(vault.root)
            settings["token_file"] = token
        given = VaultSettings(**{"url": vault.url, "timeout_s": 2.0, **settings})
        given.check()
        learnt: list[str] = []
        backend = vault_backend(given, versions_kept=KEPT, clock=Clock(), learn=learnt.extend)
        async with backend.opened():
            yield Ours(backend, learnt)

    return opened


@pytest.fixture
async def ours(speaking: Speaking) -> AsyncIterator[Ours]:
    async with speaking() as ready:
        yield ready
