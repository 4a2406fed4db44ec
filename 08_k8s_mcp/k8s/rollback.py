"""Going back to an earlier revision of a Deployment, as its ReplicaSets remember it."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field

from flotilla import Conflict, Context, Deadline, FlotillaError, NotFound
from flotilla.model import Model
from flotilla.tool import Preview, Tool, writes
from k8s.answers import upstream_status
from k8s.apply import AllowPrivileged
from k8s.clusters import Clusters
from k8s.foresight import Allowance, Outcome, weighed
from k8s.objects import Object, members, objects, text
from k8s.parameters import ClusterName, Namespace, ObjectName
from k8s.scaling import check_not_paused
from k8s.selectors import as_query
from k8s.targets import JSON_PATCH, Target, target_of, uid_of, unsettled
from k8s.written import Written, identity

PREVIEW = "preview.rollbackDeployment"
REVISION: Final = "deployment.kubernetes.io/revision"
CHANGE_CAUSE: Final = "kubernetes.io/change-cause"
_HASH: Final = "pod-template-hash"
MAX_REVISIONS = 50

ToRevision = Annotated[
    int | None, Field(ge=1, description="A revision of the list; left out: the one before.")
]


class Revision(Model):
    """A state that the Deployment can go back to."""

    revision: int
    replica_set: str
    images: list[str]
    created_at: str
    change_cause: str | None = None
    current: bool


class RolledBack(Written):
    """The Deployment, which changes over to the pods of an earlier revision."""

    from_revision: int
    to_revision: int
    revisions: list[Revision]
    """As they were before, newest first; the one gone back to becomes the newest."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A rollback that the server would take."""

    target: Target
    body: list[Object]
    outcome: Outcome
    current: int
    chosen: int
    revisions: list[Revision]


class Rollbacks:
    """Rolls Deployments back."""

    def __init__(self, clusters: Clusters, *, privileged_allowed: bool) -> None:
        self._clusters = clusters
        self._privileged_allowed = privileged_allowed

    def tools(self) -> tuple[Tool, ...]:
        taken = ("name", "namespace", "cluster", "toRevision", "allowPrivileged")
        return (
            writes(
                "infra.k8s.rollbackDeployment",
                self.rollback_deployment,
                title="Roll a Deployment back",
                approval=True,
                preview=Preview(operation=PREVIEW, taken={name: name for name in taken}),
                risk="every pod of it is replaced by the earlier version",
            ),
        )

    async def rollback_deployment(
        self,
        context: Context,
        name: ObjectName,
        namespace: Namespace = None,
        cluster: ClusterName = None,
        to_revision: ToRevision = None,
        allow_privileged: AllowPrivileged = False,
    ) -> RolledBack:
        """Go back to an earlier revision of a Deployment: its pod template alone is taken back.

        The number of replicas stays. A paused Deployment is refused. Returns at once with the
        revisions there are; follow it with getRolloutStatus.
        """
        due = context.deadline
        ready = await self.prepare(
            due,
            name=name,
            namespace=namespace,
            cluster=cluster,
            to_revision=to_revision,
            allow_privileged=allow_privileged,
        )
        if ready.outcome.state == "refused":
            raise Allowance(self._privileged_allowed, allow_privileged).refusal(
                f"revision {ready.chosen} of {ready.target}", ready.outcome.findings
            )
        try:
            live = await ready.target.patch(ready.body, JSON_PATCH, due)
        except FlotillaError as error:
            if upstream_status(error) == 422:
                # It passed a moment ago: by now the template is another one.
                raise Conflict(
                    f"{ready.target} has changed since it was looked at",
                    hint="Look at it again with getRolloutStatus.",
                    details={"reason": "template_changed"},
                ) from None
            raise unsettled(error, f"{ready.target} was rolled back") from None
        return RolledBack(
            **identity(ready.target, live),
            from_revision=ready.current,
            to_revision=ready.chosen,
            revisions=ready.revisions,
        )

    async def prepare(
        self,
        due: Deadline,
        *,
        name: str,
        namespace: str | None,
        cluster: str | None,
        to_revision: int | None,
        allow_privileged: bool,
    ) -> Prepared:
        """Raises Conflict for what is paused or already so, NotFound for an unknown revision."""
        target = await target_of(self._clusters, cluster, "deployments.apps", name, namespace, due)
        live = await target.live(due)
        check_not_paused(target, live)
        sets = await self._replica_sets(target, live, due)
        revisions = listed_revisions(live, sets.values())
        current, chosen = chosen_revision(target, revisions, to_revision)
        template = template_of(sets[chosen])
        now: Any = members(live, "spec").get("template")
        if without_hash(now) == template:
            raise Conflict(
                f"{target} has the pods of revision {chosen} already",
                details={"reason": "unchanged"},
            )
        # Nothing else may have changed the template since it was looked at.
        body: list[Object] = [
            {"op": "test", "path": "/spec/template", "value": now},
            {"op": "replace", "path": "/spec/template", "value": template},
        ]
        after = await target.patch(body, JSON_PATCH, due, dry_run=True)
        allowance = Allowance(self._privileged_allowed, allow_privileged)
        outcome = await weighed(target, live, after, due, allowance=allowance)
        return Prepared(target, body, outcome, current, chosen, revisions)

    async def _replica_sets(self, target: Target, live: Object, due: Deadline) -> dict[int, Object]:
        """Those of this very Deployment, by revision."""
        ref = await target.cluster.resource("replicasets.apps", due=due)
        found = await target.cluster.request(
            "GET",
            ref.path(target.namespace),
            due=due,
            query={"labelSelector": selector_of(live), "limit": 500},
        )
        return await asyncio.to_thread(owned, objects(found.get("items")), uid_of(live))


