"""A client of the hub that calls infra.k8s.* and says plainly what came back."""

import json
from dataclasses import dataclass
from typing import Any

from mcp import Client

from tests.backends.kube.emulator import KubeEmulator
from tests.backends.tls_server import TlsServer


@dataclass
class KubeClient:
    """Calls tools by their action; `cluster` is `main` unless said."""

    client: Client

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The answer of a call that must succeed."""
        result = await self.raw(tool, **arguments)
        assert not result.is_error, result.content[0].text
        assert result.structured_content is not None
        return result.structured_content

    async def refused(self, code: str, tool: str, **arguments: Any) -> dict[str, Any]:
        """The error object of a call that must fail with that code."""
        result = await self.raw(tool, **arguments)
        assert result.is_error, result.structured_content
        error = json.loads(result.content[0].text)["error"]
        assert error["code"] == code, error
        return error

    async def raw(self, tool: str, **arguments: Any) -> Any:
        return await self.client.call_tool(f"infra.k8s.{tool}", {"cluster": "main", **arguments})


@dataclass
class KubeFleet(KubeClient):
    """With the emulator behind the spoke, and the server before it with faults.

    Clusters: `main` as an admin, `reader` as a user who may only read, of one emulator.
    """

    kube: KubeEmulator
    server: TlsServer

    def asked(self, path: str) -> list[str]:
        """The requests of the API server, `GET /path?query`, that have `path` in them."""
        told = (f"{each.method} {each.path}" for each in self.server.asked)
        return [each for each in told if path in each]
