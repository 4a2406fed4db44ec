"""What a session may take: memory and downloads have bounds, and whoever meets one is told."""

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flotilla import Context, NotFound
from tests.conftest import until
from web_browsing.browser import watching
from web_browsing.browser.contexts import Wants
from web_browsing.browser.memory import Process, Usage, descendants, measure
from web_browsing.browser.quarantine import Quarantine
from web_browsing.browser.watching import GIVEN_BACK_S, Watch

pytestmark = pytest.mark.anyio

MB = 1024 * 1024


def test_memory_is_that_of_a_process_and_all_that_descend_from_it() -> None:
    usage = measure(os.getpid())
    assert usage.processes[0].pid == os.getpid()
    assert 10 < usage.total_mb < 10_000
    assert measure(2**22 + 1).total_mb == 0


def test_shares_are_told_from_proc_as_far_as_it_may_be_read(tmp_path: Path) -> None:
    for pid, children, cmdline in ((7, "8 9", b"relay"), (8, "", b"x\0--type=renderer\0")):
        folder = tmp_path / str(pid)
        (folder / "task" / str(pid)).mkdir(parents=True)
        (folder / "task" / str(pid) / "children").write_text(children)
        (folder / "cmdline").write_bytes(cmdline)
        (folder / "statm").write_text("900 500 100 0 0 0 0")
    (tmp_path / "8" / "smaps_rollup").write_text("00 [rollup]\nRss: 4000 kB\nPss:  2048 kB\n")
    page = os.sysconf("SC_PAGE_SIZE")
    assert list(descendants(7, tmp_path)) == [7, 8]
    usage = measure(7, tmp_path)
    assert usage.processes == (Process(7, 400 * page, False), Process(8, 2048 * 1024, True))
    assert usage.largest_page() == Process(8, 2048 * 1024, True)
    assert Usage(()).largest_page() is None


class Arriving:
    """What Playwright says of a download, in so far as the quarantine asks."""

    def __init__(self, incoming: Path, data: bytes | None, name: str = "a.txt") -> None:
        self.url = "https://shop.test/" + "a" * 5000
        self.suggested_filename = name
        self.file = incoming / os.urandom(4).hex()
        self.whole = asyncio.Event()
        self.over: list[str] = []
        if data is not None:
            self.file.write_bytes(data)
            self.whole.set()

    async def path(self) -> Path:
        await self.whole.wait()
        return self.file

    async def cancel(self) -> None:
        self.over.append("cancelled")

    async def delete(self) -> None:
        self.file.unlink(missing_ok=True)
        self.over.append("deleted")


@pytest.fixture
def incoming(tmp_path: Path) -> Path:
    (tmp_path / "incoming").mkdir()
    return tmp_path / "incoming"


async def test_a_download_is_kept_under_a_name_of_ours(tmp_path: Path, incoming: Path) -> None:
    quarantine = Quarantine(tmp_path / "kept", incoming)
    arriving: Any = Arriving(incoming, b"gull", "../../etc/cron.d/x" + "y" * 500)
    kept = await quarantine.take(arriving, "t1")
    assert kept.failed is None
    assert kept.path is not None
    assert kept.path.parent == tmp_path / "kept"
    assert kept.path.name.isalnum()
    assert kept.path.stat().st_mode & 0o777 == 0o600
    assert (kept.size_bytes, kept.sha256) == (4, hashlib.sha256(b"gull").hexdigest())
    assert (len(kept.url), len(kept.suggested_name)) == (2000, 200)
    assert quarantine.files[kept.id] == kept
    assert list(incoming.iterdir()) == []
    quarantine.remove()
    assert not kept.path.exists()


