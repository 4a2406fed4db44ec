"""One drain of a node on its way: evictions that wait for budgets, until the pods are gone."""

import asyncio
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, Literal

import structlog
from pydantic import Field

from flotilla import Context, Deadline, FlotillaError, RateLimited, TimedOut
from flotilla.model import Model
from k8s.answers import upstream_status
from k8s.eviction import API_VERSIONS, DrainPlan, PodRef, eviction_of, ref_of
from k8s.objects import Object, members, objects, text
from k8s.targets import Target

log = structlog.get_logger(__name__)

AT_ONCE: Final = 5
PAGE: Final = 500
ONE_REQUEST_S: Final = 10.0
FAIR_S: Final = 0.5
"""A server that had less time than this for a round has not failed us: our own time was over."""
MAX_FAILURES: Final = 3
"""Rounds in a row in which the server fails us, before we say how far it came."""
MAX_LISTED = 100
MAX_REASON_CHARS = 200

State = Literal["drained", "cordoned", "uncordoned", "timed_out", "interrupted"]


class BlockedPod(Model):
    """A pod that is still there, and what holds it."""

    pod: str
    reason: str


class Drained(Model):
    """How far it came. Only `drained` means that the node is empty of what a drain takes away."""

    cluster: str
    node: str
    uid: str
    state: State
    schedulable: bool
    evicted: list[str] = Field(default_factory=list[str])
    """Pods that are gone."""
    blocked: list[BlockedPod] = Field(default_factory=list[BlockedPod])
    skipped: dict[str, list[str]] = Field(default_factory=dict[str, list[str]])
    """Left where they are, by reason: `daemonset`, `mirror`."""
    note: str | None = None


@dataclass
class Progress:
    """The pods on their way. `waits` are moments of the monotonic clock."""

    total: int
    waiting: dict[PodRef, str] = field(default_factory=dict[PodRef, str])
    """Not evicted yet, and why."""
    again_at: dict[PodRef, float] = field(default_factory=dict[PodRef, float])
    leaving: set[PodRef] = field(default_factory=set[PodRef])
    """Evicted, and not gone yet."""
    gone: list[PodRef] = field(default_factory=list[PodRef])

    @property
    def over(self) -> bool:
        return not self.waiting and not self.leaving


