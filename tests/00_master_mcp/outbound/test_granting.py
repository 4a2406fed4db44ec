"""People grant the hub the use of a server in their browser, and calls go on with it."""

from typing import Any

import pytest

from flotilla import Misconfigured
from master.external.config import parse_entry
from tests.backends.openid_provider import OpenIdProvider
from tests.conftest import until

from .conftest import ECHO, NAME, TOOL, House, OpenHouse, error_of, said
from .guarded import Browser, Guarded, Person, query_of

pytestmark = pytest.mark.anyio

EXCHANGE = {"type": "exchange", "audience": "crm"}


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
async def test_a_missing_grant_is_asked_for_and_the_call_goes_on(
    house: House, browser: Browser, provider: OpenIdProvider, mode: str
) -> None:
    provider.person = "ada-at-crm"
    token, person = await house.token("ada"), Person(browser)
    async with house.client(token, mode, elicitation_callback=person.elicit) as client:
        assert said(await client.call_tool(TOOL, {})) == "you are ada-at-crm"
        assert said(await client.call_tool(TOOL, {})) == "you are ada-at-crm"
    (asked,) = person.asked
    assert asked.mode == "url" and asked.url.startswith("http://localhost:")
    assert NAME in asked.message and "ada" in asked.message
    (grant,) = await house.grants()
    assert (grant["principal"], grant["server"], grant["inUse"]) == ("ada", NAME, True)
    assert provider.asked["/register"] <= 1
    (given,) = await house.rows("grant.given")
    assert (given["principal"], given["service"]) == ("ada", NAME)


async def test_each_principal_acts_with_their_own_account(
    house: House, provider: OpenIdProvider
) -> None:
    for name, account in (("ada", "ada-at-crm"), ("bob", "bob-at-crm")):
        provider.person = account
        async with Browser() as own:
            assert (await own.signs_in(await house.link(name))).status_code == 200
    for name, account in (("ada", "ada-at-crm"), ("bob", "bob-at-crm")):
        async with house.client(await house.token(name)) as client:
            assert said(await client.call_tool(TOOL, {})) == f"you are {account}"
    # The hub is registered once, however many people there are.
    assert provider.asked["/register"] <= 1


async def test_a_client_without_pages_is_told_the_command(house: House, browser: Browser) -> None:
    token = await house.token("ada")
    async with house.client(token) as client:
        error = error_of(await client.call_tool(TOOL, {}))
        assert error["code"] == "not_configured"
        assert f"grants connect {NAME} --as ada" in error["hint"]
        assert "http" not in str(error), "a model is given no link"

        printed = await house.command("connect", NAME, "--as", "ada")
        assert printed.exit_code == 0
        link = printed.stdout.splitlines()[0]
        page = await browser.signs_in(link)
        assert "Go back to your client" in page.text
        assert said(await client.call_tool(TOOL, {})).startswith("you are ")


async def test_a_robot_is_never_asked(house: House, browser: Browser) -> None:
    person = Person(browser)
    token = await house.token("robot", robot=True)
    async with house.client(token, elicitation_callback=person.elicit) as client:
        assert error_of(await client.call_tool(TOOL, {}))["code"] == "not_configured"
    assert person.asked == []


async def test_who_declines_is_not_signed_in(house: House, browser: Browser) -> None:
    person = Person(browser, "decline")
    token = await house.token("ada")
    async with house.client(token, elicitation_callback=person.elicit) as client:
        error = error_of(await client.call_tool(TOOL, {}))
    assert error["reason"] == "sign_in_declined"
    assert house.server.calls == [] and await house.grants() == []


async def test_no_token_of_a_client_ever_reaches_a_server(
    house: House, browser: Browser, provider: OpenIdProvider
) -> None:
    tokens = [await house.token("ada"), house.fleet.token_file.read_text().strip(), house.owner]
    for token in tokens[:2]:
        person = Person(browser)
        async with house.client(token, elicitation_callback=person.elicit) as client:
            await client.list_tools()
            assert said(await client.call_tool(TOOL, {})).startswith("you are ")
    assert len(house.server.calls) == 2
    for token in tokens:
        assert not house.server.was_told(token)
    grants = {each["principal"] for each in await house.grants()}
    assert grants == {"ada", "admin"}


async def test_a_server_that_says_the_token_back_shows_it_to_nobody(
    house: House, browser: Browser
) -> None:
    await browser.signs_in(await house.link("ada"))
    async with house.client(await house.token("ada")) as client:
        told = said(await client.call_tool(ECHO, {}))
    assert told == "you are Bearer [redacted]"


