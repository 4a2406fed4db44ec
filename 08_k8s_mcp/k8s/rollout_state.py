"""How far a rollout is, from the object and its pods. Pure.

Source: Kubernetes documentation, "Deployment status", and the rules of `kubectl rollout status`.
"""

from dataclasses import dataclass
from typing import Literal

from k8s.objects import Object, members, number, objects, text

Phase = Literal["complete", "progressing", "failed", "paused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Replica counts, and what they add up to."""

    phase: Phase
    reason: str
    desired: int
    updated: int
    ready: int
    available: int
    total: int


def progress_of(kind: str, thing: Object) -> Progress:
    """Of a Deployment, StatefulSet or DaemonSet."""
    spec, status = members(thing, "spec"), members(thing, "status")
    if kind == "DaemonSet":
        desired = number(status.get("desiredNumberScheduled"))
        updated = number(status.get("updatedNumberScheduled"))
        ready = number(status.get("numberReady"))
        available = number(status.get("numberAvailable"))
        total = number(status.get("currentNumberScheduled"))
    else:
        replicas = spec.get("replicas")
        desired = 1 if replicas is None else number(replicas)
        updated = number(status.get("updatedReplicas"))
        ready = number(status.get("readyReplicas"))
        available = number(status.get("availableReplicas"))
        total = number(status.get("replicas"))
    # A server without the status of availability (before 1.22) has StatefulSets without it.
    if kind == "StatefulSet" and "availableReplicas" not in status:
        available = ready
    counted = Progress(
        phase="progressing",
        reason="",
        desired=desired,
        updated=updated,
        ready=ready,
        available=available,
        total=total,
    )
    phase, reason = _judged(kind, thing, counted)
    return Progress(
        phase=phase,
        reason=reason,
        desired=desired,
        updated=updated,
        ready=ready,
        available=available,
        total=total,
    )


def _judged(kind: str, thing: Object, at: Progress) -> tuple[Phase, str]:
    spec, status = members(thing, "spec"), members(thing, "status")
    generation = number(members(thing, "metadata").get("generation"))
    if number(status.get("observedGeneration")) < generation:
        return "progressing", "the controller has not seen the last change yet"
    conditions = {text(each.get("type")): each for each in objects(status.get("conditions"))}
    progressing = conditions.get("Progressing", {})
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return "failed", text(progressing.get("message")) or "it passed its progress deadline"
    strategy = text(members(spec, "updateStrategy").get("type"))
    if strategy == "OnDelete":
        return "complete", "it replaces pods only when they are deleted (OnDelete)"
    done, why = _counts(kind, spec, at)
    if done:
        return "complete", "all replicas run the last version and are available"
    if spec.get("paused") is True:
        return "paused", f"it is paused; {why}"
    failure = conditions.get("ReplicaFailure", {})
    if failure.get("status") == "True":
        return "progressing", f"{why}; {text(failure.get('message'))}"
    return "progressing", why


def _counts(kind: str, spec: Object, at: Progress) -> tuple[bool, str]:
    partition = number(members(spec, "updateStrategy", "rollingUpdate").get("partition"))
    wanted = max(at.desired - partition, 0) if kind == "StatefulSet" else at.desired
    if at.updated < wanted:
        return False, f"{at.updated} of {wanted} replicas have been updated"
    if kind == "Deployment" and at.total > at.updated:
        return False, f"{at.total - at.updated} old replicas have not ended yet"
    if at.available < at.desired:
        return False, f"{at.available} of {at.desired} replicas are available"
    return True, ""
