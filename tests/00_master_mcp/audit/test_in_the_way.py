"""What a running hub writes of the requests that clients make."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import Any

import anyio
import pytest

from flotilla import Context, Deadline, Model, NotAllowed, Principal, Spoke, destroys, reads, writes
from flotilla.resilience import RateLimit
from flotilla.secret_text import SecretText
from master.audit.query import QUERY, AuditQuery
from tests.conftest import InProcessFleet, StartFleet, until

from .conftest import CANARY, Site, row

pytestmark = pytest.mark.anyio


class Did(Model):
    said: str


class Works:
    """Tools of each kind; `seen` is what the audit held while a call ran."""

    def __init__(self) -> None:
        self.file: Path | None = None
        self.seen: list[str] = []
        self.ran = 0
        self.started = anyio.Event()

    async def look(self, text: str = "") -> Did:
        """Look."""
        return Did(said=text)

    async def hang(self) -> Did:
        """Hang until it is cancelled."""
        self.started.set()
        await anyio.sleep_forever()
        raise AssertionError("never here")

    async def change(self, to: str) -> Did:
        """Change something."""
        self.ran += 1
        if self.file is not None:
            self.seen = [f"{each['kind']} {each['outcome']}" for each in rows_in(self.file)]
        return Did(said=to)

    async def enter(self, user: str, word: SecretText) -> Did:
        """Enter."""
        del word
        return Did(said=user)

    async def wipe(self) -> Did:
        """Wipe."""
        return Did(said="wiped")

    def spoke(self) -> Spoke:
        return Spoke(
            name="works",
            version="1",
            instructions="",
            namespaces=("test.works",),
            tools=(
                reads("test.works.look", self.look),
                reads("test.works.hang", self.hang),
                writes("test.works.change", self.change),
                writes("test.works.enter", self.enter),
                destroys("test.works.wipe", self.wipe),
            ),
        )


def file_of(fleet: InProcessFleet) -> Path:
    return fleet.common.data_dir / "hub" / "hub.sqlite3"


def rows_in(file: Path, kinds: tuple[str, ...] = ("call", "intent")) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(file)) as opened:
        found = opened.execute("SELECT body FROM hub_audit ORDER BY number").fetchall()
    return [told for (body,) in found if (told := json.loads(body))["kind"] in kinds]


async def rows_of(fleet: InProcessFleet, how_many: int, *kinds: str) -> list[dict[str, Any]]:
    wanted = kinds or ("call", "intent")
    await until(lambda: len(rows_in(file_of(fleet), wanted)) >= how_many)
    found = rows_in(file_of(fleet), wanted)
    assert len(found) == how_many, found
    return found


async def test_a_call_leaves_a_row_that_says_who_what_why_and_how(
    start_fleet: StartFleet,
) -> None:
    async with start_fleet([Works().spoke()]) as fleet, fleet.client() as client:
        result = await client.call_tool("test_works_look", {"text": "hello"})
        (told,) = await rows_of(fleet, 1)
        assert told["details"].pop("client").startswith("mcp ")
        assert told.pop("tookMs") > 0
        assert told.pop("at").endswith("Z")
        assert told == {
            "kind": "call",
            "principal": "admin",
            "roles": ["admin"],
            "tool": "test.works.look",
            "service": "works",
            "arguments": {"text": "hello"},
            "outcome": "ok",
            "rules": ["admin-does-everything"],
            "correlationId": result.meta["io.flotilla/correlationId"],
            "details": {"profile": "default"},
        }


async def test_a_call_that_writes_is_on_the_disk_before_it_runs_or_does_not_run(
    start_fleet: StartFleet,
) -> None:
    works = Works()
    async with start_fleet([works.spoke()]) as fleet, fleet.client() as client:
        works.file = file_of(fleet)
        await client.call_tool("test_works_change", {"to": "a"})
        assert works.seen == ["intent intended"]
        intent, call = await rows_of(fleet, 2)
        assert intent["correlationId"] == call["correlationId"]
        assert intent["arguments"] == call["arguments"] == {"to": "a"}
        works.file.rename(away := works.file.with_suffix(".away"))
        refused = await client.call_tool("test_works_change", {"to": "b"})
        told = json.loads(refused.content[0].text)["error"]
        assert (told["code"], works.ran) == ("unavailable", 1)
        assert told["reason"] == "audit_unwritable"
        assert not (await client.call_tool("test_works_look", {"text": "reads"})).is_error
        away.rename(works.file)
        kinds = [(each["kind"], each["outcome"]) for each in await rows_of(fleet, 4)]
        assert kinds[2:] == [("call", "unavailable"), ("call", "ok")]


async def test_refusals_and_failures_leave_rows_too(start_fleet: StartFleet) -> None:
    works = Works()
    async with start_fleet([works.spoke()]) as fleet, fleet.client() as client:
        await client.call_tool("test_works_change", {"too": CANARY})
        await client.call_tool("test_works_wipe", {})
        await client.call_tool("test_works_chnage", {"password": "a-password-in-the-wrong-tool"})
        with anyio.move_on_after(5) as giving_up:
            async with anyio.create_task_group() as calling:
                calling.start_soon(client.call_tool, "test_works_hang", {})
                await works.started.wait()
                giving_up.cancel()
        found = await rows_of(fleet, 4, "call")
        assert [(each["tool"], each["outcome"]) for each in found] == [
            ("test.works.change", "invalid_argument"),
            ("test.works.wipe", "approval_required"),
            ("unknown", "not_found"),
            ("test.works.hang", "cancelled"),
        ]
        assert found[2]["details"]["named"] == "test_works_chnage"
        assert "a-password-in-the-wrong-tool" not in json.dumps(found)


async def test_secret_arguments_are_written_nowhere(start_fleet: StartFleet) -> None:
    async with start_fleet([Works().spoke()]) as fleet:
        async with fleet.client() as client:
            await client.call_tool("test_works_enter", {"user": "ann", "word": CANARY})
            # Too long to be a row's whole: what is cut must not show it either.
            long = {"user": "u" * 9000, "word": CANARY}
            await client.call_tool("test_works_enter", long)
            found = await rows_of(fleet, 4)
            assert [each["arguments"]["word"] for each in found] == ["(secret)"] * 4
            assert found[2]["arguments"]["user"]["bytes"] == 9000
        folder = file_of(fleet).parent
        assert CANARY.encode() not in b"".join(each.read_bytes() for each in folder.glob("hub.*"))


async def test_an_operator_who_switched_approvals_off_is_seen_in_every_row(
    start_fleet: StartFleet,
) -> None:
    async with (
        start_fleet([Works().spoke()], approvals="off") as fleet,
        fleet.client() as client,
    ):
        await client.call_tool("test_works_wipe", {})
        assert [each["details"]["approvals"] for each in await rows_of(fleet, 2)] == ["off"] * 2


async def test_a_flood_of_refused_calls_fills_no_disk(start_fleet: StartFleet) -> None:
    limit = {"rate_limit": RateLimit(per_minute=1, burst=5)}
    async with start_fleet([Works().spoke()], resilience=limit) as fleet:
        began = monotonic()
        async with fleet.client() as client:
            for _ in range(60):
                await client.call_tool("test_works_look", {})
                await client.call_tool("no_such_tool", {})
        seconds = monotonic() - began
        await until(lambda: _counted(fleet) == 60 + 60)
        two_kinds_of_two_rows = 2 * 2
        assert len(rows_in(file_of(fleet))) <= 5 + two_kinds_of_two_rows * (seconds + 2)


def _counted(fleet: InProcessFleet) -> int:
    return sum(each["details"].get("more", 1) for each in rows_in(file_of(fleet)))


async def test_who_may_reads_the_audit_through_the_hub(start_fleet: StartFleet) -> None:
    async with start_fleet([Works().spoke()]) as fleet, fleet.client() as client:
        for text in ("a", "b", "c"):
            await client.call_tool("test_works_look", {"text": text})
        await rows_of(fleet, 3)
        wanted = {"tool": "test.works.*", "outcome": "ok", "limit": 2}
        first = (await client.call_tool(QUERY, wanted)).structured_content
        assert [each["row"]["arguments"]["text"] for each in first["items"]] == ["c", "b"]
        rest = {**wanted, "cursor": first["nextCursor"]}
        second = (await client.call_tool(QUERY, rest)).structured_content
        assert [each["row"]["arguments"]["text"] for each in second["items"]] == ["a"]
        assert "nextCursor" not in second
        wrong = await client.call_tool(QUERY, {"since": "yesterday"})
        assert "since is no moment" in wrong.content[0].text


async def test_others_read_their_own_rows_alone(lite: Site) -> None:
    async with lite.hub() as hub:
        for principal in ("ann", "bob"):
            await hub.book.keep(row(principal=principal))
        query = AuditQuery(hub.rows, ["admin", "approver"]).query
        ann = _context("ann", "viewer")
        assert {each.row["principal"] for each in (await query(context=ann)).items} == {"ann"}
        with pytest.raises(NotAllowed):
            await query(principal="bob", context=ann)
        approver = _context("cem", "approver")
        found = await query(kind="call", context=approver)
        assert [each.row["principal"] for each in found.items] == ["bob", "ann"]


def _context(name: str, role: str) -> Context:
    return Context(
        principal=Principal(name, (role,)), correlation_id="c", deadline=Deadline.after(5)
    )
