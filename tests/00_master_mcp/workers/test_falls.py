"""Workers and their parent killed: what goes on, what comes back, what is left."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import psutil
import pytest

from master.workers import in_workers
from tests.backends.redis_server import RedisServer
from tests.conftest import find_free_port, until
from tests.processes import alive, command_of

from .conftest import everything
from .crew import ROOT, SCRIPT, START_S, Apart, Crew, Shop, crew_in, say, shop_at, wait

pytestmark = pytest.mark.anyio

Start = Callable[..., AbstractAsyncContextManager[Crew]]


@pytest.fixture
def start(tmp_path: Path, redis_server: RedisServer) -> Start:
    def started(shop_port: int, **more: Any) -> AbstractAsyncContextManager[Crew]:
        return crew_in(tmp_path, shop_port, FLOTILLA_REDIS_URL=redis_server.url, **more)

    return started


async def ended(processes: list[psutil.Process]) -> None:
    await until(lambda: not alive(processes), within_s=15)


@pytest.mark.real
async def test_the_sessions_of_a_killed_worker_are_gone_and_the_others_live(
    start: Start, tmp_path: Path
) -> None:
    shop, port = Shop(), find_free_port()
    async with shop_at(port, tmp_path / "data", shop), start(port) as crew:
        clients = [Apart(crew) for _ in range(4)]
        for client in clients:
            await client.open()
        owners = [str(client.session).split("-")[1] for client in clients]
        assert sorted(owners) == ["0", "0", "1", "1"]
        await until(lambda: crew.lives(1))
        victim = crew.worker(1)
        victim.kill()
        # Until it has closed its socket it is still given connections.
        await ended([victim])
        for _ in range(2):
            for client, owner in zip(clients, owners, strict=True):
                answer = await client.call("test_shop_say")
                assert answer.status_code == (200 if owner == "0" else 404), answer.text


@pytest.mark.real
async def test_a_stop_lets_calls_end_and_leaves_no_process(start: Start, tmp_path: Path) -> None:
    shop, port = Shop(), find_free_port()
    async with shop_at(port, tmp_path / "data", shop), start(port) as crew:
        family = crew.family()
        assert len(family) >= 3
        calls = [asyncio.create_task(wait(crew)) for _ in range(2)]
        await until(lambda: shop.hanging == 2)
        crew.process.send_signal(signal.SIGTERM)
        await until(lambda: _refuses(crew))
        shop.let_go.set()
        for call in calls:
            assert (await call)["result"]["structuredContent"] == {"text": "done"}
        assert await asyncio.wait_for(crew.process.wait(), 10) == 0
        await ended(family)


async def _refuses(crew: Crew) -> bool:
    """Whether either worker takes no calls any more, as the next two connections see it."""
    answers = [await Apart(crew).send("GET", "/ready") for _ in range(2)]
    return [answer.status_code for answer in answers] == [503, 503]


@pytest.mark.real
async def test_a_killed_parent_leaves_no_process(start: Start, tmp_path: Path) -> None:
    shop, port = Shop(), find_free_port()
    async with shop_at(port, tmp_path / "data", shop), start(port) as crew:
        family = crew.family()
        crew.process.kill()
        await ended(family)


def test_several_processes_without_redis_are_refused_with_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in [key for key in os.environ if "REDIS" in key]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("FLOTILLA_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("FLOTILLA_CONFIG_DIR", str(ROOT / "config"))
    monkeypatch.setenv("FLOTILLA_WORKERS", "2")
    with pytest.raises(SystemExit, match=r"^2$"):
        in_workers(lambda *_: pytest.fail("nothing may be served"))
    said = capsys.readouterr().err
    assert said.startswith("flotilla: FLOTILLA_WORKERS: 2 processes share")
    assert "FLOTILLA_REDIS_URL" in said


@pytest.mark.real
async def test_a_mistake_is_told_once_and_ends_the_parent(start: Start, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "admin_token").write_text("")
    async with start(find_free_port(), ready=False) as crew:
        assert await asyncio.wait_for(crew.process.wait(), START_S) == 2
    assert len([line for line in crew.told if line.startswith("flotilla: ")]) == 1


@pytest.mark.real
async def test_the_workers_count_a_callers_rate_together(start: Start, tmp_path: Path) -> None:
    shop, port, rate = Shop(), find_free_port(), {"per_minute": 1, "burst": 4}
    async with shop_at(port, tmp_path / "data", shop), start(port, rate=rate) as crew:
        answers = [await say(crew, "ahoy") for _ in range(6)]
        refused = [str(each) for each in answers if each["result"].get("isError")]
        assert len(refused) == 2 and all("rate_limited" in each for each in refused)
        counts = await crew.counted("mcp_requests_total", tool="test.shop.say")
        assert counts == {"0": 3.0, "1": 3.0}


@pytest.mark.real
async def test_run_fleet_runs_and_ends_a_hub_of_workers(
    launch_fleet: Any, redis_server: RedisServer
) -> None:
    async with launch_fleet(
        "--services", "00,12", FLOTILLA_WORKERS="3", FLOTILLA_REDIS_URL=redis_server.url
    ) as fleet:
        family = fleet.processes()
        scripts = [each for each in family if "00_master_mcp" in command_of(each)]
        assert len(scripts) == 4, scripts
        async with fleet.client() as client:
            answer = await client.call_tool("master_getServiceHealth", {})
            assert answer.structured_content["cmdb"]["status"] == "healthy"
    await ended(family)


@pytest.mark.real
async def test_sessions_are_found_while_redis_is_away(
    start: Start, tmp_path: Path, redis_server: RedisServer
) -> None:
    shop, port = Shop(), find_free_port()
    async with shop_at(port, tmp_path / "data", shop), start(port) as crew:
        client = Apart(crew)
        await client.open()
        await asyncio.to_thread(redis_server.stop)
        for _ in range(4):
            assert (await client.call("test_shop_say")).status_code == 200
        await until(lambda: bool(crew.events("shared_state_away")))
        assert (await say(crew, "ahoy"))["result"]["structuredContent"] == {"text": "ahoy"}


@pytest.mark.real
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_worker_that_heeds_nothing_ends_with_its_parent(number: signal.Signals) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(Path(__file__).with_name("stubborn.py"))),
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{SCRIPT.parent}"},
        stdout=asyncio.subprocess.DEVNULL,
    )
    parent = psutil.Process(process.pid)
    await until(lambda: bool(parent.children()), within_s=START_S)
    workers = parent.children()
    process.send_signal(number)
    await ended([parent, *workers])
    await process.wait()


@pytest.mark.real
async def test_the_lead_is_back_with_its_programs(start: Start, tmp_path: Path) -> None:
    shop, port = Shop(), find_free_port()
    async with (
        shop_at(port, tmp_path / "data", shop),
        start(port, external={"every": everything()}) as crew,
    ):
        await crew.connected("every")
        programs = crew.worker(0).children(recursive=True)
        assert programs
        lead = crew.worker(0)
        lead.kill()
        await ended([lead, *programs])
        # Nobody else is disturbed while it is away.
        assert (await say(crew, "ahoy"))["result"]["structuredContent"] == {"text": "ahoy"}
        await crew.connected("every")
        for _ in range(4):
            answer = await Apart(crew).modern("ext_every_test_simple_text", {})
            assert not answer["result"].get("isError"), answer


@pytest.mark.real
async def test_a_worker_that_hangs_is_passed_by_and_ends_with_its_parent(
    start: Start, tmp_path: Path
) -> None:
    shop, port = Shop(), find_free_port()
    async with shop_at(port, tmp_path / "data", shop), start(port) as crew:
        await until(lambda: crew.lives(1))
        family = crew.family()
        stuck = crew.worker(1)
        stuck.suspend()
        calls = [asyncio.create_task(say(crew, str(number))) for number in range(10)]
        done, waiting = await asyncio.wait(calls, timeout=3)
        # It has what it was given before that was seen; the other answers everybody else.
        assert len(done) >= 5, len(waiting)
        for _ in range(5):
            await asyncio.wait_for(say(crew, "ahoy"), 3)
        stuck.resume()
        await asyncio.wait_for(asyncio.gather(*calls), 10)
        crew.process.kill()
        await ended(family)
