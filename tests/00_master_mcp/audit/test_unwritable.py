"""A database that takes no rows: what writes is refused at once, what reads a little later."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager

import pytest

from flotilla import Unavailable
from master.audit.reading import Filter
from tests.backends.postgres_server import Postgres
from tests.conftest import until

from .conftest import Hub, Site, row

pytestmark = pytest.mark.anyio


@contextmanager
def held(site: Site) -> Generator[None]:
    """Somebody else holds the lock of the file for longer than the book waits."""
    with closing(sqlite3.connect(site.folder / "hub.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def impatient(hub: Hub) -> None:
    """The book waits for no lock."""
    hub.book._store._lock_timeout_s = 0  # pyright: ignore


async def test_a_full_disk_refuses_what_waits_and_keeps_what_does_not(lite: Site) -> None:
    async with lite.hub() as hub:
        await hub.book.keep(row("before"))
        opened = hub.book._store._connection  # pyright: ignore
        (pages,) = opened.execute("PRAGMA page_count").fetchone()
        opened.execute(f"PRAGMA max_page_count = {pages}")
        hub.book.note(row("noted"))
        with pytest.raises(Unavailable, match="SQLITE_FULL") as refused:
            await hub.book.keep(row("kept", arguments={"text": "x" * 4000}))
        assert refused.value.details == {"reason": "audit_unwritable"}
        assert hub.book.waiting >= 1
        # The next attempt opens the file anew, and there the disk has room again.
        await until(lambda: hub.book.waiting == 0)
        assert await hub.told() == ["before ok", "noted ok"]
        assert (await hub.verify()).fault is None


async def test_calls_that_read_go_on_for_a_while_and_then_are_refused_too(lite: Site) -> None:
    now = 0.0
    async with lite.hub(away_s=30) as hub:
        await hub.book.keep(row("before"))
        hub.book._clock = lambda: now  # pyright: ignore
        impatient(hub)
        hub.book._store._close()  # pyright: ignore  so that it is opened without patience
        with held(lite):
            with pytest.raises(Unavailable):
                await hub.book.keep(row("writes"))
            hub.book.check()
            hub.book.note(row("reads"))
            now = 29.0
            hub.book.check()
            now = 31.0
            with pytest.raises(Unavailable, match="nothing may run of which no record"):
                hub.book.check()
        await until(lambda: hub.book.waiting == 0)
        hub.book.check()
        assert await hub.told() == ["before ok", "reads ok"]
        await hub.book.keep(row("after"))
        ((_, told),) = await hub.rows.newest(Filter(tool="audit.away"), 5)
        assert '"refused":1' in told
        assert '"lost":0' in told


async def test_more_rows_than_may_wait_are_refused_and_at_last_counted(lite: Site) -> None:
    async with lite.hub(max_waiting=100) as hub:
        await hub.book.keep(row("before"))
        impatient(hub)
        hub.book._store._close()  # pyright: ignore
        with held(lite):
            with pytest.raises(Unavailable):
                await hub.book.keep(row("writes"))
            for number in range(99):
                hub.book.check()
                hub.book.note(row(f"t{number}"))
            hub.book.note(row("one more"))
            with pytest.raises(Unavailable):
                hub.book.check()
            # What was let in before may still end, but not without limit.
            for number in range(150):
                hub.book.note(row(f"late{number}"))
            assert hub.book.waiting == 200
        await until(lambda: hub.book.waiting == 0)
        await hub.book.keep(row("after"))
        ((_, told),) = await hub.rows.newest(Filter(tool="audit.away"), 5)
        assert '"lost":50' in told
        assert (await hub.verify()).fault is None


@pytest.mark.real
async def test_a_database_that_goes_away_and_comes_back_loses_no_row(
    postgres: Postgres, database_url: str, lite: Site
) -> None:
    site = Site(database_url, lite.folder)
    async with site.hub() as hub:
        await hub.book.keep(row("before"))
        postgres.stop()
        try:
            hub.book.note(row("noted"))
            with pytest.raises(Unavailable):
                await hub.book.keep(row("refused"))
        finally:
            await asyncio.to_thread(postgres.start)
        await until(lambda: hub.book.waiting == 0)
        await hub.book.keep(row("after"))
        assert await hub.told() == ["before ok", "noted ok", "after ok"]
        assert (await hub.verify()).fault is None


async def test_rows_whose_commit_was_not_heard_of_are_not_written_twice(site: Site) -> None:
    async with site.hub() as hub:
        await hub.book.keep(row("before"))
        store = hub.book._store  # pyright: ignore
        write, lost = store.write, []

        async def unheard(steps: object) -> object:
            done = await write(steps)
            if not lost:
                lost.append(done)
                raise Unavailable("the connection broke while it was committed")
            return done

        store.write = unheard
        hub.book.note(row("noted"))
        with contextlib.suppress(Unavailable):
            await hub.book.keep(row("kept"))
        await hub.book.keep(row("after"))
        assert await hub.told() == ["before ok", "noted ok", "kept ok", "after ok"]
        assert (await hub.verify()).fault is None


async def test_a_file_that_was_taken_away_is_not_written_into_nothing(lite: Site) -> None:
    async with lite.hub() as hub:
        await hub.book.keep(row("before"))
        (lite.folder / "hub.sqlite3").rename(lite.folder / "elsewhere.sqlite3")
        with pytest.raises(Unavailable):
            await hub.book.keep(row("refused"))
        (lite.folder / "elsewhere.sqlite3").rename(lite.folder / "hub.sqlite3")
        await hub.book.keep(row("after"))
        assert await hub.told() == ["before ok", "after ok"]


async def test_a_writer_that_breaks_leaves_nobody_waiting(lite: Site) -> None:
    refused: list[str] = []
    with pytest.raises(ZeroDivisionError):
        async with lite.hub() as hub:
            await hub.book.keep(row("before"))
            hub.book._keep_head = lambda _every_s: 1 / 0  # pyright: ignore
            await hub.book.keep(row("last"))
            await until(lambda: hub.book._loop is None)  # pyright: ignore
            # What is raised in here is lost behind the writer's own error.
            with pytest.raises(Unavailable):
                await hub.book.keep(row("refused"))
            refused.append("keep")
            with pytest.raises(Unavailable):
                hub.book.check()
            refused.append("check")
    assert refused == ["keep", "check"]


async def test_whoever_gives_up_waiting_disturbs_nobody(lite: Site) -> None:
    async with lite.hub() as hub:
        waiting = [asyncio.create_task(hub.book.keep(row(f"t{number}"))) for number in range(20)]
        await asyncio.sleep(0)
        for task in waiting[::2]:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await hub.book.keep(row("after"))
        assert len(await hub.told()) == 21, "its row tells of an intent, which was there"
        assert (await hub.verify()).fault is None
