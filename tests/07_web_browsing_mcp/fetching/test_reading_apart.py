"""Bodies are read in processes of their own: hostile ones end there, and nothing waits for them."""

import asyncio
import os
import sys
import zlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from time import perf_counter

import anyio
import psutil
import pytest
from pypdf import PdfWriter
from pypdf.generic import NameObject, StreamObject

from flotilla import Deadline, TimedOut, TooLarge
from tests.conftest import until
from web_browsing.fetching.orders import Order
from web_browsing.fetching.reader_process import MEMORY_BYTES
from web_browsing.fetching.readers import Readers

from .conftest import Site, Tools, answer, article

pytestmark = pytest.mark.anyio
REAL = pytest.mark.real
PLAIN = Order(kind="plain", url="https://e.org/")
PAGE = Order(kind="html", url="https://e.org/", whole=True)
SLOW = b"<p>" + b"".join(b"<b>word %d</b> <i>and</i> " % number for number in range(150_000))
"""Some megabytes, which take seconds to read."""


def soon() -> Deadline:
    return Deadline.after(30)


def of_ours() -> list[psutil.Process]:
    """The readers that this process has."""
    return [
        each
        for each in psutil.Process().children()
        if "web_browsing.fetching.reader_process" in " ".join(_command(each))
    ]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@asynccontextmanager
async def lag() -> AsyncGenerator[list[float]]:
    """How long the loop was not free at the worst, in seconds, once the block is left."""
    worst = [0.0]

    async def watch() -> None:
        while True:
            before = perf_counter()
            await asyncio.sleep(0.005)
            worst[0] = max(worst[0], perf_counter() - before - 0.005)

    task = asyncio.create_task(watch())
    try:
        yield worst
    finally:
        task.cancel()


async def test_a_reader_is_used_again_and_ends_when_idle() -> None:
    before = {each.pid for each in of_ours()}
    readers = Readers(idle_s=0.2)
    async with readers.opened():
        assert (await readers.read(PLAIN, b"one", soon())).text == "one"
        (first,) = [each for each in of_ours() if each.pid not in before]
        assert (await readers.read(PLAIN, b"two", soon())).text == "two"
        assert [each.pid for each in of_ours() if each.pid not in before] == [first.pid]
        await until(lambda: not first.is_running())


async def test_no_process_is_left_at_the_end() -> None:
    before = {each.pid for each in of_ours()}
    readers = Readers()
    async with readers.opened():
        await readers.read(PLAIN, b"one", soon())
    assert {each.pid for each in of_ours()} == before


async def test_a_body_that_takes_too_long_is_the_end_of_its_reader_alone() -> None:
    readers = Readers(1)
    async with readers.opened():
        await readers.read(PLAIN, b"started", soon())
        before = {each.pid for each in of_ours()}
        with pytest.raises(TooLarge) as caught:
            await readers.read(PAGE, SLOW, Deadline.after(0.05))
        assert caught.value.details == {"reason": "too_much"}
        assert len({each.pid for each in of_ours()} & before) == len(before) - 1
        assert (await readers.read(PLAIN, b"after", soon())).text == "after"


async def test_a_call_that_is_cancelled_kills_what_it_had_read() -> None:
    before = {each.pid for each in of_ours()}
    readers = Readers()
    async with readers.opened():
        async with anyio.create_task_group() as group:
            group.start_soon(readers.read, PAGE, SLOW, soon())
            await until(lambda: {each.pid for each in of_ours()} > before)
            group.cancel_scope.cancel()
        assert {each.pid for each in of_ours()} == before


async def test_a_call_that_is_cancelled_while_its_reader_starts_leaves_none() -> None:
    before = {each.pid for each in of_ours()}
    readers = Readers()
    async with readers.opened():
        for passes in range(12):
            async with anyio.create_task_group() as group:
                group.start_soon(readers.read, PAGE, SLOW, soon())
                for _ in range(passes):
                    await anyio.sleep(0)
                group.cancel_scope.cancel()
            assert {each.pid for each in of_ours()} == before, passes


async def test_who_waits_for_a_reader_waits_no_longer_than_their_deadline() -> None:
    readers = Readers(1)
    async with readers.opened(), anyio.create_task_group() as group:
        group.start_soon(readers.read, PAGE, SLOW, soon())
        await anyio.sleep(0)
        with pytest.raises(TimedOut):
            await readers.read(PLAIN, b"x", Deadline.after(0.05))
        group.cancel_scope.cancel()


