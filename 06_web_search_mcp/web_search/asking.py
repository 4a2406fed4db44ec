"""Ask one engine, or several at once without waiting for the slowest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic

import anyio
import structlog
from anyio.abc import TaskGroup

from flotilla import Deadline, FlotillaError, NotConfigured, TimedOut
from web_search.circuits import Circuits
from web_search.engine import Engine, Kind, Question
from web_search.outcomes import Outcome, Status, outcome_of
from web_search.pace import Pace, Race, is_enough, next_step

log = structlog.get_logger(__name__)

MARGIN_S = 0.5
"""Kept of a call's time, to merge and to answer with what came."""


class Asker:
    """Puts questions to engines, each within `engine_timeout_s` and behind its own circuit."""

    def __init__(
        self,
        engine_timeout_s: float,
        pace: Pace | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._engine_timeout_s = engine_timeout_s
        self._pace = pace or Pace()
        self._clock = clock
        self.circuits = Circuits(clock)

    async def one(self, engine: Engine, kind: Kind, question: Question, due: Deadline) -> Outcome:
        """What that engine answers, or why it does not; never raises but for cancellation."""
        if engine.missing is not None:
            return outcome_of(engine.name, _not_configured(engine), 0)
        ticket = self.circuits.admit(engine.name, kind, self._engine_timeout_s)
        if ticket is None:
            return self.circuits.resting(engine.name, kind)
        return await self._ask(engine, ticket, kind, question, due)

    async def several(
        self, engines: Sequence[Engine], kind: Kind, question: Question, due: Deadline
    ) -> list[Outcome]:
        """What came of asking them in this order, as many at a time as the pace has it.

        Only engines that were asked are told of, and those that could not be asked.
        """
        idle = [told for each in engines if (told := self._at_rest(each, kind)) is not None]
        resting = {outcome.engine for outcome in idle}
        run = _Run([each for each in engines if each.name not in resting], idle)
        async with anyio.create_task_group() as tasks:
            await self._raced(run, tasks, kind, question, due)
            run.over = True
            tasks.cancel_scope.cancel()
        for name in tuple(run.out):
            # Its task ended before it began.
            run.take(_left_behind(name, 0))
        place = {each.name: index for index, each in enumerate(engines)}
        return sorted(run.outcomes, key=lambda each: place[each.engine])

    async def _raced(
        self, run: "_Run", tasks: TaskGroup, kind: Kind, question: Question, due: Deadline
    ) -> None:
        end = self._clock() + _usable_s(due)
        while True:
            step = next_step(run.race(), self._pace, self._clock(), end)
            for _ in range(step.ask):
                engine = run.ready.pop(0)
                ticket = self.circuits.admit(engine.name, kind, self._engine_timeout_s)
                if ticket is None:
                    run.outcomes.append(self.circuits.resting(engine.name, kind))
                    continue
                run.out[engine.name] = self._clock()
                tasks.start_soon(self._report, run, engine, ticket, kind, question, due)
            if step.until is None:
                return
            if not run.out:
                continue
            run.told = anyio.Event()
            with anyio.move_on_after(max(0.0, step.until - self._clock())):
                await run.told.wait()
            if run.enough_since is None and is_enough(run.race(), self._pace):
                run.enough_since = self._clock()

    async def _report(
        self,
        run: "_Run",
        engine: Engine,
        ticket: int,
        kind: Kind,
        question: Question,
        due: Deadline,
    ) -> None:
        asked_at = self._clock()
        try:
            run.take(await self._ask(engine, ticket, kind, question, due))
        finally:
            if run.over and engine.name in run.out:
                outcome = _left_behind(engine.name, self._took_ms(asked_at))
                # Who is always left behind is not worth a place in every search.
                if run.enough_since is not None or not self._told_nothing(outcome):
                    self.circuits.settle(ticket, kind, outcome)
                run.take(outcome)

    async def _ask(
        self, engine: Engine, ticket: int, kind: Kind, question: Question, due: Deadline
    ) -> Outcome:
        asked_at = self._clock()
        limit = due.no_later_than(self._engine_timeout_s)
        try:
            outcome = await self._answered(engine, kind, question, limit, asked_at)
        except BaseException:
            self.circuits.drop(engine.name, kind, ticket)
            raise
        if self._told_nothing(outcome):
            self.circuits.drop(engine.name, kind, ticket)
        else:
            self.circuits.settle(ticket, kind, outcome)
        return outcome

    async def _answered(
        self, engine: Engine, kind: Kind, question: Question, limit: Deadline, asked_at: float
    ) -> Outcome:
        name = engine.name
        try:
            with anyio.move_on_after(limit.remaining_s()):
                found = tuple(await engine.search(kind, question, limit))[: question.most]
                status: Status = "ok" if found else "empty"
                took_ms = self._took_ms(asked_at)
                return Outcome(engine=name, status=status, found=found, took_ms=took_ms)
            raise TimedOut(f"{name} did not answer within {self._took_ms(asked_at)} ms")
        except FlotillaError as error:
            return outcome_of(name, error, self._took_ms(asked_at))
        except Exception:  # one engine's mistake must not cost the others' answers
            log.exception("engine_broke", engine=name, kind=kind)
            broke = FlotillaError(f"{name} failed inside this service; the log says why")
            return outcome_of(name, broke, self._took_ms(asked_at))

    def _at_rest(self, engine: Engine, kind: Kind) -> Outcome | None:
        """Why the engine cannot be asked now; None: it can."""
        if engine.missing is not None:
            return outcome_of(engine.name, _not_configured(engine), 0)
        if self.circuits.circuit(engine.name, kind).rest_s > 0:
            return self.circuits.resting(engine.name, kind)
        return None

    def _told_nothing(self, outcome: Outcome) -> bool:
        """It ran out of a caller's time rather than of its own."""
        return outcome.status == "timeout" and outcome.took_ms < 1000 * min(
            self._pace.late_s, self._engine_timeout_s
        )

    def _took_ms(self, since: float) -> int:
        return round((self._clock() - since) * 1000)


@dataclass(slots=True)
class _Run:
    """One question to several engines, as far as it has come."""

    ready: list[Engine]
    outcomes: list[Outcome]
    told: anyio.Event = field(default_factory=anyio.Event)
    """Set when one more outcome is there."""
    out: dict[str, float] = field(default_factory=dict[str, float])
    enough_since: float | None = None
    over: bool = False
    """Nobody is waited for any more."""

    def race(self) -> Race:
        answered = [each for each in self.outcomes if each.answered]
        return Race(
            out_since=tuple(self.out.values()),
            answered=len(answered),
            with_results=any(each.found for each in answered),
            enough_since=self.enough_since,
            more=len(self.ready),
        )

    def take(self, outcome: Outcome) -> None:
        del self.out[outcome.engine]
        self.outcomes.append(outcome)
        self.told.set()


def _usable_s(due: Deadline) -> float:
    left_s = due.remaining_s()
    return left_s - min(MARGIN_S, left_s / 2)


def _not_configured(engine: Engine) -> NotConfigured:
    return NotConfigured(
        f"{engine.name} cannot be asked yet: {engine.missing}",
        hint="Name another engine; listEngines says which are ready.",
        details={"engine": engine.name},
    )


def _left_behind(engine: str, took_ms: int) -> Outcome:
    error = TimedOut(f"{engine} had not answered when the search was over")
    return outcome_of(engine, error, took_ms)
