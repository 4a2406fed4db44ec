"""Emptying a node: cordoned first, then its pods are evicted as their disruption budgets allow."""

import asyncio
from typing import Annotated, Final, Literal

import structlog
from pydantic import Field

from flotilla import Conflict, Context, Deadline, FlotillaError
from flotilla.tool import Preview, Tool, destroys
from k8s.clusters import Clusters
from k8s.evicting import MAX_LISTED, Drained, Evictions, pods_on
from k8s.eviction import DrainPlan, drain_plan
from k8s.parameters import ClusterName, ObjectName
from k8s.targets import MERGE, Target, Uid, expect_uid, target_of, uid_of, unsettled

log = structlog.get_logger(__name__)

PREVIEW = "preview.drainNode"
LOOK_EVERY_S: Final = 1.0
SPARE_S: Final = 2.0

Action = Literal["drain", "cordon", "uncordon"]

ActionWord = Annotated[
    Action,
    Field(
        description="`cordon` only keeps new pods away, `uncordon` lets them come again; neither "
        "touches a pod."
    ),
]
ForceUnmanaged = Annotated[
    bool, Field(description="Also evict pods that nothing would start again.")
]
DeleteEmptyDir = Annotated[
    bool, Field(description="Also evict pods whose emptyDir data goes with them.")
]
GracePeriod = Annotated[
    int | None, Field(ge=0, le=86_400, description="Instead of each pod's own, in seconds.")
]
TimeoutS = Annotated[int, Field(ge=1, le=3600, description="For how long to wait for pods to go.")]


class Drain:
    """Drains, cordons and uncordons nodes."""

    def __init__(self, clusters: Clusters, look_every_s: float = LOOK_EVERY_S) -> None:
        self._clusters = clusters
        self._look_every_s = look_every_s

    def tools(self) -> tuple[Tool, ...]:
        taken = ("node", "cluster", "action", "force", "deleteEmptyDirData", "uid")
        return (
            destroys(
                "infra.k8s.drainNode",
                self.drain_node,
                title="Drain a node",
                idempotent=True,
                long=True,
                preview=Preview(operation=PREVIEW, taken={name: name for name in taken}),
                risk="every pod on the node is ended; the rest of the cluster must hold them",
            ),
        )

    async def drain_node(
        self,
        context: Context,
        node: ObjectName,
        action: ActionWord = "drain",
        cluster: ClusterName = None,
        uid: Uid = None,
        force: ForceUnmanaged = False,
        delete_empty_dir_data: DeleteEmptyDir = False,
        grace_period_s: GracePeriod = None,
        timeout_s: TimeoutS = 240,
    ) -> Drained:
        """Cordon a node and evict its pods, as their PodDisruptionBudgets allow; or only cordon it.

        Pods of DaemonSets and mirror pods stay. Unmanaged pods and emptyDir data are refused before
        anything happens, unless `force` and `deleteEmptyDirData`. A budget is waited for until
        `timeoutS`; then the result says what blocks. Whatever ends it early, the node stays
        cordoned: call again to go on, or with action `uncordon` to let pods come again.
        """
        due = context.deadline
        target = await target_of(self._clusters, cluster, "nodes", node, None, due)
        live = await target.live(due)
        expect_uid(target, live, uid)
        if action != "drain":
            return await self._cordon(target, due, schedulable=action == "uncordon")
        plan = await self.planned(target, due, force=force, delete_empty_dir=delete_empty_dir_data)
        if plan.refused:
            raise refused(target, plan)
        await self._cordon(target, due, schedulable=False)
        run = Evictions(
            target,
            context,
            Deadline(due.at - SPARE_S).no_later_than(timeout_s),
            grace_period_s,
            self._look_every_s,
        )
        try:
            # Some may have come before it was cordoned.
            plan = await self.planned(
                target, due, force=force, delete_empty_dir=delete_empty_dir_data
            )
            return await run.all(plan, uid_of(live))
        except asyncio.CancelledError:
            log.info("drain_cancelled", node=node, cordoned=True, evicted=len(run.progress.gone))
            raise

    async def planned(
        self, target: Target, due: Deadline, *, force: bool, delete_empty_dir: bool
    ) -> DrainPlan:
        pods = await pods_on(target, due)
        return drain_plan(pods, force=force, delete_empty_dir=delete_empty_dir)

    async def _cordon(self, target: Target, due: Deadline, *, schedulable: bool) -> Drained:
        try:
            live = await target.patch(
                {"spec": {"unschedulable": None if schedulable else True}}, MERGE, due
            )
        except FlotillaError as error:
            word = "uncordoned" if schedulable else "cordoned"
            raise unsettled(error, f"{target} is {word}") from None
        return Drained(
            cluster=target.cluster.alias,
            node=target.name,
            uid=uid_of(live),
            state="uncordoned" if schedulable else "cordoned",
            schedulable=schedulable,
        )


def refused(target: Target, plan: DrainPlan) -> Conflict:
    """The error for a node with pods that the call did not ask to lose; nothing has happened."""
    found = sorted(plan.refused.items())
    first, why = found[0]
    told = "is managed by nothing" if why == "unmanaged" else "has data in an emptyDir"
    more = f", and {len(found) - 1} more like it" if len(found) > 1 else ""
    return Conflict(
        f"{target} was not touched: pod {first} {told}{more}",
        hint="Pass force to lose unmanaged pods, deleteEmptyDirData to lose what is in emptyDirs.",
        details={
            "reason": "pods_refused",
            "pods": [{"pod": str(ref), "reason": each} for ref, each in found[:MAX_LISTED]],
        },
    )
