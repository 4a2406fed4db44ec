"""Stored secrets of each principal, and sign-ins that are exchanged, for servers of others."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from flotilla import CommonSettings, Principal
from flotilla.identity import Caller
from master.call import Call
from master.north.client import Client
from master.outbound.choice import segment_of
from master.principals.settings import OpenIdSettings
from secret_store import build as build_secrets
from secret_store.settings import Settings as SecretSettings
from tests.backends.openid_provider import OpenIdProvider

from .conftest import ECHO, TOOL, House, OpenHouse, error_of, said
from .guarded import Guarded

pytestmark = pytest.mark.anyio

KEYS = {"ada": "the-key-of-ada-0001", "bob": "the-key-of-bob-0002", "hub": "key-of-the-hub-0003"}


def by_key(headers: Mapping[str, str]) -> str | None:
    """Whose key a request shows."""
    return next((n for n, key in KEYS.items() if headers.get("x-api-key") == f"Key {key}"), None)


class Vault:
    def __init__(self, house: House) -> None:
        self._house = house

    async def write(self, name: str, value: str, *services: str) -> None:
        body = {
            "path": f"ext/crm/{segment_of(name)}",
            "value": value,
            "allow": {"services": services or ("ext:crm",)},
        }
        told = await self._house.api("POST", "/services/secrets/operations/write", body)
        assert "error" not in told, told


@asynccontextmanager
async def with_secrets(
    open_house: OpenHouse, server: Guarded, folder: Path
) -> AsyncGenerator[tuple[House, Vault]]:
    settings = SecretSettings(database_url=f"sqlite:///{folder}/secrets.sqlite3")
    spoke = build_secrets(settings, CommonSettings(data_dir=folder / "data"))
    choice = {
        "type": "secret",
        "header": "X-Api-Key",
        "prefix": "Key ",
        "secret": "ext/crm/{principal}",
    }
    async with open_house(server, choice, spoke) as house:
        yield house, Vault(house)


async def test_each_principal_shows_a_stored_secret_of_their_own(
    open_house: OpenHouse, tmp_path: Path
) -> None:
    server = Guarded(by_key)
    server.open_lists = False
    async with server.running(), with_secrets(open_house, server, tmp_path) as (house, vault):
        await vault.write("hub", KEYS["hub"])
        await house.listed()
        await vault.write("ada", KEYS["ada"])
        await vault.write("bob", KEYS["bob"], "somebody-else")
        async with house.client(await house.token("ada")) as client:
            assert said(await client.call_tool(TOOL, {})) == "you are ada"
            assert KEYS["ada"] not in said(await client.call_tool(ECHO, {}))
        for name, reason in (("bob", "service_not_allowed"), ("eve", "secret_unknown")):
            async with house.client(await house.token(name)) as client:
                error = error_of(await client.call_tool(TOOL, {}))
            assert (error["code"], error["reason"]) == ("not_configured", reason)
            assert f"secrets write ext/crm/{name}" in error["hint"]
        assert {who for who, _ in server.calls} == {"ada"}
        assert not server.was_told(KEYS["bob"])
        # A key that is changed at the server and in the store counts at once.
        old, KEYS["ada"] = KEYS["ada"], "the-newer-key-of-ada-0004"
        try:
            token = await house.token("ada")
            async with house.client(token) as client:
                error = error_of(await client.call_tool(TOOL, {}))
                assert error["reason"] == "secret_refused" and old not in str(error)
                await vault.write("ada", KEYS["ada"])
                assert said(await client.call_tool(TOOL, {})) == "you are ada"
        finally:
            KEYS["ada"] = old


def test_no_two_principals_share_a_path_and_none_leads_elsewhere() -> None:
    names = ["ada", "oidc:ada", "oidc_ada", "oidc_3aada", "a/b", "a_2fb", "../bob", "..", ".", "-x"]
    names += ["ada@example.org", "ada_40example.org", "Ä", "_c3_84", "_", "_5f", "a b", "."]
    found = {name: segment_of(name) for name in names}
    assert len(set(found.values())) == len(found)
    for each in found.values():
        assert "/" not in each and not each.startswith((".", "-")) and each.isascii()
    assert found["ada@example.org"] == "ada_40example.org"


def settings(provider: OpenIdProvider) -> OpenIdSettings:
    return OpenIdSettings(issuer=provider.issuer, role_map=["*=operator"])


def choice(provider: OpenIdProvider, server: Guarded, **more: Any) -> dict[str, Any]:
    provider.client("flotilla", "hub-secret")
    return {
        "type": "exchange",
        "tokenEndpoint": f"{provider.issuer}/token",
        "audience": server.url,
        "clientId": "flotilla",
        "clientSecret": "${env:CRM_CLIENT_SECRET}",
        **more,
    }


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
async def test_a_sign_in_is_exchanged_for_a_token_of_the_server(
    open_house: OpenHouse,
    server: Guarded,
    provider: OpenIdProvider,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
) -> None:
    monkeypatch.setenv("CRM_CLIENT_SECRET", "hub-secret")
    server.open_lists = False
    more = {"openid": settings(provider)}
    async with open_house(server, choice(provider, server), **more) as house:
        await house.listed()
        tokens = {n: provider.token(sub=n, aud=f"{house.url}/mcp") for n in ("ada", "bob")}
        exchanged = provider.asked["/token"]
        for name, token in tokens.items():
            async with house.client(token, mode) as client:
                for _ in range(3):
                    assert said(await client.call_tool(TOOL, {})) == f"you are {name}"
                assert said(await client.call_tool(ECHO, {})) == "you are Bearer [redacted]"
            # What the client came with went to its issuer, and never to the server.
            assert not server.was_told(token)
        assert provider.asked["/token"] == exchanged + 2
        async with house.client(await house.token("carl")) as client:
            error = error_of(await client.call_tool(TOOL, {}))
        assert error["reason"] == "nothing_to_exchange"


async def test_a_callers_token_goes_to_nobody_but_its_issuer(
    open_house: OpenHouse,
    server: Guarded,
    provider: OpenIdProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CRM_CLIENT_SECRET", "hub-secret")
    async with OpenIdProvider().running() as thief:
        elsewhere = choice(provider, server, tokenEndpoint=f"{thief.issuer}/token")
        async with open_house(server, elsewhere, openid=settings(provider)) as house:
            await house.listed()
            token = provider.token(sub="ada", aud=f"{house.url}/mcp")
            before = thief.asked["/token"]
            async with house.client(token) as client:
                error = error_of(await client.call_tool(TOOL, {}))
            assert error["reason"] == "another_issuer"
            assert thief.asked["/token"] == before and server.calls == []


def test_a_callers_token_shows_in_nothing_that_is_printed() -> None:
    caller = Caller(Principal("oidc:ada", ("operator",)), subject="the-token-itself")
    assert "the-token-itself" not in repr(caller)
    for kind in (Call, Client):
        hidden = {name for name, each in kind.__dataclass_fields__.items() if not each.repr}
        assert "subject" in hidden
    assert not Call.__dataclass_fields__["credentials"].repr
