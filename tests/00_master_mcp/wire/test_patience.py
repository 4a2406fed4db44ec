"""A question that nobody answers is given up in time, and its request with it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import anyio
import pytest

from flotilla import Deadline, Principal
from master import rpc
from master.call import Call
from master.catalogue import Entry, View
from master.offer import Offer
from master.streaming.splitter import Piece
from master.upstream.authority import Fixed
from master.upstream.handshake.http import HttpSession
from master.upstream.handshake.speaker import Handshake
from master.upstream.http import Http
from master.upstream.pool import ConnectionPool

from .house import House

pytestmark = pytest.mark.anyio

PATIENCE_S = 0.2


class Deaf:
    """A client that hears nothing, of a connection that only has to stand."""

    def __init__(self) -> None:
        self.there = anyio.Event()

    async def notify(self, method: str, params: Mapping[str, str]) -> None:
        return

    async def report(self, progress: float, total: float | None, said: str | None) -> None:
        return

    async def pour(self, pieces: AsyncIterator[Piece]) -> bool:
        raise AssertionError("no answer is large here")

    def offered(self, offer: Offer) -> None:
        self.there.set()

    def updated(self, uri: str, params: rpc.Texts) -> None:
        return

    def said(self, method: str, params: rpc.Texts) -> None:
        return


def asking(client: Deaf) -> Call:
    return Call(
        principal=Principal("ann"),
        name="ask_in_turn",
        params={"name": '"ask_in_turn"', "arguments": '{"count":1}'},
        arguments={"count": 1},
        meta={},
        correlation_id="c",
        traceparent=None,
        view=View(),
        capabilities={"elicitation": {"form": {}}},
        arrived=0,
        hearer=client,
        target=Entry("ask_in_turn", "handshake", {}),
        deadline=Deadline.after(10),
    )


async def test_a_question_answered_too_late_is_no_question_any_more(house: House) -> None:
    client, pool = Deaf(), ConnectionPool()
    http = Http("handshake", house.served["handshake"].url, pool)
    async with pool.running():
        speaker = Handshake(
            "handshake", lambda: HttpSession(http, Fixed({})), question_s=PATIENCE_S
        )
        holding = asyncio.create_task(speaker.hold(client))
        with anyio.fail_after(5):
            await client.there.wait()
        call = asking(client)
        asked = await speaker.send(call)
        assert asked.asks
        await anyio.sleep(2 * PATIENCE_S)
        again = {**call.params, "requestState": asked.texts["requestState"]}
        with pytest.raises(rpc.RpcError) as raised:
            await speaker.send(replace(call, params=again))
        assert raised.value.code == rpc.INVALID_PARAMS
        stranger = await speaker.send(call)
        taken = {**call.params, "requestState": stranger.texts["requestState"]}
        with pytest.raises(rpc.RpcError):
            await speaker.send(replace(call, params=taken, principal=Principal("bob")))
        holding.cancel()
        await asyncio.wait({holding})
