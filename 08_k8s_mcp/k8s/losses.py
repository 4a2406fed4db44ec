"""What an approval shows of a call that takes something away: what it is, and what goes with it."""

import asyncio
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from flotilla import Deadline, FlotillaError
from flotilla.model import Model
from flotilla.operations import HUB_ROLE, Operation
from flotilla.preview import Change, Foreseen, rejecting
from k8s import deletion, drain
from k8s.api import Cluster
from k8s.clusters import Clusters
from k8s.deletion import Propagation, Wish
from k8s.drain import Action
from k8s.evicting import pods_on
from k8s.eviction import controller_of, drain_plan, has_empty_dir
from k8s.kinds import ResourceRef
from k8s.objects import Object, listed, members, number, objects, text
from k8s.previews import MAX_WARNINGS, WITHIN_S
from k8s.rollback import selector_of
from k8s.selectors import selects
from k8s.targets import Target, expect_uid, target_of, uid_of

METADATA: Final = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
IN_NAMESPACE: Final = (
    "pods",
    "deployments.apps",
    "statefulsets.apps",
    "services",
    "persistentvolumeclaims",
    "secrets",
    "configmaps",
)
PAGE = 500


class OfDelete(Model):
    kind: str = "pods"
    name: str
    namespace: str | None = None
    cluster: str | None = None
    uid: str | None = None
    propagation: Propagation = "background"
    grace_period_s: int | None = None


class OfDrain(Model):
    node: str
    action: Action = "drain"
    cluster: str | None = None
    uid: str | None = None
    force: bool = False
    delete_empty_dir_data: bool = False


@dataclass(frozen=True, slots=True)
class Losses:
    """The operations that the hub calls before it asks a person about a deletion or a drain."""

    clusters: Clusters

    def operations(self) -> tuple[Operation, ...]:
        return (
            Operation(name=deletion.PREVIEW, takes=OfDelete, run=self.of_delete, role=HUB_ROLE),
            Operation(name=deletion.POD_PREVIEW, takes=OfDelete, run=self.of_delete, role=HUB_ROLE),
            Operation(name=drain.PREVIEW, takes=OfDrain, run=self.of_drain, role=HUB_ROLE),
        )

    async def of_delete(self, asked: OfDelete) -> Foreseen:
        due = Deadline.after(WITHIN_S)
        with rejecting():
            target = await target_of(
                self.clusters, asked.cluster, asked.kind, asked.name, asked.namespace, due
            )
            live = await target.live(due)
            expect_uid(target, live, asked.uid)
        wish = Wish(asked.uid, asked.propagation, asked.grace_period_s)
        refusal, goes_with = await asyncio.gather(
            _tried(target, wish.options(uid_of(live)), due), _goes_with(target, live, due)
        )
        warnings = [*refusal, *goes_with]
        if asked.propagation == "orphan":
            warnings.append("what belongs to it is left behind")
        if asked.grace_period_s == 0:
            warnings.append("it is forgotten at once, though its programs may run on")
        if finalizers := listed(members(live, "metadata").get("finalizers")):
            warnings.append(f"it waits for {', '.join(map(text, finalizers))} before it is gone")
        if asked.uid is None:
            warnings.append("the call does not say which uid: what is there by then is deleted")
        metadata = members(live, "metadata")
        return Foreseen(
            action=f"Delete {target}",
            target=target.known_as(uid_of(live)),
            state={
                "created": text(metadata.get("creationTimestamp")),
                "owner": controller_of(live) or "none",
            },
            warnings=warnings[:MAX_WARNINGS],
        )

    async def of_drain(self, asked: OfDrain) -> Foreseen:
        due = Deadline.after(WITHIN_S)
        with rejecting():
            target = await target_of(self.clusters, asked.cluster, "nodes", asked.node, None, due)
            live = await target.live(due)
            expect_uid(target, live, asked.uid)
        cordoned = members(live, "spec").get("unschedulable") is True
        state: dict[str, JsonValue] = {"schedulable": not cordoned}
        warnings: list[str] = []
        if asked.action == "drain":
            warnings, counts = await self._emptied(target, asked, due)
            state |= counts
        words = {
            "drain": f"Drain {target}: cordon it and evict its pods",
            "cordon": f"Cordon {target}: no new pods come to it",
            "uncordon": f"Uncordon {target}: pods may come to it again",
        }
        after = asked.action != "uncordon"
        return Foreseen(
            action=words[asked.action],
            target=target.known_as(uid_of(live)),
            state=state,
            changes=[Change(field="spec.unschedulable", before=cordoned, after=after)]
            if cordoned != after
            else [],
            warnings=warnings[:MAX_WARNINGS],
        )

    async def _emptied(
        self, target: Target, asked: OfDrain, due: Deadline
    ) -> tuple[list[str], dict[str, JsonValue]]:
        pods, budgets = await asyncio.gather(pods_on(target, due), _budgets(target.cluster, due))
        plan = drain_plan(pods, force=asked.force, delete_empty_dir=asked.delete_empty_dir_data)
        warnings: list[str] = []
        if plan.refused:
            named = ", ".join(f"{ref} ({why})" for ref, why in sorted(plan.refused.items())[:5])
            warnings.append(f"it will be refused: {len(plan.refused)} pods may be lost: {named}")
        if plan.loses_data:
            named = ", ".join(map(str, plan.loses_data[:5]))
            warnings.append(f"{len(plan.loses_data)} pods lose their emptyDir data: {named}")
        if plan.unmanaged:
            named = ", ".join(map(str, plan.unmanaged[:5]))
            warnings.append(f"{len(plan.unmanaged)} pods are started again by nothing: {named}")
        for budget in budgets:
            held = [pod for pod in pods if _is_held(budget, pod)]
            if held and number(members(budget, "status").get("disruptionsAllowed")) < len(held):
                metadata = members(budget, "metadata")
                allowed = number(members(budget, "status").get("disruptionsAllowed"))
                warnings.append(
                    f"the budget {metadata.get('namespace')}/{metadata.get('name')} lets {allowed} "
                    f"of its {len(held)} pods here go just now"
                )
        return warnings, {"podsToEvict": len(plan.evict), "podsThatStay": len(plan.skipped)}


