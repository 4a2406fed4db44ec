"""Every route of every service, found by looking and not by a list: who is let in, and by what."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route

from flotilla import Principal
from flotilla.fleet import HUB
from flotilla.identity import Signer, open_signing_key
from flotilla.serving.app import OPEN_PATHS
from flotilla.serving.service import Service
from flotilla.serving.spokes import spoke_service
from master import build as build_hub
from master.settings import Settings as HubSettings
from tests.conftest import InProcessFleet, until

from .world import World

pytestmark = pytest.mark.anyio

SPOKES = ("linux_cli", "cmdb", "secrets")
ANYONE = {
    "/.well-known/": "says where to sign in (RFC 9728)",
    "/oauth/": "a person's browser comes there, with a ticket in the address instead of a token",
}
"""What else is open, by how it begins, and why."""
ADMIN = Principal("admin", ("admin",))


@dataclass
class Open:
    world: World
    services: Mapping[str, Service]
    fleet: InProcessFleet
    http: httpx2.AsyncClient

    def doors(self, *services: str) -> Iterator[tuple[str, str, str]]:
        """Each route of these services, as service, method and URL."""
        for service in services or self.services:
            app = router_of(self.services[service].app)
            for method, path in paths_of(app.routes):
                yield service, method, f"{self.fleet.fleet.url(service)}{path}"


@pytest.fixture
async def house(world: World) -> AsyncGenerator[Open]:
    fleet = world.fleet
    assert isinstance(fleet, InProcessFleet)
    services = {
        spoke.name: spoke_service(spoke, fleet.common, fleet.fleet) for spoke in world.spokes
    }
    # Built once more to be looked into, never started.
    settings = HubSettings(mcp_config=world.folder / "mcp.json")
    services[HUB] = build_hub(settings, fleet.common, fleet.fleet)
    async with httpx2.AsyncClient(timeout=20) as http:
        yield Open(world, services, fleet, http)


def router_of(app: Any) -> Starlette:
    """The application within all gates, which are closures around it."""
    looked, found = [app], set[int]()
    while looked:
        each = looked.pop()
        if isinstance(each, Starlette):
            return each
        if id(each) in found:
            continue
        found.add(id(each))
        looked += [cell.cell_contents for cell in getattr(each, "__closure__", None) or ()]
        looked += [getattr(each, "app", None)]
    raise LookupError("no application within")


def paths_of(routes: list[BaseRoute], before: str = "") -> Iterator[tuple[str, str]]:
    for route in routes:
        if isinstance(route, Mount):
            yield from paths_of(list(route.routes or ()), before + route.path)
            continue
        assert isinstance(route, Route), route
        names = dict.fromkeys(route.param_convertors, "x")
        path = before + str(route.url_path_for(route.name, **names)) if names else route.path
        for method in sorted(route.methods or {"GET", "POST", "DELETE"}):
            yield method, path


def is_open(url: str) -> bool:
    path = httpx2.URL(url).path
    return path in OPEN_PATHS or path.startswith(tuple(ANYONE))


async def refused(
    house: Open, ask: Callable[[str, str], Awaitable[httpx2.Response]], *services: str
) -> dict[str, int]:
    """The routes that are not open, and what they answer."""
    asked = [each for each in house.doors(*services) if not is_open(each[2])]
    return {f"{method} {url}": (await ask(method, url)).status_code for _, method, url in asked}


async def test_no_route_is_open_to_somebody_without_a_token(house: Open) -> None:
    async def ask(method: str, url: str) -> httpx2.Response:
        return await house.http.request(method, url)

    answers = await refused(house, ask)
    assert len(answers) > 40
    assert {door: status for door, status in answers.items() if status != 401} == {}
    for _, method, url in house.doors():
        if "/oauth/" in url:
            # Without a ticket of ours nothing is done for anybody.
            for query in ("", "?state=x&code=y", "?ticket=x"):
                assert (await ask(method, url + query)).status_code in (400, 403, 405), url
    # What is not there is not told from what is.
    for service in (HUB, *SPOKES):
        gone = await house.http.get(f"{house.fleet.fleet.url(service)}/api/no/such/thing")
        assert gone.status_code == 401


async def test_no_route_is_served_by_another_name_or_to_a_strange_page(house: Open) -> None:
    token = house.world.fleet.headers

    async def rebound(method: str, url: str) -> httpx2.Response:
        return await house.http.request(method, url, headers={**token, "host": "evil.example"})

    async def by_a_page(method: str, url: str) -> httpx2.Response:
        headers = {**token, "origin": "https://evil.example"}
        return await house.http.request(method, url, headers=headers)

    for _, method, url in house.doors():
        assert (await rebound(method, url)).status_code == 421, (method, url)
        assert (await by_a_page(method, url)).status_code == 403, (method, url)


async def test_the_tokens_of_one_place_open_no_other(house: Open) -> None:
    """A client's at spokes, the owner's at the clients' door, a spoke's at the hub and others."""
    folder = house.world.closed
    of_admin, of_owner = (
        (folder / f"{who}_token").read_text().strip() for who in ("admin", "owner")
    )
    signer = Signer(_key_of(folder))
    of_cmdb = signer.token("cmdb", ADMIN)

    def ask_with(token: str) -> Callable[[str, str], Awaitable[httpx2.Response]]:
        async def ask(method: str, url: str) -> httpx2.Response:
            headers = {"authorization": f"Bearer {token}"}
            return await house.http.request(method, url, headers=headers)

        return ask

    for token, services in (
        (of_admin, SPOKES),
        (of_owner, SPOKES),
        (of_cmdb, (HUB, "linux_cli", "secrets")),
    ):
        answers = await refused(house, ask_with(token), *services)
        assert {door: status for door, status in answers.items() if status != 401} == {}
    ask = ask_with(of_admin)
    # At /mcp a client may open a stream that has no end.
    of_the_owner = [(method, url) for _, method, url in house.doors(HUB) if "/api" in url]
    statuses = {(await ask(method, url)).status_code for method, url in of_the_owner}
    assert len(of_the_owner) > 15 and statuses == {403}
    mcp = await house.http.post(
        f"{house.fleet.url}/mcp", json={}, headers={"authorization": f"Bearer {of_owner}"}
    )
    assert mcp.status_code == 403


async def test_who_pretends_to_be_the_hub_reaches_nothing(house: Open) -> None:
    """Signed by another key, or by none, with everything else as the hub has it."""
    mine = Ed25519PrivateKey.generate()
    key = _key_of(house.world.closed)
    for service in SPOKES:
        real = Signer(key).token(service, ADMIN)
        good = jwt.decode(real, options={"verify_signature": False})
        kid = jwt.get_unverified_header(real)
        forged = [
            jwt.encode(good, mine, "EdDSA", headers={"kid": kid["kid"]}),
            jwt.encode(good, None, "none"),
            jwt.encode(good, "a-secret-of-thirty-two-bytes-long!", "HS256"),
            jwt.encode({**good, "exp": int(time.time()) - 3600}, key, "EdDSA"),
            jwt.encode({**good, "aud": ["master", "x"]}, key, "EdDSA"),
        ]
        for token in forged:

            async def ask(method: str, url: str, token: str = token) -> httpx2.Response:
                headers = {"authorization": f"Bearer {token}"}
                return await house.http.request(method, url, headers=headers)

            answers = await refused(house, ask, service)
            assert set(answers.values()) == {401}


@dataclass
class Recording:
    """Stands in the place of a service: what it is sent, it keeps, and passes on."""

    service: Service
    tokens: set[str] = field(default_factory=set[str])

    def built(self) -> Service:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            headers = dict(scope.get("headers", ()))
            given = headers.get(b"authorization", b"").decode()
            self.tokens.add(given.removeprefix("Bearer "))
            await self.service.app(scope, receive, send)

        return replace(self.service, app=app)


async def test_who_took_the_place_of_a_service_gets_nothing_that_is_good_elsewhere(
    house: Open,
) -> None:
    fleet, world = house.fleet, house.world
    spoke = next(each for each in world.spokes if each.name == "cmdb")
    await fleet.stop("cmdb")
    recording = Recording(spoke_service(spoke, fleet.common, fleet.fleet))
    await fleet.start("cmdb", recording.built)

    async def is_back() -> bool:
        return (await world.caller.call("data.cmdb.searchItems", {})).code is None

    await until(is_back)
    await world.call("data.cmdb.createItem", ciClass="server", name="a", attributes={})
    tokens = recording.tokens - {""}
    assert tokens
    mine = [(fleet.token_file).read_text().strip(), (world.closed / "owner_token").read_text()]
    assert not tokens.intersection(each.strip() for each in mine)
    for token in tokens:
        said = jwt.decode(token, options={"verify_signature": False})
        assert said["aud"] == "cmdb" and said["exp"] - said["iat"] <= 60
        for service in (HUB, "linux_cli", "secrets"):

            async def ask(method: str, url: str, token: str = token) -> httpx2.Response:
                headers = {"authorization": f"Bearer {token}"}
                return await house.http.request(method, url, headers=headers)

            assert set((await refused(house, ask, service)).values()) == {401}


def _key_of(folder: Path) -> Ed25519PrivateKey:
    return open_signing_key(folder / "hub")