async def test_a_link_that_the_browser_put_in_a_files_place_is_not_followed(
    tmp_path: Path, incoming: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the service")
    arriving: Any = Arriving(incoming, b"")
    arriving.file.unlink()
    arriving.file.symlink_to(secret)
    quarantine = Quarantine(tmp_path / "kept", incoming)
    kept = await quarantine.take(arriving)
    assert kept.path is None
    assert kept.failed
    os.mkfifo(incoming / "pipe")
    arriving.file = incoming / "pipe"
    assert (await quarantine.take(arriving)).failed == "it could not be kept: it is no file"
    assert list((tmp_path / "kept").iterdir()) == []


async def test_downloads_are_bounded_in_size_in_sum_in_number_and_in_time(
    tmp_path: Path, incoming: Path
) -> None:
    quarantine = Quarantine(
        tmp_path / "kept", incoming, max_bytes=10, max_total_bytes=15, max_files=4, max_s=0.3
    )
    large: Any = Arriving(incoming, b"x" * 11)
    first: Any = Arriving(incoming, b"x" * 10)
    second: Any = Arriving(incoming, b"x" * 6)
    never: Any = Arriving(incoming, None)
    fifth: Any = Arriving(incoming, b"x")
    assert "larger than the 10" in ((await quarantine.take(large)).failed or "")
    assert (await quarantine.take(first)).failed is None
    assert "larger than the 5" in ((await quarantine.take(second)).failed or "")
    assert "within 0.3 s" in ((await quarantine.take(never)).failed or "")
    assert "4 downloads at most" in ((await quarantine.take(fifth)).failed or "")
    assert all("deleted" in each.over for each in (large, first, second, never, fifth))
    assert len(list((tmp_path / "kept").iterdir())) == 1


async def test_a_download_that_grows_without_end_is_cancelled(
    tmp_path: Path, incoming: Path
) -> None:
    quarantine = Quarantine(tmp_path / "kept", incoming, max_bytes=1000)
    endless: Any = Arriving(incoming, None)
    endless.file.write_bytes(b"x" * 2000)
    async with asyncio.timeout(5):
        kept = await quarantine.take(endless)
    assert "larger than" in (kept.failed or "")
    assert endless.over == ["cancelled", "deleted"]


@pytest.mark.real
async def test_what_a_page_downloads_lies_in_quarantine_until_its_session_ends(
    site: Any, browsing: Any
) -> None:
    site.pages["/"] = "<a href='/file' download>Take</a>"
    site.pages["/file"] = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngull"
    async with browsing() as sessions:
        session = await sessions.open("ada", Wants())
        await session.page().goto(f"{site.url}/")
        await session.page().click("a")
        await until(lambda: any(each.path for each in session.downloads.values()))
        (kept,) = session.downloads.values()
        assert kept.path is not None
        assert kept.path.read_bytes() == b"gull"
        assert kept.path.is_relative_to(session.quarantine)
        assert kept.tab == "t1"
        await sessions.close(session.id, "ada")
        assert not session.quarantine.exists()


@pytest.mark.real
async def test_a_page_that_takes_all_memory_ends_with_its_session_and_others_go_on(
    site: Any, browsing: Any, calling: Callable[..., Context]
) -> None:
    site.pages["/"] = "<title>Fine</title>"
    site.pages["/greedy"] = """<script>
        const kept = [];
        setInterval(() => { kept.push(new Uint8Array(16 * 1024 * 1024).fill(1)) }, 20);
        </script>"""
    async with browsing(max_memory_mb=700) as sessions:
        modest, greedy = await sessions.open("ada", Wants()), await sessions.open("bob", Wants())
        await modest.page().goto(f"{site.url}/")
        await greedy.page().goto(f"{site.url}/greedy")
        await until(lambda: not sessions.of("bob"), 40)
        with pytest.raises(NotFound, match=r"one of its pages took \d+ MB"):
            async with sessions.acting(greedy.id, calling("bob")):
                pass
        async with sessions.acting(modest.id, calling("ada")) as session:
            assert await session.page().title() == "Fine"
        await until(lambda: measure(sessions.engine.running.pid).total_mb < 600)


async def test_nobody_else_pays_while_memory_of_an_ended_page_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended: list[int] = []
    engine: Any = SimpleNamespace(running=SimpleNamespace(pid=1))
    watch = Watch(engine, 700, list)
    now = 0.0

    async def seen(total_mb: int, *pages_mb: int) -> list[int]:
        """Whom a look ends where there are pages of that size, whose IDs count from 10."""
        pages = [Process(10 + n, mb * MB, renders=True) for n, mb in enumerate(pages_mb)]
        rest = Process(1, (total_mb - sum(pages_mb)) * MB, renders=False)
        monkeypatch.setattr(watching, "measure", lambda _: Usage((rest, *pages)))
        ended.clear()
        await watch.look()
        return list(ended)

    monkeypatch.setattr(os, "kill", lambda pid, _: ended.append(pid))
    monkeypatch.setattr(watching, "monotonic", lambda: now)
    assert await seen(996, 100, 500) == [11]
    now += 1
    assert await seen(754, 100) == []
    # Whoever takes it all at once is not waited for.
    assert await seen(876, 100, 300) == [11]
    now += GIVEN_BACK_S
    assert await seen(701, 100) == [10]


@pytest.mark.real
async def test_pages_let_go_what_those_before_left_behind_before_the_bound_is_reached(
    site: Any, browsing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.pages["/"] = """<script>
        window.kept = Array.from({length: 50000}, (_, i) => 'x' + i)</script>"""

    def largest(usage: Usage) -> int:
        page = usage.largest_page()
        return 0 if page is None else page.bytes

    async with browsing(max_memory_mb=10_000) as sessions:
        session = await sessions.open("ada", Wants())
        await session.page().goto(f"{site.url}/")
        usage = measure(sessions.engine.running.pid)
        first = largest(usage)
        # Chromium may collect by itself in between.
        for _ in range(100):
            await session.page().goto(f"{site.url}/")
            usage = measure(sessions.engine.running.pid)
            if largest(usage) > 2.6 * first:
                break
        left = largest(usage)
        assert left > 2.6 * first
        # It looks at this once more, and not at what has been collected meanwhile.
        monkeypatch.setattr(watching, "measure", lambda _: usage)
        watch = Watch(sessions.engine, usage.total_mb * 5 // 4, lambda: [session])
        await watch.look()
        assert watch.relieving is not None
        await watch.relieving
        # What is free goes back to the system a little later.
        await until(lambda: largest(measure(sessions.engine.running.pid)) < 0.8 * left)
        assert await session.page().evaluate("window.kept.length") == 50_000
        # Not again and again.
        relieved = watch.relieving
        await watch.look()
        assert watch.relieving is relieved