async def _tried(target: Target, options: Object, due: Deadline) -> list[str]:
    """What the server would say to the deletion."""
    # In the body: with one, the server does not read what the query says, and would really delete.
    trial = {**options, "dryRun": ["All"]}
    try:
        await target.cluster.request("DELETE", target.path(), due=due, body=trial)
    except FlotillaError as error:
        return [f"the server would not take it: {error.message}"]
    return []


async def _goes_with(target: Target, live: Object, due: Deadline) -> list[str]:
    kind, group = target.ref.kind, target.ref.group
    if (group, kind) == ("", "Namespace"):
        return await _of_namespace(target, due)
    if (group, kind) == ("apiextensions.k8s.io", "CustomResourceDefinition"):
        return await _of_definition(target.cluster, live, due)
    if (group, kind) == ("", "Node"):
        count = len(await pods_on(target, due))
        return [f"{count} pods are on this node, and are lost with it; drain it first"]
    if (group, kind) == ("", "PersistentVolume"):
        return _of_volume(live)
    if (group, kind) == ("", "PersistentVolumeClaim"):
        return await _of_claim(target.cluster, live, due)
    if (group, kind) == ("", "Pod"):
        return _of_pod(live)
    if group == "apps" or kind == "Job":
        path = f"/api/v1/namespaces/{target.namespace}/pods"
        count = await _count(target.cluster, path, due, selector_of(live))
        return [f"{count} pods go with it"] if count else []
    return []


async def _of_namespace(target: Target, due: Deadline) -> list[str]:
    cluster = target.cluster

    async def one(kind: str) -> str | None:
        try:
            ref = await cluster.resource(kind, due=due)
            count = await _count(cluster, ref.path(target.name), due, None)
        except FlotillaError:
            return None
        return f"{count} {ref.plural}" if count not in (0, "0") else None

    found = [each for each in await asyncio.gather(*map(one, IN_NAMESPACE)) if each]
    held = ", ".join(found) or "nothing that was looked for"
    return [f"EVERYTHING in the namespace is deleted with it: {held}"]


async def _of_definition(cluster: Cluster, live: Object, due: Deadline) -> list[str]:
    spec = members(live, "spec")
    version = next(
        (text(each.get("name")) for each in objects(spec.get("versions")) if each.get("served")),
        "",
    )
    ref = ResourceRef(
        group=text(spec.get("group")),
        version=version,
        plural=text(members(spec, "names").get("plural")),
        kind=text(members(spec, "names").get("kind")),
    )
    count = await _count(cluster, ref.path(), due, None)
    return [f"EVERY object of the kind is deleted with it, in all namespaces: {count} {ref.kind}"]


def _of_volume(live: Object) -> list[str]:
    spec = members(live, "spec")
    claim = members(spec, "claimRef")
    found: list[str] = []
    if claim:
        found.append(f"the claim {claim.get('namespace')}/{claim.get('name')} is bound to it")
    if spec.get("persistentVolumeReclaimPolicy") == "Delete":
        found.append("its reclaim policy is Delete: the data may go with it")
    return found


async def _of_claim(cluster: Cluster, live: Object, due: Deadline) -> list[str]:
    name = text(members(live, "spec").get("volumeName"))
    if not name:
        return []
    try:
        ref = await cluster.resource("persistentvolumes", due=due)
        volume = await cluster.request("GET", ref.path(None, name), due=due)
    except FlotillaError:
        return [f"the volume {name} is bound to it, and its data may go with it"]
    if members(volume, "spec").get("persistentVolumeReclaimPolicy") == "Delete":
        return [f"the data on volume {name} is DELETED with it"]
    return [f"the volume {name} keeps its data, and is free no more"]


def _of_pod(live: Object) -> list[str]:
    kind = controller_of(live)
    found = [
        f"its {kind} starts another one in its place"
        if kind
        else "nothing starts another one in its place"
    ]
    if has_empty_dir(live):
        found.append("the data in its emptyDir volumes is lost")
    return found


async def _count(cluster: Cluster, path: str, due: Deadline, labels: str | None) -> int | str:
    """How many there are; `some` where that cannot be told."""
    try:
        page = await cluster.request(
            "GET",
            path,
            due=due,
            # With a selector the server does not tell how many are left.
            query={"labelSelector": labels, "limit": PAGE if labels else 1},
            accept=METADATA,
        )
    except FlotillaError:
        return "some"
    shown, metadata = len(listed(page.get("items"))), members(page, "metadata")
    if labels and metadata.get("continue"):
        return f"over {shown}"
    return shown + number(metadata.get("remainingItemCount"))


async def _budgets(cluster: Cluster, due: Deadline) -> list[Object]:
    try:
        ref = await cluster.resource("poddisruptionbudgets.policy", due=due)
        found = await cluster.request("GET", ref.path(), due=due, query={"limit": PAGE})
    except FlotillaError:
        return []
    return objects(found.get("items"))


def _is_held(budget: Object, pod: Object) -> bool:
    same = members(budget, "metadata").get("namespace") == members(pod, "metadata").get("namespace")
    selector = members(budget, "spec").get("selector")
    labels = members(pod, "metadata", "labels")
    return same and isinstance(selector, dict) and selects(members(selector), labels)
