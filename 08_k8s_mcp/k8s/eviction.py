"""Which pods of a node a drain takes away, which it leaves, and which it must not touch. Pure.

Source: Kubernetes documentation, "Safely Drain a Node", "API-initiated Eviction".
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from k8s.objects import Object, members, objects, text

MIRROR: Final = "kubernetes.io/config.mirror"
API_VERSIONS: Final = ("policy/v1", "policy/v1beta1")
"""Of an Eviction: the first since 1.22, the other before."""

Skip = Literal["daemonset", "mirror"]
Refuse = Literal["unmanaged", "emptyDir"]


@dataclass(frozen=True, slots=True, order=True)
class PodRef:
    """A pod that is there just now; another one of its name has another uid."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class DrainPlan:
    """What a drain does to each pod of a node."""

    evict: list[PodRef] = field(default_factory=list[PodRef])
    skipped: dict[PodRef, Skip] = field(default_factory=dict[PodRef, Skip])
    refused: dict[PodRef, Refuse] = field(default_factory=dict[PodRef, Refuse])
    loses_data: list[PodRef] = field(default_factory=list[PodRef])
    unmanaged: list[PodRef] = field(default_factory=list[PodRef])


def drain_plan(pods: Iterable[Object], *, force: bool, delete_empty_dir: bool) -> DrainPlan:
    """The plan for the pods of one node.

    `force` takes those that nothing would start again, `delete_empty_dir` those whose emptyDir goes
    with them. What has ended holds nothing any more.
    """
    plan = DrainPlan()
    for pod in sorted(pods, key=ref_of):
        ref = ref_of(pod)
        kind = controller_of(pod)
        if MIRROR in members(pod, "metadata", "annotations"):
            plan.skipped[ref] = "mirror"
            continue
        if kind == "DaemonSet":
            plan.skipped[ref] = "daemonset"
            continue
        if members(pod, "status").get("phase") in ("Succeeded", "Failed"):
            plan.evict.append(ref)
            continue
        keeps = has_empty_dir(pod)
        if kind is None and not force:
            plan.refused[ref] = "unmanaged"
        elif keeps and not delete_empty_dir:
            plan.refused[ref] = "emptyDir"
        else:
            plan.evict.append(ref)
            if keeps:
                plan.loses_data.append(ref)
            if kind is None:
                plan.unmanaged.append(ref)
    return plan


def ref_of(pod: Object) -> PodRef:
    metadata = members(pod, "metadata")
    return PodRef(
        text(metadata.get("namespace")), text(metadata.get("name")), text(metadata.get("uid"))
    )


def controller_of(pod: Object) -> str | None:
    """The kind of what starts another one in its place; None: nothing does."""
    for owner in objects(members(pod, "metadata").get("ownerReferences")):
        if owner.get("controller") is True:
            return text(owner.get("kind"))
    return None


def has_empty_dir(pod: Object) -> bool:
    """Whether data on the node goes with it. What is in memory goes with any restart."""
    return any(
        isinstance(each.get("emptyDir"), dict)
        for each in objects(members(pod, "spec").get("volumes"))
    )


def eviction_of(pod: PodRef, api_version: str, grace_period_s: int | None) -> Object:
    """The body of an eviction of this very pod."""
    options: Object = {"preconditions": {"uid": pod.uid}}
    if grace_period_s is not None:
        options["gracePeriodSeconds"] = grace_period_s
    return {
        "apiVersion": api_version,
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
        "deleteOptions": options,
    }
