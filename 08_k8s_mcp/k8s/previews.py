"""What an approval shows of a call that changes something: the target, the server's own dry run,
and what a careful colleague would say first."""

from dataclasses import dataclass
from typing import Final

from pydantic import Field, JsonValue

from flotilla import Deadline, FlotillaError
from flotilla.model import Model
from flotilla.operations import HUB_ROLE, Operation
from flotilla.preview import Change, Foreseen, rejecting
from k8s import apply, patching, rollback, scaling
from k8s.apply import Manifests
from k8s.diffing import MAX_DIFF_BYTES, Fingerprints, bounded
from k8s.exec import PREVIEW as EXEC_PREVIEW
from k8s.exec import Exec
from k8s.foresight import Outcome, told_diff
from k8s.objects import Object, members, number, objects, text
from k8s.patching import Patches, PatchType
from k8s.planning import Planned
from k8s.rollback import Rollbacks, images_of
from k8s.safety import findings_of
from k8s.scaling import RestartedKind, ScaledKind, Scaling
from k8s.targets import Target, uid_of
from k8s.written import WORKLOADS

WITHIN_S: Final = 7.0
"""The hub waits eight seconds, and a person behind it."""
MAX_WARNINGS = 20
MAX_NAMED = 5


class OfManifest(Model):
    manifest: str
    namespace: str | None = None
    cluster: str | None = None
    force: bool = False
    allow_privileged: bool = False


class OfPatch(Model):
    kind: str
    name: str
    patch: str
    patch_type: PatchType = "merge"
    namespace: str | None = None
    cluster: str | None = None
    resource_version: str | None = None
    allow_privileged: bool = False


class OfScale(Model):
    name: str
    replicas: int
    namespace: str | None = None
    cluster: str | None = None
    kind: ScaledKind = "Deployment"


class OfRestart(Model):
    name: str
    namespace: str | None = None
    cluster: str | None = None
    kind: RestartedKind = "Deployment"


class OfRollback(Model):
    name: str
    namespace: str | None = None
    cluster: str | None = None
    to_revision: int | None = None
    allow_privileged: bool = False


class OfExec(Model):
    name: str
    command: list[str] = Field(min_length=1)
    namespace: str | None = None
    cluster: str | None = None
    container: str | None = None
    uid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Previews:
    """The operations that the hub calls before it asks a person about a change."""

    manifests: Manifests
    patches: Patches
    scaling: Scaling
    rollbacks: Rollbacks
    programs: Exec
    fingerprints: Fingerprints

    def operations(self) -> tuple[Operation, ...]:
        return (
            Operation(name=apply.PREVIEW, takes=OfManifest, run=self.of_manifest, role=HUB_ROLE),
            Operation(name=patching.PREVIEW, takes=OfPatch, run=self.of_patch, role=HUB_ROLE),
            Operation(name=scaling.SCALE_PREVIEW, takes=OfScale, run=self.of_scale, role=HUB_ROLE),
            Operation(
                name=scaling.RESTART_PREVIEW, takes=OfRestart, run=self.of_restart, role=HUB_ROLE
            ),
            Operation(name=rollback.PREVIEW, takes=OfRollback, run=self.of_rollback, role=HUB_ROLE),
            Operation(name=EXEC_PREVIEW, takes=OfExec, run=self.of_exec, role=HUB_ROLE),
        )

    async def of_manifest(self, asked: OfManifest) -> Foreseen:
        with rejecting():
            plan = await self.manifests.plan(
                Deadline.after(WITHIN_S),
                asked.manifest,
                namespace=asked.namespace,
                cluster=asked.cluster,
                force=asked.force,
                allow_privileged=asked.allow_privileged,
            )
        counts: dict[str, JsonValue] = {}
        diffs: list[str] = []
        warnings: list[str] = []
        for each in plan:
            state = each.outcome.state
            counts[state] = number(counts.get(state)) + 1
            told = await told_diff(each.outcome, self.fingerprints, MAX_DIFF_BYTES)
            diffs.append(f"# {each.target}: {state}\n{told}")
            warnings += _warned(each, force=asked.force)
        first = plan[0].target
        named = [each.target.known_as(_uid(each.outcome)) for each in plan[:MAX_NAMED]]
        more = f" and {len(plan) - MAX_NAMED} more" if len(plan) > MAX_NAMED else ""
        return Foreseen(
            action=f"Apply {len(plan)} object{'s' if len(plan) > 1 else ''} to cluster "
            f"{first.cluster.alias}: {_counted(counts)}",
            target=", ".join(named) + more,
            state=counts,
            diff=bounded("".join(diffs)),
            warnings=warnings[:MAX_WARNINGS],
        )

    async def of_patch(self, asked: OfPatch) -> Foreseen:
        with rejecting():
            ready = await self.patches.prepare(
                Deadline.after(WITHIN_S),
                kind=asked.kind,
                name=asked.name,
                patch=asked.patch,
                patch_type=asked.patch_type,
                namespace=asked.namespace,
                cluster=asked.cluster,
                resource_version=asked.resource_version,
                allow_privileged=asked.allow_privileged,
            )
        outcome = ready.outcome
        warnings = [f"it asks for too much: {each}" for each in outcome.findings]
        if outcome.state == "unchanged":
            warnings.append("it changes nothing")
        return Foreseen(
            action=f"Patch {ready.target}",
            target=ready.target.known_as(_uid(outcome)),
            diff=await told_diff(outcome, self.fingerprints, MAX_DIFF_BYTES),
            warnings=[*warnings, *_rolled(ready.target, outcome)][:MAX_WARNINGS],
        )

    async def of_scale(self, asked: OfScale) -> Foreseen:
        due = Deadline.after(WITHIN_S)
        with rejecting():
            scale = await self.scaling.scale(
                due, asked.kind, asked.name, asked.namespace, asked.cluster
            )
        warnings = await autoscalers(scale.target, due)
        if asked.replicas == 0:
            warnings.insert(0, "no replica is left: it serves nothing")
        elif asked.replicas < scale.wanted:
            warnings.insert(0, f"{scale.wanted - asked.replicas} of its pods are ended")
        if asked.replicas == scale.wanted:
            warnings.insert(0, "it changes nothing")
        return Foreseen(
            action=f"Scale {scale.target} from {scale.wanted} to {asked.replicas} replicas",
            target=scale.target.known_as(scale.uid),
            state={"replicas": scale.wanted, "running": scale.running},
            changes=[Change(field="spec.replicas", before=scale.wanted, after=asked.replicas)],
            warnings=warnings[:MAX_WARNINGS],
        )

    async def of_restart(self, asked: OfRestart) -> Foreseen:
        with rejecting():
            target, live = await self.scaling.restartable(
                Deadline.after(WITHIN_S), asked.kind, asked.name, asked.namespace, asked.cluster
            )
        spec = members(live, "spec")
        running = number(members(live, "status").get("replicas"))
        return Foreseen(
            action=f"Restart {target}: all of its pods are replaced",
            target=target.known_as(uid_of(live)),
            state={"running": running, "images": [*images_of(members(spec, "template"))]},
            warnings=_gap(spec),
        )

    async def of_rollback(self, asked: OfRollback) -> Foreseen:
        with rejecting():
            ready = await self.rollbacks.prepare(
                Deadline.after(WITHIN_S),
                name=asked.name,
                namespace=asked.namespace,
                cluster=asked.cluster,
                to_revision=asked.to_revision,
                allow_privileged=asked.allow_privileged,
            )
        outcome = ready.outcome
        images = {each.revision: each.images for each in ready.revisions}
        return Foreseen(
            action=f"Roll {ready.target} back from revision {ready.current} to {ready.chosen}",
            target=ready.target.known_as(_uid(outcome)),
            changes=[
                Change(
                    field="images",
                    before=[*images.get(ready.current, [])],
                    after=[*images.get(ready.chosen, [])],
                )
            ],
            diff=await told_diff(outcome, self.fingerprints, MAX_DIFF_BYTES),
            warnings=[
                *(f"it asks for too much: {each}" for each in outcome.findings),
                *_rolled(ready.target, outcome),
            ][:MAX_WARNINGS],
        )

    async def of_exec(self, asked: OfExec) -> Foreseen:
        with rejecting():
            target, pod, container = await self.programs.chosen(
                Deadline.after(WITHIN_S),
                asked.name,
                asked.namespace,
                asked.cluster,
                asked.container,
                asked.uid,
            )
        spec = members(pod, "spec")
        image = next(
            (text(each.get("image")) for each in objects(spec.get("containers"))
             if each.get("name") == container),
            "",
        )  # fmt: skip
        return Foreseen(
            action=f"Run {asked.command[0]!r} in container {container} of {target}",
            target=target.known_as(uid_of(pod)),
            state={
                "container": container,
                "image": image,
                "node": text(spec.get("nodeName")),
                "serviceAccount": text(spec.get("serviceAccountName")),
            },
            warnings=[f"the pod has {each}" for each in findings_of(pod)][:MAX_WARNINGS],
        )


