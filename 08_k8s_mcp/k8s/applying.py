"""One apply on its way: document after document, and an error that says how far it came."""

import asyncio
from collections.abc import Sequence

import structlog

from flotilla import Conflict, Context, Deadline, FlotillaError, InvalidArgument
from flotilla.model import Model
from k8s.foresight import Allowance, FieldConflict, State, is_of_object
from k8s.objects import members, number, objects
from k8s.planning import Planned, again
from k8s.targets import APPLY, is_uncertain, uid_of

log = structlog.get_logger(__name__)

ESTABLISHED_WITHIN_S = 10.0
ESTABLISHED_EVERY_S = 0.1


class AppliedObject(Model):
    """An object as it is after the apply."""

    document: int
    api_version: str
    kind: str
    namespace: str | None = None
    name: str
    uid: str
    state: State
    """What it was before: `new`, `changed` or `unchanged`."""
    generation: int


class Apply:
    """One apply on its way; `told` makes of an error one that says how far it came."""

    def __init__(
        self, plan: Sequence[Planned], due: Deadline, allowance: Allowance, *, force: bool
    ) -> None:
        self._plan = list(plan)
        self._due = due
        self._allowance = allowance
        self._force = force
        self._done: list[AppliedObject] = []
        self._sent = False

    @property
    def count(self) -> int:
        """How many documents were applied so far."""
        return len(self._done)

    async def all(self, context: Context) -> list[AppliedObject]:
        ahead = sum(each.document.comes_first for each in self._plan)
        for index in range(len(self._plan)):
            if index == ahead:
                await self._tell_the_later_ones()
            each = self._plan[index]
            self._sent = True
            live = await each.target.patch(each.content, APPLY, self._due, force=self._force)
            self._sent = False
            metadata = members(live, "metadata")
            self._done.append(
                AppliedObject(
                    document=each.document.number,
                    api_version=each.document.api_version,
                    kind=each.target.ref.kind,
                    namespace=each.target.namespace,
                    name=each.target.name,
                    uid=uid_of(live),
                    state=each.outcome.state if each.outcome.state != "later" else "new",
                    generation=number(metadata.get("generation")),
                )
            )
            await context.report(len(self._done), len(self._plan), f"applied {each.target}")
            if each.target.ref.kind == "CustomResourceDefinition":
                await _established(each, self._due)
        return self._done

    async def _tell_the_later_ones(self) -> None:
        """What waited for a namespace or a kind is tried now, before any of the rest is applied."""
        for index, each in enumerate(self._plan):
            if each.outcome.state == "later":
                self._plan[index] = told = await again(
                    each, self._due, self._allowance, force=self._force
                )
                check(told, self._allowance)

    def told(self, error: FlotillaError) -> FlotillaError:
        count, total = self.count, len(self._plan)
        uncertain = self._sent and is_uncertain(error)
        log.warning("apply_stopped", applied=count, of=total, uncertain=uncertain, code=error.code)
        failed = self._plan[count] if self._sent else None
        if failed is not None:
            error.message = f"{failed}: {error.message}"
            error.details["failed"] = f"{failed.target}"
        error.message += f"; {count} of {total} documents were applied"
        if uncertain:
            error.message += ", and of this one it is not known"
            error.details["uncertain"] = True
        error.details["applied"] = [str(each.target) for each in self._plan[:count]]
        rest = self._plan[count + (failed is not None) :]
        error.details["notTried"] = [str(each.target) for each in rest]
        if error.code != "not_allowed":
            error.hint = "Mend what failed and apply the same manifest again, which is safe."
        return error


async def _established(each: Planned, due: Deadline) -> None:
    """Return once the server serves the kind that a definition defines."""
    within = due.no_later_than(ESTABLISHED_WITHIN_S)
    while within.remaining_s() > ESTABLISHED_EVERY_S:
        live = await each.target.live(within)
        for condition in objects(members(live, "status").get("conditions")):
            if condition.get("type") == "Established" and condition.get("status") == "True":
                return
        await asyncio.sleep(ESTABLISHED_EVERY_S)
    raise Conflict(f"{each.target} is there, but the server does not serve its kind yet")


def check(each: Planned, allowance: Allowance) -> None:
    """Raise what keeps a document from being applied."""
    outcome = each.outcome
    if outcome.state == "refused":
        raise allowance.refusal(str(each), outcome.findings)
    if outcome.state == "conflict":
        raise taken_over(str(each), outcome.conflicts)
    if outcome.error is not None and outcome.state == "rejected":
        error = outcome.error
        error.message = f"{each}: {error.message}"
        if is_of_object(error) and error.hint is None:
            error.hint = "Nothing of the manifest was applied; mend this document."
        raise error
    if outcome.state == "later" and each.document.comes_first:
        raise InvalidArgument(f"{each} waits for itself")


def taken_over(told: str, conflicts: Sequence[FieldConflict]) -> Conflict:
    """The error for an apply that would take fields of others."""
    first = conflicts[0]
    more = f" and {len(conflicts) - 1} more" if len(conflicts) > 1 else ""
    return Conflict(
        f"{told}: {first.field} is managed by {first.manager or 'another manager'}{more}",
        hint="Leave these fields out, or take them over with force: true.",
        details={
            "reason": "field_conflict",
            "conflicts": [{"manager": each.manager, "field": each.field} for each in conflicts],
        },
    )
