"""How a rollout goes on, and what keeps it: getRolloutStatus."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

import orjson
from pydantic import Field

from flotilla import Context, FlotillaError, Model, NotAllowed, NotFound, Tool, Unavailable, reads
from flotilla.context import Deadline
from flotilla.errors import Conflict, TimedOut, TooLarge, UpstreamError
from k8s.answers import refused
from k8s.api import Cluster
from k8s.clusters import Clusters
from k8s.kinds import DAEMON_SETS, DEPLOYMENTS, PODS, STATEFUL_SETS, ResourceRef
from k8s.objects import Object, members, number, objects, text
from k8s.parameters import ClusterName, Namespace, ObjectName
from k8s.pod_detail import PodCondition, conditions_of, problems_of
from k8s.rollout_state import Phase, Progress, progress_of

MAX_WAIT_S = 280
SPARE_S = 3.0
"""What is left of the deadline for looking at the pods once the wait has ended."""
MAX_PODS = 50
MAX_PROBLEMS = 20
GONE = 410
PAUSE_S = 0.2
MAX_BREAKS = 3
"""A watch that breaks off so often in a row is an error."""
MAX_LINE_BYTES = 4 * 1024 * 1024
REVISION = "deployment.kubernetes.io/revision"

Seen = Callable[[Object], Awaitable[bool]]
"""Is shown an object, and says whether that is enough."""
WorkloadKind = Literal["Deployment", "StatefulSet", "DaemonSet"]
KINDS: dict[str, ResourceRef] = {
    "Deployment": DEPLOYMENTS,
    "StatefulSet": STATEFUL_SETS,
    "DaemonSet": DAEMON_SETS,
}


class PodProblem(Model):
    """Why a pod is not ready."""

    pod: str
    container: str | None = None
    reason: str
    message: str | None = None


class RolloutStatus(Model):
    """`phase` complete, progressing, failed or paused, and the reason in a sentence.

    `waited`: it was followed to the end or until `waitS`; the rollout goes on by itself either way.
    """

    kind: WorkloadKind
    namespace: str
    name: str
    phase: Phase
    done: bool
    reason: str
    desired: int
    updated: int
    ready: int
    available: int
    generation: int
    observed_generation: int
    revision: str | None = None
    images: list[str]
    conditions: list[PodCondition]
    problems: list[PodProblem] | None = None
    """Of pods that are not ready; left out where the account may not read pods."""
    waited: bool = False


class Rollouts:
    """Follows rollouts by watching the object."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads(
                "infra.k8s.getRolloutStatus",
                self.get_rollout_status,
                title="Follow a rollout",
                long=True,
                untrusted=True,
            ),
        )

    async def get_rollout_status(
        self,
        context: Context,
        name: ObjectName,
        kind: WorkloadKind = "Deployment",
        cluster: ClusterName = None,
        namespace: Namespace = None,
        wait_s: Annotated[
            int, Field(ge=0, le=MAX_WAIT_S, description="Follow it so long, until it is done.")
        ] = 0,
    ) -> RolloutStatus:
        """Say how far a rollout is and why it does not go on: counts, conditions, failing pods.

        With waitS it is followed, with progress notifications, until it is complete or has failed.
        When the time is over the answer says how far it is; that is no error. Ending the call ends
        the waiting and not the rollout.
        """
        client = await self._clusters.client(cluster)
        where = namespace or client.namespace
        ref = KINDS[kind]
        thing = members(await client.request("GET", ref.path(where, name), due=context.deadline))
        at = progress_of(kind, thing)
        if wait_s and not _is_over(at):
            thing = await _waited(client, ref, where, thing, wait_s, context)
            at = progress_of(kind, thing)
        problems = None
        if at.phase != "complete":
            problems = await _problems(client, where, thing, context)
        return _status(kind, where, name, thing, at, problems, waited=wait_s > 0)


async def _waited(
    cluster: Cluster,
    ref: ResourceRef,
    namespace: str,
    thing: Object,
    wait_s: int,
    context: Context,
) -> Object:
    """The object as it is when its rollout is over, or when the time is."""
    last = thing

    async def seen(found: Object) -> bool:
        nonlocal last
        last = found
        at = progress_of(ref.kind, found)
        await _report(context, at)
        return _is_over(at)

    left_s = max(0.0, context.deadline.remaining_s() - SPARE_S)
    until = context.deadline.no_later_than(min(wait_s, left_s))
    name = text(members(thing, "metadata").get("name"))
    await follow(cluster, ref, namespace, name, until, seen)
    return last


async def follow(
    cluster: Cluster, ref: ResourceRef, namespace: str, name: str, until: Deadline, seen: Seen
) -> None:
    """Show `seen` the object, and again each time that it changes, until it answers True or time
    is over. A watch that breaks off is begun anew. Raises NotFound for what is not there any more.
    """
    broke = 0
    while until.remaining_s() > 0:
        try:
            thing, version = await _now(cluster, ref, namespace, name, until)
            if await seen(thing) or await _watched(
                cluster, ref, namespace, name, version, until, seen
            ):
                return
            broke = 0
        except TimedOut:
            return
        except (Conflict, Unavailable, UpstreamError):
            broke += 1
            if broke > MAX_BREAKS:
                raise
        # One that ends at once must not be begun anew without a pause.
        await asyncio.sleep(min((broke + 1) * PAUSE_S, until.remaining_s()))


