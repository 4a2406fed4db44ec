"""Which client sends what."""

import anyio
import pytest

from flotilla import Deadline, FlotillaError
from master.upstream.http import Http
from master.upstream.pool import ConnectionPool
from master.upstream.transport.plain import PlainClient
from master.upstream.transport.target import BadAddress, Target
from master.upstream.transport.with_aiohttp import AiohttpClient

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://127.0.0.1:8001/mcp", PlainClient),
        ("http://spoke/mcp?x=1", PlainClient),
        ("https://mcp.example/mcp", AiohttpClient),
        ("http://me:secret@mcp.example/mcp", AiohttpClient),
    ],
)
async def test_our_own_client_sends_what_it_can(url: str, kind: type) -> None:
    pool = ConnectionPool()
    async with pool.running():
        assert type(pool.client(Target.of(url, "spoke"))) is kind


async def test_a_wrong_address_hurts_its_own_server_alone() -> None:
    pool = ConnectionPool()
    http = Http("wrong", "http://host:port/mcp", pool)  # and nothing happens
    async with pool.running():
        with anyio.fail_after(5), pytest.raises(BadAddress) as raised:
            await http.request(b"{}", {}, Deadline.after(1))
        assert isinstance(raised.value, FlotillaError)
