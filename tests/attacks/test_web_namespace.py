"""An inside that is a network of its own: nothing goes there, not one packet, by any name.

Two machines are played in network namespaces: one of the attacker's at a public address, one of the
inside at a private one. No exception is set: the rules are as they are shipped.
"""

import asyncio
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from tests.conftest import until
from web_browsing.gate.resolving import REMEMBERED_S

from .web_world import FOUND, Names, Web, opened_web

pytestmark = [pytest.mark.anyio, pytest.mark.real]

RESTED_S = 1.5
PUBLIC, PRIVATE = "198.41.0.4", "10.213.77.2"
"""The first is let through as an address of the internet; during the test it is a namespace's."""
REBOUND, LATER, MIXED, INWARD, OUTWARD = (
    f"{each}.test" for each in ("rebound", "later", "mixed", "inward", "outward")
)


@dataclass
class Machine:
    """One that is played; what it heard, a line each."""

    address: str
    heard: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def requests(self) -> list[str]:
        return [each["request"] for each in self.heard if "request" in each]

    def packets(self) -> list[dict[str, Any]]:
        return [each for each in self.heard if "packet" in each]


def ip(*words: str) -> bool:
    done = subprocess.run(["ip", *words], capture_output=True, timeout=10, check=False)
    return done.returncode == 0


@asynccontextmanager
async def machine(number: int, near: str, far: str) -> AsyncGenerator[Machine]:
    """A machine at `far`, reached from here by `near`, which is this machine's end of the link."""
    name, link = f"flotilla-{os.getpid()}-{number}", f"fl{os.getpid() % 100_000}x{number}"
    if not ip("netns", "add", name):
        pytest.skip("network namespaces are not allowed here")
    try:
        made = (
            ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
            and ip("addr", "add", near, "peer", far, "dev", link)
            and ip("link", "set", link, "up")
            and ip("-n", name, "addr", "add", far, "peer", near, "dev", "eth0")
            and ip("-n", name, "link", "set", "eth0", "up")
            and ip("-n", name, "link", "set", "lo", "up")
        )
        if not made:
            pytest.skip("a namespace cannot be given a link here")
        async with listening(name, far) as played:
            yield played
    finally:
        ip("netns", "del", name)
        ip("link", "del", link)


@asynccontextmanager
async def listening(namespace: str, address: str) -> AsyncGenerator[Machine]:
    canary = Path(__file__).with_name("web_canary.py")
    process = await asyncio.create_subprocess_exec(
        "ip", "netns", "exec", namespace, sys.executable, "-I", canary, stdout=subprocess.PIPE
    )
    played = Machine(address)

    async def hear() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            played.heard.append(json.loads(line))

    hearing = asyncio.create_task(hear())
    try:
        await until(lambda: played.heard)
        played.heard.clear()
        yield played
    finally:
        process.kill()
        await process.wait()
        await hearing


@dataclass
class Networks:
    outside: Machine
    inside: Machine
    web: Web


def dns() -> Names:
    """What each name is, in turn: the first two are how rebinding is tried."""
    answers: dict[str, Sequence[Sequence[str]]] = {
        OUTWARD: [[PUBLIC]],
        INWARD: [[PRIVATE]],
        MIXED: [[PUBLIC, PRIVATE], [PRIVATE, PUBLIC]],
        REBOUND: [[PUBLIC], [PRIVATE]],
        LATER: [[PUBLIC], [PUBLIC, PRIVATE], ["::ffff:" + PRIVATE]],
    }
    return Names(answers)


@asynccontextmanager
async def alone_with_its_addresses() -> AsyncGenerator[None]:
    """One run of the tests at a time on a machine."""
    with Path(tempfile.gettempdir(), "flotilla-networks.lock").open("w") as lock:
        await to_thread.run_sync(fcntl.flock, lock, fcntl.LOCK_EX)
        yield


@asynccontextmanager
async def networks(folder: Path, **more: Any) -> AsyncGenerator[Networks]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and iproute2")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(alone_with_its_addresses())
        outside = await stack.enter_async_context(machine(1, "198.41.0.9", PUBLIC))
        inside = await stack.enter_async_context(machine(2, "10.213.77.1", PRIVATE))
        web = await stack.enter_async_context(opened_web(folder, dns=dns(), **more))
        yield Networks(outside, inside, web)