def selector_of(live: Object) -> str | None:
    """The label selector of a workload as a query has it."""
    return as_query(members(live, "spec", "selector"))


def owned(replica_sets: Iterable[Object], uid: str) -> dict[int, Object]:
    """The ReplicaSets that this Deployment controls, by revision."""
    found: dict[int, Object] = {}
    for each in replica_sets:
        metadata = members(each, "metadata")
        owners = objects(metadata.get("ownerReferences"))
        if not any(owner.get("controller") and owner.get("uid") == uid for owner in owners):
            continue
        revision = text(members(metadata, "annotations").get(REVISION))
        if revision.isdigit():
            found[int(revision)] = each
    return found


def listed_revisions(live: Object, sets: Iterable[Object]) -> list[Revision]:
    """Newest first; the current one is the one whose template the Deployment has."""
    now = without_hash(members(live, "spec").get("template"))
    found = [
        Revision(
            revision=int(text(members(each, "metadata", "annotations").get(REVISION))),
            replica_set=text(members(each, "metadata").get("name")),
            images=images_of(members(each, "spec", "template")),
            created_at=text(members(each, "metadata").get("creationTimestamp")),
            change_cause=members(each, "metadata", "annotations").get(CHANGE_CAUSE),
            current=template_of(each) == now,
        )
        for each in sets
    ]
    return sorted(found, key=lambda each: -each.revision)[:MAX_REVISIONS]


def chosen_revision(
    target: Target, revisions: list[Revision], wanted: int | None
) -> tuple[int, int]:
    """The current revision (0 where none is) and the one to go back to."""
    current = next((each.revision for each in revisions if each.current), 0)
    known = [each.revision for each in revisions]
    if wanted is None:
        earlier = [each for each in known if each != current]
        if not earlier:
            raise NotFound(f"{target} has no earlier revision")
        return current, earlier[0]
    if wanted not in known:
        raise NotFound(
            f"{target} has no revision {wanted}",
            hint=f"There are: {', '.join(map(str, known)) or 'none'}.",
        )
    return current, wanted


def template_of(replica_set: Object) -> Object:
    return without_hash(members(replica_set, "spec").get("template"))


def without_hash(template: Any) -> Object:
    """The pod template without the label that its ReplicaSet adds."""
    found = dict(members(template))
    metadata = dict(members(found, "metadata"))
    labels = {key: value for key, value in members(metadata, "labels").items() if key != _HASH}
    return {**found, "metadata": {**metadata, "labels": labels}}


def images_of(template: Object) -> list[str]:
    containers = objects(members(template, "spec").get("containers"))
    return [text(each.get("image")) for each in containers]