def _uid(outcome: Outcome) -> str:
    return "" if outcome.live is None else uid_of(outcome.live)


def _counted(counts: dict[str, JsonValue]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def _warned(each: Planned, *, force: bool) -> list[str]:
    outcome = each.outcome
    found = [f"{each.target} asks for too much: {one}" for one in outcome.findings]
    found += [
        f"{each.target}: {conflict.field} is managed by {conflict.manager}"
        for conflict in outcome.conflicts
    ]
    if force:
        found.append(f"{each.target}: fields of other managers are taken over")
    if outcome.error is not None:
        found.append(f"{each.target}: the server refuses it: {outcome.error.message}")
    if outcome.state == "later":
        found.append(f"{each.target} cannot be tried before its namespace or kind is there")
    return [*found, *_rolled(each.target, outcome)]


def _rolled(target: Target, outcome: Outcome) -> list[str]:
    """Whether pods are replaced by it."""
    if target.ref.kind not in WORKLOADS or outcome.live is None or outcome.after is None:
        return []
    live, after = members(outcome.live, "spec"), members(outcome.after, "spec")
    if live.get("template") == after.get("template"):
        return []
    return [f"{target}: all of its pods are replaced", *_gap(after)]


def _gap(spec: Object) -> list[str]:
    """Whether nothing serves for a while when pods are replaced."""
    strategy = text(members(spec, "strategy").get("type"))
    if strategy == "Recreate":
        return ["its strategy is Recreate: nothing serves between the old pods and the new"]
    return []


async def autoscalers(target: Target, due: Deadline) -> list[str]:
    """The autoscalers that would set another number again; none where they cannot be read."""
    try:
        ref = await target.cluster.resource("horizontalpodautoscalers.autoscaling", due=due)
        found = await target.cluster.request(
            "GET", ref.path(target.namespace), due=due, query={"limit": 100}
        )
    except FlotillaError:
        return []
    told: list[str] = []
    for each in objects(found.get("items")):
        scaled = members(each, "spec", "scaleTargetRef")
        if scaled.get("kind") == target.ref.kind and scaled.get("name") == target.name:
            name = text(members(each, "metadata").get("name"))
            told.append(f"the autoscaler {name} looks after it and sets its own number")
    return told
