"""What somebody tries who wants another's grant, or their own account in another's name."""

from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest

from tests.backends.openid_provider import OpenIdProvider
from tests.conftest import until

from .conftest import NAME, TOOL, House
from .guarded import Browser, button_in, query_of

pytestmark = pytest.mark.anyio


async def refused_for(house: House, *reasons: str) -> None:
    """Return once the audit has these refusals: rows may be a moment behind."""

    async def has() -> bool:
        return {row["outcome"] for row in await house.rows("grant.refused")} >= set(reasons)

    await until(has)


async def has_nothing(house: House, name: str = "ada") -> None:
    assert name not in {each["principal"] for each in await house.grants()}


async def test_an_answer_that_nobody_asked_for_is_refused(house: House, browser: Browser) -> None:
    for state in ("", "guessed", "%00", "x" * 10_000):
        query = urlencode({"state": state, "code": "of-the-attacker"})
        page = await browser.get(f"{house.url}/oauth/callback?{query}")
        assert page.status_code == 400 and "unknown" in page.text
    await refused_for(house, "state_unknown")


async def test_an_answer_counts_once(house: House, browser: Browser) -> None:
    back = await browser.to_callback(await house.link("ada"))
    assert (await browser.get(back)).status_code == 200
    again = await browser.get(back)
    assert again.status_code == 400
    await refused_for(house, "state_unknown")
    assert len(await house.rows("grant.given")) == 1


async def test_an_answer_in_another_browser_is_refused_and_used_up(
    house: House, browser: Browser
) -> None:
    # The attacker signs in as far as the answer, and has somebody else's browser finish it.
    back = await browser.to_callback(await house.link("ada"))
    async with Browser() as victim:
        await victim.get(await house.link("bob"))
        assert (await victim.get(back)).status_code == 400
    await refused_for(house, "browser_differs")
    assert (await browser.get(back)).status_code == 400
    await has_nothing(house)


async def test_a_code_of_another_sign_in_is_worth_nothing(
    house: House, browser: Browser, provider: OpenIdProvider
) -> None:
    provider.person = "mallory-at-crm"
    async with Browser() as attacker:
        stolen = query_of(await attacker.to_callback(await house.link("mallory")))
    provider.person = "ada-at-crm"
    own = query_of(await browser.to_callback(await house.link("ada")))
    # Mallory's code, injected into Ada's answer: PKCE binds it to the sign-in that asked for it.
    injected = urlencode({**own, "code": stolen["code"]})
    page = await browser.get(
        f"http://localhost:{house.url.rpartition(':')[2]}/oauth/callback?{injected}"
    )
    assert page.status_code == 502 and "invalid_grant" in page.text
    await has_nothing(house)
    await has_nothing(house, "mallory")


@pytest.mark.parametrize("issuer", ["https://evil.example", "", None])
async def test_an_answer_of_another_issuer_is_refused(
    house: House, browser: Browser, provider: OpenIdProvider, issuer: str | None
) -> None:
    back = await browser.to_callback(await house.link("ada"))
    query = {name: value for name, value in query_of(back).items() if name != "iss"}
    if issuer is not None:
        query["iss"] = issuer
    tokens = provider.asked["/token"]
    page = await browser.get(f"{back.partition('?')[0]}?{urlencode(query)}")
    assert page.status_code == 400 and "somebody else" in page.text
    # The code went to nobody.
    assert provider.asked["/token"] == tokens
    await refused_for(house, "issuer_differs")


async def test_an_answer_that_says_something_twice_is_refused(
    house: House, browser: Browser
) -> None:
    back = await browser.to_callback(await house.link("ada"))
    assert (await browser.get(f"{back}&code=another")).status_code == 400
    await has_nothing(house)


async def test_a_link_counts_once_and_only_for_whom_it_was_made(
    house: House, browser: Browser
) -> None:
    link = await house.link("ada")
    page = await browser.get(link)
    assert "<code>ada</code>" in page.text and "close the page" in page.text
    # To look does not use it up, whatever looks first: a preview of the mail program, say.
    async with Browser() as other:
        assert "<code>ada</code>" in (await other.get(link)).text
    button = f"http://localhost:{house.url.rpartition(':')[2]}{button_in(page.text)}"
    assert (await browser.get(button)).status_code == 303
    assert (await browser.get(button)).status_code == 400
    assert (await browser.get(link)).status_code == 400


