"""Deleting one object, and no other one of its name."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from flotilla import Context, Deadline, FlotillaError
from flotilla.tool import Preview, Tool, destroys
from k8s.answers import upstream_status
from k8s.clusters import Clusters
from k8s.objects import Object, listed, members, number, text
from k8s.parameters import ClusterName, KindName, Namespace, ObjectName
from k8s.targets import Target, Uid, expect_uid, target_of, uid_of, unsettled
from k8s.written import Written, identity

PREVIEW = "preview.deleteResource"
POD_PREVIEW = "preview.deletePod"
MAX_WAIT_S = 240
LOOK_EVERY_S = 0.5
SPARE_S = 1.0

Propagation = Literal["background", "foreground", "orphan"]
_POLICY: Final = {"background": "Background", "foreground": "Foreground", "orphan": "Orphan"}

GracePeriod = Annotated[
    int | None,
    Field(
        ge=0,
        le=86_400,
        description="Seconds that pods get to end; 0 forgets one at once, though it may run on.",
    ),
]
WaitS = Annotated[
    int, Field(ge=0, le=MAX_WAIT_S, description="For how long to wait until it is gone.")
]
PropagationPolicy = Annotated[
    Propagation,
    Field(
        description="What becomes of what belongs to it: deleted after it, deleted before it, or "
        "left behind."
    ),
]


class Deleted(Written):
    """`gone`, or `terminating` until its pods have ended and its finalizers are through."""

    state: Literal["gone", "terminating"]
    deletion_asked_at: str | None = None
    grace_period_s: int | None = None
    finalizers: list[str] = Field(default_factory=list[str])
    """What must let go of it before it is gone; who does that is named in them."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How an object is to be deleted."""

    uid: str | None
    propagation: Propagation
    grace_period_s: int | None

    def options(self, uid: str) -> Object:
        """DeleteOptions: the uid makes sure that it is the one that was looked at."""
        found: dict[str, Any] = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": {"uid": uid},
            "propagationPolicy": _POLICY[self.propagation],
        }
        if self.grace_period_s is not None:
            found["gracePeriodSeconds"] = self.grace_period_s
        return found


class Deletion:
    """Deletes objects by name, and by uid where the caller says which one it means."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters

    def tools(self) -> tuple[Tool, ...]:
        pod = ("name", "namespace", "cluster", "uid", "gracePeriodS")
        taken = (*pod, "kind", "propagation")
        return (
            destroys(
                "infra.k8s.deleteResource",
                self.delete_resource,
                title="Delete an object",
                long=True,
                preview=Preview(operation=PREVIEW, taken={name: name for name in taken}),
                risk="what belongs to it goes with it; a namespace takes everything in it",
            ),
            destroys(
                "infra.k8s.deletePod",
                self.delete_pod,
                title="Delete a pod",
                long=True,
                preview=Preview(operation=POD_PREVIEW, taken={name: name for name in pod}),
                risk="what runs in it ends; a disruption budget is not asked",
            ),
        )

    async def delete_resource(
        self,
        context: Context,
        kind: KindName,
        name: ObjectName,
        namespace: Namespace = None,
        cluster: ClusterName = None,
        uid: Uid = None,
        propagation: PropagationPolicy = "background",
        grace_period_s: GracePeriod = None,
        wait_s: WaitS = 0,
    ) -> Deleted:
        """Delete one object of any kind; give `uid` so that it is the very one that you looked at.

        Tells whether it is gone, or terminating and for which finalizers. Deleting a namespace or
        a definition of a kind deletes everything in it. For pods use deletePod, to empty a node
        drainNode.
        """
        due = context.deadline
        target = await target_of(self._clusters, cluster, kind, name, namespace, due)
        return await self._delete(context, target, Wish(uid, propagation, grace_period_s), wait_s)

    async def delete_pod(
        self,
        context: Context,
        name: ObjectName,
        namespace: Namespace = None,
        cluster: ClusterName = None,
        uid: Uid = None,
        grace_period_s: GracePeriod = None,
        wait_s: WaitS = 0,
    ) -> Deleted:
        """Delete one pod; give `uid` so that it is the very one that you looked at.

        What controls it (a ReplicaSet, a StatefulSet) makes another one. Disruption budgets are
        not asked: to empty a node gently use drainNode.
        """
        due = context.deadline
        target = await target_of(self._clusters, cluster, "pods", name, namespace, due)
        return await self._delete(context, target, Wish(uid, "background", grace_period_s), wait_s)

    async def _delete(self, context: Context, target: Target, wish: Wish, wait_s: int) -> Deleted:
        due = context.deadline
        live = await target.live(due)
        expect_uid(target, live, wish.uid)
        uid = uid_of(live)
        try:
            await target.cluster.request("DELETE", target.path(), due=due, body=wish.options(uid))
        except FlotillaError as error:
            if upstream_status(error) != 404:
                raise unsettled(error, f"{target} was deleted") from None
        left = await self._left(context, target, uid, wait_s)
        if left is None:
            return Deleted(**_identity(target, live), state="gone")
        metadata = members(left, "metadata")
        grace = metadata.get("deletionGracePeriodSeconds")
        return Deleted(
            **_identity(target, left),
            state="terminating",
            deletion_asked_at=text(metadata.get("deletionTimestamp")) or None,
            grace_period_s=None if grace is None else number(grace),
            finalizers=[text(each) for each in listed(metadata.get("finalizers"))],
        )

    async def _left(self, context: Context, target: Target, uid: str, wait_s: int) -> Object | None:
        """What there is of it, once it is gone or nobody waits any more."""
        waits = Deadline(context.deadline.at - SPARE_S).no_later_than(wait_s)
        looks = 0
        while True:
            try:
                left = await target.live_or_none(context.deadline)
            except FlotillaError as error:
                error.message = f"{target} is being deleted; how far that is cannot be read: " + (
                    error.message
                )
                error.details["deleted"] = "asked"
                raise
            if left is None or uid_of(left) != uid:
                return None
            if waits.remaining_s() <= LOOK_EVERY_S:
                return left
            looks += 1
            await context.report(looks, None, f"{target} is terminating")
            await asyncio.sleep(LOOK_EVERY_S)


def _identity(target: Target, live: Object) -> dict[str, Any]:
    """No rollout can be followed of what goes."""
    return {**identity(target, live), "follow": None}
