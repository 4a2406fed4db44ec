"""A hub of two processes: grants count in both, whichever a client, owner or browser meets."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.backends.openid_provider import OpenIdProvider
from tests.backends.redis_server import RedisServer
from tests.conftest import find_free_port, until

from ..workers.crew import Apart, Crew, Shop, crew_in, shop_at
from .conftest import NAME, TOOL
from .guarded import Browser, Guarded, Person

pytestmark = [pytest.mark.anyio, pytest.mark.real]


@pytest.fixture(scope="module")
async def crew(
    server: Guarded, redis_process: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Crew]:
    folder: Path = tmp_path_factory.mktemp("crew")
    redis_process.fresh()
    port = find_free_port()
    entry = {"type": "http", "url": server.url, "credentials": {"type": "oauth"}}
    async with (
        shop_at(port, folder / "data", Shop()),
        crew_in(folder, port, external={NAME: entry}, FLOTILLA_REDIS_URL=redis_process.url) as made,
    ):
        await made.connected(NAME)
        yield made


async def owner(crew: Crew, method: str, path: str, body: Any = None) -> httpx2.Response:
    """On a connection of its own, as the commands ask: either process may meet it."""
    async with httpx2.AsyncClient(timeout=20, headers=crew.owner) as http:
        return await http.request(method, f"{crew.url}/api{path}", json=body)


async def test_grants_count_in_every_process(crew: Crew, provider: OpenIdProvider) -> None:
    client, named = Apart(crew), {"server": NAME, "principal": "admin"}
    for _ in range(4):
        answer = await client.modern(TOOL, {})
        assert "grant_missing" in str(answer), answer
    links = [(await owner(crew, "POST", "/grants/connect", named)).json()["url"] for _ in range(4)]
    provider.person = "admin-at-crm"
    async with Browser() as browser:
        page = await browser.signs_in(links[-1])
        assert page.status_code == 200, page.text
    for _ in range(4):
        answer = await client.modern(TOOL, {})
        assert answer["result"]["content"][0]["text"] == "you are admin-at-crm", answer
        (grant,) = (await owner(crew, "GET", "/grants")).json()["grants"]
        assert grant["inUse"] is True
    assert (await owner(crew, "POST", "/grants/revoke", named)).status_code == 200

    async def is_known() -> bool:
        """By both processes: the other one hears of it a moment later."""
        return all(["grant_missing" in str(await client.modern(TOOL, {})) for _ in range(4)])

    await until(is_known)


async def test_a_person_is_asked_whichever_process_the_client_meets(
    crew: Crew, provider: OpenIdProvider, server: Guarded
) -> None:
    provider.person = "admin-at-crm"
    async with Browser() as browser:
        person = Person(browser)
        for mode in ("2026-07-28", "legacy"):
            async with crew.client(mode=mode, elicitation_callback=person.elicit) as client:
                told: Any = await client.call_tool(TOOL, {})
                assert told.content[0].text == "you are admin-at-crm"
    assert len(person.asked) == 1
    token = crew.token_file.read_text().strip()
    assert not server.was_told(token)
