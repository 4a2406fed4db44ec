"""Credentials go where their scheme says, to the API alone, and are never read again."""

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import anyio
import pytest

from flotilla import InvalidArgument, NotConfigured, UpstreamError
from master.external.openapi import Document, OpenApiServer
from master.external.openapi.tokens import Client, Tokens

pytestmark = pytest.mark.anyio

Make = Callable[..., Document]


def secured(make: Make, *alternatives: dict[str, list[str]], **schemes: Any) -> Document:
    return make(
        {"/a": {"get": {}, "post": {}}},
        security=list(alternatives),
        components={"securitySchemes": schemes},
    )


async def call(server: OpenApiServer, tool: str = "getA") -> dict[str, Any]:
    with anyio.fail_after(10):
        return await server.call(tool, {}, timeout_s=5, headers={})


@pytest.mark.parametrize(
    ("scheme", "secret", "place", "value"),
    [
        ({"type": "apiKey", "in": "header", "name": "X-Key"}, "s e", "X-Key", "s e"),
        ({"type": "apiKey", "in": "cookie", "name": "sid"}, "a;b", "Cookie", "sid=a%3Bb"),
        ({"type": "http", "scheme": "Basic"}, "u:pä", "Authorization", "Basic dTpww6Q="),
        ({"type": "http", "scheme": "bearer"}, "tok", "Authorization", "Bearer tok"),
        (
            {"type": "oauth2", "flows": {"authorizationCode": {"scopes": {}}}},
            "access",
            "Authorization",
            "Bearer access",
        ),
    ],
)
async def test_a_credential_stands_where_its_scheme_says(
    api: Any,
    session: aiohttp.ClientSession,
    document: Make,
    scheme: dict[str, Any],
    secret: str,
    place: str,
    value: str,
) -> None:
    made = secured(document, {"x": []}, x=scheme)
    server = OpenApiServer(made, session=session, url=api.url, credentials={"x": secret})
    await call(server)
    assert api.last.header(place) == value
    assert api.last.target == "/a"


async def test_a_key_in_the_query_is_encoded(
    api: Any, session: aiohttp.ClientSession, document: Make
) -> None:
    made = secured(document, {"x": []}, x={"type": "apiKey", "in": "query", "name": "k[]"})
    server = OpenApiServer(made, session=session, url=api.url, credentials={"x": "a&b=c"})
    await call(server)
    assert api.last.target == "/a?k%5B%5D=a%26b%3Dc"


KEY = {"type": "apiKey", "in": "header", "name": "X-Key"}
BEARER = {"type": "http", "scheme": "bearer"}
OIDC = {"type": "openIdConnect", "openIdConnectUrl": "https://id.example"}


async def test_schemes_of_one_alternative_go_together_and_the_first_that_can_is_taken(
    api: Any, session: aiohttp.ClientSession, document: Make
) -> None:
    made = secured(document, {"o": []}, {"k": [], "b": []}, {"b": []}, {}, k=KEY, b=BEARER, o=OIDC)

    async def sent(**credentials: str) -> tuple[str | None, str | None]:
        await call(OpenApiServer(made, session=session, url=api.url, credentials=credentials))
        return api.last.header("X-Key"), api.last.header("Authorization")

    assert await sent(k="one", b="two") == ("one", "Bearer two")
    assert await sent(b="two") == (None, "Bearer two")
    assert await sent(k="one") == (None, None)


async def test_a_missing_credential_is_told_before_any_request(
    api: Any, session: aiohttp.ClientSession, document: Make
) -> None:
    made = secured(document, {"k": [], "b": []}, {"o": []}, k=KEY, b=BEARER, o=OIDC)
    server = OpenApiServer(made, session=session, url=api.url, credentials={"k": "one"})
    said = "'k' .an API key. and 'b' .a bearer token., or 'o' .OpenID Connect is not supported"
    with pytest.raises(NotConfigured, match=said):
        await call(server)
    assert api.received == []


@pytest.mark.parametrize(
    ("credentials", "said"),
    [
        ({"other": "x"}, "no such security scheme .it has: k, o."),
        ({"o": "x"}, "OpenID Connect is not supported"),
        ({"k": ""}, "empty"),
        ({"k": "a\r\nX: y"}, "control characters"),
    ],
)
async def test_a_credential_that_cannot_be_used_is_told_at_once_and_not_shown(
    session: aiohttp.ClientSession, document: Make, credentials: dict[str, str], said: str
) -> None:
    made = secured(document, k=KEY, o=OIDC)
    with pytest.raises(InvalidArgument, match=said) as refused:
        OpenApiServer(made, session=session, url="http://x", credentials=credentials)
    assert "X: y" not in refused.value.message


OAUTH = {
    "type": "oauth2",
    "flows": {"clientCredentials": {"tokenUrl": "/oauth/token", "scopes": {"r": "", "w": ""}}},
}


class Authority:
    """An API that gives tokens at /oauth/token and takes the newest alone."""

    def __init__(self, api: Any, reply: Any, expires_in: int = 3600) -> None:
        self.given = 0
        self.api = api
        self._reply = reply
        self._expires_in = expires_in
        api.answer = self._answer

    @property
    def token(self) -> str:
        return f"access-token-{self.given}"

    def revoke(self) -> None:
        self.given += 1

    def _answer(self, request: Any) -> Any:
        if request.target == "/oauth/token":
            self.given += 1
            answer = {
                "access_token": self.token,
                "token_type": "bearer",
                "expires_in": self._expires_in,
            }
            return self._reply(200, json.dumps(answer).encode())
        good = request.header("Authorization") == f"Bearer {self.token}"
        told = str(request.header("Authorization")).encode()
        return self._reply(200 if good else 401, told, {"Content-Type": "text/plain"})

    def asked(self) -> list[Any]:
        return [each for each in self.api.received if each.target == "/oauth/token"]


