"""What must hold after every kill, of all that was ever acknowledged."""

import asyncio
import shutil
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

from flotilla.json_text import from_json
from secret_store.backend import Value, Wanted
from secret_store.database import database_at, place_in, place_of
from secret_store.embedded import Embedded
from secret_store.keyring import Keyring
from secret_store.master_key import MasterFile
from secret_store.stamps import Clock

from .callers import LOOK, Life, expect_refused
from .house import House, Refused
from .ledger import WRITING, Ledger
from .shredder import EFFECTS

AFTER: Mapping[str, frozenset[str]] = {
    "pending": frozenset(("pending", "approved", "denied", "expired", "running", "done", "lost")),
    "approved": frozenset(("approved", "running", "done", "lost")),
    "running": frozenset(("running", "done", "lost")),
    "lost": frozenset(("lost",)),
    "denied": frozenset(("denied",)),
    "expired": frozenset(("expired",)),
    "done": frozenset(("done",)),
}
"""What may become of an approval by the next time that it is looked at."""
LONGEST_UNTOLD = timedelta(seconds=100)
"""Another hub tells after a minute what one has left that was killed."""


@dataclass
class Effect:
    what: str
    key: str
    correlation: str


@dataclass
class Book:
    """The audit, read piece by piece: what was once read must stay."""

    last: int = 0
    hash: str = ""
    kinds: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """The kinds of rows by correlation ID."""
    told: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    """How often the audit was told which outcome of which approval."""
    tokens: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    async def read(self, house: House) -> None:
        for line in await house.lines(f"/audit/export?after={self.last}"):
            assert "error" not in line, line
            if "signed" in line:
                continue
            if self.hash:
                assert line["previous"] == self.hash, "the audit is another one than before"
            self.last, self.hash, row = line["number"], line["hash"], line["row"]
            if "correlationId" in row:
                self.kinds[row["correlationId"]].append(row["kind"])
            if row["kind"] == "approval":
                self.told[row["approval"], row["outcome"]] += 1
            if row["kind"] == "token":
                self.tokens.add((row["details"]["id"], row["tool"]))


