"""Workloads: how many replicas they have, and starting their pods anew."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Final, Literal

from pydantic import Field

from flotilla import Conflict, Context, Deadline, FlotillaError
from flotilla.tool import Preview, Tool, writes
from k8s.answers import upstream_status
from k8s.clusters import Clusters
from k8s.objects import Object, members, number
from k8s.parameters import ClusterName, Namespace, ObjectName
from k8s.targets import MERGE, STRATEGIC, Target, target_of, unsettled
from k8s.written import Written, identity

SCALE_PREVIEW = "preview.scaleDeployment"
RESTART_PREVIEW = "preview.restartDeployment"
RESTARTED_AT: Final = "kubectl.kubernetes.io/restartedAt"
"""kubectl's own mark, so that both see each other's restarts."""
MAX_REPLICAS = 1000
TRIES = 5
"""Controllers write into the same object how far they have come: that is no other number."""

ScaledKind = Literal["Deployment", "StatefulSet", "ReplicaSet"]
RestartedKind = Literal["Deployment", "StatefulSet", "DaemonSet"]

Replicas = Annotated[int, Field(ge=0, le=MAX_REPLICAS)]
CurrentReplicas = Annotated[
    int | None, Field(ge=0, description="Only where it is set to this many now.")
]


class Scaled(Written):
    """The workload with the number of replicas that is asked for now."""

    before: int
    replicas: int


class Restarted(Written):
    """The workload whose pods are being replaced, in the way of its own strategy."""

    restarted_at: str


@dataclass(frozen=True, slots=True)
class Scale:
    """How many replicas are asked for, and how many there are."""

    target: Target
    wanted: int
    running: int
    uid: str
    version: str


def _now() -> datetime:
    return datetime.now(UTC)


def _set_to(replicas: int, scale: Scale, expected: int | None) -> Object:
    """What sets it, only as it is now where a number is expected; Conflict where it has another."""
    body: Object = {"spec": {"replicas": replicas}}
    if expected is None:
        return body
    if scale.wanted != expected:
        raise Conflict(
            f"{scale.target} is set to {scale.wanted} replicas, not to {expected}",
            details={"reason": "replicas_changed", "replicas": scale.wanted},
        )
    return {**body, "metadata": {"resourceVersion": scale.version}}


class Scaling:
    """Scales and restarts workloads of the group `apps`."""

    def __init__(self, clusters: Clusters, now: Callable[[], datetime] = _now) -> None:
        self._clusters = clusters
        self._now = now

    def tools(self) -> tuple[Tool, ...]:
        where = {name: name for name in ("name", "namespace", "cluster", "kind")}
        return (
            writes(
                "infra.k8s.scaleDeployment",
                self.scale_deployment,
                title="Scale a workload",
                idempotent=True,
                approval=True,
                preview=Preview(operation=SCALE_PREVIEW, taken={**where, "replicas": "replicas"}),
                risk="fewer replicas serve less; none serve nothing",
            ),
            writes(
                "infra.k8s.restartDeployment",
                self.restart_deployment,
                title="Restart a workload",
                approval=True,
                preview=Preview(operation=RESTART_PREVIEW, taken=where),
                risk="every pod of it is replaced",
            ),
        )

    async def scale_deployment(
        self,
        context: Context,
        name: ObjectName,
        replicas: Replicas,
        namespace: Namespace = None,
        cluster: ClusterName = None,
        kind: ScaledKind = "Deployment",
        current_replicas: CurrentReplicas = None,
    ) -> Scaled:
        """Set the number of replicas of a Deployment, StatefulSet or ReplicaSet.

        Returns at once; follow it with getRolloutStatus. An autoscaler that looks after the same
        workload sets another number again.
        """
        due = context.deadline
        tries = 1 if current_replicas is None else TRIES
        while True:
            scale = await self.scale(due, kind, name, namespace, cluster)
            target, body = scale.target, _set_to(replicas, scale, current_replicas)
            tries -= 1
            try:
                after = await target.patch(body, MERGE, due, subresource="scale")
                break
            except FlotillaError as error:
                if tries == 0 or upstream_status(error) != HTTPStatus.CONFLICT:
                    raise unsettled(error, f"{target} was scaled") from None
        try:
            live = await target.live(due)
        except FlotillaError:
            live = after  # it is scaled, whether it can be read or not
        return Scaled(
            **identity(target, live),
            before=scale.wanted,
            replicas=number(members(after, "spec").get("replicas")),
        )

    async def scale(
        self, due: Deadline, kind: str, name: str, namespace: str | None, cluster: str | None
    ) -> Scale:
        """How the workload is scaled. Raises NotFound where there is none."""
        target = await self._workload(due, kind, name, namespace, cluster)
        told = await target.cluster.request("GET", target.path("scale"), due=due)
        metadata = members(told, "metadata")
        return Scale(
            target=target,
            wanted=number(members(told, "spec").get("replicas")),
            running=number(members(told, "status").get("replicas")),
            uid=str(metadata.get("uid") or ""),
            version=str(metadata.get("resourceVersion") or ""),
        )

    async def restart_deployment(
        self,
        context: Context,
        name: ObjectName,
        namespace: Namespace = None,
        cluster: ClusterName = None,
        kind: RestartedKind = "Deployment",
    ) -> Restarted:
        """Replace all pods of a Deployment, StatefulSet or DaemonSet, in the way of its strategy.

        As `kubectl rollout restart`: the pod template gets a new annotation. Returns at once;
        follow it with getRolloutStatus.
        """
        due = context.deadline
        target, _ = await self.restartable(due, kind, name, namespace, cluster)
        at = self._now().isoformat(timespec="seconds")
        annotation = {"metadata": {"annotations": {RESTARTED_AT: at}}}
        try:
            live = await target.patch({"spec": {"template": annotation}}, STRATEGIC, due)
        except FlotillaError as error:
            raise unsettled(error, f"{target} restarts") from None
        return Restarted(**identity(target, live), restarted_at=at)

    async def restartable(
        self, due: Deadline, kind: str, name: str, namespace: str | None, cluster: str | None
    ) -> tuple[Target, Object]:
        """The workload as it is. Raises Conflict where it is paused: nothing would happen."""
        target = await self._workload(due, kind, name, namespace, cluster)
        live = await target.live(due)
        check_not_paused(target, live)
        return target, live

    async def _workload(
        self, due: Deadline, kind: str, name: str, namespace: str | None, cluster: str | None
    ) -> Target:
        return await target_of(self._clusters, cluster, f"{kind}.apps", name, namespace, due)


def check_not_paused(target: Target, live: Object) -> None:
    if members(live, "spec").get("paused") is True:
        raise Conflict(
            f"{target} is paused, so nothing would be rolled out",
            hint="Resume it first: patchResource with `spec: {paused: false}`.",
            details={"reason": "paused"},
        )
