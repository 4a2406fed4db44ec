"""Once a server was asked for them, no change of a resource is lost."""

import asyncio
from typing import Any

import anyio
import pytest
from mcp.server.subscriptions import ResourceUpdated

from master import rpc
from master.offer import Offer
from master.upstream.authority import Fixed
from master.upstream.handshake.http import HttpSession
from master.upstream.handshake.speaker import Handshake
from master.upstream.handshake.sse import SseSession
from master.upstream.http import Http
from master.upstream.link import Speaker
from master.upstream.modern import Modern
from master.upstream.pool import ConnectionPool

from .house import House
from .ways import SOUTHS, South

pytestmark = pytest.mark.anyio


class Heard:
    """What a connection tells."""

    def __init__(self) -> None:
        self.offered_ = anyio.Event()
        self.uris: list[str] = []
        self._more = anyio.Event()

    def offered(self, offer: Offer) -> None:
        self.offered_.set()

    def updated(self, uri: str, params: rpc.Texts) -> None:
        self.uris.append(uri)
        self._more.set()

    def said(self, method: str, params: rpc.Texts) -> None:
        return

    async def until(self, uri: str) -> None:
        with anyio.fail_after(5):
            while uri not in self.uris:
                self._more = anyio.Event()
                await self._more.wait()


def speaker_of(south: South, url: str, pool: ConnectionPool) -> Speaker:
    http, authority = Http(south.name, url, pool), Fixed({})
    if south.modern:
        return Modern(http, authority)
    if south.transport == "sse":
        return Handshake(south.name, lambda: SseSession(http, authority, pool))
    return Handshake(south.name, lambda: HttpSession(http, authority))


@pytest.mark.parametrize("south", SOUTHS, ids=lambda south: south.name)
async def test_a_change_right_after_the_watch_is_heard_and_others_are_not_lost_meanwhile(
    house: House, south: South
) -> None:
    served, heard, pool = house.served[south.name], Heard(), ConnectionPool()
    tell: Any = served.world.listeners.tell
    async with pool.running():
        speaker = speaker_of(south, served.url, pool)
        holding = asyncio.create_task(speaker.hold(heard))
        with anyio.fail_after(5):
            await heard.offered_.wait()
        if not south.modern:
            # The stream by which such a server tells is opened beside the session.
            speaker.watch(frozenset({"test://first"}))
            with anyio.fail_after(5):
                while "test://first" not in heard.uris:
                    await tell(ResourceUpdated("test://first"))
                    await anyio.sleep(0.02)
        watched: set[str] = set()
        for number in range(20):
            watched.add(f"test://{number}")
            heard.uris.clear()
            speaker.watch(frozenset(watched))
            if number:
                await tell(ResourceUpdated("test://0"))
                await heard.until("test://0")
            await speaker.watched()
            await tell(ResourceUpdated(f"test://{number}"))
            await heard.until(f"test://{number}")
        speaker.watch(frozenset())
        await speaker.watched()
        heard.uris.clear()
        await tell(ResourceUpdated("test://0"))
        await anyio.sleep(0.1)
        assert heard.uris == []
        holding.cancel()
        await asyncio.wait({holding})