@pytest.fixture
def oauth(api: Any, session: aiohttp.ClientSession, document: Make) -> OpenApiServer:
    made = secured(document, {"o": ["r", "w"]}, o=OAUTH)
    return OpenApiServer(made, session=session, url=api.url, credentials={"o": "id:se/cret+1"})


async def test_client_credentials_become_a_token_that_is_kept(
    api: Any, oauth: OpenApiServer, reply: Any
) -> None:
    authority = Authority(api, reply)
    for _ in range(3):
        assert "isError" not in await call(oauth)
    (asked,) = authority.asked()
    assert asked.method == "POST"
    form = {"grant_type": ["client_credentials"], "scope": ["r w"]}
    assert parse_qs(asked.body.decode()) == form
    coded = asked.header("Authorization").removeprefix("Basic ")
    assert base64.b64decode(coded) == b"id:se%2Fcret%2B1"


async def test_calls_at_once_share_one_token(api: Any, oauth: OpenApiServer, reply: Any) -> None:
    authority = Authority(api, reply)
    results = await asyncio.gather(*(call(oauth) for _ in range(10)))
    assert not any("isError" in result for result in results)
    assert len(authority.asked()) == 1


async def test_a_revoked_token_is_replaced_once(api: Any, oauth: OpenApiServer, reply: Any) -> None:
    authority = Authority(api, reply)
    await call(oauth)
    authority.revoke()
    assert "isError" not in await call(oauth, "postA")
    assert len(authority.asked()) == 2


async def test_an_api_that_refuses_every_token_is_asked_twice_and_no_more(
    api: Any, oauth: OpenApiServer, reply: Any
) -> None:
    def answer(request: Any) -> Any:
        told = b'{"access_token": "abcdefghij"}'
        return reply(200, told) if request.target == "/oauth/token" else reply(401)

    api.answer = answer
    assert (await call(oauth))["isError"]
    assert [each.target for each in api.received] == ["/oauth/token", "/a"] * 2


async def test_a_token_that_the_api_tells_is_redacted(
    api: Any, oauth: OpenApiServer, reply: Any
) -> None:
    Authority(api, reply)
    assert (await call(oauth))["content"][0]["text"] == "Bearer [redacted]"


async def test_a_token_is_renewed_before_it_expires(
    api: Any, session: aiohttp.ClientSession, reply: Any
) -> None:
    authority = Authority(api, reply, expires_in=100)
    now = [1000.0]
    tokens = Tokens(session, on_new=lambda _: None, now=lambda: now[0])
    client = Client("o", aiohttp.client.URL(f"{api.url}/oauth/token"), "id:secret")
    first = await tokens.token(client, ())
    now[0] += 69
    assert await tokens.token(client, ()) == first
    now[0] += 2
    assert await tokens.token(client, ()) != first
    assert len(authority.asked()) == 2


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, b'{"error": "invalid_client", "error_description": "id:secret"}', "invalid_client$"),
        (500, b"<html>", "HTTP 500$"),
        (200, b"{}", "without an `access_token`"),
        (200, b'{"access_token": "a\\r\\nX: y"}', "without an `access_token`"),
        (200, b'{"access_token": "abc", "token_type": "mac"}', "no bearer tokens"),
        (302, b"", "HTTP 302$"),
    ],
)
async def test_an_authority_that_gives_no_token_is_told_without_secrets(
    api: Any, oauth: OpenApiServer, reply: Any, status: int, body: bytes, said: str
) -> None:
    api.answer = lambda _: reply(status, body, {"Location": "http://127.0.0.1:1/"})
    with pytest.raises(UpstreamError, match=said) as failed:
        await call(oauth)
    assert "secret" not in failed.value.message
    assert len(api.received) == 1


async def test_the_client_secret_goes_elsewhere_only_where_a_person_said_so(
    api: Any, other: Any, session: aiohttp.ClientSession, document: Make, reply: Any
) -> None:
    flows = {"clientCredentials": {"tokenUrl": f"{other.url}/oauth/token", "scopes": {}}}
    made = secured(document, {"o": []}, o={"type": "oauth2", "flows": flows})
    secret = {"o": "id:secret"}
    server = OpenApiServer(made, session=session, url=api.url, credentials=secret)
    with pytest.raises(NotConfigured, match="not the API's own origin"):
        await call(server)
    assert other.received == [] and api.received == []
    other.answer = lambda _: reply(200, b'{"access_token": "abc"}')
    urls = {"o": f"{other.url}/token"}
    allowed = OpenApiServer(made, session=session, url=api.url, credentials=secret, token_urls=urls)
    await call(allowed)
    assert other.last.target == "/token"
    assert api.last.header("Authorization") == "Bearer abc"
    with pytest.raises(InvalidArgument, match="no such scheme"):
        OpenApiServer(made, session=session, url=api.url, token_urls={"x": "https://x"})


async def test_no_secret_is_shown_when_anything_is_printed(
    session: aiohttp.ClientSession, document: Make
) -> None:
    client = Client("o", aiohttp.client.URL("http://x"), "id:topsecret")
    made = secured(document, {"k": []}, k=KEY)
    server = OpenApiServer(made, session=session, url="http://x", credentials={"k": "topsecret"})
    assert "topsecret" not in repr(client) + repr(server) + json.dumps(server.tools())
