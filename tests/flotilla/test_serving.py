"""A spoke on its own port: whom it serves, how it starts again, how it stops."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import httpx2
import orjson
import pytest

from flotilla import (
    CommonSettings,
    Context,
    Misconfigured,
    Model,
    Principal,
    Spoke,
    destroys,
    reads,
)
from flotilla.fleet import FleetConfig, ServiceEntry
from flotilla.identity import Signer, open_signing_key
from flotilla.serving.run import CannotListen, Running, listen
from flotilla.serving.spokes import spoke_service

pytestmark = pytest.mark.anyio

ANN = Principal("ann", ("admin",))


class Said(Model):
    by: str


class Shop:
    def __init__(self) -> None:
        self.failures = 0
        self.opened = 0

    async def look(self, *, context: Context) -> Said:
        """Look."""
        return Said(by=context.principal.name)

    async def burn(self, *, context: Context) -> Said:
        """Burn."""
        return Said(by=context.principal.name)

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        self.opened += 1
        if self.opened <= self.failures:
            raise ConnectionError("the database is away")
        yield

    def spoke(self) -> Spoke:
        return Spoke(
            name="shop",
            version="1",
            instructions="",
            namespaces=("test.shop",),
            tools=(reads("test.shop.look", self.look), destroys("test.shop.burn", self.burn)),
            lifespan=self.lifespan,
        )


@pytest.fixture
def signer(tmp_path) -> Signer:
    return Signer(open_signing_key(tmp_path / "hub"))


@pytest.fixture
async def serve_shop(tmp_path, free_port):
    """Serve a shop on a free port; its service and base URL."""

    @asynccontextmanager
    async def served(shop: Shop) -> AsyncGenerator[tuple[Running, str]]:
        common = CommonSettings(data_dir=tmp_path, shutdown_grace_s=2)
        entry = ServiceEntry(number=1, port=free_port(), namespaces=("test.shop",))
        fleet = FleetConfig({"shop": entry}, {})
        running, stop = Running(lambda: spoke_service(shop.spoke(), common, fleet)), asyncio.Event()
        task = asyncio.create_task(running.keep_up(stop))
        with anyio.fail_after(10):
            await running.started()
        yield running, f"http://127.0.0.1:{entry.port}"
        stop.set()
        await running.wind_down()
        await task

    return served


def call_of(tool: str) -> tuple[bytes, dict[str, str]]:
    said = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": tool, "arguments": {}, "_meta": said}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": tool,
    }
    return orjson.dumps(body), headers


async def post(url: str, tool: str, token: str | None, body: bytes | None = None):
    own, headers = call_of(tool)
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    async with httpx2.AsyncClient() as http:
        return await http.post(f"{url}/mcp", content=own if body is None else body, headers=headers)


async def test_only_the_hubs_word_for_this_spoke_is_taken(serve_shop, signer, tmp_path) -> None:
    stranger = Signer(open_signing_key(tmp_path / "stranger"))
    async with serve_shop(Shop()) as (_, url):
        served = await post(url, "test.shop.look", signer.token("shop", ANN))
        assert served.json()["result"]["structuredContent"] == {"by": "ann"}
        for token in (None, "nonsense", signer.token("cmdb", ANN), stranger.token("shop", ANN)):
            assert (await post(url, "test.shop.look", token)).status_code == 401


async def test_a_destructive_call_runs_once_approved_and_with_its_own_body(
    serve_shop, signer
) -> None:
    body, _ = call_of("test.shop.burn")
    good = signer.token_for_call("shop", ANN, tool="test.shop.burn", body=body)
    other_tool = signer.token_for_call("shop", ANN, tool="test.shop.look", body=body)
    async with serve_shop(Shop()) as (_, url):
        assert (await post(url, "test.shop.burn", good)).json()["result"]["isError"] is False
        for token in (signer.token("shop", ANN), other_tool):
            refused = (await post(url, "test.shop.burn", token)).json()["result"]
            assert "approval_required" in refused["content"][0]["text"]
        swapped = body.replace(b'"arguments":{}', b'"arguments":{"x":1}')
        assert (await post(url, "test.shop.burn", good, swapped)).status_code == 401


async def test_a_spoke_without_the_hubs_key_says_so_and_serves_once_it_is_there(
    serve_shop, tmp_path
) -> None:
    async with serve_shop(Shop()) as (_, url), httpx2.AsyncClient() as http:
        waiting = await http.get(f"{url}/ready")
        assert waiting.status_code == 503
        assert "public key" in waiting.json()["reason"]
        assert (await http.get(f"{url}/health")).status_code == 200
        token = Signer(open_signing_key(tmp_path / "hub")).token("shop", ANN)
        assert (await http.get(f"{url}/ready")).status_code == 200
        assert (await post(url, "test.shop.look", token)).status_code == 200


async def test_a_service_that_fails_to_start_is_built_again(serve_shop, signer) -> None:
    shop = Shop()
    shop.failures = 2
    async with serve_shop(shop) as (_, url):
        assert shop.opened == 3
        assert (await post(url, "test.shop.look", signer.token("shop", ANN))).status_code == 200


async def test_a_port_in_use_is_told_with_what_to_set(serve_shop) -> None:
    async with serve_shop(Shop()) as (running, _):
        with pytest.raises(CannotListen, match="MCP_PORT_SHOP") as raised:
            listen(running.service)
    assert isinstance(raised.value, Misconfigured)
    assert str(running.service.port) in str(raised.value)


async def test_metrics_answer_loopback_or_the_scrape_token(tmp_path, free_port) -> None:
    common = CommonSettings(data_dir=tmp_path, metrics_token="scrape-me-please")
    entry = ServiceEntry(number=1, port=free_port(), namespaces=("test.shop",))
    app = spoke_service(Shop().spoke(), common, FleetConfig({"shop": entry}, {})).app

    async def status(client: str, **headers: str) -> int:
        transport = httpx2.ASGITransport(app, client=(client, 5))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return (await http.get("/metrics", headers=headers)).status_code

    assert await status("127.0.0.1") == 401
    assert await status("127.0.0.1", authorization="Bearer wrong") == 401
    assert await status("192.0.2.7", authorization="Bearer scrape-me-please") == 200
