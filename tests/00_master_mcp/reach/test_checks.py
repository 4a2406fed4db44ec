"""The hub's own checks tell a server that hangs from one that is only unwell, and give up none."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from prometheus_client import generate_latest

from flotilla import Unavailable
from flotilla.metrics import Metrics
from flotilla.resilience import HealthCheck
from master import rpc
from master.call import Call
from master.catalogue import Catalogue, Origin
from master.result import Result
from master.upstream.failure import Failure
from master.upstream.link import Link, Standing, Told, pause_s
from master.upstream.links import Links
from master.upstream.transport.client import unreachable
from tests.conftest import until

from .conftest import Clients, call, offer_of, timed

pytestmark = pytest.mark.anyio

QUICK = HealthCheck(every_s=0.05, timeout_s=0.05, failures=2)
PATIENT = HealthCheck(every_s=60, timeout_s=0.05, failures=2)


class Answers:
    """A speaker whose server answers as the test says."""

    def __init__(self) -> None:
        self.held = 0
        self.probed = 0
        self.says: Callable[[], Awaitable[str | None]] = self.well
        self.sends: Callable[[], Awaitable[Result]] = self.sent
        self.ending = asyncio.Event()

    async def well(self) -> str | None:
        return None

    async def hung(self) -> str | None:
        await anyio.sleep_forever()
        return None

    async def sent(self) -> Result:
        return Result({"content": "[]"})

    async def hold(self, told: Told) -> None:
        self.held += 1
        self.ending.clear()
        told.offered(offer_of("echo"))
        await self.ending.wait()

    async def send(self, call: Call) -> Result:
        del call
        return await self.sends()

    async def probe(self, timeout_s: float) -> str | None:
        del timeout_s
        self.probed += 1
        return await self.says()

    def watch(self, uris: frozenset[str]) -> None: ...

    async def watched(self) -> None: ...

    async def log_level(self, level: str) -> None: ...


class Far(Answers):
    """One that is reached over the network."""

    def __init__(self, standing: Standing) -> None:
        super().__init__()
        self.standing: Standing = standing

    async def knock(self, timeout_s: float) -> None:
        await self.probe(timeout_s)

    async def look(self, timeout_s: float) -> Standing:
        await self.probe(timeout_s)
        return self.standing


class Program(Answers):
    """One that does one thing at a time."""

    busy = False

    def working(self) -> bool:
        return self.busy


@dataclass
class Linked:
    link: Link
    catalogue: Catalogue
    metrics: Metrics
    heard: list[str] = field(default_factory=list)

    @property
    def gauge(self) -> bytes:
        wanted = b'mcp_service_health{service="far"}'
        lines = generate_latest(self.metrics.registry).splitlines()
        return next(line for line in lines if line.startswith(wanted)).split()[-1]


@asynccontextmanager
async def linked(speaker: Answers, check: HealthCheck = QUICK) -> AsyncGenerator[Linked]:
    catalogue, metrics = Catalogue({"far": Origin(external=True)}), Metrics()
    links = Links(catalogue, metrics, 60, checks=lambda _: check)
    links.add("far", speaker)
    far = Linked(links.by_service["far"], catalogue, metrics)
    links.on_away = lambda _, reason: far.heard.append(reason)
    links.on_back = lambda _: far.heard.append("back")
    async with links.running(Clients()):
        with anyio.fail_after(5):
            await far.link.up()
        yield far


async def test_one_that_hangs_counts_as_away_and_is_back_by_the_connection_that_stood() -> None:
    speaker = Answers()
    async with linked(speaker) as far:
        speaker.says = speaker.hung
        await until(lambda: not far.link.connected)
        assert far.heard == ["did not answer 2 health checks within 0.05 s"]
        assert far.link.health.status == "unreachable"
        assert far.link.health.away_since is not None
        assert far.gauge == b"0.0"
        speaker.says = speaker.well
        await until(lambda: far.link.connected)
        assert far.heard[1:] == ["back"]
        assert far.link.health.status == "healthy"
        assert far.gauge == b"1.0"
        assert speaker.held == 1


async def test_a_call_in_flight_is_not_hurt_by_the_checks_that_its_server_misses() -> None:
    speaker, answer = Answers(), asyncio.Event()

    async def slowly() -> Result:
        await answer.wait()
        return Result({"content": "[]"})

    speaker.sends = slowly
    async with linked(speaker) as far:
        sending = asyncio.create_task(far.link.send(call()))
        speaker.says = speaker.hung
        await until(lambda: not far.link.connected)
        answer.set()
        assert (await sending).texts["content"] == "[]"


async def test_one_that_says_that_it_cannot_serve_is_unwell_and_not_away() -> None:
    speaker = Answers()

    async def unwell() -> str | None:
        return "its database is away"

    async with linked(speaker) as far:
        speaker.says = unwell
        await until(lambda: far.link.health.status == "unhealthy")
        assert far.link.health.reason == "its database is away"
        assert far.link.connected
        assert far.gauge == b"0.0"
        speaker.says = speaker.well
        await until(lambda: far.link.health.status == "healthy")
        assert far.link.health.latency_ms is not None
        assert far.gauge == b"1.0"
        assert far.heard == []


async def test_one_that_refuses_the_question_lives() -> None:
    speaker = Answers()

    async def refused() -> str | None:
        raise rpc.RpcError(rpc.INTERNAL_ERROR, "not now")

    async with linked(speaker) as far:
        speaker.says = refused
        await until(lambda: far.link.health.reason == "not now")
        probed = speaker.probed
        await until(lambda: speaker.probed > probed + 3)
        assert far.link.connected
        assert far.heard == []


async def test_a_call_that_fails_makes_the_hub_check_at_once() -> None:
    speaker = Answers()

    async def gone() -> Any:
        raise unreachable("far")

    async with linked(speaker, PATIENT) as far:
        speaker.says = speaker.sends = gone
        _, error = await timed(far.link.send(call()))
        assert isinstance(error, Unavailable)
        await until(lambda: not far.link.connected, 2)
        assert far.heard == ["failed 2 health checks: far cannot be reached"]


async def test_calls_that_fail_by_hundreds_do_not_make_it_check_more_often() -> None:
    speaker = Answers()

    async def gone() -> Result:
        raise unreachable("far")

    speaker.sends = gone
    async with linked(speaker, PATIENT) as far:
        for _ in range(300):
            await timed(far.link.send(call()))
            await asyncio.sleep(0)
        await until(lambda: speaker.probed > 0)
        assert speaker.probed <= 2


async def test_a_program_that_works_for_a_client_is_left_in_peace() -> None:
    speaker = Program()
    async with linked(speaker) as far:
        speaker.busy, speaker.says = True, speaker.hung
        probed = speaker.probed
        for _ in range(4):
            # Each of these makes the hub look whether a check is due.
            speaker.sends = _lost
            await timed(far.link.send(call()))
        with anyio.move_on_after(0.3):
            await until(lambda: speaker.probed > probed)
        assert speaker.probed == probed
        assert far.heard == []


async def _lost() -> Result:
    raise unreachable("far")


@pytest.mark.parametrize("standing", ["whole", "deaf", "dead"])
async def test_what_stood_is_renewed_only_where_it_may_be_dead(standing: Standing) -> None:
    speaker = Far(standing)
    async with linked(speaker) as far:
        speaker.says = speaker.hung
        await until(lambda: not far.link.connected)
        held = speaker.held
        speaker.says = speaker.well
        await until(lambda: far.link.connected)
        await until(lambda: speaker.held == held + (standing != "whole"))
        assert [each for each in far.heard if each != "back"] == far.heard[:1]
        assert far.heard.count("back") == 1


async def test_a_fault_of_ours_in_a_check_ends_no_checks() -> None:
    speaker = Answers()

    async def broken() -> str | None:
        raise ZeroDivisionError

    async with linked(speaker) as far:
        speaker.says = broken
        probed = speaker.probed
        await until(lambda: speaker.probed >= probed + 2)
        speaker.says = speaker.hung
        await until(lambda: not far.link.connected)


@pytest.mark.parametrize(
    ("failure", "took_s", "remote", "least_s", "most_s"),
    [
        (Failure("not_sent", "refused"), 0.0, True, 0.2, 0.45),
        (Failure("timeout", "slow"), 30.0, True, 0.2, 0.45),
        (Failure("broken", "garbage"), 0.0, True, 0.2, 0.45),
        (Failure("broken", "endless lists"), 3.0, True, 3.0, 3.0),
        (Failure("answered", "HTTP 401"), 0.0, True, 2.5, 5.0),
        (Failure("own", "a wrong URL"), 0.0, True, 2.5, 5.0),
        (Failure("broken", "no document"), 0.0, False, 2.5, 5.0),
        (Failure("broken", "HTTP 503", 20.0), 0.0, True, 20.0, 20.0),
        (Failure("broken", "HTTP 503", 0.0), 0.0, True, 0.45, 0.45),
        (Failure("answered", "HTTP 429", 3600.0), 0.0, True, 60.0, 60.0),
    ],
)
def test_one_that_does_not_answer_is_looked_at_often_and_one_that_says_no_seldom(
    failure: Failure, took_s: float, remote: bool, least_s: float, most_s: float
) -> None:
    for _ in range(20):
        assert least_s <= pause_s(failure, 9, took_s, remote) <= most_s
