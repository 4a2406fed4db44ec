"""What may be at the other end: Redis by any way in, one that refuses or forgets, or a stranger."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from redis.asyncio.connection import SSLConnection

from flotilla.resilience import RateLimit
from master.state.shared.place import place_of
from tests.backends.redis_server import RedisServer, redis_program
from tests.conftest import find_free_port, until

from .operations import BREAKER, SLACK_S, every_operation, warnings

if TYPE_CHECKING:
    from conftest import OpenStates

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (b"", "onnection"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no Redis"),
        (b"$12345\r\nhalf of a te", "answer"),
        (b":what\r\n", "no Redis"),
        (b"*-7\r\n", ""),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "loading"),
        (b"-NOAUTH Authentication required.\r\n", "Authentication required"),
        (b"-WRONGPASS invalid password\r\n", ""),
    ],
)
async def test_whatever_answers_in_its_place_a_hub_goes_on_alone(
    answers: bytes, why: str, open_states: "OpenStates", told: Any
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while answers and await reader.read(1000):
            writer.write(answers)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", find_free_port()) as server:
        port = server.sockets[0].getsockname()[1]
        async with open_states(f"redis://:canary-of-redis@127.0.0.1:{port}/0") as (hub,):
            await every_operation(hub, "alone")
            assert hub.away is not None
            assert why in hub.away
            assert warnings(told) == ["shared_state_away"]
            assert "canary" not in f"{hub.away}{told}"


@pytest.mark.parametrize("way", ["tcp", "unix", "tls"])
async def test_a_hub_logs_in_by_whichever_way_the_url_says(
    way: str, open_states: "OpenStates", tmp_path: Path, told: Any
) -> None:
    program = redis_program()
    if program is None:
        pytest.skip("no Redis or Valkey server is installed here (apt package redis-server)")
    server = RedisServer(program, tmp_path, password="canary-of-redis")
    url, options = server.url, tuple[str, ...]()
    if way == "unix":
        url = f"unix://:canary-of-redis@{tmp_path}/socket?db=3"
        options = ("--unixsocket", f"{tmp_path}/socket")
    elif way == "tls":
        port, files = find_free_port(), certificate(tmp_path)
        url = f"rediss://:canary-of-redis@127.0.0.1:{port}/3?ssl_ca_certs={files[1]}"
        options = ("--tls-port", str(port), "--tls-auth-clients", "no", *files)
    server.start(*options)
    try:
        async with open_states(url, 2) as hubs:
            assert [hub.away for hub in hubs] == [None, None]
            await every_operation(hubs[0], "in")
            await until(lambda: hubs[1].circuits.of("in", BREAKER).view.state == "open")
            assert [hub.away for hub in hubs] == [None, None]
    finally:
        server.stop()
    assert warnings(told) == []


def certificate(folder: Path) -> tuple[str, ...]:
    """Options of a server that has one for 127.0.0.1, which it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(signed.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    cert = str(folder / "cert.pem")
    return (
        *("--tls-ca-cert-file", cert, "--tls-cert-file", cert),
        *("--tls-key-file", str(folder / "key.pem")),
    )


def test_connections_share_what_they_trust_until_its_file_changes(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        certificate(folder)
    place = place_of(f"rediss://127.0.0.1:1/0?ssl_ca_certs={first}/cert.pem")

    def context() -> ssl.SSLContext:
        connection = place.connection()
        assert isinstance(connection, SSLConnection)
        return connection.ssl_context.get()

    trusted = context()
    assert context() is trusted
    (second / "cert.pem").rename(first / "cert.pem")
    renewed = context()
    assert renewed is not trusted
    assert context() is renewed


async def test_a_wrong_password_is_told_without_it(
    redis_server: RedisServer, open_states: "OpenStates", told: Any
) -> None:
    url = redis_server.url.replace("redis://", "redis://canary-user:canary-of-redis@")
    async with open_states(url) as (hub,):
        await every_operation(hub, "alone")
        assert hub.away is not None
        assert "password" in hub.away
        assert warnings(told) == ["shared_state_away"]
        assert "canary" not in f"{hub.away}{told}"
        assert hub.secrets == ("canary-of-redis",)


@pytest.mark.parametrize(
    ("spoil", "mend", "why"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "maxmemory"),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "read only"),
    ],
    ids=["full", "replica"],
)
async def test_one_that_takes_no_writes_is_as_good_as_away(
    spoil: tuple[str, ...],
    mend: tuple[str, ...],
    why: str,
    redis_server: RedisServer,
    open_states: "OpenStates",
    told: Any,
) -> None:
    async with open_states(redis_server.url) as (hub,):
        assert redis_server.command(*spoil) == "+OK"
        try:
            await every_operation(hub, "during")
            assert hub.away is not None
            assert why in hub.away
            async with open_states(redis_server.url) as (late,):
                assert late.away is not None
        finally:
            assert redis_server.command(*mend) == "+OK"
        with anyio.fail_after(1 + SLACK_S):
            await until(lambda: hub.away is None)
        assert [each for each in warnings(told) if each.endswith("broken")] == []


async def test_a_server_that_forgot_the_scripts_is_told_them_again(
    redis_server: RedisServer, open_states: "OpenStates"
) -> None:
    async with open_states(redis_server.url) as (hub,):
        await every_operation(hub, "before")
        redis_server.command("SCRIPT", "FLUSH")
        await every_operation(hub, "after")
        assert hub.away is None


async def test_a_server_whose_clock_was_set_back_holds_nobody_up_for_long(
    redis_server: RedisServer, open_states: "OpenStates"
) -> None:
    async with open_states(redis_server.url) as (hub,):
        an_hour_ahead = str((int(time()) + 3600) * 1_000_000)
        redis_server.command("SET", "flotilla:rate:alice", an_hour_ahead)
        assert 0.0 < await hub.limits.take("alice", RateLimit(per_minute=60, burst=5)) <= 1.0


async def test_a_server_that_forgot_everything_is_told_it_again(
    redis_server: RedisServer, open_states: "OpenStates"
) -> None:
    async with open_states(redis_server.url, 2) as (one, other):
        await one.circuits.of("weather", BREAKER).trip("away")
        await one.hubs.announce("http://one")
        redis_server.command("FLUSHALL")

        async def is_told() -> bool:
            return await other.hubs.address_of(one.hubs.own_id) == "http://one"

        await until(is_told)
        await until(lambda: redis_server.command("EXISTS", "flotilla:circuits") == ":1")
        assert other.circuits.of("weather", BREAKER).view.state == "open"


async def test_two_fleets_on_one_server_know_nothing_of_each_other(
    redis_server: RedisServer, open_states: "OpenStates"
) -> None:
    heard = list[str]()
    elsewhere = redis_server.url.removesuffix("0") + "1"
    async with (
        open_states(redis_server.url, 2) as (one, same),
        open_states(elsewhere) as (other,),
    ):
        other.news.on("lists", heard.append)
        reached = asyncio.Event()
        same.news.on("lists", lambda _: reached.set())
        await one.circuits.of("weather", BREAKER).trip("away")
        await one.news.tell("lists", "text")
        with anyio.fail_after(5):
            await reached.wait()
        await every_operation(other, "elsewhere")
        assert heard == []
        assert other.circuits.of("weather", BREAKER).view.state == "closed"