async def test_a_reader_has_no_secrets_writes_no_files_and_has_bounded_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CANARY_TOKEN", "canary-of-the-environment")
    before = {each.pid for each in of_ours()}
    readers = Readers()
    async with readers.opened():
        await readers.read(PLAIN, b"one", soon())
        (reader,) = [each for each in of_ours() if each.pid not in before]
        assert reader.environ().keys() <= {"PYTHONPATH", "LANG", "LC_CTYPE"}
        limits = Path(f"/proc/{reader.pid}/limits").read_text()
        soft = {line[:26].strip(): line[26:].split()[0] for line in limits.splitlines()[1:]}
        assert soft["Max address space"] == str(MEMORY_BYTES)
        assert soft["Max file size"] == "0"


@REAL
async def test_readers_end_when_whoever_started_them_is_killed(tmp_path: Path) -> None:
    code = (
        "import asyncio, os, signal\n"
        "from flotilla import Deadline\n"
        "from web_browsing.fetching.readers import Readers\n"
        "from web_browsing.fetching.orders import Order\n"
        "async def main():\n"
        "    readers = Readers()\n"
        "    await readers.read(Order(kind='plain', url='https://e.org/'), b'x',"
        " Deadline.after(30))\n"
        "    print(readers._idle[0].process.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", code),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    told, _ = await process.communicate()
    reader = int(told)
    await until(lambda: not psutil.pid_exists(reader) or _is_over(reader))


def _is_over(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


HOSTILE = {
    "nested divs": b"<div>" * 100_000 + b"the core",
    "nested tables": b"<table><tr><td>" * 20_000 + b"the core",
    "nested lists": b"<ul><li>" * 50_000 + b"the core",
    "nested quotes": b"<blockquote>" * 50_000 + b"the core",
    "nested spans": b"<p>" + b"<span>" * 100_000 + b"the core",
    "attributes": b"<p " + b" ".join(b"a%d=x" % n for n in range(100_000)) + b">the core",
    "one long tag": b"<p title='" + b"a" * 2_000_000 + b"'>the core",
    "open brackets": b"<" * 500_000,
    "open comments": b"<!--" * 200_000,
    "entities": b"&amp;" * 400_000,
    "NULs": b"<p>the\x00core</p>" * 20_000,
    "styles": b"<style>" + b".a{display:none}" * 20_000 + b"</style><p class=a>the core",
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("nested divs", "open brackets") else REAL)
        for name in HOSTILE
    ],
)
async def test_a_hostile_page_takes_bounded_time_and_the_loop_none(
    site: Site, tools: Tools, name: str
) -> None:
    site.pages["/a"] = answer(b"<!doctype html><html><body>" + HOSTILE[name])
    started = perf_counter()
    async with lag() as worst:
        page = await tools.fetch(site.url + "/a", whole=True, within_s=30)
    assert "text" in page or page["reason"] == "too_much", page
    assert perf_counter() - started < 25
    assert worst[0] < 1


def hostile_pdf(drawn: bytes) -> bytes:
    """One page whose content unpacks to `drawn`."""
    writer = PdfWriter()
    page = writer.add_blank_page(300, 300)
    content = StreamObject()
    content.set_data(zlib.compress(drawn, 9))
    content[NameObject("/Filter")] = NameObject("/FlateDecode")
    page[NameObject("/Contents")] = content
    made = BytesIO()
    writer.write(made)
    return made.getvalue()


@REAL
@pytest.mark.parametrize("drawn", [bytes(600 * 1024 * 1024), b"[" * 3_000_000, b"q " * 3_000_000])
async def test_a_hostile_pdf_takes_bounded_time_and_memory(
    site: Site, tools: Tools, drawn: bytes
) -> None:
    site.pages["/a"] = answer(hostile_pdf(drawn), content_type="application/pdf")
    started = perf_counter()
    async with lag() as worst:
        page = await tools.fetch(site.url + "/a", within_s=40)
    assert "text" in page or page["reason"] in ("too_much", "broken_pdf"), page
    assert perf_counter() - started < 35
    assert worst[0] < 1


@REAL
async def test_a_page_of_sixteen_megabytes_does_not_hold_up_the_loop(
    site: Site, tools: Tools
) -> None:
    one = article("Words of a long page.")
    site.pages["/a"] = answer((one + b"<p>words " * 200) * (15 * 1024 * 1024 // (len(one) + 1800)))
    async with lag() as worst:
        page = await tools.fetch(site.url + "/a", within_s=60)
    assert "text" in page or page["reason"] == "too_much"
    assert worst[0] < 1