class Findings:
    """Raises AssertionError for what was lost, done twice, or done unasked."""

    def __init__(self, house: House, ledger: Ledger, database_url: str | None) -> None:
        self.book = Book()
        self.effects = 0
        self._house = house
        self._ledger = ledger
        self._database_url = database_url

    async def of_all(self, life: Life) -> None:
        """Look at everything; the hub and its services run, and nobody calls but we."""
        await self._retried(life)
        await self._tokens()
        effects = self._effects()
        self.effects = len(effects)
        await self.book.read(self._house)
        states = await self._approvals()
        self._once(effects)
        self._audited(effects)
        await self._news(states)
        self._wanted(effects, states)
        (*_, checked) = await self._house.lines("/audit/verify")
        assert checked["checked"]["fault"] is None, checked
        trail = await self._house.owner("POST", "/services/secrets/operations/verify", {})
        assert trail["intact"] is True, trail

    async def _retried(self, life: Life) -> None:
        """Do again what nobody knows the end of, and what was known to be allowed or not.

        The effects tell afterwards whether anything was done twice.
        """
        ledger = self._ledger
        rounds, ledger.rounds = ledger.rounds, []
        for each in rounds:
            with _refused("approval_replayed"):
                await life.say_yes(each)
        leases, ledger.leases = ledger.leases, []
        for lease in leases:
            with _refused("handle_used_up") if lease.tried else nullcontext():
                was_spent = lease.spent
                await life.spend(lease)
                assert not was_spent, "a handle that is good once was used again"
        standing, ledger.standing = ledger.standing, {}
        for key, allowed in standing.items():
            await life.stands(key, allowed=allowed)

    async def _tokens(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for secret in list(self._ledger.tokens.values())[-12:]:
                tasks.create_task(self._house.call(secret, LOOK, key="any"))
            for secret in list(self._ledger.revoked.values())[-12:]:
                tasks.create_task(expect_refused(self._house, secret))
        told = (await self._house.owner("GET", "/tokens"))["tokens"]
        states = {each["id"]: each["state"] for each in told}
        assert all(states.get(each) == "live" for each in self._ledger.tokens)
        assert all(states.get(each) == "revoked" for each in self._ledger.revoked)

    def _effects(self) -> Sequence[Effect]:
        lines = (self._house.data / EFFECTS).read_text().splitlines()
        return [Effect(*line.split()[:3]) for line in lines]

    async def _approvals(self) -> Mapping[str, str]:
        """The state of each approval, once each that was told of is as it was told."""
        found: dict[str, Any] = {}
        cursor = ""
        while True:
            page = await self._house.owner("GET", f"/approvals?state=all&limit=500{cursor}")
            found |= {each["id"]: each for each in page["items"]}
            if "nextCursor" not in page:
                break
            cursor = f"&cursor={page['nextCursor']}"
        for approval, asked in self._ledger.approvals.items():
            assert approval in found, f"{approval} is gone"
            state = found[approval]["state"]
            assert state in AFTER[asked.last_state], (approval, asked, state)
            asked.last_state = state
            if asked.decided is not None:
                assert (state == "denied") == (asked.decided == "deny"), (approval, asked, state)
                by = {"cli": "owner", "tool": "approver", "elicitation": "operator"}
                assert found[approval]["decidedBy"] == by[asked.way or ""], found[approval]
            if not asked.sent:
                assert state in ("pending", "expired"), (approval, state)
            if asked.result is not None:
                told = await self._house.owner("GET", f"/approvals/{approval}")
                assert told["result"] == asked.result, told
        return {approval: each["state"] for approval, each in found.items()}

    def _once(self, effects: Sequence[Effect]) -> None:
        """No call ran twice, and no approval was good for more than it says."""
        ran = Counter(each.correlation for each in effects)
        assert all(many == 1 for many in ran.values()), ran.most_common(3)
        stored: Counter[str] = Counter()
        for each in effects:
            call = self._ledger.calls.get(each.correlation)
            if call is None:
                # A stored call, which runs under an ID of its own.
                assert each.what == "shred", each
                stored[each.key] += 1
            else:
                assert call.may_run and call.answered != "refused", (each, call)
        by_key = {asked.key: asked for asked in self._ledger.approvals.values()}
        shredded = Counter(each.key for each in effects if each.what == "shred")
        for key, many in shredded.items():
            asked = by_key.get(key)
            assert asked is not None, f"{key} ran, and its asker was told of no approval"
            assert {"approve", "stand"} & asked.sent, (key, asked)
            assert asked.decided != "deny", (key, asked)
            assert stored[key] <= (0 if asked.in_client else 1), (key, asked)
            if "stand" not in asked.sent:
                assert many == 1, (key, asked, many)

    def _audited(self, effects: Sequence[Effect]) -> None:
        """Whatever had an effect was written down before; and what was answered, was."""
        kinds = self.book.kinds
        for each in effects:
            assert "intent" in kinds[each.correlation], f"{each} ran unwritten"
        ran = {each.correlation for each in effects}
        for correlation, call in self._ledger.calls.items():
            if call.answered == "well":
                assert call.what in WRITING
                assert correlation in ran, f"{call} was answered, and did nothing"
        for correlation in self._ledger.operations:
            assert "intent" in kinds[correlation]
        for ended, sent_later in self._ledger.covered:
            assert "intent" in kinds[sent_later], sent_later
            assert "call" in kinds[ended], (ended, sent_later)
        self._ledger.covered.clear()
        assert {(each, "token.made") for each in self._ledger.tokens} <= self.book.tokens
        assert {(each, "token.revoked") for each in self._ledger.revoked} <= self.book.tokens

    async def _news(self, states: Mapping[str, str]) -> None:
        """Each step of each approval is in the audit, or lies ready to be told it."""
        told = set(self.book.told)
        for row in await self._untold():
            told.add((row["approval"], row["outcome"]))
            waited = datetime.now(UTC) - datetime.fromisoformat(row["at"])
            assert waited < LONGEST_UNTOLD, f"no hub tells the audit of {row}"
        await self.book.read(self._house)
        told |= set(self.book.told)
        steps = {"running": ["approved", "begun"], "done": ["approved", "begun", "ended"]}
        steps |= {"approved": ["approved"], "denied": ["denied"]}
        steps |= {"lost": ["approved", "begun", "lost"], "expired": ["expired"]}
        for approval, state in states.items():
            for step in ("asked", *steps.get(state, [])):
                assert (approval, step) in told, (approval, state, step)

    async def _untold(self) -> Sequence[Mapping[str, Any]]:
        asked = "SELECT body FROM hub_approval_news"
        if self._database_url is None:
            file = self._house.data / "hub" / "hub.sqlite3"
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
                bodies = [body for (body,) in database.execute(asked)]
        else:
            connection = await asyncpg.connect(self._database_url)
            try:
                await connection.execute("SET search_path TO flotilla_hub")
                bodies = [row["body"] for row in await connection.fetch(asked)]
            finally:
                await connection.close()
        return [from_json(body.encode()) for body in bodies]

    def _wanted(self, effects: Sequence[Effect], states: Mapping[str, str]) -> None:
        """What is said to be done was done, and what was done is said to be."""
        shredded = {each.key for each in effects if each.what == "shred"}
        for approval, asked in self._ledger.approvals.items():
            if asked.result is not None:
                assert asked.key in shredded, (approval, asked)
            if asked.key in shredded and "stand" not in asked.sent:
                # It was used up, for good, before the call ran.
                assert states[approval] in ("running", "done", "lost"), (approval, asked)

    async def of_secrets(self, folder: Path) -> None:
        """Every version that was told opens to its value; the store of secrets is not running.

        A copy is opened, so that the store itself starts as the kill has left it.
        """
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self._house.data / "secrets", folder)
        if self._database_url is None:
            place = place_in(folder, "secrets")
        else:
            place = place_of(self._database_url, "secrets")
        database, clock = database_at(place), Clock()
        keyring = Keyring(database, MasterFile(folder), (), clock)
        backend = Embedded(database, keyring, versions_kept=1000, clock=clock)
        told = self._ledger.versions
        async with database.opened():
            found = await backend.get([Wanted(*at) for at in told])
        for (at, value), each in zip(told.items(), found, strict=True):
            assert isinstance(each, Value), f"version {at} is gone: {each}"
            assert value in (None, each.text), f"version {at} has another value"

    async def all_began(self) -> bool:
        """Whether every stored call that was allowed has begun."""
        waiting = await self._house.owner("GET", "/approvals?state=approved&limit=500")
        decided = {
            approval
            for approval, asked in self._ledger.approvals.items()
            if asked.decided in ("approve", "stand") and not asked.in_client
        }
        return decided.isdisjoint(each["id"] for each in waiting["items"])


@contextmanager
def _refused(reason: str) -> Generator[None]:
    """Lets a refusal pass that has this reason, and no other."""
    try:
        yield
    except Refused as refused:
        assert refused.details.get("reason") == reason, refused
