"""Patches of one object: tried and judged as the server would have it, then sent."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, cast

from pydantic import Field

from flotilla import Conflict, Context, Deadline, FlotillaError, InvalidArgument, NotAllowed
from flotilla.tool import Preview, Tool, writes
from k8s.apply import AllowPrivileged
from k8s.clusters import Clusters
from k8s.foresight import Allowance, Outcome, State, weighed
from k8s.manifests import MAX_BYTES, read_object
from k8s.objects import members
from k8s.parameters import ClusterName, KindName, Namespace, ObjectName
from k8s.targets import JSON_PATCH, MERGE, STRATEGIC, Target, target_of, unsettled
from k8s.written import Written, identity

PREVIEW = "preview.patchResource"
TAKEN: Final = (
    "kind",
    "name",
    "patch",
    "patchType",
    "namespace",
    "cluster",
    "resourceVersion",
    "allowPrivileged",
)
MAX_OPERATIONS = 200

PatchType = Literal["merge", "strategic", "json"]
CONTENT_TYPES: Final = {"merge": MERGE, "strategic": STRATEGIC, "json": JSON_PATCH}

Patch = Annotated[
    str, Field(max_length=MAX_BYTES, description="YAML or JSON; with patchType `json` a list.")
]
Type = Annotated[
    PatchType,
    Field(
        description="`merge` (RFC 7396), `strategic` (lists by their keys, built-in kinds only) "
        "or `json` (RFC 6902)."
    ),
]
ResourceVersion = Annotated[
    str | None,
    Field(max_length=64, description="Only where the object still is in this version."),
]


class Patched(Written):
    """The object after the patch; `state` is whether it changed."""

    state: State
    resource_version: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """A patch that the server would take, and what would come of it."""

    target: Target
    body: Any
    content_type: str
    outcome: Outcome


class Patches:
    """Patches any object that the server lets be patched, but for its subresources."""

    def __init__(self, clusters: Clusters, *, privileged_allowed: bool) -> None:
        self._clusters = clusters
        self._privileged_allowed = privileged_allowed

    def tools(self) -> tuple[Tool, ...]:
        return (
            writes(
                "infra.k8s.patchResource",
                self.patch_resource,
                title="Patch an object",
                approval=True,
                preview=Preview(operation=PREVIEW, taken={name: name for name in TAKEN}),
                risk="what it changes takes effect at once; pods may be replaced",
            ),
        )

    async def patch_resource(
        self,
        context: Context,
        kind: KindName,
        name: ObjectName,
        patch: Patch,
        patch_type: Type = "merge",
        namespace: Namespace = None,
        cluster: ClusterName = None,
        resource_version: ResourceVersion = None,
        allow_privileged: AllowPrivileged = False,
    ) -> Patched:
        """Patch one object of any kind; the server tries it first, and what it makes is judged.

        What asks for the node or for further rights is refused, also where the patch only touches
        an object that has it already. For Deployments prefer scaleDeployment, restartDeployment
        and rollbackDeployment; for whole objects applyManifest, which reports conflicts.
        """
        due = context.deadline
        ready = await self.prepare(
            due,
            kind=kind,
            name=name,
            patch=patch,
            patch_type=patch_type,
            namespace=namespace,
            cluster=cluster,
            resource_version=resource_version,
            allow_privileged=allow_privileged,
        )
        if ready.outcome.state == "refused":
            raise self.allowance(allow_privileged).refusal(
                str(ready.target), ready.outcome.findings
            )
        try:
            live = await ready.target.patch(ready.body, ready.content_type, due)
        except Conflict as error:
            error.hint = "It has changed since; look at it again and patch what is there now."
            raise
        except FlotillaError as error:
            raise unsettled(error, f"{ready.target} changed") from None
        version = str(members(live, "metadata").get("resourceVersion") or "")
        return Patched(
            **identity(ready.target, live), state=ready.outcome.state, resource_version=version
        )

    def allowance(self, asked: bool) -> Allowance:
        return Allowance(self._privileged_allowed, asked)

    async def prepare(
        self,
        due: Deadline,
        *,
        kind: str,
        name: str,
        patch: str,
        patch_type: PatchType,
        namespace: str | None,
        cluster: str | None,
        resource_version: str | None,
        allow_privileged: bool,
    ) -> Prepared:
        """The patch, tried by the server; `refused` is a state of its outcome, all else raises."""
        body = await asyncio.to_thread(read_object, patch, "patch")
        _check_shape(body, patch_type)
        target = await target_of(self._clusters, cluster, kind, name, namespace, due)
        _check_copies(target, body)
        live = await target.live(due)
        if resource_version is not None:
            found = str(members(live, "metadata").get("resourceVersion") or "")
            if found != resource_version:
                raise Conflict(
                    f"{target} is in version {found} by now",
                    hint="Look at it again, and patch what is there now.",
                    details={"reason": "version_changed", "resourceVersion": found},
                )
            body = _in_version(body, resource_version)
        content_type = CONTENT_TYPES[patch_type]
        after = await target.patch(body, content_type, due, dry_run=True)
        outcome = await weighed(
            target, live, after, due, allowance=self.allowance(allow_privileged)
        )
        return Prepared(target, body, content_type, outcome)


def _check_shape(body: Any, patch_type: PatchType) -> None:
    if patch_type != "json":
        if not isinstance(body, dict):
            raise InvalidArgument(f"a patch of type {patch_type} must be a map of fields")
        return
    if not isinstance(body, list) or len(cast("list[Any]", body)) > MAX_OPERATIONS:
        raise InvalidArgument(f"a JSON patch is a list of at most {MAX_OPERATIONS} operations")
    for index, each in enumerate(cast("list[Any]", body)):
        step = members(each)
        if not isinstance(step.get("op"), str) or not isinstance(step.get("path"), str):
            raise InvalidArgument(f"operation {index} of the patch has no `op` and `path`")


def _check_copies(target: Target, body: Any) -> None:
    """Raise NotAllowed for a patch that would bring the value of a Secret to where it is shown."""
    if (target.ref.group, target.ref.kind) != ("", "Secret") or not isinstance(body, list):
        return
    if any(members(each).get("op") in ("copy", "move") for each in cast("list[Any]", body)):
        raise NotAllowed(
            f"{target}: values of a Secret are neither copied nor moved",
            hint="Set its keys to values of your own.",
            details={"reason": "secret_copied"},
        )


def _in_version(body: Any, version: str) -> Any:
    """The patch with the version as what the server checks once more when it writes."""
    if isinstance(body, list):
        test = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
        return [test, *cast("list[Any]", body)]
    return {**body, "metadata": {**members(body, "metadata"), "resourceVersion": version}}
