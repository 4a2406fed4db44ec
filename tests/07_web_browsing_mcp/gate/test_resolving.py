"""Names: looked up once, judged whole, pinned for as long as they are remembered."""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from web_browsing.gate.proxy import Proxy
from web_browsing.gate.refusing import Refused
from web_browsing.gate.resolving import MAX_ADDRESSES, REMEMBERED_S, Resolving, SystemResolver
from web_browsing.gate.rules import Place, Rules
from web_browsing.gate.spelling import read_host

from .conftest import SITE, Connection, Gated, Names

pytestmark = pytest.mark.anyio

PUBLIC, OTHER = "93.184.216.34", "2606:4700::1111"


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def place(name: str = "a.test", rules: Rules | None = None) -> Place:
    return (rules or Rules()).place("https", read_host(name), 443)


def turns() -> asyncio.Semaphore:
    return asyncio.Semaphore(2)


def resolving(names: Names, clock: Clock | None = None, lookup_s: float = 5) -> Resolving:
    return Resolving(names, lambda _: False, clock or Clock(), lookup_s)


async def test_a_name_that_changes_its_mind_is_judged_by_what_it_said_each_time() -> None:
    names, clock = Names({"a.test": [[PUBLIC], ["127.0.0.1"], [OTHER]]}), Clock()
    under_test = resolving(names, clock)
    for _ in range(3):
        assert await under_test.addresses(place(), turns()) == (ip_address(PUBLIC),)
    assert names.asked == ["a.test"]
    clock.now_s += REMEMBERED_S + 1
    for _ in range(2):
        with pytest.raises(Refused, match=r"leads to 127\.0\.0\.1"):
            await under_test.addresses(place(), turns())
    assert len(names.asked) == 2


@pytest.mark.parametrize("inside", ["127.0.0.1", "10.1.2.3", "::1", "fd00::1", "::ffff:10.0.0.1"])
@pytest.mark.parametrize("index", [0, 1, 2])
async def test_one_address_inside_refuses_the_whole_name(inside: str, index: int) -> None:
    answer = [PUBLIC, OTHER]
    answer.insert(index, inside)
    with pytest.raises(Refused) as refused:
        await resolving(Names({"a.test": [answer]})).addresses(place(), turns())
    assert refused.value.reason == "private_address"


async def test_an_own_address_that_is_public_is_refused_too() -> None:
    names = Names({"a.test": [[PUBLIC]]})
    under_test = Resolving(names, lambda address: str(address) == PUBLIC, Clock(), 5)
    with pytest.raises(Refused, match="this machine itself"):
        await under_test.addresses(place(), turns())
    with pytest.raises(Refused, match="this machine itself"):
        await under_test.addresses(place(PUBLIC), turns())


async def test_an_own_address_behind_a_translator_is_refused_too() -> None:
    names = Names({"a.test": [[f"64:ff9b::{PUBLIC}"]]})
    under_test = Resolving(names, lambda address: str(address) == PUBLIC, Clock(), 5)
    with pytest.raises(Refused, match="this machine itself"):
        await under_test.addresses(place(), turns())


async def test_families_are_tried_in_turns() -> None:
    names = Names({"a.test": [["1.1.1.1", "1.1.1.2", OTHER, "2606::1"]]})
    found = await resolving(names).addresses(place(), turns())
    assert list(map(str, found)) == ["1.1.1.1", OTHER, "1.1.1.2", "2606::1"]


async def test_many_who_ask_for_one_name_ask_once() -> None:
    names = Names({"a.test": [[PUBLIC], ["127.0.0.1"]]})
    under_test = resolving(names)
    found = await asyncio.gather(*(under_test.addresses(place(), turns()) for _ in range(50)))
    assert set(found) == {(ip_address(PUBLIC),)}
    assert names.asked == ["a.test"]


async def test_a_resolver_that_does_not_answer_is_not_waited_for() -> None:
    async def never(name: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    under_test = Resolving(never, lambda _: False, Clock(), 0.01)
    with pytest.raises(Refused, match="in time"):
        await under_test.addresses(place(), turns())


async def test_an_address_inside_is_found_behind_a_hundred_others() -> None:
    many = [f"93.184.216.{last}" for last in range(100)]
    found = await resolving(Names({"a.test": [many]})).addresses(place(), turns())
    assert list(map(str, found)) == many[:MAX_ADDRESSES]
    with pytest.raises(Refused, match="which is inside"):
        await resolving(Names({"a.test": [[*many, "10.0.0.1"]]})).addresses(place(), turns())


async def test_names_that_nobody_answers_for_take_only_so_many_turns() -> None:
    under_way, most = 0, 0

    async def slow(name: str, port: int) -> Sequence[str]:
        nonlocal under_way, most
        del name, port
        under_way += 1
        most = max(most, under_way)
        try:
            await asyncio.Event().wait()
        finally:
            under_way -= 1
        return []

    under_test, mine = Resolving(slow, lambda _: False, Clock(), 0.05), turns()
    looked_up = [under_test.addresses(place(f"{each}.test"), mine) for each in range(20)]
    failed = await asyncio.gather(*looked_up, return_exceptions=True)
    assert all(isinstance(each, Refused) for each in failed)
    assert (most, under_way) == (2, 0)


async def test_the_systems_resolver_knows_this_machine_and_not_nonsense() -> None:
    resolve = SystemResolver()
    assert "127.0.0.1" in await resolve("localhost", 80)
    with pytest.raises(OSError, match=r"."):
        await resolve("nowhere.invalid", 80)
    with pytest.raises(OSError, match="DNS"):
        await resolve("a" * 70 + ".invalid", 80)


async def test_a_connection_goes_to_the_pinned_address_until_it_is_forgotten(gated: Gated) -> None:
    def named(name: bytes):
        async def serve(connection: Connection) -> None:
            while await connection.request():
                connection.writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n" + name
                )
                return

        return serve

    names, clock = Names({SITE: [["127.0.0.1"], ["127.0.0.2"]]}), Clock()
    async with (
        gated.site(named(b"1")) as first,
        gated.site(named(b"2"), host="127.0.0.2", port=first.port),
    ):
        proxy = Proxy(Rules.of([80], [f"{SITE}:{first.port}"]), resolve=names, clock=clock)
        async with gated.gate(proxy=proxy) as entrance:
            caller = await entrance.call()
            ask = f"GET http://{SITE}:{first.port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            assert [(await caller.ask(ask))[2] for _ in range(3)] == [b"1"] * 3
            clock.now_s += REMEMBERED_S + 1
            assert [(await caller.ask(ask))[2] for _ in range(2)] == [b"2"] * 2
            assert names.asked == [SITE] * 2


async def test_rebinding_between_two_requests_reaches_nothing_inside(gated: Gated) -> None:
    names, clock = Names({"evil.test": [[PUBLIC], ["127.0.0.1"]]}), Clock()
    reached: list[Connection] = []

    async def serve(connection: Connection) -> None:
        reached.append(connection)

    async with gated.site(serve) as inside:
        proxy = Proxy(Rules.of([inside.port], []), resolve=names, clock=clock, is_ours=_nobody)
        # As if it had been let through before.
        await names("evil.test", 80)
        async with gated.gate(proxy=proxy) as entrance:
            caller = await entrance.call()
            ask = f"GET http://evil.test:{inside.port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            assert (await caller.ask(ask))[1]["x-flotilla-refused"] == "private_address"
    assert reached == []


def _nobody(address: object) -> bool:
    del address
    return False