async def test_what_is_kept_shows_no_token(
    house: House, browser: Browser, provider: OpenIdProvider
) -> None:
    await browser.signs_in(await house.link("ada"))
    async with house.client(await house.token("ada")) as client:
        await client.call_tool(TOOL, {})
    shown = [each.partition(b"Bearer ")[2].split(b"\n")[0] for each in house.server.heard]
    (token,) = {each for each in shown if each}
    folder = house.fleet.common.data_dir / "hub"
    kept = b"".join(each.read_bytes() for each in folder.rglob("hub.sqlite3*"))
    assert b"hub_grants" in kept and token not in kept and token[-40:] not in kept
    assert (folder / "grants_key").stat().st_mode & 0o777 == 0o600
    told = str(await house.grants()) + str(await house.rows())
    assert token.decode() not in told


async def test_a_revoked_grant_ends_here_and_where_it_came_from(
    house: House, browser: Browser, provider: OpenIdProvider
) -> None:
    await browser.signs_in(await house.link("ada"))
    async with house.client(await house.token("ada")) as client:
        assert said(await client.call_tool(TOOL, {})).startswith("you are ")
        listed = await house.command("list", "--json")
        assert '"ada"' in listed.stdout
        revoked = await house.command("revoke", NAME, "--as", "ada")
        assert revoked.exit_code == 0, revoked.output
        assert error_of(await client.call_tool(TOOL, {}))["reason"] == "grant_missing"
    assert provider.asked["/revoke"] == 2 and len(provider.revoked) == 2
    (row,) = await house.rows("grant.revoked")
    assert (row["principal"], row["details"]["of"]) == ("owner", "ada")
    again = await house.command("revoke", NAME, "--as", "ada")
    assert again.exit_code == 1


async def test_lists_are_read_with_the_hubs_own_grant_and_never_with_a_persons(
    open_house: OpenHouse, server: Guarded, provider: OpenIdProvider
) -> None:
    server.open_lists = False
    async with open_house(server, {"type": "oauth"}) as house:

        async def told_why() -> bool:
            return "grants connect crm --as hub" in str(await house.state()) or (
                "credentials of its own" in str(await house.state())
            )

        await until(told_why, 15)
        provider.person = "ada-at-crm"
        async with Browser() as own:
            await own.signs_in(await house.link("ada"))
        assert (await house.state())["state"] != "running"
        assert not any(b"Bearer" in each for each in server.heard)

        provider.person = "flotilla-at-crm"
        async with Browser() as own:
            await own.signs_in(await house.link("hub"))
        await house.listed()
        async with house.client(await house.token("ada")) as client:
            assert said(await client.call_tool(TOOL, {})) == "you are ada-at-crm"
            listed = {each.name: each for each in (await client.list_tools()).tools}
        # The server has put what the hub showed it into its list, which all may read.
        assert listed[TOOL].description == "Called with Bearer [redacted]."


async def test_a_grant_is_for_one_address_alone(
    open_house: OpenHouse, server: Guarded, browser: Browser, provider: OpenIdProvider
) -> None:
    thief = Guarded()
    thief.provider = provider
    async with thief.running(), open_house(server, {"type": "oauth"}) as house:
        await browser.signs_in(await house.link("ada"))
        headers: Any = {"authorization": f"Bearer {house.owner}"}
        where = f"{house.url}/mcp/servers"
        assert (await house.http.delete(f"{where}/{NAME}", headers=headers)).status_code == 200
        entry = {"type": "http", "url": thief.url, "credentials": {"type": "oauth"}}
        added = await house.http.post(where, json={"name": NAME, "entry": entry}, headers=headers)
        assert added.status_code == 200, added.text
        await house.listed()
        async with house.client(await house.token("ada")) as client:
            assert error_of(await client.call_tool(TOOL, {}))["reason"] == "grant_missing"
        assert not any(b"authorization" in each.lower() for each in thief.heard)
        (grant,) = await house.grants()
        assert grant["inUse"] is False


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
async def test_who_must_sign_in_and_allow_the_call_is_asked_for_one_after_the_other(
    open_house: OpenHouse, server: Guarded, browser: Browser, mode: str
) -> None:
    person = Person(browser)
    async with open_house(server, {"type": "oauth"}, entry={"approval": "always"}) as house:
        await house.listed()
        token = await house.token("ada")
        async with house.client(token, mode, elicitation_callback=person.elicit) as client:
            assert said(await client.call_tool(TOOL, {})).startswith("you are ")
            assert said(await client.call_tool(TOOL, {})).startswith("you are ")
    # A person decides only over what can run.
    assert [each.mode for each in person.asked] == ["url", "form", "form"]
    assert len(server.calls) == 2


async def test_an_approved_call_runs_with_the_credentials_of_who_asked(
    open_house: OpenHouse, server: Guarded, provider: OpenIdProvider, browser: Browser
) -> None:
    async with open_house(server, {"type": "oauth"}, entry={"approval": "always"}) as house:
        await house.listed()
        provider.person = "ada-at-crm"
        await browser.signs_in(await house.link("ada"))
        async with house.client(await house.token("ada")) as client:
            waiting = error_of(await client.call_tool(TOOL, {}))
        assert waiting["code"] == "approval_required" and server.calls == []
        pending = (await house.api("GET", "/approvals"))["items"]
        which = pending[0]["id"]
        told = await house.api("POST", f"/approvals/{which}/decide", {"decision": "approve"})
        assert "error" not in told, told
        await until(lambda: server.calls == [("ada-at-crm", "whoami")])


