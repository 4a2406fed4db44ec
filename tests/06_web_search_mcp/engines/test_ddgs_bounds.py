"""What an engine of ddgs may cost: bytes, time, threads, and what is written down."""

import asyncio
import gzip
import sys
import threading
from pathlib import Path
from time import monotonic

import pytest
from aiohttp import web

from flotilla import (
    Deadline,
    TimedOut,
    Unavailable,
)
from tests.backends.web_search.internet import Internet
from tests.conftest import until
from web_search.configured import engines_of
from web_search.engine import Question
from web_search.settings import Settings

from .refusals import Named, answering, refused

pytestmark = pytest.mark.anyio


async def test_a_body_without_end_is_given_up(named: Named, internet: Internet) -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        answer = web.StreamResponse(headers={"Content-Type": "text/html"})
        await answer.prepare(request)
        while sent < 200 * 1024 * 1024:
            await answer.write(b"<p>more</p>" * 6000)
            sent += 66_000
        return answer

    internet.hosts["www.mojeek.com"] = endless
    error = await refused(named("mojeek"))
    assert error.details["reason"] == "too_large"
    assert sent < 64 * 1024 * 1024


async def test_a_small_body_that_unpacks_to_a_huge_one_is_given_up(
    named: Named, internet: Internet
) -> None:
    bomb = gzip.compress(b"a" * 64 * 1024 * 1024)
    internet.hosts["www.mojeek.com"] = answering(
        lambda: web.Response(body=bomb, headers={"Content-Encoding": "gzip"})
    )
    error = await refused(named("mojeek"))
    assert error.details["reason"] == "too_large"


async def test_an_engine_that_does_not_answer_is_given_up_in_time(
    named: Named, internet: Internet
) -> None:
    async def trickle(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/html"})
        await answer.prepare(request)
        while not internet.let_go.is_set():
            await answer.write(b"<p>")
            await asyncio.wait([asyncio.ensure_future(internet.let_go.wait())], timeout=0.05)
        return answer

    for handler in (internet.hang, trickle):
        internet.hosts["www.mojeek.com"] = handler
        started = monotonic()
        with pytest.raises(TimedOut) as raised:
            await named("mojeek").search(
                "web", Question(words="flotilla", most=5), Deadline.after(0.5)
            )
        assert monotonic() - started < 1.5
        assert raised.value.message == "mojeek did not answer in time"
        assert raised.value.details["engine"] == "mojeek"


async def test_no_log_says_what_was_asked(internet: Internet, tmp_path: Path) -> None:
    script = """
import sys
from flotilla.logs import set_up_logs
from flotilla.redaction import Redactor
set_up_logs("DEBUG", Redactor(), sys.stdout)
import logging, primp
client = primp.Client(proxy=sys.argv[1], ca_cert_file=sys.argv[2])
print(client.get("https://search.brave.com/search?q=private").status_code)
logging.getLogger("another").debug("seen")
"""
    # A process of its own: the client decides at its start what it logs.
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        internet.proxy,
        str(internet.trusted),
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await asyncio.wait_for(process.communicate(), 30)
    assert b"200" in told and b"seen" in told
    assert b"private" not in told


async def test_those_that_hang_take_nothing_of_the_others(
    internet: Internet, tmp_path: Path
) -> None:
    (tmp_path / "web_search.yaml").write_text(f"ca_file: {internet.trusted}\n")
    engines, _ = engines_of(Settings(proxy=internet.proxy, threads=2), tmp_path)
    by_name = {engine.name: engine for engine in engines}
    internet.hosts["www.mojeek.com"] = internet.hang
    question = Question(words="flotilla", most=5)
    for _ in range(2):
        # Given up by the caller long before its time: the thread goes on for a while.
        asked = asyncio.create_task(by_name["mojeek"].search("web", question, Deadline.after(3)))
        await until(lambda: internet.asked)
        internet.asked.clear()
        asked.cancel()
        await asyncio.wait([asked])
    error = await refused(by_name["mojeek"])
    assert isinstance(error, Unavailable)
    assert "still hang" in error.message
    assert len(await by_name["brave"].search("web", question, Deadline.after(4))) == 3


async def test_a_question_that_nobody_waits_for_is_asked_no_further(
    named: Named, internet: Internet
) -> None:
    first = asyncio.Event()
    page = internet.hosts["www.mojeek.com"]

    async def slow(request: web.Request) -> web.StreamResponse:
        await first.wait()
        return await page(request)

    internet.hosts["www.mojeek.com"] = slow
    question = Question(words="flotilla", most=50)
    engine = named("mojeek")
    asked = asyncio.create_task(engine.search("web", question, Deadline.after(4)))
    await until(lambda: internet.asked)
    asked.cancel()
    await asyncio.wait([asked])
    first.set()
    await until(lambda: not [each for each in threading.enumerate() if "mojeek" in each.name])
    assert len(internet.asked) == 1


async def test_who_hangs_holds_no_thread_beyond_its_time(
    internet: Internet, tmp_path: Path
) -> None:
    (tmp_path / "web_search.yaml").write_text(f"ca_file: {internet.trusted}\n")
    engines, _ = engines_of(Settings(proxy=internet.proxy, threads=1), tmp_path)
    by_name = {engine.name: engine for engine in engines}
    internet.hosts["www.mojeek.com"] = internet.hang
    question = Question(words="flotilla", most=5)
    with pytest.raises(TimedOut):
        await by_name["mojeek"].search("web", question, Deadline.after(0.3))
    assert len(await by_name["brave"].search("web", question, Deadline.after(4))) == 3
