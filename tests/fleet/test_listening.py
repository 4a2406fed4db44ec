"""What tests listen by ends without leaving a connection open."""

import asyncio
import gc
import socket
from contextlib import suppress

import pytest

from tests.listening import PASSES, stop_listening

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("passes", range(PASSES + 2))
async def test_a_connection_of_the_last_moment_is_in_good_hands(passes: int) -> None:
    met: list[asyncio.StreamWriter] = []

    async def meet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met.append(writer)

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    with socket.create_connection(server.sockets[0].getsockname()) as client:
        for _ in range(passes):
            await asyncio.sleep(0)
        await stop_listening(server)
        for each in met:
            each.transport.abort()
            with suppress(ConnectionError):
                await each.wait_closed()
        client.settimeout(1)
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""
    # What is left open is warned of, which is an error here.
    gc.collect()
