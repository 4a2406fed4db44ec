"""Approvals over a file and over a real PostgreSQL, of one hub or of several that share it."""

import contextlib
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import asyncpg
import pytest

from flotilla import Principal
from flotilla.database.database import Database
from flotilla.database.place import Place, read_place
from flotilla.redaction import Redactor
from flotilla.secret_text import MARK
from flotilla.serving.draining import Drain
from master.approvals.runs import Runs
from master.approvals.sealing import open_sealing
from master.approvals.service import ApprovalService
from master.approvals.settings import ApprovalSettings
from master.approvals.store import Store
from master.approvals.unheard import Unheard
from master.approvals.upkeep import Upkeep
from master.audit.seam import Row
from master.call import Call
from master.database.opened import SCHEMA, open_database
from master.entry import Entry, Origin, View
from master.policy.seam import Consent, Verdict
from master.result import Result, of_json
from tests.backends.hub_tables import with_tables

from ...backends.postgres_server import Postgres

ASKER = Principal("operator-1", ("operator",))
APPROVER = Principal("ada", ("approver",))
OTHER = Principal("grace", ("operator",))
OWNER = Principal("owner", ("owner",))


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def on(self, **delta: float) -> None:
        self.now += timedelta(**delta)


class Book:
    """Remembers the rows in their order; `away` makes it refuse them."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.away: Exception | None = None

    async def keep(self, row: Row) -> None:
        if self.away is not None:
            raise self.away
        self.rows.append(row)

    def note(self, row: Row) -> None:
        self.rows.append(row)

    def count(self, row: Row) -> None:
        self.rows.append(row)

    def check(self) -> None: ...

    @property
    def outcomes(self) -> list[str]:
        return [row.outcome for row in self.rows]


@dataclass
class Hub:
    """One hub process: its service, its upkeep, and what became of the stored calls it ran."""

    service: ApprovalService
    upkeep: Upkeep
    runs: Runs
    book: Book
    database: Database
    drain: Drain
    ran: list[Call] = field(default_factory=list[Call])
    people: dict[str, Principal | None] = field(default_factory=dict[str, Principal | None])
    answer: Result = field(default_factory=lambda: of_json({"content": [], "isError": False}))

    async def way(self, call: Call) -> Result:
        self.ran.append(call)
        return self.answer

    async def still(self, principal: Principal) -> Principal | None:
        return self.people.get(principal.name, principal)

    async def told(self) -> list[str]:
        """What the audit knows, once everything was delivered."""
        await self.upkeep.deliver()
        return self.book.outcomes


OpenHub = Callable[..., AbstractAsyncContextManager[Hub]]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def emptied_url(postgres: Postgres) -> str:
    """One database for all these tests, empty: to make one for each takes longer than the tests."""
    connection = await asyncpg.connect(postgres.url)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = 'approvals'"):
            await connection.execute("CREATE DATABASE approvals TEMPLATE template0")
    finally:
        await connection.close()
    url = postgres.url.removesuffix("/postgres") + "/approvals"
    connection = await asyncpg.connect(url)
    try:
        if await connection.fetchval(f"SELECT to_regclass('{SCHEMA}.hub_approvals')"):
            tables = f"{SCHEMA}.hub_approvals, {SCHEMA}.hub_approval_news"
            await connection.execute(f"TRUNCATE {tables}")
    finally:
        await connection.close()
    return url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where the tables are, in either database."""
    return place_in(request, tmp_path)


def place_in(request: pytest.FixtureRequest, folder: Path) -> Place:
    if request.param == "sqlite":
        return with_tables(folder)
    return read_place(request.getfixturevalue("emptied_url"), SCHEMA, "FLOTILLA_DATABASE_URL")


def opener(place: Place, folder: Path, clock: Clock) -> OpenHub:
    """`async with open_hub("one") as hub`: one more hub process on the same database."""

    @asynccontextmanager
    async def opened(
        name: str = "one",
        *,
        key_in: Path = folder,
        lock_timeout_s: float = 5.0,
        kept_up: bool = True,
        **settings: Any,
    ) -> AsyncGenerator[Hub]:
        database = open_database(place, lock_timeout_s=lock_timeout_s)
        book, redactor, drain = Book(), Redactor(["hunter2-canary"]), Drain(name)
        service = ApprovalService(
            Store(database, name),
            open_sealing(key_in),
            ApprovalSettings(**settings),
            book,
            redactor,
            hub=name,
            clock=clock,
        )
        runs = Runs(service, lambda principal: hub.still(principal), drain, redactor)
        # A beat that never comes: tests take each turn themselves.
        upkeep = Upkeep(service, runs, beat_s=3600)
        hub = Hub(service, upkeep, runs, book, database, drain)
        runs.way = hub.way
        # Without upkeep nothing is open that belongs to the task that opened it.
        keeping = upkeep.running() if kept_up else contextlib.nullcontext()
        async with database.opened(), keeping:
            yield hub

    return opened


@pytest.fixture
def open_hub(place: Place, tmp_path: Path, clock: Clock) -> OpenHub:
    return opener(place, tmp_path, clock)


@pytest.fixture
async def hub(open_hub: OpenHub) -> AsyncGenerator[Hub]:
    async with open_hub() as opened:
        yield opened


SECRET_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "token": {"type": "string", MARK: True}},
}


def entry_of(name: str = "os.linux.writeFile", service: str = "linux_cli", **more: Any) -> Entry:
    listed = {"name": name, "inputSchema": SECRET_SCHEMA, "annotations": {"destructiveHint": True}}
    return Entry(name, service, listed, **more)


def call_of(
    arguments: Mapping[str, Any] | str | None = None,
    *,
    principal: Principal = ASKER,
    entry: Entry | None = None,
    consent: Consent = "usual",
    interactive: bool = True,
    **params: str,
) -> Call:
    """A resolved call; `arguments` may be the JSON text as a client wrote it."""
    target = entry or entry_of()
    known = {"path": "/etc/x"} if arguments is None else arguments
    text = known if isinstance(known, str) else json.dumps(known)
    return Call(
        principal=principal,
        name=target.safe or target.name,
        params={"name": json.dumps(target.name), "arguments": text, **params},
        arguments=json.loads(text),
        meta={},
        correlation_id="first-correlation",
        traceparent=None,
        view=View(),
        capabilities={},
        party=principal.name,
        arrived=monotonic(),
        hearer=Unheard(),
        target=target,
        interactive=interactive,
        verdict=Verdict(allowed=True, consent=consent),
    )


EXTERNAL = Origin(external=True)
