"""What a small request costs the hub's HTTP client: µs of CPU of this process, ours and aiohttp's.

usage: python3 benchmarks/http_client.py [--requests 1000] [--rounds 9]

Both send the same POST of 1 KiB, with the headers of a call, to the same server in a process of its
own, and read the answer whole, in turns; the least of the rounds counts. The floor is the same
bytes over a bare asyncio protocol that reads nothing out of them: what is above it is HTTP. Quote
the ratio: machines are noisy.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "00_master_mcp")]

import uvloop  # noqa: E402

from master.upstream.transport.client import Client  # noqa: E402
from master.upstream.transport.head import request_head  # noqa: E402
from master.upstream.transport.plain import PlainClient  # noqa: E402
from master.upstream.transport.target import Target  # noqa: E402
from master.upstream.transport.with_aiohttp import AiohttpClient  # noqa: E402

BODY = b"x" * 1300
ANSWER = (
    b"HTTP/1.1 200 OK\r\ndate: Sat, 21 Nov 2026 08:40:05 GMT\r\nserver: echo\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
) % (len(BODY), BODY)
HEADERS = {
    "authorization": "Bearer " + "t" * 300,
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
    "mcp-name": "bench.echo.say",
    "x-correlation-id": "019a9d3e-5f2c-7b11-9c3e-2f6d1c0b7a55",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}
WHOLE_BYTES = 256 * 1024

One = Callable[[], Awaitable[None]]


class Answering(asyncio.Protocol):
    """Answers every request, which comes in one piece here, with the same bytes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if data.endswith(BODY):
            self._transport.write(ANSWER)


class Bare(asyncio.Protocol):
    def __init__(self) -> None:
        self.answered: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.answered is not None and data.endswith(BODY):
            self.answered.set_result(None)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def through(client: Client, target: Target) -> One:
    async def one() -> None:
        response = await client.request("POST", target, HEADERS, BODY, time.monotonic() + 60)
        try:
            assert len(await response.begin(WHOLE_BYTES)) == len(BODY)
        finally:
            response.close()

    return one


async def floor(target: Target) -> One:
    loop = asyncio.get_running_loop()
    _, bare = await loop.create_connection(Bare, target.host, target.port)
    request = request_head("POST", target, HEADERS, len(BODY)) + BODY

    async def one() -> None:
        bare.answered = loop.create_future()
        bare.transport.write(request)
        await bare.answered

    return one


async def measure(port: int, requests: int, rounds: int) -> dict[str, float]:
    """The least µs of CPU a request, by what sent it."""
    target = Target.of(f"http://127.0.0.1:{port}/mcp", "echo")
    plain, general = PlainClient(), AiohttpClient()
    ones = {
        "floor": await floor(target),
        "plain": through(plain, target),
        "aiohttp": through(general, target),
    }
    least = dict.fromkeys(ones, float("inf"))
    for _ in range(rounds):
        for name, one in ones.items():
            started = time.process_time()
            for _ in range(requests):
                await one()
            took_us = (time.process_time() - started) / requests * 1e6
            least[name] = min(least[name], took_us)
    await plain.close()
    await general.close()
    return least


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments: Any = parser.parse_args()
    if arguments.serve:
        uvloop.run(serve())
        return
    with subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            least = uvloop.run(measure(port, arguments.requests, arguments.rounds))
        finally:
            server.terminate()
    for name, took_us in least.items():
        print(f"{name:8} {took_us:6.1f} µs")
    print(f"ours takes {least['plain'] / least['aiohttp']:.2f} of aiohttp's CPU", end=", ")
    print(f"{least['plain'] / least['floor']:.1f} of the floor's")


if __name__ == "__main__":
    main()
