"""The door: what may stand in Authorization, and what the hub calls itself behind a proxy."""

from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from flotilla import Misconfigured, Principal
from flotilla.serving.gates import Admitted, Refused
from master.principals.door import MAX_TOKEN_CHARS, clients_only
from master.principals.first import TokenBook, digest_of
from master.principals.known import Principals
from master.principals.resource import WELL_KNOWN, Resource
from master.principals.settings import OpenIdSettings
from master.settings import Settings

pytestmark = pytest.mark.anyio

ADA = Principal("ada", ("viewer",))
TOKEN = "flt_" + "a" * 43


async def receive() -> Any:
    return {"type": "http.request", "body": b"{}"}


def asking(*authorization: bytes) -> dict[str, Any]:
    headers = [(b"authorization", each) for each in authorization]
    return {"type": "http", "path": "/mcp", "headers": headers}


async def test_one_header_of_a_bearer_is_taken_and_nothing_else() -> None:
    admits = clients_only(Principals(TokenBook({digest_of(TOKEN): ADA})), ())
    good = b"Bearer " + TOKEN.encode()
    for header in (good, good.replace(b"Bearer", b"bEARER"), good + b"  ", b"  " + good):
        verdict = await admits(asking(header), receive)
        assert isinstance(verdict, Admitted)
        assert verdict.caller.principal == ADA
        assert await verdict.receive() == await receive()
    for headers in (
        (),
        (good, good),
        (good, b"Bearer other"),
        (b"Basic " + TOKEN.encode(),),
        (b"Bearer" + TOKEN.encode(),),
        (b"Bearer \x00",),
        (good + b"\xff",),
        (good + b" " + TOKEN.encode(),),
    ):
        verdict = await admits(asking(*headers), receive)
        assert isinstance(verdict, Refused), headers
        assert verdict.status == 401


async def test_a_token_too_long_to_be_one_is_not_even_looked_up() -> None:
    class Unasked(Principals):
        def at_hand(self, token: str) -> Any:
            raise AssertionError("it was looked up")

    admits = clients_only(Unasked(TokenBook({})), ())
    verdict = await admits(asking(b"Bearer " + b"x" * (MAX_TOKEN_CHARS + 1)), receive)
    assert isinstance(verdict, Refused)
    assert verdict.status == 401


def resource(**more: Any) -> Resource:
    settings = OpenIdSettings(issuer="https://id.example.org", role_map=["*=viewer"])
    return Resource(settings, ["default", "search"], public_url="https://hub.example.org/", **more)


async def test_behind_a_proxy_the_hub_is_what_its_setting_says_whatever_host_is_asked() -> None:
    hub = resource(port=8000)
    audiences = hub.audiences()
    assert "https://hub.example.org/mcp" in audiences.whole
    assert not [each for each in audiences.taken() if "localhost" in each or "127.0.0.1" in each]
    assert audiences.profiles["https://hub.example.org/mcp/p/search"] == "search"
    transport = httpx2.ASGITransport(app=Starlette(routes=hub.routes()))
    for base in ("http://localhost:8000", "http://evil.example.org"):
        async with httpx2.AsyncClient(transport=transport, base_url=base) as http:
            told = (await http.get(f"{WELL_KNOWN}/mcp")).json()
        assert told["resource"] == "https://hub.example.org/mcp"
    scope = {**asking(), "scheme": "http", "headers": [(b"host", b"evil.example.org")]}
    assert hub.challenge(scope, "invalid_token", None) == (
        'error="invalid_token", resource_metadata='
        '"https://hub.example.org/.well-known/oauth-protected-resource/mcp"'
    )


def test_a_public_address_is_an_origin() -> None:
    for wrong in ("hub.example.org", "https://hub.example.org/x", "https://a b", "ftp://x"):
        with pytest.raises(Misconfigured, match="FLOTILLA_PUBLIC_URL"):
            Settings.from_env({"FLOTILLA_PUBLIC_URL": wrong})


async def test_an_unknown_token_is_known_by_nothing_that_the_refusal_says() -> None:
    admits = clients_only(Principals(TokenBook({digest_of(TOKEN): ADA})), ())
    told: set[tuple[str, str]] = set()
    for guess in ("flt_guess", TOKEN[:-1], TOKEN + "x", "ada", "a.b.c"):
        verdict = await admits(asking(b"Bearer " + guess.encode()), receive)
        assert isinstance(verdict, Refused)
        assert guess not in verdict.message + verdict.hint
        told.add((verdict.message, verdict.hint))
    assert len(told) == 1
