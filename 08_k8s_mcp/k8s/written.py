"""What a changing tool answers of the object that it changed."""

from typing import Any, Final

from flotilla.model import Model
from k8s.objects import Object, members, number
from k8s.targets import Target, uid_of

WORKLOADS: Final = frozenset(("Deployment", "StatefulSet", "DaemonSet"))
FOLLOW: Final = "infra.k8s.getRolloutStatus"


class Written(Model):
    """The object; its `generation` is the state that was asked for, which follows later."""

    cluster: str
    kind: str
    namespace: str | None = None
    name: str
    uid: str
    generation: int
    follow: str | None = None
    """The tool that tells when it has come to be."""


def identity(target: Target, live: Object) -> dict[str, Any]:
    """The members of `Written` for an object as the server gave it."""
    return {
        "cluster": target.cluster.alias,
        "kind": target.ref.kind,
        "namespace": target.namespace,
        "name": target.name,
        "uid": uid_of(live),
        "generation": number(members(live, "metadata").get("generation")),
        "follow": FOLLOW if target.ref.kind in WORKLOADS else None,
    }
