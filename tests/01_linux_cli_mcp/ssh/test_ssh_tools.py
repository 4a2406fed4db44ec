"""listHosts, testConnection and tunnels."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from tests.backends.sshd_server import Sshd, make_key, running
from tests.conftest import until

from .conftest import Site

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def shouting() -> AsyncGenerator[int]:
    """A server on loopback that answers in capitals; its port."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            async for data in stream:
                await stream.send(data.upper())

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, serve)
        yield listener.extra(SocketAttribute.local_port)
        group.cancel_scope.cancel()


async def said(port: int, text: bytes) -> bytes:
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(text)
        with anyio.fail_after(5):
            return await stream.receive()


async def test_the_inventory_is_listed_without_asking_anybody(site: Site, target: Sshd) -> None:
    site.hosts["local"] = {"tags": ["here"]}
    site.add("there", target, tags=["web"], tunnels=["127.0.0.1:80"])
    site.add("new", target, trusted=False, tags=["web"], jump="there")
    async with site.open() as call:
        found = (await call("os.ssh.listHosts"))["items"]
        assert [one["host"] for one in found] == ["local", "there", "new"]
        assert [one["trusted"] for one in found] == [True, True, False]
        assert found[1]["tunnelTargets"] == ["127.0.0.1:80"] and found[2]["jump"] == "there"
        assert not found[1]["connected"] and "key" not in found[1]
        web = (await call("os.ssh.listHosts", tag="web"))["items"]
        assert [one["host"] for one in web] == ["there", "new"]


async def test_a_raw_address_is_no_host(site: Site, target: Sshd) -> None:
    site.add("there", target)
    async with site.open() as call:
        for host in ("127.0.0.1", f"127.0.0.1:{target.port}", "root@there", "there ", "THERE"):
            assert (await call("runCommand", command="id", host=host))["error"] == "not_found"
            assert (await call("os.ssh.testConnection", host=host))["error"] == "not_found"


@pytest.mark.real
async def test_without_hosts_over_ssh_the_tools_say_so(site: Site) -> None:
    async with site.open() as call:
        assert [one["host"] for one in (await call("os.ssh.listHosts"))["items"]] == ["local"]
        assert (await call("os.ssh.testConnection", host="x"))["error"] == "not_found"
        closed = await call("os.ssh.closeTunnel", tunnelId="0" * 16)
        assert closed["error"] == "not_configured"


async def test_a_connection_is_tested_step_by_step(
    site: Site, target: Sshd, sshd_at: str, client_key: Path, tmp_path: Path
) -> None:
    with running(Sshd(sshd_at, tmp_path / "bastion", client_key)) as bastion:
        stranger = make_key(tmp_path / "stranger")
        site.add("edge", bastion)
        site.add("inner", target, jump="edge")
        site.add("new", target, trusted=False)
        site.add("refused", target, key=str(stranger))
        async with site.open() as call:
            direct = await call("os.ssh.testConnection", host="edge")
            assert direct["ok"] and [one["name"] for one in direct["steps"]] == [
                *("resolve", "tcp", "hostKey", "authenticate", "command", "sftp")
            ]
            assert all(one["ok"] and one["durationMs"] >= 0 for one in direct["steps"])
            assert target.user in direct["steps"][4]["detail"]
            inner = await call("os.ssh.testConnection", host="inner")
            assert inner["ok"] and inner["steps"][0]["name"] == "jump"
            new = await call("os.ssh.testConnection", host="new")
            assert (new["ok"], new["code"]) == (False, "not_allowed")
            assert new["steps"][-1]["name"] == "hostKey" and not new["steps"][-1]["ok"]
            assert "hosts trust new" in new["hint"]
            refused = await call("os.ssh.testConnection", host="refused")
            last = refused["steps"][-1]
            assert (last["name"], last["ok"]) == ("authenticate", False)
            bastion.stop()
            gone = await call("os.ssh.testConnection", host="edge")
            assert gone["code"] == "unavailable"
            assert gone["steps"][-1]["name"] == "tcp" and not gone["steps"][-1]["ok"]


async def test_a_tunnel_leads_where_the_inventory_allows(site: Site, own_target: Sshd) -> None:
    own_target.start()
    async with shouting() as port:
        goal = f"127.0.0.1:{port}"
        site.add("there", own_target, tunnels=[goal, "127.0.0.1:1"])
        async with site.open() as call:
            for wrong in ("127.0.0.1:22", f"localhost:{port}", f"127.0.0.1:{port} ", "x"):
                refused = await call("os.ssh.openTunnel", host="there", target=wrong)
                assert refused["error"] == "not_allowed", wrong
            way = await call("os.ssh.openTunnel", host="there", target=goal)
            assert way["address"] == "127.0.0.1" and way["openedBy"] == "ada"
            assert await said(way["port"], b"hello") == b"HELLO"
            assert f"target 127.0.0.1 port {port}" in own_target.log
            listed = (await call("os.ssh.listHosts"))["items"][1]["tunnels"]
            assert [one["id"] for one in listed] == [way["id"]]
            dead = await call("os.ssh.openTunnel", host="there", target="127.0.0.1:1")
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await said(dead["port"], b"anybody?")
            assert await said(way["port"], b"still") == b"STILL"
            async with await anyio.connect_tcp("127.0.0.1", way["port"]) as kept:
                await kept.send(b"a")
                assert await kept.receive() == b"A"
                await call("os.ssh.closeTunnel", tunnelId=way["id"])
                with (
                    anyio.fail_after(5),
                    pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)),
                ):
                    await kept.receive()
            with pytest.raises(OSError):
                await anyio.connect_tcp("127.0.0.1", way["port"])
            gone = await call("os.ssh.closeTunnel", tunnelId=way["id"])
            assert gone["error"] == "not_found"


@pytest.mark.real
async def test_a_tunnel_closes_at_its_time_and_with_the_connection(
    site: Site, own_target: Sshd
) -> None:
    own_target.start()
    async with shouting() as port:
        site.add("there", own_target, tunnels=[f"127.0.0.1:{port}"])
        target = {"host": "there", "target": f"127.0.0.1:{port}"}
        async with site.open() as call:

            async def none_left() -> bool:
                return not (await call("os.ssh.listHosts"))["items"][1]["tunnels"]

            short = await call("os.ssh.openTunnel", **target, ttlS=1)
            assert await said(short["port"], b"x") == b"X"
            await until(none_left, within_s=5)
            long = await call("os.ssh.openTunnel", **target, ttlS=3600)
            assert (await call("os.ssh.openTunnel", **target, ttlS=3601))["error"]
            own_target.drop()
            await until(none_left, within_s=5)
            with pytest.raises(OSError):
                await anyio.connect_tcp("127.0.0.1", long["port"])


@pytest.mark.real
async def test_tunnels_are_few(site: Site, target: Sshd) -> None:
    site.add("there", target, tunnels=["127.0.0.1:9"])
    site.hosts["away"] = {**site.hosts["there"], "port": 1}
    async with site.open() as call:
        away = await call("os.ssh.openTunnel", host="away", target="127.0.0.1:9")
        assert away["error"] == "unavailable"
        opened = [
            await call("os.ssh.openTunnel", host="there", target="127.0.0.1:9") for _ in range(17)
        ]
        assert [one.get("error") for one in opened] == [None] * 16 + ["rate_limited"]
