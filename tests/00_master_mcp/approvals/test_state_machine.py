"""Whatever is done to approvals in whatever order, they do what a model of them says."""

import asyncio
import shutil
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from flotilla import FlotillaError, Principal
from master.approvals.seam import Held
from master.result import of_json
from tests.backends.hub_tables import with_tables

from .conftest import APPROVER, ASKER, OTHER, OWNER, Clock, Hub, call_of, opener

PEOPLE = (ASKER, OTHER, APPROVER, OWNER, Principal(ASKER.name, ("admin",)))
CALLS = [call_of({"path": f"/{number}"}, principal=who) for number in (1, 2) for who in PEOPLE[:2]]


@dataclass
class Expected:
    """What the model knows of one approval."""

    held: Held
    state: str
    until: datetime
    begun: int = 0
    way: str = ""
    allowed_until: datetime | None = None
    at_hub: int = 0


class Approvals(RuleBasedStateMachine):
    """Two hubs on one database; nothing is run but by the rules."""

    made = Bundle("made")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="flotilla-approvals-"))
        self.clock = Clock()
        self.known: dict[str, Expected] = {}
        self.stack = AsyncExitStack()
        place = with_tables(self.folder)
        self.open = opener(place, self.folder, self.clock)
        self.hubs: list[Hub] = [self._started("hub-0"), self._started("hub-1")]

    def _started(self, name: str) -> Hub:
        opened = self.open(name, max_pending_each=4, kept_up=False)
        hub = self.runner.run(self.stack.enter_async_context(opened))
        hub.service.run = lambda record: None
        return hub

    def teardown(self) -> None:
        for hub in self.hubs:
            for approval_id in hub.service.running.ids:
                self.runner.run(hub.service.finish(approval_id, of_json({})))
        self.runner.run(self.stack.aclose())
        self.runner.close()
        shutil.rmtree(self.folder)

    def tried(self, work: Any) -> Any:
        """What it answers, or the reason of its refusal."""
        try:
            return self.runner.run(work)
        except FlotillaError as error:
            return str(error.details.get("reason", error.code))

    @rule(target=made, call=st.sampled_from(CALLS), four_eyes=st.booleans(), at=st.integers(0, 1))
    def ask(self, call: Any, four_eyes: bool, at: int) -> str:
        now = self.clock.now
        mine = [
            each
            for each in self.known.values()
            if each.held.principal == call.principal
            and each.state == "pending"
            and each.until > now
        ]
        told = self.tried(self.hubs[at].service.ask(call, "shown", four_eyes=four_eyes))
        if isinstance(told, str):
            assert told == "too_many_pending" and len(mine) >= 4
            return next(iter(self.known))
        if told.id in self.known:
            assert told.id in {each.held.id for each in mine} and told.four_eyes == four_eyes
        else:
            assert len(mine) < 4
            self.known[told.id] = Expected(told, "pending", told.expires_at)
        return told.id

    @rule(
        approval_id=made,
        by=st.sampled_from(PEOPLE),
        answer=st.sampled_from(("approve", "deny")),
        way=st.sampled_from(("elicitation", "tool", "cli")),
        interactive=st.sampled_from((True, True, True, False)),
        minutes=st.sampled_from((None, None, 5.0, 30.0)),
        at=st.integers(0, 1),
    )
    def decide(
        self,
        approval_id: str,
        by: Principal,
        answer: Any,
        way: Any,
        interactive: bool,
        minutes: float | None,
        at: int,
    ) -> None:
        known, now = self.known[approval_id], self.clock.now
        for_minutes = minutes if answer == "approve" else None
        told = self.tried(
            self.hubs[at].service.answer(
                approval_id,
                by=by,
                answer=answer,
                way=way,
                interactive=interactive,
                for_minutes=for_minutes,
            )
        )
        own = by.name == known.held.principal.name
        role = by == OWNER or not {"approver", "admin"}.isdisjoint(by.roles)
        allowed = (
            own and not known.held.four_eyes if way == "elicitation" else not own and role
        ) and interactive
        if isinstance(told, str):
            withdraws = answer == "deny" and known.allowed_until and known.allowed_until > now
            may = allowed and known.state == "pending" and known.until > now
            may |= bool(withdraws and (own or allowed) and known.state in ("approved", "running"))
            assert not may, told
            return
        if known.state == "pending":
            assert allowed and known.until > now
            known.state = {"approve": "approved", "deny": "denied"}[answer]
            known.way = way
            if answer == "approve":
                known.until = now + timedelta(minutes=10)
                if for_minutes is not None:
                    known.allowed_until = now + timedelta(minutes=for_minutes)
                    known.until = max(known.until, known.allowed_until)
        else:
            assert answer == "deny" and known.allowed_until is not None
            assert known.allowed_until > now and (own or allowed)
            known.allowed_until = None

    @rule(approval_id=made, right=st.sampled_from((True, True, False)), at=st.integers(0, 1))
    def begin(self, approval_id: str, right: bool, at: int) -> None:
        known, now = self.known[approval_id], self.clock.now
        digest = known.held.digest if right else "another"
        told = self.tried(self.hubs[at].service.begin(approval_id, digest))
        may = right and known.state == "approved" and known.until > now
        assert may == (not isinstance(told, str)), told
        if may:
            known.state, known.at_hub = "running", at
            known.begun += 1

    @rule(approval_id=made)
    def finish(self, approval_id: str) -> None:
        known = self.known[approval_id]
        if known.state in ("running", "lost"):
            hub = self.hubs[known.at_hub]
            self.runner.run(hub.service.finish(approval_id, of_json({"content": []})))
            known.state = "done"

    @rule(seconds=st.sampled_from((1, 30, 59, 300, 600, 900)))
    def wait(self, seconds: int) -> None:
        self.clock.on(seconds=seconds)

    @rule(at=st.integers(0, 1))
    def keep_up(self, at: int) -> None:
        now = self.clock.now
        leases = {each.held.id: self._lease(each.held.id) for each in self.known.values()}
        self.runner.run(self.hubs[at].upkeep.turn())
        for known in self.known.values():
            if known.state in ("pending", "approved") and known.until <= now:
                known.state = "expired"
            elif known.state in ("running", "lost") and known.at_hub == at:
                known.state = "running"
            elif known.state == "running" and leases[known.held.id] <= now.isoformat(
                timespec="microseconds"
            ):
                known.state, known.allowed_until = "lost", None

    @rule(call=st.sampled_from(CALLS), at=st.integers(0, 1))
    def stand(self, call: Any, at: int) -> None:
        now = self.clock.now
        told = self.runner.run(self.hubs[at].service.standing(call))
        may = {
            each.held.id
            for each in self.known.values()
            if each.held.principal == call.principal
            and each.held.arguments == call.arguments
            and each.allowed_until is not None
            and each.allowed_until > now
            and each.state in ("approved", "running", "done")
        }
        assert (told is None) == (not may)
        assert told is None or told.id in may

    def _lease(self, approval_id: str) -> str:
        async def read() -> str:
            async with self.hubs[0].database.read() as connection:
                found = await connection.exec_driver_sql(
                    "SELECT lease_until FROM hub_approvals WHERE id = ?", (approval_id,)
                )
                return found.scalar_one() or ""

        return self.runner.run(read())

    @invariant()
    def the_table_says_what_the_model_says(self) -> None:
        for approval_id, known in self.known.items():
            found = self.runner.run(self.hubs[0].service.get(approval_id))
            assert found.state == known.state, (found, known)
            assert found.allowed_until == known.allowed_until
            assert known.begun <= 1
            assert (found.result is not None) == (known.state == "done")

    @invariant()
    def the_audit_has_each_step_once(self) -> None:
        told = [
            (row.approval, row.outcome)
            for hub in self.hubs
            for row in (self.runner.run(hub.upkeep.deliver()), hub.book.rows)[1]
        ]
        for approval_id, known in self.known.items():
            for step in ("asked", "begun", "ended", "expired"):
                assert told.count((approval_id, step)) <= 1, step
            decisions = told.count((approval_id, "approved")) + told.count((approval_id, "denied"))
            assert decisions == (known.state not in ("pending",) and known.way != "")
            assert told.count((approval_id, "begun")) == known.begun


Approvals.TestCase.settings = settings(
    max_examples=6,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestApprovals = Approvals.TestCase