async def _now(
    cluster: Cluster, ref: ResourceRef, namespace: str, name: str, until: Deadline
) -> tuple[Object, str]:
    """The object, and the version of the list that has it: an object's own may be so old that no
    watch goes on from it."""
    query = {"fieldSelector": f"metadata.name={name}"}
    answer = members(await cluster.request("GET", ref.path(namespace), due=until, query=query))
    found = objects(answer.get("items"))
    if not found:
        raise NotFound(f"{ref.kind} {name} was deleted meanwhile")
    return found[0], text(members(answer, "metadata").get("resourceVersion"))


async def _watched(
    cluster: Cluster,
    ref: ResourceRef,
    namespace: str,
    name: str,
    version: str,
    until: Deadline,
    seen: Seen,
) -> bool:
    """Whether what one watch told was enough. Raises Conflict where `version` is too old."""
    query = {
        "watch": True,
        "fieldSelector": f"metadata.name={name}",
        "resourceVersion": version,
        "timeoutSeconds": max(1, int(until.remaining_s())),
    }
    rest = b""
    async with cluster.answer("GET", ref.path(namespace), due=until, query=query) as answer:
        async for part in answer.content.iter_any():
            *lines, rest = (rest + part).split(b"\n")
            if len(rest) > MAX_LINE_BYTES:
                raise TooLarge(f"{ref.kind} has become too large to be watched")
            for line in lines:
                if line.strip() and await seen(_changed(line, cluster.alias, ref)):
                    return True
    return False


def _changed(line: bytes, alias: str, ref: ResourceRef) -> Object:
    """The object of a watch's line. Raises what the line says, NotFound for one deleted."""
    try:
        told = members(orjson.loads(line))
    except orjson.JSONDecodeError:
        raise UpstreamError(f"cluster {alias}: a watch sent broken JSON") from None
    found = members(told, "object")
    if told.get("type") == "ERROR":
        code = number(found.get("code")) or 500
        if code == GONE:
            raise Conflict(f"cluster {alias}: the watch began too long ago")
        raise refused(alias, code, orjson.dumps(found), retry_after=None, audit_id=None)
    if told.get("type") == "DELETED":
        name = text(members(found, "metadata").get("name"))
        raise NotFound(f"{ref.kind} {name} was deleted meanwhile")
    return found


async def _problems(
    cluster: Cluster, namespace: str, thing: Object, context: Context
) -> list[PodProblem] | None:
    selector = selector_of(members(thing, "spec", "selector"))
    query = {"limit": MAX_PODS, "labelSelector": selector}
    try:
        answer = await cluster.request(
            "GET", PODS.path(namespace), due=context.deadline, query=query
        )
    except NotAllowed:
        return None
    except FlotillaError as error:
        # What is known of the rollout is worth more than why its pods cannot be read.
        return [PodProblem(pod="*", reason="unknown", message=error.message)]
    found = [
        PodProblem(
            pod=text(members(pod, "metadata").get("name")),
            container=container or None,
            reason=reason,
            message=message or None,
        )
        for pod in objects(members(answer).get("items"))
        for container, reason, message in problems_of(pod)
    ]
    return found[:MAX_PROBLEMS]


def selector_of(selector: Object) -> str:
    """A LabelSelector as the text that a list takes. Pure."""
    parts = [f"{key}={text(value)}" for key, value in members(selector, "matchLabels").items()]
    for each in objects(selector.get("matchExpressions")):
        key, operator = text(each.get("key")), text(each.get("operator"))
        values = ",".join(text(value) for value in each.get("values") or ())
        told = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})"}
        parts.append(told.get(operator) or {"Exists": key, "DoesNotExist": f"!{key}"}[operator])
    return ",".join(parts)


def _is_over(at: Progress) -> bool:
    return at.phase in ("complete", "failed")


async def _report(context: Context, at: Progress) -> None:
    done = min(at.updated, at.available)
    await context.report(float(done), float(at.desired), at.reason)


def _status(
    kind: WorkloadKind,
    namespace: str,
    name: str,
    thing: Object,
    at: Progress,
    problems: list[PodProblem] | None,
    *,
    waited: bool,
) -> RolloutStatus:
    meta, status = members(thing, "metadata"), members(thing, "status")
    containers = objects(members(thing, "spec", "template", "spec").get("containers"))
    return RolloutStatus(
        kind=kind,
        namespace=namespace,
        name=name,
        phase=at.phase,
        done=at.phase == "complete",
        reason=at.reason,
        desired=at.desired,
        updated=at.updated,
        ready=at.ready,
        available=at.available,
        generation=number(meta.get("generation")),
        observed_generation=number(status.get("observedGeneration")),
        revision=text(members(meta, "annotations").get(REVISION)) or None,
        images=[text(each.get("image")) for each in containers],
        conditions=conditions_of(status),
        problems=problems,
        waited=waited,
    )
