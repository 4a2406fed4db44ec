"""When runner or hub is killed, stands still or is a stranger."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import httpx2
import psutil
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from flotilla import Principal
from flotilla.identity import Signer, open_signing_key
from master.external.runner.connection import BEAT_S, SILENT_BEATS
from master.external.runner.messages import AUDIENCE
from tests.processes import alive, command_of

from ..servers.estate import estate_of, puppet
from .conftest import OpenEstate
from .lodging import RunnerProcess, hub_process

pytestmark = pytest.mark.anyio

HUB = Principal("hub", ("hub",))
SECONDS = 8.0
"""Within which programs end whose hub or runner was killed."""


async def none_alive(programs: list[psutil.Process], within_s: float) -> None:
    with anyio.fail_after(within_s):
        while alive(programs):
            await anyio.sleep(0.05)


@pytest.mark.real
async def test_a_killed_runner_takes_its_programs_along_and_is_found_when_it_is_back(
    open_estate: OpenEstate, runner: RunnerProcess, folder: Path
) -> None:
    async with open_estate(a=puppet(folder)) as estate:
        await estate.reached("a", "running")
        programs = runner.programs()
        assert programs
        async with estate.client() as client:
            await runner.kill()
            # The program's own end may be heard before that of its runner.
            with anyio.fail_after(5):
                while "runner" not in ((await estate.state("a")).get("reason") or ""):
                    await anyio.sleep(0.02)
            assert (await estate.state("a"))["state"] in ("backing_off", "starting")
            result = await client.call_tool("ext_a_echo", {"text": "?"})
            assert result.is_error
            assert "unavailable" in result.content[0].text
            await none_alive(programs, SECONDS)
            # However long it is away, the program is not given up.
            await anyio.sleep(6)
            state = await estate.state("a")
            assert state["state"] in ("backing_off", "starting")
            assert "away" in state["reason"]

            await runner.start()
            await estate.reached("a", "running", within_s=8)
            result = await client.call_tool("ext_a_echo", {"text": "again"})
            assert result.content[0].text == "again"


@pytest.mark.real
@pytest.mark.real
async def test_a_hub_finds_a_runner_that_starts_after_it(
    open_estate: OpenEstate, runner: RunnerProcess, folder: Path
) -> None:
    await runner.kill()
    async with open_estate(a=puppet(folder)) as estate:
        state = await estate.reached("a", "backing_off")
        assert "the runner of external servers is away" in state["reason"]
        await runner.start()
        await estate.reached("a", "running", within_s=8)


@pytest.mark.real
@pytest.mark.parametrize(
    ("number", "within_s"),
    [(signal.SIGKILL, SECONDS), (signal.SIGSTOP, SECONDS + (SILENT_BEATS + 1) * BEAT_S)],
    ids=["killed", "stopped"],
)
async def test_programs_end_when_their_hub_is_gone_or_silent(
    runner: RunnerProcess,
    folder: Path,
    free_port: Callable[[], int],
    number: signal.Signals,
    within_s: float,
) -> None:
    told = {"mcpServers": {"a": puppet(folder), "b": puppet(folder)}}
    (folder / "mcp.json").write_text(json.dumps(told))
    async with hub_process(folder, free_port(), runner.url) as hub:
        with anyio.fail_after(30):
            # Two tethers, and below each of them at least its program.
            while len(runner.programs()) < 4:
                await anyio.sleep(0.05)
        programs = runner.programs()
        hub.send_signal(number)
        await none_alive(programs, within_s)


@pytest.mark.real
@pytest.mark.real
async def test_a_hub_that_was_killed_gets_its_programs_anew_in_its_next_life(
    runner: RunnerProcess, folder: Path, free_port: Callable[[], int]
) -> None:
    (folder / "mcp.json").write_text(json.dumps({"mcpServers": {"a": puppet(folder)}}))
    port = free_port()
    for life in (1, 2):
        async with hub_process(folder, port, runner.url) as hub, httpx2.AsyncClient() as http:
            state: dict[str, Any] = {}
            with anyio.fail_after(30):
                while state.get("state") != "running":
                    await anyio.sleep(0.05)
                    state = await _state_of(http, port, folder)
            assert runner.log.count("external_server_started") == life
            hub.kill()


async def _state_of(http: httpx2.AsyncClient, port: int, folder: Path) -> dict[str, Any]:
    try:
        token = (folder / "data/admin_token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        answered = await http.get(f"http://127.0.0.1:{port}/mcp/servers/a", headers=headers)
    except (OSError, httpx2.TransportError):
        return {}
    return answered.json()


def words(folder: Path) -> dict[str, str | None]:
    """What strangers might show: nothing, nonsense, another's key, another's audience."""
    ours = Signer(open_signing_key(folder / "data/hub"))
    other = Signer(Ed25519PrivateKey.generate())
    return {
        "nothing": None,
        "nonsense": "Bearer nonsense",
        "another hub": f"Bearer {other.token(AUDIENCE, HUB)}",
        "for a spoke": f"Bearer {ours.token('linux_cli', HUB)}",
        "no bearer": f"Basic {ours.token(AUDIENCE, HUB)}",
    }


async def test_a_stranger_gets_nothing_and_starts_nothing(lasting_runner: RunnerProcess) -> None:
    runner, folder = lasting_runner, lasting_runner.folder
    async with aiohttp.ClientSession() as session:
        for who, word in words(folder).items():
            headers = {} if word is None else {"authorization": word}
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(f"{runner.url}/programs", headers=headers)
            assert refused.value.status == 401, who
        good = Signer(open_signing_key(folder / "data/hub")).token(AUDIENCE, HUB)
        headers = {"authorization": f"Bearer {good}", "origin": "https://page.example"}
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(f"{runner.url}/programs", headers=headers)
        assert refused.value.status == 403
        async with session.get(f"{runner.url}/anything") as answered:
            assert answered.status == 404
    reader, writer = await asyncio.open_connection("127.0.0.1", runner.port)
    writer.write(b'\x82\x05\x00{"kind":"open"}\r\n\r\n')
    with anyio.fail_after(5):
        assert (await reader.read()).startswith(b"HTTP/1.0 400")
    writer.close()
    assert runner.programs() == []


async def test_a_hub_whose_word_is_refused_says_so(
    start_fleet_in: Any, lasting_runner: RunnerProcess, folder: Path
) -> None:
    open_signing_key(lasting_runner.folder / "data/hub")
    # In a folder of its own the hub has a key of its own.
    started = start_fleet_in(folder, external={"a": puppet(folder)}, runner=lasting_runner.url)
    async with started as fleet, estate_of(fleet) as estate:
        state = await estate.reached("a", "backing_off")
        assert "refused the hub (401)" in state["reason"]


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ({"kind": "open", "name": "../up", "entry": {"command": "true"}}, "a name has"),
        ({"kind": "open", "name": "a", "entry": {"url": "http://a.example"}}, "is no program"),
        ({"kind": "open", "name": "a", "entry": {"command": 7}}, "mcpServers.a.command"),
    ],
)
async def test_an_order_that_cannot_be_met_is_refused(
    lasting_runner: RunnerProcess, order: Any, reason: str
) -> None:
    runner = lasting_runner
    token = Signer(open_signing_key(runner.folder / "data/hub")).token(AUDIENCE, HUB)
    headers = {"authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{runner.url}/programs", headers=headers) as socket,
    ):
        await socket.send_json(order)
        refused = await socket.receive_json(timeout=5)
        assert refused["kind"] == "refused"
        assert reason in refused["message"]
        assert (await socket.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE


async def test_what_is_no_message_ends_the_connection(lasting_runner: RunnerProcess) -> None:
    runner = lasting_runner
    token = Signer(open_signing_key(runner.folder / "data/hub")).token(AUDIENCE, HUB)
    headers = {"authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession() as session:
        for frame in ('{"kind":"own"}', "[]", "nonsense"):
            async with session.ws_connect(f"{runner.url}/programs", headers=headers) as socket:
                await socket.send_str(frame)
                assert (await socket.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE


@pytest.mark.real
@pytest.mark.parametrize("told_runner", [{"FLOTILLA_RUNNER_MAX_PROGRAMS": "1"}], ids=[""])
async def test_one_program_too_many_is_refused(open_estate: OpenEstate, folder: Path) -> None:
    async with open_estate(a=puppet(folder)) as estate:
        await estate.reached("a", "running")
        await estate.add("b", puppet(folder))
        state = await estate.reached("b", "backing_off", "failed")
        assert "FLOTILLA_RUNNER_MAX_PROGRAMS" in state["reason"]
        await estate.act("a", "stop")
        await estate.act("b", "start")
        await estate.reached("b", "running")


@pytest.mark.real
async def test_it_is_ready_when_it_can_read_the_hubs_word(
    runner: RunnerProcess, folder: Path
) -> None:
    async with httpx2.AsyncClient() as http:
        answered = await http.get(f"{runner.url}/ready")
        assert answered.status_code == 503
        assert answered.json()["reason"] == "waiting for the hub's public key"
        open_signing_key(folder / "data/hub")
        assert (await http.get(f"{runner.url}/ready")).status_code == 200


@pytest.mark.real
@pytest.mark.real
async def test_what_a_killed_runner_left_behind_is_ended_by_its_next_life(
    open_estate: OpenEstate, runner: RunnerProcess, folder: Path
) -> None:
    async with open_estate(a=puppet(folder)) as estate:
        await estate.reached("a", "running")
        programs = runner.programs()
        tether = next(each for each in programs if "tether.py" in command_of(each))
        # With a tether that stands still nobody ends the program but the next life.
        os.kill(tether.pid, signal.SIGSTOP)
        await runner.kill()
        await runner.start()
        await estate.reached("a", "running", within_s=8)
        assert alive(programs) == []
