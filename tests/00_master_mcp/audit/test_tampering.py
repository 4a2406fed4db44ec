"""Whoever owns the database may do anything to it; whatever it is, `verify` finds it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from flotilla.chain import GENESIS, Checked, Head, digest_of
from master.audit.heads import HeadFile, open_audit_key
from master.audit.reading import Rows
from master.audit.verifying import verified
from master.database.opened import open_database
from tests.conftest import until

from .conftest import Site, row

pytestmark = pytest.mark.anyio

ROWS = 12
COPIED = "at, kind, principal, tool, outcome, correlation_id"


async def written(site: Site) -> None:
    """A hub that wrote `ROWS` rows, its own first and last ones among them, and stopped."""
    async with site.hub() as hub:
        for number in range(ROWS - 2):
            await hub.book.keep(row(f"t{number}"))


async def found(site: Site) -> tuple[str, int] | None:
    """What is wrong, looked for before a hub writes again."""
    database = open_database(site.place())
    folder = site.folder / "audit"
    key = open_audit_key(folder, None).public_key()
    async with database.opened():
        checked = [each async for each in verified(Rows(database), key, HeadFile(folder))][-1]
    assert isinstance(checked, Checked)
    return None if checked.fault is None else (checked.fault.wrong, checked.fault.number)


async def test_what_nobody_touched_holds(site: Site) -> None:
    await written(site)
    assert await found(site) is None


CHANGES = {
    "a row's text": (
        "UPDATE hub_audit SET body = replace(body, 'ann', 'bob'), principal = 'bob'"
        " WHERE number = 5",
        ("changed", 5),
    ),
    "a column alone": ("UPDATE hub_audit SET principal = 'bob' WHERE number = 5", ("changed", 5)),
    "a column to nothing": ("UPDATE hub_audit SET tool = NULL WHERE number = 5", ("changed", 5)),
    "a hash": (f"UPDATE hub_audit SET hash = '{GENESIS}' WHERE number = 5", ("changed", 5)),
    "one row gone": ("DELETE FROM hub_audit WHERE number = 5", ("removed", 5)),
    "the first gone": ("DELETE FROM hub_audit WHERE number = 1", ("removed", 1)),
    "many gone": ("DELETE FROM hub_audit WHERE number BETWEEN 3 AND 8", ("removed", 3)),
    "the last gone": ("DELETE FROM hub_audit WHERE number > 9", ("tail_cut", 10)),
    "all gone": ("DELETE FROM hub_audit", ("tail_cut", 1)),
}


@pytest.mark.parametrize("what", CHANGES)
async def test_one_statement_is_found(lite: Site, what: str) -> None:
    statement, expected = CHANGES[what]
    await written(lite)
    await lite.forge(statement)
    assert await found(lite) == expected


@pytest.mark.parametrize("what", ["a row's text", "the last gone"])
async def test_one_statement_is_found_in_a_shared_database(
    database_url: str, tmp_path: Path, what: str
) -> None:
    site = Site(database_url, tmp_path / "hub")
    statement, expected = CHANGES[what]
    await written(site)
    await site.forge(statement)
    assert await found(site) == expected


async def test_a_removed_row_is_found_though_all_others_were_renumbered(lite: Site) -> None:
    await written(lite)
    await lite.forge(
        "DELETE FROM hub_audit WHERE number = 5",
        "UPDATE hub_audit SET number = -(number - 1) WHERE number > 5",
        "UPDATE hub_audit SET number = -number WHERE number < 0",
    )
    assert await found(lite) == ("removed", 5)


async def test_rows_that_changed_places_are_found(lite: Site) -> None:
    await written(lite)
    await lite.forge(
        "UPDATE hub_audit SET number = -5 WHERE number = 5",
        "UPDATE hub_audit SET number = 5 WHERE number = 6",
        "UPDATE hub_audit SET number = 6 WHERE number = -5",
    )
    assert await found(lite) == ("reordered", 5)


async def test_a_row_that_was_slipped_in_is_found(lite: Site) -> None:
    await written(lite)
    await lite.forge(
        "UPDATE hub_audit SET number = -(number + 1) WHERE number >= 5",
        "UPDATE hub_audit SET number = -number WHERE number < 0",
    )
    _add(lite, 5)
    assert await found(lite) == ("inserted", 5)


async def test_a_row_that_was_hashed_anew_is_found_by_the_one_after_it(lite: Site) -> None:
    await written(lite)
    _rewrite(lite, 5, 5)
    assert await found(lite) == ("replaced", 5)


async def test_a_chain_that_was_written_anew_to_its_end_is_found_by_the_signed_head(
    lite: Site,
) -> None:
    await written(lite)
    _rewrite(lite, 5, ROWS)
    assert await found(lite) == ("rewritten", ROWS)


async def test_a_new_chain_with_a_head_of_somebody_elses_key_is_found(lite: Site) -> None:
    await written(lite)
    last = _rewrite(lite, 5, ROWS)
    _sign_anew(lite, last, Ed25519PrivateKey.generate())
    (lite.folder / "audit" / "head").unlink()
    assert await found(lite) == ("head_missing", ROWS)


async def test_rows_that_were_added_behind_the_newest_signed_one_are_found(lite: Site) -> None:
    await written(lite)
    _add(lite, ROWS + 1)
    assert await found(lite) == ("unsigned", ROWS + 1)


async def test_a_head_whose_signature_was_made_up_is_found(lite: Site) -> None:
    await written(lite)
    await lite.forge("UPDATE hub_audit_marks SET number = 9, hash = 'x' WHERE name LIKE 'head:%'")
    assert await found(lite) == ("head_forged", 9)


async def test_a_cut_tail_with_an_old_head_put_back_is_found_by_the_file_beside(
    lite: Site,
) -> None:
    await written(lite)
    with closing(sqlite3.connect(lite.folder / "hub.sqlite3")) as opened:
        old = opened.execute("SELECT * FROM hub_audit_marks WHERE name LIKE 'head:%'").fetchone()
    async with lite.hub() as hub:
        await hub.book.keep(row("the.evil.deed"))
    await lite.forge(f"DELETE FROM hub_audit WHERE number > {ROWS}", "DELETE FROM hub_audit_marks")
    with closing(sqlite3.connect(lite.folder / "hub.sqlite3")) as opened, opened:
        opened.execute("INSERT INTO hub_audit_marks VALUES (?, ?, ?, ?, ?, ?)", old)
    assert await found(lite) == ("tail_cut", ROWS + 1)


async def test_a_prefix_that_retention_did_not_remove_is_found(lite: Site) -> None:
    await written(lite)
    with closing(sqlite3.connect(lite.folder / "hub.sqlite3")) as opened:
        (row_hash,) = opened.execute("SELECT hash FROM hub_audit WHERE number = 4").fetchone()
    forged = Head.signed(Ed25519PrivateKey.generate(), "anchor", 4, row_hash, "now")
    await lite.forge(
        "DELETE FROM hub_audit WHERE number <= 4",
        f"INSERT INTO hub_audit_marks VALUES ('anchor', 4, '{row_hash}', 'now',"
        f" '{forged.key}', '{forged.signature}')",
    )
    assert await found(lite) == ("anchor_forged", 4)


async def test_a_head_is_no_anchor_though_its_signature_is_good(lite: Site) -> None:
    await written(lite)
    await lite.forge(
        "DELETE FROM hub_audit WHERE number < 12",
        "INSERT INTO hub_audit_marks SELECT 'anchor', number, hash, at, key, signature"
        " FROM hub_audit_marks WHERE name LIKE 'head:%'",
    )
    assert await found(lite) == ("anchor_forged", 12)


async def test_a_hub_that_finds_its_last_rows_gone_says_so_for_good(site: Site) -> None:
    await written(site)
    await site.forge("DELETE FROM hub_audit WHERE number > 9", "DELETE FROM hub_audit_marks")
    async with site.hub() as hub:
        await hub.book.keep(row("later"))
        fault = (await hub.verify()).fault
        assert fault is not None
        assert (fault.wrong, fault.number) == ("broken_before", 10)
        assert await hub.told() == [*(f"t{number} ok" for number in range(8)), "later ok"]
    assert await found(site) == ("broken_before", 10)


async def test_rows_that_go_while_a_hub_runs_are_told_by_its_next_row(lite: Site) -> None:
    async with lite.hub() as hub:
        for number in range(5):
            await hub.book.keep(row(f"t{number}"))
            # What the file beside tells of later rows is another way to find it out.
            hub.book._head_kept_at = float("inf")  # pyright: ignore
        await lite.forge("DELETE FROM hub_audit WHERE number > 3")
        await hub.book.keep(row("later"))
        fault = (await hub.verify()).fault
        assert fault is not None
        assert (fault.wrong, fault.number) == ("broken_before", 4)


async def test_a_head_file_that_holds_something_else_is_told(lite: Site) -> None:
    await written(lite)
    (lite.folder / "audit" / "head").write_text("{}")
    assert await found(lite) == ("head_forged", 0)
    async with lite.hub() as hub:
        await hub.book.keep(row("later"))
        links = await hub.rows.links(0, 100)
        assert "audit.head_unusable" in [link.columns["tool"] for link in links]


@pytest.mark.real
async def test_the_file_beside_follows_within_about_a_second(lite: Site) -> None:
    async with lite.hub() as hub:
        await hub.book.keep(row("first"))
        for number in range(3):
            await hub.book.keep(row(f"t{number}"))
        await until(lambda: _beside(lite.folder) == 5, within_s=4)


def _beside(folder: Path) -> int:
    head = HeadFile(folder / "audit").read()
    return 0 if head is None else head.number


def _add(site: Site, number: int) -> None:
    """A row that hashes well behind the one before it."""
    with closing(sqlite3.connect(site.folder / "hub.sqlite3")) as opened, opened:
        (previous,) = opened.execute(
            "SELECT hash FROM hub_audit WHERE number = ?", (number - 1,)
        ).fetchone()
        body = '{"at":"2026","kind":"call","principal":"eve","tool":"x","outcome":"ok"}'
        opened.execute(
            f"INSERT INTO hub_audit (number, {COPIED}, body, previous, hash)"
            " VALUES (?, '2026', 'call', 'eve', 'x', 'ok', NULL, ?, ?, ?)",
            (number, body, previous, digest_of(number, previous, body)),
        )


def _rewrite(site: Site, first: int, last: int) -> str:
    """Change row `first`, and hash it and all to `last` anew; the last hash."""
    with closing(sqlite3.connect(site.folder / "hub.sqlite3")) as opened, opened:
        opened.execute("DROP TRIGGER IF EXISTS hub_audit_is_not_changed")
        for number in range(first, last + 1):
            (previous,) = opened.execute(
                "SELECT hash FROM hub_audit WHERE number = ?", (number - 1,)
            ).fetchone()
            (body,) = opened.execute(
                "SELECT body FROM hub_audit WHERE number = ?", (number,)
            ).fetchone()
            if number == first:
                body = body.replace('"outcome":"ok"', '"outcome":"ok","x":1')
            row_hash = digest_of(number, previous, body)
            opened.execute(
                "UPDATE hub_audit SET body = ?, previous = ?, hash = ? WHERE number = ?",
                (body, previous, row_hash, number),
            )
    return row_hash


def _sign_anew(site: Site, row_hash: str, key: Ed25519PrivateKey) -> None:
    head = Head.signed(key, "head", ROWS, row_hash, "now")
    with closing(sqlite3.connect(site.folder / "hub.sqlite3")) as opened, opened:
        opened.execute("DELETE FROM hub_audit_marks")
        opened.execute(
            "INSERT INTO hub_audit_marks VALUES (?, ?, ?, ?, ?, ?)",
            (f"head:{head.key}", head.number, head.hash, head.at, head.key, head.signature),
        )