class Evictions:
    """One drain on its way: rounds of evictions and of looking who is gone."""

    def __init__(
        self,
        target: Target,
        context: Context,
        due: Deadline,
        grace_period_s: int | None,
        look_every_s: float,
    ) -> None:
        self._target = target
        self._context = context
        self._due = due
        self._grace_period_s = grace_period_s
        self._look_every_s = look_every_s
        self._api_version = API_VERSIONS[0]
        self._rounds = 0
        self.progress = Progress(0)

    async def all(self, plan: DrainPlan, uid: str) -> Drained:
        self.progress = Progress(len(plan.evict), dict.fromkeys(plan.evict, "not evicted yet"))
        failures, problem = 0, None
        while not self.progress.over and self._due.remaining_s() > 0:
            left_s = self._due.remaining_s()
            try:
                await self._round()
                failures, problem = 0, None
            except FlotillaError as error:
                if isinstance(error, TimedOut) and left_s < FAIR_S:
                    break
                failures, problem = failures + 1, error
                if failures >= MAX_FAILURES or upstream_status(error) in (401, 403):
                    break
            if not self.progress.over:
                await self._rest()
        return self._told(plan, uid, problem)

    async def _round(self) -> None:
        now = monotonic()
        ready = [ref for ref in self.progress.waiting if self.progress.again_at.get(ref, 0) <= now]
        places = asyncio.Semaphore(AT_ONCE)

        async def one(ref: PodRef) -> None:
            async with places:
                await self._evict(ref)

        results = await asyncio.gather(*(one(ref) for ref in ready), return_exceptions=True)
        if self.progress.leaving:
            await self._look()
        done, total = len(self.progress.gone), self.progress.total
        self._rounds += 1
        # It must grow each time (MCP, "Progress"), and the number of pods may not.
        await self._context.report(
            self._rounds, None, f"{done} of {total} pods are gone; {self._target.name} is cordoned"
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _evict(self, ref: PodRef) -> None:
        """Ask for one pod's eviction. Raises what is no answer about this pod."""
        progress = self.progress
        try:
            await self._ask(ref)
        except FlotillaError as error:
            status = upstream_status(error)
            if status == 404 or (status == 409 and "uid" in error.message.lower()):
                progress.waiting.pop(ref)
                progress.gone.append(ref)
                return
            if status is None or status in (401, 403):
                raise
            progress.waiting[ref] = _why(error)
            wait_s = error.details.get("retryAfterMs", 5000) / 1000
            progress.again_at[ref] = monotonic() + max(wait_s, self._look_every_s / 10)
            return
        progress.waiting.pop(ref)
        progress.leaving.add(ref)

    async def _ask(self, ref: PodRef) -> None:
        path = f"/api/v1/namespaces/{ref.namespace}/pods/{ref.name}/eviction"
        for version in API_VERSIONS[API_VERSIONS.index(self._api_version) :]:
            try:
                await self._target.cluster.request(
                    "POST",
                    path,
                    due=self._due.no_later_than(ONE_REQUEST_S),
                    body=eviction_of(ref, version, self._grace_period_s),
                )
            except FlotillaError as error:
                if upstream_status(error) != 400 or version == API_VERSIONS[-1]:
                    raise
                continue  # a server before 1.22 does not know the version
            self._api_version = version
            return

    async def _look(self) -> None:
        due = self._due.no_later_than(ONE_REQUEST_S)
        there = {ref_of(pod) for pod in await pods_on(self._target, due)}
        for ref in sorted(self.progress.leaving - there):
            self.progress.leaving.discard(ref)
            self.progress.gone.append(ref)

    async def _rest(self) -> None:
        """Until the next one may be asked for, or it is time to look who is gone."""
        progress = self.progress
        wait_s = self._look_every_s
        if not progress.leaving and progress.waiting:
            soonest = min(progress.again_at.get(ref, 0.0) for ref in progress.waiting)
            wait_s = max(soonest - monotonic(), self._look_every_s / 10)
        await asyncio.sleep(min(wait_s, self._due.remaining_s()))

    def _told(self, plan: DrainPlan, uid: str, problem: FlotillaError | None) -> Drained:
        progress = self.progress
        blocked = {
            **progress.waiting,
            **dict.fromkeys(progress.leaving, "evicted, and not gone yet"),
            **{
                ref: f"{why}: it came while the node was cordoned"
                for ref, why in (plan.refused.items())
            },
        }
        state: State = "timed_out"
        if not blocked:
            state = "drained"
        elif problem is not None:
            state = "interrupted"
        skipped: dict[str, list[str]] = {}
        for ref, reason in plan.skipped.items():
            skipped.setdefault(reason, []).append(str(ref))
        log.info("drain_ended", node=self._target.name, state=state, blocked=len(blocked))
        return Drained(
            cluster=self._target.cluster.alias,
            node=self._target.name,
            uid=uid,
            state=state,
            schedulable=False,
            evicted=[str(ref) for ref in progress.gone[:MAX_LISTED]],
            blocked=[
                BlockedPod(pod=str(ref), reason=why[:MAX_REASON_CHARS])
                for ref, why in sorted(blocked.items())[:MAX_LISTED]
            ],
            skipped={reason: pods[:MAX_LISTED] for reason, pods in skipped.items()},
            note=_note(state, problem),
        )


def _note(state: State, problem: FlotillaError | None) -> str | None:
    if state == "drained":
        return None
    why = f"{problem.message}. " if problem is not None else ""
    return f"{why}The node stays cordoned: call again to go on, or with action uncordon."


def _why(error: FlotillaError) -> str:
    """What holds a pod, in the server's words: which budget, and what it needs."""
    causes = [
        text(each.get("message"))
        for each in objects(error.details.get("causes"))
        if each.get("reason") == "DisruptionBudget"
    ]
    if causes:
        return "; ".join(causes)
    if isinstance(error, RateLimited):
        return f"the server asks to wait: {error.message}"
    return error.message


async def pods_on(target: Target, due: Deadline) -> list[Object]:
    """All pods of a node, page by page; only what a plan needs of each is kept."""
    found: list[Object] = []
    more: str | None = None
    while True:
        page = await target.cluster.request(
            "GET",
            "/api/v1/pods",
            due=due,
            query={
                "fieldSelector": f"spec.nodeName={target.name}",
                "limit": PAGE,
                "continue": more,
            },
        )
        found += [_needed(pod) for pod in objects(page.get("items"))]
        more = text(members(page, "metadata").get("continue")) or None
        if more is None:
            return found


def _needed(pod: Object) -> Object:
    metadata = members(pod, "metadata")
    kept = ("namespace", "name", "uid", "ownerReferences", "annotations", "labels")
    return {
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {"volumes": members(pod, "spec").get("volumes")},
        "status": {"phase": members(pod, "status").get("phase")},
    }
