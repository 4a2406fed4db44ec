"""One hub with a fixture server of each kind behind it, and clients to each of them."""

import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import httpx2
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from tests.everything import Serving, World

from .raw import Handshake, Modern, Raw, Sse
from .ways import Way

# To read the authorities of TLS takes 20 ms, and there is none on loopback.
_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _http(headers: dict[str, str] | None = None, **more: Any) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(headers=headers, verify=_TLS, **{"timeout": 60, **more})


@dataclass(frozen=True)
class House:
    """`fleet` is the hub's, `served` are the servers by their names in it."""

    fleet: Any
    served: Mapping[str, Serving]

    def world(self, way: Way) -> World:
        return self.served[way.south.twin].world

    def url(self, way: Way, view: str | None = None) -> str:
        """Where the client of a way connects; `view` is the path before `/mcp` and `/sse`."""
        if way.north is None:
            return self.served[way.south.twin].url
        path = f"/servers/{way.south.name}" if view is None else view
        return f"{self.fleet.url}{path}/{'sse' if way.north.sse else 'mcp'}"

    def headers(self, way: Way) -> dict[str, str]:
        return {} if way.direct else self.fleet.headers

    @asynccontextmanager
    async def client(
        self,
        way: Way,
        view: str | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> AsyncGenerator[Client]:
        """A client of the SDK; by default it sees its server alone, under its own names."""
        url, sent = self.url(way, view), {**self.headers(way), **(headers or {})}
        if way.shared_stream:
            opened, finished = sse_client(url, headers=sent, httpx_client_factory=_http), False
            try:
                async with Client(opened, mode="legacy", **more) as client:
                    yield client
                    finished = True
            except* anyio.BrokenResourceError:
                # The SDK's reader breaks when a message comes to a client that is just closing.
                if not finished:
                    raise
            return
        async with (
            _http(sent) as http,
            Client(streamable_http_client(url, http_client=http), mode=way.mode, **more) as client,
        ):
            yield client

    @asynccontextmanager
    async def raw(
        self, way: Way, view: str | None = None, capabilities: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[Raw]:
        """A client that sees every byte."""
        kind = Sse if way.shared_stream else Modern if way.modern else Handshake
        headers = self.headers(way)
        async with _http(headers) as http:
            raw = kind(http, self.url(way, view), capabilities or {})
            async with raw.open():
                yield raw