async def test_grants_are_listed_for_the_owner_and_never_their_tokens(
    house: House, browser: Browser
) -> None:
    assert "Nobody" in (await house.command("list")).stderr
    await browser.signs_in(await house.link("ada"))
    shown = (await house.command("list")).stdout
    assert "ada" in shown and NAME in shown and "renews itself" in shown and "ey" not in shown
    unknown = await house.command("connect", "nowhere", "--as", "ada")
    assert unknown.exit_code == 1


async def test_a_client_that_is_known_already_is_not_registered(
    open_house: OpenHouse,
    server: Guarded,
    provider: OpenIdProvider,
    browser: Browser,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CRM_CLIENT_SECRET", "secret-of-the-client")
    choice = {
        "type": "oauth",
        "clientId": "known",
        "clientSecret": "${env:CRM_CLIENT_SECRET}",
        "scopes": ["write"],
        "authorizationServer": provider.issuer,
    }
    async with open_house(server, choice) as house:
        await house.listed()
        callback = f"http://localhost:{house.url.rpartition(':')[2]}/oauth/callback"
        provider.client("known", "secret-of-the-client", (callback,))
        asked = await browser.to_provider(await house.link("ada"))
        query = query_of(asked)
        assert (query["client_id"], query["scope"], query["resource"]) == (
            "known",
            "write",
            server.url,
        )
        assert query["code_challenge_method"] == "S256" and len(query["state"]) >= 43
        page = await browser.get((await browser.get(asked)).headers["location"])
        assert page.status_code == 200, page.text
        assert provider.asked["/register"] == 0
        shown = str(await house.state())
        assert "${env:CRM_CLIENT_SECRET}" in shown and "secret-of-the-client" not in shown


async def test_a_server_that_forgot_the_hub_registers_it_anew(
    house: House, browser: Browser, provider: OpenIdProvider
) -> None:
    back = await browser.to_callback(await house.link("ada"))
    provider.clients.clear()
    page = await browser.get(back)
    assert page.status_code == 502 and "invalid_client" in page.text
    provider.asked.clear()
    assert (await browser.signs_in(await house.link("ada"))).status_code == 200
    assert provider.asked["/register"] == 1
    # Where it is told on the provider's own page alone, revoking does the same.
    provider.clients.clear()
    assert (
        await browser.get(await browser.to_provider(await house.link("ada")))
    ).status_code == 400
    await house.forget()
    assert (await browser.signs_in(await house.link("ada"))).status_code == 200


@pytest.mark.parametrize(
    ("entry", "said_so"),
    [
        ({"credentials": {"type": "ouath"}}, "credentials"),
        ({"credentials": {"type": "oauth", "clientSecret": "plain", "clientId": "x"}}, "a handle"),
        ({"credentials": {"type": "oauth", "clientSecret": "${env:X}"}}, "without clientId"),
        ({"credentials": {"type": "oauth", "client": "x"}}, "credentials.client is not a known"),
        ({"credentials": {"type": "secret"}}, "credentials.secret"),
        (
            {"credentials": {"type": "oauth"}, "headers": {"authorization": "Bearer x"}},
            "keep one of them",
        ),
        ({"credentials": {"type": "oauth"}, "type": "sse"}, "need type http"),
        (
            {
                "credentials": {
                    "type": "exchange",
                    "tokenEndpoint": "http://a.example/",
                    "audience": "b",
                }
            },
            "https://",
        ),
    ],
)
def test_what_makes_no_sense_is_said_with_its_place(entry: dict[str, Any], said_so: str) -> None:
    with pytest.raises(Misconfigured) as told:
        parse_entry("crm", {"type": "http", "url": "https://crm.example/mcp", **entry})
    assert said_so in str(told.value) and "mcpServers.crm" in str(told.value)


def test_an_entry_that_was_kept_says_the_same_when_it_is_read_again() -> None:
    for credentials in (
        {"type": "fixed"},
        {"type": "secret", "secret": "ext/crm/{principal}"},
        {"type": "oauth", "clientId": "x", "clientSecret": "secret:ext/crm/client"},
        {**EXCHANGE, "tokenEndpoint": "https://id.example/token"},
    ):
        told = {"type": "http", "url": "https://crm.example/mcp", "credentials": credentials}
        entry = parse_entry("crm", told)
        assert entry.shown()["credentials"] == credentials
        kept = entry.model_dump(mode="json", by_alias=True, exclude_unset=True)
        assert parse_entry("crm", kept) == entry


async def test_tokens_are_never_sent_in_the_open(open_house: OpenHouse) -> None:
    class Elsewhere:
        url = "http://crm.example/mcp"

    async with open_house(Elsewhere(), {"type": "oauth"}) as house:
        state = await house.state()
    assert state["state"] == "not_configured" and "https://" in state["reason"]
