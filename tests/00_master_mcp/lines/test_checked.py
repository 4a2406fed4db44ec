"""A program that is frozen is away for the hub, and back when it goes on, without a restart."""

import signal

import anyio
import pytest

from flotilla.metrics import Metrics
from flotilla.resilience import HealthCheck
from master.catalogue import Catalogue, Origin
from master.upstream.links import Links
from master.upstream.transport.client import Unreachable
from tests.conftest import until

from .living import Life, call_of

pytestmark = pytest.mark.anyio

CHECK = HealthCheck(every_s=0.2, timeout_s=0.3, failures=2)


class Clients:
    """Nobody who is told anything."""

    def changed(self, *_: object) -> None:
        return

    def updated(self, *_: object) -> None:
        return

    def said(self, *_: object) -> None:
        return


@pytest.mark.parametrize("era", ["modern", pytest.param("handshake", marks=pytest.mark.real)])
async def test_a_frozen_program_is_away_and_back_in_the_same_life(life: Life, era: str) -> None:
    program = await life.everything(era)
    links = Links(Catalogue({"toy": Origin(external=True)}), Metrics(), 60, checks=lambda _: CHECK)
    links.add("toy", life.probing)
    link = links.by_service["toy"]
    async with links.running(Clients()):
        with anyio.fail_after(10):
            await link.up()
        program.process.send_signal(signal.SIGSTOP)
        await until(lambda: not link.connected)
        assert link.reason == "did not answer 2 health checks within 0.3 s"
        with anyio.fail_after(1), pytest.raises(Unreachable):
            await link.send(call_of("echo", {"text": "x"}))
        program.process.send_signal(signal.SIGCONT)
        with anyio.fail_after(2):
            await link.up()
        answered = await link.send(call_of("echo", {"text": "again"}))
        assert "again" in answered.texts["content"]
        assert life.programs == [program]
        assert program.process.returncode is None
