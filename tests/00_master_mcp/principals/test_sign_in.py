"""Clients sign in by OAuth 2.1 as Claude and VS Code do: register, consent, come back, refresh."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from flotilla.identity import Signer
from master.principals.settings import OpenIdSettings
from master.upstream.authority import HUB
from tests.backends.openid_provider import MACHINE, OpenIdProvider

from .conftest import Hub, OpenHub, bearing

pytestmark = pytest.mark.anyio

CALLBACK = "http://127.0.0.1:9/callback"


class Browser:
    """What a person's browser and the client's storage do; the person is signed in already."""

    def __init__(self) -> None:
        self.visits: list[dict[str, list[str]]] = []
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None
        self._came_back: dict[str, list[str]] = {}

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info

    async def visit(self, url: str) -> None:
        self.visits.append(parse_qs(urlsplit(url).query))
        async with httpx2.AsyncClient() as http:
            response = await http.get(url)
        assert response.status_code == 302, response.text
        assert response.headers["location"].startswith(CALLBACK)
        self._came_back = parse_qs(urlsplit(response.headers["location"]).query)

    async def came_back(self) -> AuthorizationCodeResult:
        told = {name: values[0] for name, values in self._came_back.items()}
        return AuthorizationCodeResult(code=told["code"], state=told["state"], iss=told["iss"])


@asynccontextmanager
async def signed_in(
    hub: Hub, browser: Browser, path: str = "/mcp", mode: str = "auto"
) -> AsyncGenerator[Client]:
    auth = OAuthClientProvider(
        server_url=hub.url + path,
        client_metadata=OAuthClientMetadata(
            client_name="A client", redirect_uris=[CALLBACK], token_endpoint_auth_method="none"
        ),
        storage=browser,
        redirect_handler=browser.visit,
        callback_handler=browser.came_back,
    )
    async with (
        httpx2.AsyncClient(auth=auth, timeout=30) as http,
        Client(streamable_http_client(hub.url + path, http_client=http), mode=mode) as client,
    ):
        yield client


def trusting(provider: OpenIdProvider, **more: Any) -> OpenIdSettings:
    provider.people["ada"] = {"roles": ["staff"]}
    return OpenIdSettings(issuer=provider.issuer, role_map=["staff=viewer"], **more)


async def told_by(client: Client) -> Any:
    return (await client.call_tool("test_mirror_tell", {})).structured_content


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
async def test_the_sdk_s_own_client_signs_a_person_in_and_calls_as_that_person(
    open_hub: OpenHub, provider: OpenIdProvider, mode: str
) -> None:
    browser = Browser()
    async with open_hub(openid=trusting(provider)) as hub:
        async with signed_in(hub, browser, mode=mode) as client:
            assert await told_by(client) == {"name": "oidc:ada", "roles": ["viewer"]}
        (visit,) = browser.visits
        assert visit["resource"] == [hub.audience]
        assert visit["code_challenge_method"] == ["S256"]

        # The next start has the tokens of this one, and asks nobody.
        async with signed_in(hub, browser, mode=mode) as client:
            assert (await told_by(client))["name"] == "oidc:ada"
        assert len(browser.visits) == 1


@pytest.mark.real
async def test_a_client_whose_token_ran_out_refreshes_it_without_its_person(
    open_hub: OpenHub, provider: OpenIdProvider
) -> None:
    browser = Browser()
    async with open_hub(openid=trusting(provider)) as hub:
        # To the client it has run out at once; to the hub not yet, by the clock skew.
        provider.lasts_s = 0.0
        async with signed_in(hub, browser) as client:
            assert browser.tokens is not None
            first = browser.tokens.access_token
            provider.lasts_s = 300.0
            assert (await told_by(client))["name"] == "oidc:ada"
            assert browser.tokens.access_token != first
        assert len(browser.visits) == 1
        assert provider.asked["/register"] == 1


@pytest.mark.real
async def test_one_who_signs_in_for_a_profile_gets_that_profile_and_no_more(
    open_hub: OpenHub, provider: OpenIdProvider
) -> None:
    browser = Browser()
    async with open_hub(openid=trusting(provider)) as hub:
        async with signed_in(hub, browser, "/mcp/p/search") as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            assert "master_tools_search" in names
        assert browser.tokens is not None
        token = browser.tokens.access_token
        assert provider.read(token)["aud"] == f"{hub.url}/mcp/p/search"
        assert (await hub.ask(token, "/mcp/p/search")).status_code == 200
        for path in ("/mcp", "/servers/mirror/mcp", "/mcp/p/default"):
            response = await hub.ask(token, path)
            assert response.status_code == 403, path
            assert "/mcp/p/search" in response.json()["error"]["hint"]


async def test_the_metadata_and_the_challenge_say_where_to_sign_in(
    open_hub: OpenHub, provider: OpenIdProvider
) -> None:
    async with open_hub(openid=trusting(provider, scope="fleet")) as hub:
        root = f"{hub.url}/.well-known/oauth-protected-resource"
        for path, suffix in (
            ("/mcp", "/mcp"),
            ("/mcp/p/search", "/mcp/p/search"),
            ("/servers/mirror/mcp", ""),
            ("/sse", ""),
        ):
            response = await hub.http.post(hub.url + path)
            assert response.status_code == 401
            challenge = response.headers["www-authenticate"]
            assert challenge == (
                f'Bearer realm="flotilla", resource_metadata="{root}{suffix}", scope="fleet"'
            )
            metadata = (await hub.http.get(root + suffix)).json()
            assert metadata["resource"] == hub.url + suffix
            assert metadata["authorization_servers"] == [provider.issuer]
            assert metadata["scopes_supported"] == ["fleet"]
        bad = await hub.ask("flt_guess")
        assert 'error="invalid_token", resource_metadata=' in bad.headers["www-authenticate"]
        assert (await hub.http.get(f"{root}/mcp/p/nowhere")).status_code == 401
        lacking = await hub.ask(provider.token(sub="ada", aud=hub.audience))
        assert lacking.status_code == 403
        assert 'error="insufficient_scope"' in lacking.headers["www-authenticate"]
        nobody = await hub.ask(provider.token(sub="eve", aud=hub.audience, roles=[], scope="fleet"))
        assert nobody.status_code == 403
        assert "www-authenticate" not in nobody.headers


@pytest.mark.real
async def test_a_hub_without_a_provider_names_none_and_takes_no_jwt(
    open_hub: OpenHub, provider: OpenIdProvider
) -> None:
    async with open_hub() as hub:
        response = await hub.http.get(f"{hub.url}/.well-known/oauth-protected-resource/mcp")
        assert response.status_code == 404
        refused = await hub.ask(provider.token(sub="ada", aud=hub.audience, roles=["staff"]))
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == (
            'Bearer realm="flotilla", error="invalid_token"'
        )
        assert provider.asked.total() == 0


async def test_a_program_of_the_provider_is_known_and_is_no_person(
    open_hub: OpenHub, provider: OpenIdProvider
) -> None:
    provider.client("nightly", "nightly-secret")
    provider.people["nightly"] = {"roles": ["staff"]}
    async with open_hub(openid=trusting(provider)) as hub:
        asked = {"grant_type": MACHINE, "resource": hub.audience}
        told = await hub.http.post(
            f"{provider.issuer}/token", data=asked, auth=("nightly", "nightly-secret")
        )
        assert (await hub.who(told.json()["access_token"]))["name"] == "oidc:nightly"


async def test_a_token_for_another_server_is_not_made_good_by_a_host_header(
    open_hub: OpenHub, provider: OpenIdProvider
) -> None:
    async with open_hub(openid=trusting(provider)) as hub:
        for base in ("http://localhost:1", "http://127.0.0.1", "https://localhost:1"):
            stolen = provider.token(sub="ada", aud=f"{base}/mcp")
            for host in ("localhost:1", "127.0.0.1", urlsplit(hub.url).netloc):
                response = await hub.ask(stolen, headers={"host": host})
                assert response.status_code == 401, (base, host)
                told = response.headers["www-authenticate"]
                assert "localhost:1/" not in told
        # By whichever name of this machine the token calls the hub, it is meant.
        port = urlsplit(hub.url).port
        for name in ("localhost", "127.0.0.1", "[::1]"):
            meant = provider.token(sub="ada", aud=f"http://{name}:{port}/mcp")
            assert (await hub.who(meant))["name"] == "oidc:ada"


async def test_a_client_s_token_opens_no_spoke_and_a_spoke_s_token_opens_no_hub(
    open_hub: OpenHub, provider: OpenIdProvider
) -> None:
    async with open_hub(openid=trusting(provider, audience=["mirror", "hub"])) as hub:
        spoke = hub.fleet.fleet.url("mirror")
        static = (await hub.make("ada", "admin"))["secret"]
        person = provider.token(sub="ada", aud=[hub.audience, "mirror"])
        assert (await hub.who(person))["name"] == "oidc:ada"
        for token in (hub.admin, hub.owner, static, person):
            response = await hub.http.post(f"{spoke}/mcp", headers=bearing(token), json={})
            assert response.status_code == 401
        pem = next(hub.fleet.common.data_dir.rglob("private_key.pem")).read_bytes()
        key = load_pem_private_key(pem, None)
        for audience in ("mirror", "hub", hub.audience):
            word = Signer(key).token(audience, HUB)  # pyright: ignore[reportArgumentType]
            assert (await hub.ask(word)).status_code == 401
            # Nor beside a good one: two credentials are none.
            both = [("authorization", f"Bearer {hub.admin}"), ("authorization", f"Bearer {word}")]
            response = await hub.http.post(hub.audience, headers=both, json={})
            assert response.status_code == 401