async def test_not_one_packet_goes_inside_for_a_page_that_is_fetched(tmp_path: Path) -> None:
    async with networks(tmp_path) as played:
        web = played.web
        never: dict[str, Any] = {"render": "never"}
        for host in (PUBLIC, OUTWARD, REBOUND, LATER):
            page = await web.call("fetchPage", url=f"http://{host}/{host}", fresh=True, **never)
            assert FOUND in page["text"]
        assert len(played.outside.requests()) == 4
        for host in (PRIVATE, INWARD, MIXED, f"[::ffff:{PRIVATE}]", f"[64:ff9b::{PRIVATE}]"):
            for url in (f"http://{host}/", f"http://{PUBLIC}/leads?{host}"):
                result = await web.result("fetchPage", url=url, fresh=True, **never)
                assert result["isError"], url
        assert played.inside.heard == []


async def test_a_name_that_changes_is_judged_anew_when_it_is_looked_up_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then the address that was judged is the one that is connected to."""
    now = [0.0]
    async with networks(tmp_path, clock=lambda: now[0]) as played:
        web = played.web
        for host in (REBOUND, LATER):
            for count in range(3):
                given = {"url": f"http://{host}/{count}", "render": "never", "fresh": True}
                assert FOUND in (await web.call("fetchPage", **given))["text"]
            assert web.names.asked.count(host) == 1
        for again in range(2):
            now[0] += REMEMBERED_S + 1
            for host in (REBOUND, LATER):
                told = await web.refusal(
                    "fetchPage", url=f"http://{host}/anew{again}", render="never"
                )
                assert told.reason == "private_address"
        assert web.names.asked.count(REBOUND) == 3
        assert played.inside.heard == []


async def test_not_one_packet_goes_inside_from_a_real_browser(tmp_path: Path) -> None:
    """Also of a page that is bound anew while it is open (DNS rebinding)."""
    now = [0.0]
    async with networks(tmp_path, clock=lambda: now[0]) as played:
        web = played.web
        hosts = (PRIVATE, INWARD, MIXED, f"[::ffff:{PRIVATE}]", "0x0ad54d02", "181751042")
        script = f"""() => {{
            for (const host of {list(hosts)!r}) for (const method of ['GET', 'POST'])
                try {{ fetch(`http://${{host}}/`, {{method, mode: 'no-cors'}}).catch(() => 0) }}
                catch {{}}
            new WebSocket('ws://{PRIVATE}/');
            const peer = new RTCPeerConnection({{iceServers: [{{urls: 'stun:{PRIVATE}:3478'}}]}});
            peer.createDataChannel('x');
            peer.createOffer().then(each => peer.setLocalDescription(each));
            return 'tried' }}"""
        async with web.session() as session:
            held: dict[str, Any] = {"sessionId": session.id}
            await web.call("navigate", **held, url=f"http://{REBOUND}/")
            assert FOUND in (await web.call("snapshot", **held))["snapshot"]
            await web.call("evaluateScript", **held, script=script)
            await until(lambda: len(session.visitor.refusals) >= len(hosts))
            await asyncio.sleep(RESTED_S)
            # Even what a person would allow goes no further, once its place leads elsewhere.
            assert session.sending.held() == ()
            sends = f"void fetch('http://{REBOUND}/sent', {{method: 'POST', body: 'x'}})"
            await web.call("evaluateScript", **held, script=sends)
            await until(session.sending.held)
            (waits,) = session.sending.held()
            now[0] += REMEMBERED_S + 1
            released = await web.result("submitForm", **held, heldId=waits.id)
            assert session.sending.held() == (), released
            again = f"fetch('http://{REBOUND}/again').then(r => r.text()).catch(() => 'nothing')"
            got = (await web.call("evaluateScript", **held, script=again))["value"]
            assert got == "nothing" or FOUND not in got
            for url in (f"http://{PRIVATE}/", f"http://{PUBLIC}/leads?{PRIVATE}"):
                assert (await web.refusal("navigate", **held, url=url)).code == "not_allowed"
        assert played.outside.requests()
        assert not any(each.startswith("POST") for each in played.outside.requests())
        assert played.inside.heard == []


async def test_with_an_exception_the_inside_is_reached(tmp_path: Path) -> None:
    """So that the others can fail: the canary hears each packet."""
    async with networks(tmp_path, private=f"{PRIVATE}:80") as played:
        page = await played.web.call("fetchPage", url=f"http://{PRIVATE}/", render="never")
        assert FOUND in page["text"]
        assert played.inside.requests() == ["GET / HTTP/1.1"]
        await until(lambda: len(played.inside.packets()) > 3)
