"""What the server would make of one object: a dry run, judged and compared with what is there."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from flotilla import Deadline, FlotillaError, NotAllowed
from k8s import safety
from k8s.answers import upstream_status
from k8s.api import Cluster
from k8s.diffing import Fingerprints, diff, shown
from k8s.objects import Object, objects, text
from k8s.safety import Finding
from k8s.targets import APPLY, Target

State = Literal["new", "changed", "unchanged", "conflict", "refused", "rejected", "later"]
MAX_CONFLICTS = 20
_MANAGER = re.compile(r'conflict with "([^"]{1,200})"')


@dataclass(frozen=True, slots=True)
class FieldConflict:
    """A field that somebody else manages."""

    manager: str
    field: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What would become of an object.

    `refused` is our word, `rejected` the server's, and `error` says why. `later`: it can only be
    told once something of the same manifest is there. `live` and `after` are whole objects, which
    may hold secrets.
    """

    state: State
    live: Object | None = None
    after: Object | None = None
    conflicts: tuple[FieldConflict, ...] = ()
    findings: tuple[Finding, ...] = ()
    error: FlotillaError | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Allowance:
    """Whether what asks for the node may pass: the operator's bound, and this call's own word."""

    bound: bool
    asked: bool

    @property
    def given(self) -> bool:
        return self.bound and self.asked

    def refusal(self, told: str, found: Sequence[Finding]) -> NotAllowed:
        return safety.refusal(told, list(found), bound=not self.bound)


async def applied(
    target: Target,
    content: Object,
    due: Deadline,
    *,
    force: bool,
    allowance: Allowance,
) -> Outcome:
    """What a server-side apply of `content` would do.

    Raises what is no fault of the object: no answer, a deadline, throttling, broken JSON.
    """
    live = await target.live_or_none(due)
    conflicts: tuple[FieldConflict, ...] = ()
    try:
        after = await target.patch(content, APPLY, due, dry_run=True, force=force)
    except FlotillaError as error:
        if not is_of_object(error):
            raise
        conflicts = conflicts_of(error)
        if not conflicts:
            return Outcome(state="rejected", live=live, error=error)
        # What it would be if the fields were taken over: whoever decides wants to see it.
        after = await target.patch(content, APPLY, due, dry_run=True, force=True)
    return await weighed(target, live, after, due, allowance=allowance, conflicts=conflicts)


async def weighed(
    target: Target,
    live: Object | None,
    after: Object,
    due: Deadline,
    *,
    allowance: Allowance,
    conflicts: tuple[FieldConflict, ...] = (),
) -> Outcome:
    """The outcome, once what the server made of the object is judged."""
    found = [*safety.added(after, live), *await _of_role(target.cluster, after, due)]
    state: State
    if found and not allowance.given:
        state = "refused"
    elif conflicts:
        state = "conflict"
    elif live is None:
        state = "new"
    else:
        blind = Fingerprints()
        same = await asyncio.to_thread(lambda: shown(live, blind) == shown(after, blind))
        state = "unchanged" if same else "changed"
    return Outcome(state=state, live=live, after=after, conflicts=conflicts, findings=tuple(found))


async def told_diff(outcome: Outcome, fingerprints: Fingerprints, max_bytes: int) -> str:
    """The unified diff of an outcome, without secrets; made on a thread, since it may be long."""

    def made() -> str:
        live, after = outcome.live, outcome.after
        return diff(
            None if live is None else shown(live, fingerprints),
            None if after is None else shown(after, fingerprints),
            max_bytes,
        )

    return "" if outcome.after is None else await asyncio.to_thread(made)


def conflicts_of(error: FlotillaError) -> tuple[FieldConflict, ...]:
    """Who manages the fields that an apply would take; none where the error is another."""
    if upstream_status(error) != 409:
        return ()
    return tuple(
        FieldConflict(
            found[1] if (found := _MANAGER.search(text(cause.get("message")))) else "",
            text(cause.get("field")),
        )
        for cause in objects(error.details.get("causes"))[:MAX_CONFLICTS]
        if cause.get("reason") == "FieldManagerConflict"
    )


def is_of_object(error: FlotillaError) -> bool:
    """Whether the server has judged this object, rather than failed to answer."""
    status = upstream_status(error)
    return status is not None and 400 <= status < 500 and status not in (401, 408, 429)


async def _of_role(cluster: Cluster, content: Object, due: Deadline) -> list[Finding]:
    """What the role gives that a binding binds: an innocent name may stand for everything.

    One that is not there yet is judged when it comes.
    """
    bound = safety.bound_role(content)
    if bound is None:
        return []
    kind, name, namespace = bound
    ref = await cluster.resource_of(text(content["apiVersion"]), kind, due=due)
    role = await Target(cluster, ref, namespace, name).live_or_none(due)
    return [] if role is None else _through_role(role)


def _through_role(role: Object) -> list[Finding]:
    name = role.get("metadata", {}).get("name")
    return [Finding("roleRef", f"role {name}: {each}") for each in safety.findings_of(role)][:1]
