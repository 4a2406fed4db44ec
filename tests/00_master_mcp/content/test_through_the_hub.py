"""Files through a real hub: refused on their way in, withheld on their way out."""

import base64
import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import MCPError
from pydantic import Base64Bytes

from flotilla import Model, Spoke, reads
from flotilla.resilience import Files
from tests.conftest import InProcessFleet
from tests.everything import Era, serving

from ..wire.conftest import connected
from ..wire.scripted import Asked, Scripted
from ..wire.ways import SOUTHS
from .limited import limited_fleet

pytestmark = pytest.mark.anyio

MODERN = next(each for each in SOUTHS if each.modern)
FILES = Files(max_file_size=200_000, allowed_types=("image/*", "text/*"))


class Kept(Model):
    bytes: int


class Keeper:
    """A spoke that takes files."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []

    async def keep(self, data: Base64Bytes, mimeType: str = "text/csv") -> Kept:  # noqa: N803
        """Keep a file."""
        del mimeType
        self.kept.append(data)
        return Kept(bytes=len(data))

    def spoke(self) -> Spoke:
        tools = (reads("test.keep.keepFile", self.keep),)
        return Spoke(
            name="keep",
            version="1",
            instructions="",
            namespaces=("test.keep",),
            tools=tools,
        )


def image(size: int, mime_type: str = "image/png") -> bytes:
    data = base64.b64encode(b"x" * size).decode()
    return json.dumps({"type": "image", "data": data, "mimeType": mime_type}).encode()


HELLO = b'{"type":"text","text":"hello"}'


def answering(*blocks: bytes) -> Any:
    content = b",".join(blocks)

    async def tool(asked: Asked) -> None:
        await asked.result(
            b'{"content":[%s],"structuredContent":{"kept":true},"isError":false}' % content
        )

    return tool


async def breaking_off(asked: Asked) -> None:
    """A file of 4.7 MB, which is too large to be held."""
    begin = b'{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"image","data":"'
    await asked.raw(b"data: " + begin % asked.id.encode())
    for _ in range(6 * 16):
        await asked.raw(b"A" * 65_536)
    await asked.raw(b'","mimeType":"image/png"}],"isError":false}}\n\n')


@asynccontextmanager
async def house(
    folder: Path, files: Files = FILES
) -> AsyncGenerator[tuple[InProcessFleet, Keeper]]:
    tools = {
        "small": answering(HELLO, image(100), image(100, "application/zip")),
        "large": answering(image(300_000), HELLO, image(150_000)),
        "endless": breaking_off,
    }
    keeper = Keeper()
    async with AsyncExitStack() as open_:
        scripted = await open_.enter_async_context(Scripted(MODERN, tools).running())
        world = await open_.enter_async_context(serving("streamable-http", Era.MODERN))
        external = {"pics": MODERN.entry(scripted.url), "world": MODERN.entry(world.url)}
        fleet = await open_.enter_async_context(
            limited_fleet(folder, [keeper.spoke()], files=files, external=external)
        )
        with anyio.fail_after(20):
            await connected(fleet, *external)
        yield fleet, keeper


def code_of(result: Any) -> str:
    assert result.is_error
    return result.meta["io.flotilla/error"]["code"]


async def test_files_are_refused_and_withheld_by_size_and_type(tmp_path: Path) -> None:
    async with house(tmp_path) as (fleet, keeper), fleet.client() as client:

        async def kept(size: int, mime_type: str) -> Any:
            data = base64.b64encode(b"x" * size).decode()
            return await client.call_tool(
                "test_keep_keepFile", {"data": data, "mimeType": mime_type}
            )

        assert (await kept(100, "image/png")).structured_content == {"bytes": 100}
        large = await kept(200_001, "image/png")
        assert code_of(large) == "too_large"
        assert "services.keep.files.max_file_size" in large.content[0].text
        assert code_of(await kept(1, "application/zip")) == "not_allowed"
        assert [len(each) for each in keeper.kept] == [100], "refused before its service was asked"

        small = await client.call_tool("ext_pics_small", {})
        assert [each.type for each in small.content] == ["text", "image", "text"]
        assert "application/zip" in small.content[2].text
        assert "external.pics.files.allowed_types" in small.content[2].text
        assert small.meta["io.flotilla/withheld"] == 1
        assert small.structured_content == {"kept": True}

        large = await client.call_tool("ext_pics_large", {})
        assert [each.type for each in large.content] == ["text", "text", "image"]
        assert "300000" in large.content[0].text
        assert large.meta["io.flotilla/withheld"] == 1
        assert large.meta["io.flotilla/untrusted"] is True
        assert large.structured_content == {"kept": True}

        picture = await client.read_resource("test://static-binary")
        assert picture.contents
        with pytest.raises(MCPError) as raised:
            await client.read_resource("test://large/200001")
        assert raised.value.error.data["code"] == "too_large"
        with pytest.raises(MCPError) as raised:
            await client.read_resource("test://large/1000000")
        assert raised.value.error.data["code"] == "too_large"


async def test_an_answer_that_cannot_be_held_and_may_not_be_carried_never_looks_whole(
    tmp_path: Path,
) -> None:
    files = Files(max_file_size=4_600_000)
    async with (
        house(tmp_path, files) as (fleet, _),
        httpx2.AsyncClient(headers=fleet.headers, timeout=20) as http,
    ):
        headers = {
            "accept": "application/json, text/event-stream",
            "content-type": "application/json",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": "ext_pics_endless",
        }
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        params = {"name": "ext_pics_endless", "arguments": {}, "_meta": meta}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        received = bytearray()
        with pytest.raises(httpx2.RemoteProtocolError):
            async with http.stream(
                "POST", f"{fleet.url}/mcp", json=body, headers=headers
            ) as response:
                async for chunk in response.aiter_raw():
                    received += chunk
        assert len(received) > 2**20
        with pytest.raises(json.JSONDecodeError):
            json.loads(received.removeprefix(b"event: message\r\ndata: "))
        async with fleet.client() as client:
            assert (await client.call_tool("ext_pics_small", {})).content
        told = (await http.get(f"{fleet.url}/metrics")).text
        assert 'mcp_errors_total{error_type="too_large",service="pics"} 1.0' in told
