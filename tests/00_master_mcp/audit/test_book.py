"""What whoever writes rows may rely on, whichever database keeps them."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flotilla import Unavailable
from master.audit.heads import open_audit_key
from master.audit.reading import Filter
from master.audit.retention import Retention
from tests.conftest import until

from .conftest import Site, row

pytestmark = pytest.mark.anyio


async def test_a_row_that_is_waited_for_is_there_when_the_wait_ends(site: Site) -> None:
    async with site.hub() as hub:
        await hub.book.keep(row("a.b.c"))
        assert await hub.told() == ["a.b.c ok"]
        assert (await hub.verify()).fault is None


async def test_a_row_that_is_noted_is_there_within_a_tenth_of_a_second(swift: Site) -> None:
    async with swift.hub() as hub:
        await hub.book.keep(row("warm.it.up"))
        # With a new head, which comes once a second, all that waits is written at once.
        hub.book._head_kept_at = float("inf")  # pyright: ignore[reportPrivateUsage]
        waited: list[float] = []
        for number in range(5):
            hub.book.note(row(f"a.b.c{number}"))
            noted = time.perf_counter()
            await until(lambda: hub.book.waiting == 0)
            waited.append(time.perf_counter() - noted)
        # Others use this machine too: the best of five is what the book does.
        assert 0.02 < min(waited) < 0.1


async def test_rows_stand_in_the_order_in_which_they_were_told(site: Site) -> None:
    async with site.hub() as hub:
        for number in range(1200):
            hub.book.note(row(f"t{number}"))
        await hub.book.keep(row("last"))
        assert await hub.told() == [*(f"t{number} ok" for number in range(1200)), "last ok"]


async def test_what_waits_at_the_end_is_written_before_the_book_closes(site: Site) -> None:
    async with site.hub() as hub:
        for number in range(700):
            hub.book.note(row(f"t{number}"))
    async with site.hub() as again:
        assert len(await again.told()) == 700
        assert (await again.verify()).fault is None


async def test_many_who_wait_share_few_transactions(lite: Site) -> None:
    async with lite.hub() as hub:
        taken = _count_writes(hub.book)
        await asyncio.gather(*(hub.book.keep(row(f"t{number}")) for number in range(900)))
        assert len(await hub.told()) == 900
        assert taken() <= 5


async def test_hubs_that_share_a_database_write_one_chain(site: Site, tmp_path: Path) -> None:
    open_audit_key(site.folder / "audit", None)
    other = site.elsewhere(tmp_path / "hub" if site.url is None else tmp_path / "other")
    async with site.hub() as one, other.hub() as two:
        await asyncio.gather(
            *(
                hub.book.keep(row(f"{name}.{number}"))
                for number in range(60)
                for name, hub in (("one", one), ("two", two))
            )
        )
        assert len(await one.told()) == 120
        assert (await one.verify()).fault is None
        assert (await two.verify()).fault is None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE hub_audit SET principal = 'bob' WHERE number = 2",
        "DELETE FROM hub_audit",
    ],
)
async def test_the_database_refuses_to_change_or_remove_a_row(site: Site, statement: str) -> None:
    async with site.hub() as hub:
        await hub.book.keep(row())
        with pytest.raises(Exception, match="rows of the audit are"):
            await site.meddle(statement)
        assert (await hub.verify()).fault is None


async def test_the_embedded_database_lets_no_row_be_put_in_the_place_of_another(
    lite: Site,
) -> None:
    async with lite.hub() as hub:
        await hub.book.keep(row())
        with pytest.raises(Exception, match="only added at the end"):
            await lite.meddle(
                "INSERT OR REPLACE INTO hub_audit SELECT number, at, kind, 'bob', tool, outcome,"
                " correlation_id, body, previous, hash FROM hub_audit WHERE number = 2"
            )


async def test_retention_removes_from_the_first_row_on_as_far_as_all_are_old(site: Site) -> None:
    async with site.hub() as hub:
        for number in range(2500):
            hub.book.note(row(f"t{number}"))
        await hub.book.keep(row("new", at=datetime.now(UTC) + timedelta(days=5)))
        hub.book.note(row("newer"))
        last = await Retention(
            hub.book, 1, now=lambda: datetime.now(UTC) + timedelta(days=2)
        ).remove()
        await hub.book.keep(row("newest"))
        assert last == 2501, "the hub's own first row and all that are old"
        assert await hub.told() == ["new ok", "newer ok", "newest ok"]
        checked = await hub.verify()
        assert (checked.fault, checked.first) == (None, 2502)
        removed = await hub.rows.newest(Filter(tool="audit.removed"), 5)
        assert len(removed) == 1
        assert '"through":2501' in removed[0][1]


def _count_writes(book: Any) -> Any:
    """How many transactions the book has made since."""
    store = book._store
    write, taken = store.write, []

    async def counted(steps: Any) -> Any:
        taken.append(1)
        return await write(steps)

    store.write = counted
    return lambda: len(taken)


async def test_a_book_that_is_not_open_refuses_to_keep(lite: Site) -> None:
    async with lite.hub() as hub:
        pass
    with pytest.raises(Unavailable) as refused:
        await hub.book.keep(row())
    assert refused.value.details == {"reason": "audit_unwritable"}
