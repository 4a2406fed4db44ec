"""What the workers decide purely: whose a name is, one exposition of several, what a loan tells."""

import socket

import pytest

from flotilla import (
    Conflict,
    FlotillaError,
    Misconfigured,
    NotFound,
    TimedOut,
    TooLarge,
    Unavailable,
    UpstreamError,
)
from flotilla.identity import Signer, Verifier, open_signing_key
from flotilla.metrics import Metrics
from master import rpc
from master.state.embedded import EmbeddedHubs
from master.upstream.handshake.transport import SessionLost
from master.upstream.pool import ConnectionPool
from master.upstream.transport.client import Unreachable, WentAway
from master.workers.colleagues import AUDIENCE, Colleagues
from master.workers.gathering import merged
from master.workers.loans import as_refusal, restored
from master.workers.place import ALONE, Place, places, private_sockets

pytestmark = pytest.mark.anyio

ADDRESSES = ("http://127.0.0.1:1", "http://127.0.0.1:2")


def colleagues(tmp_path, place: Place, hub: str) -> Colleagues:
    signer = Signer(open_signing_key(tmp_path))
    verifier = Verifier(tmp_path / "public_key.pem", AUDIENCE)
    return Colleagues(place, EmbeddedHubs(hub), signer, verifier, ConnectionPool())


@pytest.fixture
def opened():
    held: list[socket.socket] = []
    yield held
    for each in held:
        each.close()


async def test_a_name_tells_whose_it_is(tmp_path, opened) -> None:
    opened.append(socket.socket())
    first, second = (
        colleagues(tmp_path, Place("0123abcd", number, ADDRESSES, None, opened[0]), f"hub-{number}")
        for number in range(2)
    )
    name = first.named("secret")
    assert name.endswith(".secret")
    assert first.owner_of(name) is None
    owner = second.owner_of(name)
    assert owner is not None
    assert await second.address_of(owner) == ADDRESSES[0]
    # A later life of a sibling has the same address; it says itself what it does not know.
    assert await second.address_of(first.lead) == ADDRESSES[0]
    assert await first.address_of(first.tag) is None


async def test_what_no_hub_has_named_is_nobodys(tmp_path, opened) -> None:
    opened.append(socket.socket())
    place = Place("0123abcd", 0, ADDRESSES, None, opened[0])
    known = colleagues(tmp_path, place, "hub")
    for name in (
        "",
        "secret",
        "a.b",
        "0123abcd-1.x",
        "0123ABCD-1-hub.x",
        "x-1-hub.y",
        ".",
        "é-1-b.c",
    ):
        assert known.owner_of(name) is None, name
    assert await known.address_of("ffffffff-0-elsewhere") is None


async def test_a_hub_that_is_one_process_names_nothing_after_itself(tmp_path) -> None:
    alone = colleagues(tmp_path, ALONE, "hub")
    assert alone.named("secret") == "secret"


def test_private_sockets_are_of_loopback_unless_they_are_announced(opened) -> None:
    assert private_sockets(1, "0.0.0.0", None) == []
    opened += private_sockets(2, "0.0.0.0", None)
    assert {each.getsockname()[0] for each in opened} == {"127.0.0.1"}
    (first, second) = places(opened, "0.0.0.0", None)
    assert first.siblings == {1: second.addresses[1]} and second.siblings == {0: first.addresses[0]}
    assert first.announced is None and first.is_lead and not second.is_lead


def test_each_worker_announces_the_next_port(opened, free_port) -> None:
    port = free_port()
    opened += private_sockets(1, "127.0.0.1", f"http://hub-1.example:{port}")
    (only,) = places(opened, "127.0.0.1", f"http://hub-1.example:{port}")
    assert only.announced == f"http://hub-1.example:{port}"
    assert only.siblings == {} and only.names == ["hub-1.example"]
    with pytest.raises(Misconfigured, match="FLOTILLA_ADVERTISE"):
        private_sockets(2, "127.0.0.1", f"http://hub-1.example:{port}")
    with pytest.raises(Misconfigured, match="FLOTILLA_ADVERTISE"):
        private_sockets(2, "127.0.0.1", "http://hub-1.example:65535")


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
def test_the_expositions_of_workers_become_one(accept: str) -> None:
    texts: dict[str, bytes] = {}
    for worker in ("0", "1"):
        metrics = Metrics()
        metrics.answered("shop", f"test.shop.{worker}", 0.5, None, f"id-{worker}")
        metrics.answered("shop", "test.shop.both", 0.5, "timeout", 'quote"{}')
        metrics.health("shop", True)
        texts[worker], _ = metrics.exposition(accept)
    whole = merged(texts).decode()
    lines = whole.splitlines()
    assert 'mcp_service_health{worker="0",service="shop"} 1.0' in lines
    assert 'mcp_service_health{worker="1",service="shop"} 1.0' in lines
    assert sum(line.startswith("# TYPE mcp_service_health ") for line in lines) == 1
    assert whole.count("# EOF") == (1 if accept else 0)
    assert not accept or lines[-1] == "# EOF"
    # Nothing is lost, and the samples of a family stand together, which parsers insist on.
    samples = [line for line in lines if not line.startswith("#")]
    own = [line for text in texts.values() for line in text.decode().splitlines()]
    assert len(samples) == len([line for line in own if not line.startswith("#")])
    families: list[str] = []
    for line in lines:
        if line.startswith("# TYPE "):
            families.append(line.split()[2])
        elif not line.startswith("#"):
            assert line.startswith(families[-1]), line
            assert 'worker="' in line
    assert len(families) == len(set(families))


def test_a_sample_without_labels_gets_one() -> None:
    assert merged({"3": b"# TYPE up gauge\nup 1.0\n"}) == (b'# TYPE up gauge\nup{worker="3"} 1.0\n')
    assert merged({"3": b"# TYPE up gauge\nup{} 1.0\n"}).endswith(b'up{worker="3"} 1.0\n')


@pytest.mark.parametrize(
    "error",
    [
        Unreachable("nobody is there", hint="Wait."),
        WentAway("it went"),
        Unavailable("it is away"),
        TimedOut("too late"),
        TooLarge("too much"),
        UpstreamError("it broke"),
        NotFound("nothing"),
        Conflict("changed", details={"version": 3}),
    ],
)
def test_what_befell_a_lent_call_is_told_whole(error: FlotillaError) -> None:
    told = restored(as_refusal(error, "id"))
    assert type(told) is type(error)
    assert isinstance(told, FlotillaError)
    assert (told.message, told.hint, told.details) == (error.message, error.hint, error.details)


def test_what_was_never_sent_stays_that() -> None:
    assert isinstance(restored(as_refusal(SessionLost("who?"), "id")), Unreachable)


def test_a_refusal_of_the_server_itself_stays_its_own() -> None:
    refusal = rpc.RpcError(-32602, "no such tool", {"kind": "Unavailable"})
    assert restored(refusal) is refusal