async def test_no_page_of_a_stranger_leads_through_the_sign_in(
    house: House, browser: Browser
) -> None:
    link = await house.link("mallory")
    async with Browser() as attacker:
        button = await attacker.opens(link)
    # The victim has been at the page (a hidden frame would do); the button is the attacker's.
    await browser.get(link)
    page = await browser.get(button)
    assert page.status_code == 400 and "own button" in page.text
    # And without ever having been there, the page asks.
    async with Browser() as fresh:
        asked = await fresh.get(button)
        assert asked.status_code == 200 and "<code>mallory</code>" in asked.text
    page = await browser.get(link)
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    async with httpx2.AsyncClient() as http:
        cookie = (await http.get(link)).headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie


async def test_guessed_and_old_links_open_nothing(house: House, browser: Browser) -> None:
    first = await house.link("ada")
    for _ in range(5):
        await house.link("ada")
    # Of one principal's links for one server the newest few count.
    assert (await browser.get(first)).status_code == 400
    base = first.partition("?")[0]
    for guess in ("", "x", first.rpartition("=")[2][:-1], "a" * 43, "%3Cscript%3E"):
        page = await browser.get(f"{base}?link={guess}")
        assert page.status_code == 400 and "<script>" not in page.text


async def test_revoking_ends_sign_ins_that_are_open(house: House, browser: Browser) -> None:
    await browser.signs_in(await house.link("ada"))
    link = await house.link("ada")
    back = await browser.to_callback(await house.link("ada"))
    assert "revoked" in await house.api(
        "POST", "/grants/revoke", {"server": NAME, "principal": "ada"}
    )
    assert (await browser.get(link)).status_code == 400
    assert (await browser.get(back)).status_code == 400
    await has_nothing(house)


async def test_metadata_that_speaks_for_others_is_not_believed(
    house: House, browser: Browser, provider: OpenIdProvider
) -> None:
    server = house.server
    for lie in (
        {"resource": "https://bank.example/mcp"},
        {"resource": server.url + "/deeper"},
        {"authorization_servers": ["http://evil.example"]},
        {"authorization_servers": ["https://user@evil.example"]},
        {"authorization_servers": "nonsense"},
    ):
        server.metadata = lie
        page = await browser.get(await browser.opens(await house.link("ada")))
        assert page.status_code in (400, 502), lie
        # It is not that nobody answers there: nobody was asked.
        assert "cannot be reached" not in page.text, lie
    server.metadata = {}
    for lie in (
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"code_challenge_methods_supported": ["plain"]},
        {"code_challenge_methods_supported": None},
    ):
        provider.metadata = lie
        page = await browser.get(await browser.opens(await house.link("ada")))
        assert page.status_code in (400, 502), lie
        # It is not that nobody answers there: nobody was asked.
        assert "cannot be reached" not in page.text, lie
    assert provider.asked["/token"] == provider.asked["/authorize"] == 0


async def test_the_interface_is_the_owners_alone(house: House) -> None:
    for method, path in (
        ("GET", "/grants"),
        ("POST", "/grants/connect"),
        ("POST", "/grants/revoke"),
    ):
        for headers in (house.fleet.headers, {}):
            answer = await house.http.request(
                method,
                f"{house.url}/api{path}",
                headers=headers,
                json={"server": NAME, "principal": "ada"},
            )
            assert answer.status_code in (401, 403)


async def test_a_state_of_ours_that_a_client_makes_up_gives_nothing(house: House) -> None:
    token = await house.token("ada")
    body: dict[str, Any] = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {
            "name": TOOL,
            "arguments": {},
            "requestState": "flotilla.signIn",
            "inputResponses": {"flotilla.signIn": {"action": "decline"}},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}}},
            },
        },
    }
    headers = {
        "authorization": f"Bearer {token}",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": TOOL,
    }
    answer = (await house.http.post(f"{house.url}/mcp", json=body, headers=headers)).json()
    assert answer["result"]["isError"] is True
    assert "sign_in_declined" in answer["result"]["content"][0]["text"]
    assert house.server.calls == []
