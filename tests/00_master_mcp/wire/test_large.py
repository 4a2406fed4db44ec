"""Results of any size come through whole, and the hub holds next to nothing of them."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from tests.processes import stop

from .conftest import connected
from .house import House
from .raw import answer_of, call
from .scripted import OK, Asked, Scripted
from .ways import ALIKE, SOUTHS, THROUGH, Way

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[3]
MIB = 2**20
STREAMED = [
    pytest.param(way, marks=() if str(way) in ALIKE else pytest.mark.real)
    for way in THROUGH
    if not way.shared_stream and way.south.transport != "sse"
]
"""The ways on which an answer has a response of its own from end to end."""


async def result_of(house: House, way: Way, form: str, size: int) -> dict[str, Any]:
    async with house.raw(way) as raw:
        arguments = json.dumps({"bytes": size, "form": form})
        return json.loads(
            await answer_of(raw.send("tools/call", **call("large_result", arguments)))
        )


@pytest.mark.parametrize("way", THROUGH, ids=str)
async def test_eight_megabytes_of_text_come_through(house: House, way: Way) -> None:
    with anyio.fail_after(30):
        answer = await result_of(house, way, "text", 8 * MIB)
    text = answer["result"]["content"][0]["text"]
    assert len(text) == 8 * MIB and not text.strip("x")
    assert answer["result"]["_meta"]["io.flotilla/correlationId"]


@pytest.mark.parametrize(
    "way", [way for way in THROUGH if way.north and way.north.name == way.south.name], ids=str
)
async def test_eight_megabytes_of_structured_content_and_of_both_come_through(
    house: House, way: Way
) -> None:
    for form, size in (("structured", 8 * MIB), ("both", 4 * MIB)):
        with anyio.fail_after(30):
            result = (await result_of(house, way, form, size))["result"]
        fragments = result["structuredContent"]["fragments"]
        assert result["structuredContent"]["bytes"] == size
        assert sum(map(len, fragments)) == size and not "".join(fragments).strip("y")
        assert len(result["content"][0]["text"]) == (size if form == "both" else 0)


@pytest.mark.parametrize("way", THROUGH, ids=str)
async def test_a_large_resource_comes_through(house: House, way: Way) -> None:
    async with house.raw(way) as raw:
        uri = json.dumps(f"test://large/{2 * MIB}")
        answer = json.loads(await answer_of(raw.send("resources/read", uri=uri)))
    assert len(answer["result"]["contents"][0]["text"]) == 2 * MIB


CHUNK = b"0123456789abcdef" * 4096
PROGRESS = b'{"jsonrpc":"2.0","method":"notifications/progress","params":{%s"progress":1}}'


def result_begin(asked: Asked) -> bytes:
    begin = b'{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"'
    return begin % asked.id.encode()


RESULT_END = b'"}],"isError":false}}'


def sizes_of(asked: Asked) -> int:
    return json.loads(asked.body)["params"]["arguments"]["chunks"]


async def in_json(asked: Asked) -> None:
    chunks, begin = sizes_of(asked), result_begin(asked)
    size = len(begin) + chunks * len(CHUNK) + len(RESULT_END)
    head = OK + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % size
    await asked.http(head + begin)
    for _ in range(chunks):
        await asked.http(CHUNK)
    await asked.http(RESULT_END)


async def after_progress(asked: Asked) -> None:
    token = json.loads(asked.body)["params"]["_meta"]["progressToken"]
    await asked.event(PROGRESS % (b'"progressToken":%s,' % json.dumps(token).encode()))
    await asked.raw(b"data: " + result_begin(asked))
    for _ in range(sizes_of(asked)):
        await asked.raw(CHUNK)
    await asked.raw(RESULT_END + b"\n\n")


class Hub:
    """A hub in a process of its own, so that what it holds can be told."""

    def __init__(self, pid: int, port: int, data: Path) -> None:
        self.pid, self.url, self._data = pid, f"http://127.0.0.1:{port}", data

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token_file.read_text().strip()}"}

    @property
    def token_file(self) -> Path:
        return self._data / "admin_token"

    def forget_peak(self) -> int:
        """Resident bytes now; the peak is counted from here on."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        return self._status("VmRSS")

    def peak(self) -> int:
        return self._status("VmHWM")

    def _status(self, name: str) -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        (line,) = [line for line in lines if line.startswith(f"{name}:")]
        return int(line.split()[1]) * 1024


@asynccontextmanager
async def hub_process(folder: Path, port: int, external: dict[str, Any]) -> AsyncGenerator[Hub]:
    (folder / "mcp.json").write_text(json.dumps({"mcpServers": external}))
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "MCP_PORT_BASE": str(port),
        "FLOTILLA_SERVICES": "00",
        "FLOTILLA_DATA_DIR": str(folder / "data"),
        "FLOTILLA_CONFIG_DIR": str(ROOT / "config"),
        "FLOTILLA_MCP_CONFIG": str(folder / "mcp.json"),
        "FLOTILLA_LOG_LEVEL": "ERROR",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "00_master_mcp" / "mcp_server.py"), env=env, cwd=ROOT
    )
    hub = Hub(process.pid, port, folder / "data")
    try:
        async with httpx2.AsyncClient() as http:
            with anyio.fail_after(20):
                while not await _is_up(http, hub):
                    assert process.returncode is None
                    await anyio.sleep(0.05)
        await connected(hub, *external)
        yield hub
    finally:
        await stop(process, signal.SIGTERM, 20)


async def _is_up(http: httpx2.AsyncClient, hub: Hub) -> bool:
    try:
        return (await http.get(f"{hub.url}/health")).status_code == 200
    except httpx2.TransportError:
        return False


@pytest.fixture(scope="module")
async def streaming_house(
    anyio_backend: Any, tmp_path_factory: pytest.TempPathFactory, free_port_once: int
) -> AsyncGenerator[House]:
    folder: Path = tmp_path_factory.mktemp("streaming")
    async with AsyncExitStack() as open_:
        servers: dict[str, Any] = {}
        for south in SOUTHS[:2]:
            tools = {"in_json": in_json, "after_progress": after_progress}
            scripted = Scripted(south, tools)
            servers[south.name] = await open_.enter_async_context(scripted.running())
        external = {south.name: south.entry(servers[south.name].url) for south in SOUTHS[:2]}
        hub = await open_.enter_async_context(hub_process(folder, free_port_once, external))
        yield House(hub, servers)


async def streamed(house: House, way: Way, tool: str, chunks: int) -> int:
    """Call and read without holding: the bytes of the response."""
    size = 0
    async with house.raw(way) as raw:
        marks = {"progressToken": "p"}
        arguments = json.dumps({"chunks": chunks})
        async for piece in raw.pieces("tools/call", marks=marks, **call(tool, arguments)):
            size += len(piece)
    return size


@pytest.mark.parametrize("way", STREAMED, ids=str)
async def test_eight_and_sixty_four_megabytes_stream_through_in_constant_memory(
    streaming_house: House, way: Way
) -> None:
    hub: Any = streaming_house.fleet
    for tool in ("in_json", "after_progress"):
        await streamed(streaming_house, way, tool, 128)  # what is loaded on first use
        for size in (8 * MIB, 64 * MIB):
            before = hub.forget_peak()
            with anyio.fail_after(60):
                got = await streamed(streaming_house, way, tool, size // len(CHUNK))
            assert size < got < size + 2000
            assert hub.peak() - before < 4 * MIB
            # What the audit's database keeps of its pages grows for a while.
            assert hub.forget_peak() - before < 3 * MIB
