"""WebSockets: none without a judge's word, and then bytes."""

import pytest

from web_browsing.gate.visitor import PASS, Outgoing, Ruling

from .conftest import SITE, Connection, Gated

pytestmark = pytest.mark.anyio

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


async def echo(connection: Connection) -> None:
    head = await connection.request()
    if b"Upgrade: websocket" not in head:
        connection.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain")
        return
    # The first frame comes at once with the answer.
    connection.writer.write(SWITCHED + b"hello")
    while data := await connection.reader.read(1000):
        connection.writer.write(data.upper())
        if data == b"bye":
            return


@pytest.mark.parametrize("secure", [False, True])
async def test_a_websocket_that_is_allowed_passes_bytes(gated: Gated, secure: bool) -> None:
    asked: list[Outgoing] = []

    async def judge(outgoing: Outgoing) -> Ruling:
        asked.append(outgoing)
        return PASS

    tls = gated.authority.context(SITE) if secure else None
    async with gated.site(echo, tls=tls) as site, gated.gate(site, judge=judge) as entrance:
        if secure:
            caller = await entrance.call_into(f"{SITE}:{site.port}")
        else:
            caller = await entrance.call()
            assert await caller.into(f"{SITE}:{site.port}") == 200
        status, headers, _ = await caller.ask(UPGRADE)
        assert (status, headers["upgrade"]) == (101, "websocket")
        assert headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert await caller.reader.readexactly(5) == b"hello"
        await caller.send(b"x" * 900)
        assert await caller.reader.readexactly(900) == b"X" * 900
        await caller.send(b"bye")
        assert await caller.end() == b"BYE"
        (outgoing,) = asked
        assert (outgoing.method, outgoing.upgrade) == ("GET", "websocket")
        assert outgoing.header("sec-websocket-version") == "13"


async def test_a_websocket_that_is_not_allowed_never_reaches_its_server(gated: Gated) -> None:
    async def judge(outgoing: Outgoing) -> Ruling:
        del outgoing
        return Ruling("websocket", "No WebSockets.")

    async with (
        gated.site(echo, tls=gated.authority.context(SITE)) as site,
        gated.gate(site, judge=judge) as entrance,
    ):
        caller = await entrance.call_into(f"{SITE}:{site.port}")
        for spelled in (UPGRADE, UPGRADE.replace(b"websocket", b"WebSocket", 1)):
            status, headers, _ = await caller.ask(spelled)
            assert (status, headers["x-flotilla-refused"]) == (403, "websocket")
        assert site.connections == []
        assert entrance.reasons() == ["websocket"] * 2


async def test_another_protocol_is_not_offered_to_the_server(gated: Gated) -> None:
    async def judge(outgoing: Outgoing) -> Ruling:
        raise AssertionError(outgoing)

    async with gated.site(echo) as site:
        h2c = UPGRADE.replace(b"Upgrade: websocket", b"Upgrade: h2c").replace(
            b"/ws", f"http://{SITE}:{site.port}/ws".encode()
        )
        async with gated.gate(site, judge=judge) as entrance:
            caller = await entrance.call()
            assert (await caller.ask(h2c))[2] == b"plain"
        # Nor a WebSocket, where nobody judges.
        async with gated.gate(site) as entrance:
            caller = await entrance.call()
            assert (await caller.ask(h2c.replace(b"h2c", b"websocket")))[2] == b"plain"


async def test_a_server_that_switches_unasked_is_not_followed(gated: Gated) -> None:
    async def switching(connection: Connection) -> None:
        await connection.request()
        connection.writer.write(SWITCHED + b"hello")

    async with gated.site(switching) as site, gated.gate(site) as entrance:
        caller = await entrance.call()
        ask = f"GET http://{SITE}:{site.port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        status, headers, _ = await caller.ask(ask)
        assert (status, headers["x-flotilla-refused"]) == (502, "unreachable")
