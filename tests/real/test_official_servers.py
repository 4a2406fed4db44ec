"""The official servers through the hub: at work, under load, killed, and gone with the hub."""

import asyncio
import json
import subprocess
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio
import mcp_types as types
import pytest

from tests.ports import find_free_port
from tests.processes import alive
from tests.real.official import (
    NAMES,
    Official,
    asks,
    install_or_skip,
    resident_mb,
    strays,
)

pytestmark = [pytest.mark.anyio, pytest.mark.real, pytest.mark.timeout(240)]

MODES = ("2026-07-28", "legacy")
of_both_eras = pytest.mark.parametrize("mode", MODES, ids=["modern", "handshake"])
IN_FLIGHT = 16
CALLS = 420
BACK_S = 20.0
GONE_S = 10.0
AUTHOR = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")


class Page(BaseHTTPRequestHandler):
    """A page, and a folder that robots shall leave alone."""

    def do_GET(self) -> None:
        robots = self.path == "/robots.txt"
        body = (
            b"User-agent: *\nDisallow: /private/\n"
            if robots
            else b"<html><body><article><p>The words of the page.</p></article>"
        )
        self.send_response(200)
        self.send_header("Content-Type", "text/plain" if robots else "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """The hub's log is enough."""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def site() -> Generator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


@pytest.fixture(scope="module")
async def official(
    anyio_backend: str, site: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Official]:
    install_or_skip()
    home: Path = tmp_path_factory.mktemp("official")
    found = Official(home, find_free_port(), f"{site}/page.html")
    for folder in (found.folder, found.repository):
        folder.mkdir()
    (found.folder / "note.txt").write_text("a note of the test")
    (found.repository / "readme.txt").write_text("first words\n")
    for args in (("init", "-q"), ("add", "."), (*AUTHOR, "commit", "-qm", "The first commit")):
        subprocess.run(("git", "-C", str(found.repository), *args), check=True, capture_output=True)
    # The servers have users of their own, who must be able to write there.
    subprocess.run(("chmod", "-R", "a+rwX", str(found.folder), str(found.repository)), check=True)
    try:
        await found.start()
        report("start with installing, s", found.started_s)
        yield found
    finally:
        await found.stop()


def report(what: str, figures: Any) -> None:
    """For a reader of `pytest -s`."""
    if isinstance(figures, dict):
        figures = {name: round(value, 2) for name, value in figures.items()}
    print(f"\n{what}: {figures}")


def text_of(answered: Any) -> str:
    assert not answered.is_error, answered.content[0].text
    return "\n".join(each.text for each in answered.content if each.type == "text")


async def test_all_seven_run_shut_in_and_none_of_their_tools_is_held_back(
    official: Official,
) -> None:
    states = await official.states()
    assert set(states) == set(NAMES)
    for name, state in states.items():
        assert state["state"] == "running", name
        assert state["held"] == [], name
        assert state["tools"] > 0, name
        assert (state["protection"]["network"] == "none") == (name != "fetch"), name
    measured = {name: resident_mb(official.processes_of(states[name]["pid"])) for name in NAMES}
    report("resident MB of each with tether, sandbox and package runner", measured)
    assert official.hub is not None
    report("resident MB of the hub", {"hub": official.hub.memory_info().rss / 1e6})


@of_both_eras
async def test_a_file_is_written_and_read_and_none_outside(official: Official, mode: str) -> None:
    file = official.folder / f"{mode}.txt"
    async with official.client(mode) as client:
        told = {"path": str(file), "content": f"written by {mode}"}
        text_of(await client.call_tool("ext_filesystem_write_file", told))
        read = await client.call_tool("ext_filesystem_read_text_file", {"path": str(file)})
        assert text_of(read) == file.read_text() == f"written by {mode}"
        outside = {"path": str(official.data / "admin_token")}
        refused = await client.call_tool("ext_filesystem_read_text_file", outside)
        assert refused.is_error


@of_both_eras
async def test_what_is_remembered_is_found(official: Official, mode: str) -> None:
    entity = {"name": f"Ada-{mode}", "entityType": "person", "observations": [f"likes {mode}"]}
    async with official.client(mode) as client:
        text_of(await client.call_tool("ext_memory_create_entities", {"entities": [entity]}))
        found = await client.call_tool("ext_memory_search_nodes", {"query": f"likes {mode}"})
        assert [each["name"] for each in json.loads(text_of(found))["entities"]] == [f"Ada-{mode}"]


@of_both_eras
async def test_thoughts_follow_each_other(official: Official, mode: str) -> None:
    async with official.client(mode) as client:
        lengths: list[int] = []
        for number in (1, 2):
            told = {
                "thought": "a thought",
                "thoughtNumber": number,
                "totalThoughts": 2,
                "nextThoughtNeeded": number == 1,
            }
            answered = await client.call_tool("ext_sequential-thinking_sequentialthinking", told)
            lengths.append(json.loads(text_of(answered))["thoughtHistoryLength"])
        assert lengths[1] == lengths[0] + 1


@of_both_eras
async def test_a_repository_tells_its_state_and_its_history(official: Official, mode: str) -> None:
    changed, where = official.repository / f"{mode}.txt", {"repo_path": str(official.repository)}
    async with official.client(mode) as client:
        assert "The first commit" in text_of(await client.call_tool("ext_git_git_log", where))
        changed.write_text("new")
        assert changed.name in text_of(await client.call_tool("ext_git_git_status", where))
        changed.unlink()
        assert changed.name not in text_of(await client.call_tool("ext_git_git_status", where))


@of_both_eras
async def test_a_time_is_converted(official: Official, mode: str) -> None:
    asked = {
        "source_timezone": "Asia/Tokyo",
        "target_timezone": "Asia/Kolkata",
        "time": "12:00",
    }
    async with official.client(mode) as client:
        told = json.loads(text_of(await client.call_tool("ext_time_convert_time", asked)))
    assert told["time_difference"] == "-3.5h"
    assert "T08:30:00" in told["target"]["datetime"]


@of_both_eras
async def test_a_page_is_fetched_unless_robots_may_not(official: Official, mode: str) -> None:
    async with official.client(mode) as client:
        page = await client.call_tool("ext_fetch_fetch", {"url": official.page})
        assert "The words of the page" in text_of(page)
        private = official.page.replace("page.html", "private/page.html")
        refused = await client.call_tool("ext_fetch_fetch", {"url": private})
        assert refused.is_error
        assert "robots" in refused.content[0].text


async def sampled(context: Any, params: types.CreateMessageRequestParams) -> Any:
    del context
    asked = params.messages[0].content
    assert isinstance(asked, types.TextContent)
    words = types.TextContent(type="text", text=f"a model on: {asked.text}")
    return types.CreateMessageResult(role="assistant", content=words, model="of the test")


async def elicited(context: Any, params: Any) -> types.ElicitResult:
    del context
    assert "name" in params.requested_schema["properties"]
    return types.ElicitResult(action="accept", content={"name": "Grace"})


@of_both_eras
async def test_progress_sampling_and_elicitation_reach_the_client(
    official: Official, mode: str
) -> None:
    heard: list[tuple[float, float | None]] = []

    async def progressed(progress: float, total: float | None, message: str | None) -> None:
        del message
        heard.append((progress, total))

    asking = {"sampling_callback": sampled, "elicitation_callback": elicited}
    async with official.client(mode, **asking) as client:
        echoed = await client.call_tool("ext_everything_echo", {"message": "ä 🚢"})
        assert text_of(echoed) == "Echo: ä 🚢"
        long = "ext_everything_trigger-long-running-operation"
        asked = {"duration": 1, "steps": 4}
        answered = await client.call_tool(long, asked, progress_callback=progressed)
        assert "completed" in text_of(answered)
        assert heard == [(float(step), 4.0) for step in range(1, 5)]
        request = {"prompt": "the sea", "maxTokens": 10}
        answered = await client.call_tool("ext_everything_trigger-sampling-request", request)
        assert "a model on:" in text_of(answered) and "the sea" in text_of(answered)
        answered = await client.call_tool("ext_everything_trigger-elicitation-request", {})
        assert "Grace" in text_of(answered)


async def test_hundreds_of_calls_over_all_seven_in_both_eras_are_answered_right(
    official: Official,
) -> None:
    known = asks(official)
    waiting = iter([(number, NAMES[number % len(NAMES)]) for number in range(CALLS)])
    took: dict[str, list[float]] = {name: [] for name in NAMES}

    async def worker(client: Any) -> None:
        for number, name in waiting:
            tool, arguments, expected = known[name]
            began = perf_counter()
            assert expected in text_of(await client.call_tool(tool, arguments(number)))
            took[name].append(perf_counter() - began)

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(official.client(mode)) for mode in MODES]
        began = perf_counter()
        with anyio.fail_after(90):
            async with asyncio.TaskGroup() as group:
                for number in range(IN_FLIGHT):
                    group.create_task(worker(clients[number % 2]))
        elapsed_s = perf_counter() - began
    assert Counter({name: len(each) for name, each in took.items()}).total() == CALLS
    report(f"calls/s over all seven at {IN_FLIGHT} in flight", {"rate": CALLS / elapsed_s})
    medians = {name: sorted(each)[len(each) // 2] * 1000 for name, each in took.items()}
    report("median ms of a call under load", medians)


class Load:
    """Calls every server again and again, and remembers what came of it."""

    def __init__(self, official: Official) -> None:
        self._known = asks(official)
        self.answered: dict[str, list[float]] = {name: [] for name in NAMES}
        """When each right answer came."""
        self.failed: dict[str, list[str]] = {name: [] for name in NAMES}
        self.slowest_s = 0.0
        self._more = asyncio.Event()

    async def keep_calling(self, client: Any, name: str) -> None:
        tool, arguments, expected = self._known[name]
        number = 0
        while True:
            number += 1
            began = perf_counter()
            answered = await client.call_tool(tool, arguments(number))
            text = answered.content[0].text
            if answered.is_error or expected not in text:
                self.failed[name].append(text)
                await anyio.sleep(0.05)
                continue
            self.answered[name].append(perf_counter())
            self.slowest_s = max(self.slowest_s, perf_counter() - began)
            self._more.set()

    async def answers_of(self, name: str, more: int) -> None:
        """Return when so many more have come from a server."""
        wanted = len(self.answered[name]) + more
        while len(self.answered[name]) < wanted:
            self._more.clear()
            await self._more.wait()


async def test_each_that_is_killed_under_load_is_back_and_no_other_is_hurt(
    official: Official,
) -> None:
    back_s: dict[str, float] = {}
    load = Load(official)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(official.client(mode)) for mode in MODES]
        calling = [
            asyncio.create_task(load.keep_calling(client, name))
            for client in clients
            for name in NAMES
        ]
        try:
            for victim in NAMES:
                for other in NAMES:
                    with anyio.fail_after(BACK_S):
                        await load.answers_of(other, 2)
                before = {name: len(load.failed[name]) for name in NAMES}
                pid = (await official.states())[victim]["pid"]
                processes = official.processes_of(pid)
                killed_at = perf_counter()
                official.server_itself(pid).kill()
                with anyio.fail_after(BACK_S):
                    while alive(processes):
                        await anyio.sleep(0.02)
                    await load.answers_of(victim, 4)
                back_s[victim] = load.answered[victim][-1] - killed_at
                hurt = {name for name in NAMES if len(load.failed[name]) > before[name]}
                assert hurt <= {victim}, {name: load.failed[name][-1] for name in hurt}
                assert all('"unavailable"' in each for each in load.failed[victim])
                state = (await official.states())[victim]
                assert state["pid"] != pid and state["restarts"] >= 1
        finally:
            for each in calling:
                each.cancel()
            ended = await asyncio.gather(*calling, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended
    report("s from kill -9 under load to the fourth right answer", back_s)
    report("the slowest right answer meanwhile, s", {"slowest": load.slowest_s})


async def gone(official: Official, how: Any) -> float:
    """Seconds until nothing runs any more of what the hub had started when `how` ended it."""
    own, marks = official.own(), official.marks()
    assert len(marks) == len(NAMES)
    assert len(own) > 3 * len(NAMES)
    began = perf_counter()
    await how()
    with anyio.fail_after(GONE_S):
        while alive(own) or strays(marks, official.data):
            await anyio.sleep(0.05)
    return perf_counter() - began


async def test_no_process_outlives_the_hub_whether_killed_or_stopped(official: Official) -> None:
    async def kill() -> None:
        official.kill()

    took_s = await gone(official, kill)
    report("s from kill -9 of the hub until no process of a server lives", {"gone": took_s})
    await official.start()
    report("start with everything installed, s", official.started_s)
    async with official.client("2026-07-28") as client:
        for name, (tool, arguments, expected) in asks(official).items():
            answered = await client.call_tool(tool, arguments(1))
            assert expected in text_of(answered), name
    took_s = await gone(official, partial(official.stop))
    report("s from SIGTERM of the hub until no process of a server lives", {"gone": took_s})
    assert official.marks() == frozenset()
