"""Manifests: what they would change, and changing it by server-side apply."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import structlog
from pydantic import Field

from flotilla import Context, Deadline, FlotillaError
from flotilla.model import Model
from flotilla.tool import Preview, Tool, reads, writes
from k8s.applying import AppliedObject, Apply, check
from k8s.clusters import Clusters
from k8s.comparisons import Comparisons
from k8s.diffing import MAX_DIFF_BYTES, Fingerprints, bounded, has_hidden
from k8s.foresight import Allowance, Outcome, State, told_diff
from k8s.manifests import MAX_BYTES, MAX_DOCUMENTS, read_manifest
from k8s.parameters import ClusterName, Namespace
from k8s.planning import Planned, planned
from k8s.targets import uid_of
from k8s.written import FOLLOW, WORKLOADS

log = structlog.get_logger(__name__)

MAX_DIFFS_BYTES = 24 * 1024
"""Of all diffs of one answer together, which may have 48 KB."""
MAX_TOLD_OF_ONE = 5
"""Conflicts and refused fields that are told of one document."""
PREVIEW = "preview.applyManifest"
MAX_PROBLEM_CHARS = 400
TAKEN = ("manifest", "namespace", "cluster", "force", "allowPrivileged")

Manifest = Annotated[
    str,
    Field(
        max_length=MAX_BYTES,
        description=f"YAML or JSON, up to {MAX_DOCUMENTS} documents; no anchors, aliases or tags.",
    ),
]
Force = Annotated[
    bool, Field(description="Take over fields that another manager of the object has set.")
]
AllowPrivileged = Annotated[
    bool,
    Field(
        description="Let pass what asks for the node or for further rights: privileged containers, "
        "hostPath, host namespaces and ports, wildcard roles. The operator may forbid it."
    ),
]


class ManagedField(Model):
    """A field that another manager has set to another value."""

    manager: str
    field: str


class DocumentDiff(Model):
    """What would become of one object of a manifest."""

    document: int
    api_version: str
    kind: str
    namespace: str | None = None
    name: str
    uid: str | None = None
    state: State
    diff: str = ""
    conflicts: list[ManagedField] = Field(default_factory=list[ManagedField])
    refused_fields: list[str] = Field(default_factory=list[str])
    problem: str | None = None


class ManifestDiff(Model):
    """`clean`: applyManifest with the same arguments would take every document."""

    cluster: str
    clean: bool
    documents: list[DocumentDiff]
    truncated: bool = False


class Applied(Model):
    """Everything was applied; what was not is an error that says what was."""

    cluster: str
    applied: list[AppliedObject]
    follow: str | None = None
    """The tool that tells when workloads have changed over."""


class Manifests:
    """Applies manifests with the field manager `flotilla`."""

    def __init__(
        self,
        clusters: Clusters,
        fingerprints: Fingerprints,
        *,
        privileged_allowed: bool,
        comparisons: Comparisons | None = None,
    ) -> None:
        self._clusters = clusters
        self._fingerprints = fingerprints
        self._privileged_allowed = privileged_allowed
        self._comparisons = comparisons or Comparisons()

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads(
                "infra.k8s.diffManifest",
                self.diff_manifest,
                title="Compare a manifest",
                untrusted=True,
            ),
            writes(
                "infra.k8s.applyManifest",
                self.apply_manifest,
                title="Apply a manifest",
                idempotent=True,
                approval=True,
                long=True,
                preview=Preview(operation=PREVIEW, taken={name: name for name in TAKEN}),
                risk="what it changes takes effect at once; pods may be replaced",
            ),
        )

    async def diff_manifest(
        self,
        context: Context,
        manifest: Manifest,
        namespace: Namespace = None,
        cluster: ClusterName = None,
        force: Force = False,
        allow_privileged: AllowPrivileged = False,
    ) -> ManifestDiff:
        """Tell what applyManifest would change, by the server's own dry run; nothing changes.

        For each object: new, changed, unchanged, conflict (another manager has set these fields),
        refused (it asks for the node or for further rights), rejected (the server takes it not) or
        later (its namespace or kind comes with the same manifest), with a unified diff of at most
        16 KB. Values of Secrets stand as fingerprints that show only whether they change.
        """
        plan = await self.plan(
            context.deadline,
            manifest,
            namespace=namespace,
            cluster=cluster,
            force=force,
            allow_privileged=allow_privileged,
        )
        await self._count_comparisons(plan)
        left = MAX_DIFFS_BYTES
        told: list[DocumentDiff] = []
        truncated = False
        for each in plan:
            text = await told_diff(each.outcome, self._fingerprints, MAX_DIFF_BYTES)
            kept = bounded(text, max(left, 256))
            left -= len(kept.encode())
            truncated = truncated or kept != text
            told.append(_told(each, kept))
        return ManifestDiff(
            cluster=plan[0].target.cluster.alias,
            clean=all(_is_clean(each.outcome) for each in plan),
            documents=told,
            truncated=truncated,
        )

    async def _count_comparisons(self, plan: Sequence[Planned]) -> None:
        for each in plan:
            target, live = each.target, each.outcome.live
            if live is not None and await asyncio.to_thread(has_hidden, live):
                self._comparisons.count(f"{target.cluster.alias}{target.path()}", str(target))

    async def plan(
        self,
        due: Deadline,
        manifest: str,
        *,
        namespace: str | None,
        cluster: str | None,
        force: bool,
        allow_privileged: bool,
    ) -> list[Planned]:
        """What each document would do. Raises as `read_manifest` and `planned`."""
        documents = await asyncio.to_thread(read_manifest, manifest)
        client = await self._clusters.client(cluster)
        return await planned(
            client,
            documents,
            due,
            namespace=namespace,
            force=force,
            allowance=self._allowance(allow_privileged),
        )

    def _allowance(self, asked: bool) -> Allowance:
        return Allowance(self._privileged_allowed, asked)

    async def apply_manifest(
        self,
        context: Context,
        manifest: Manifest,
        namespace: Namespace = None,
        cluster: ClusterName = None,
        force: Force = False,
        allow_privileged: AllowPrivileged = False,
    ) -> Applied:
        """Apply a manifest by server-side apply, as field manager `flotilla`.

        All documents are tried by a dry run first, and nothing is applied unless all pass. With
        `namespace`, every document must belong to it. Fields that another manager has set are a
        conflict unless `force`. What fails half-way is an error whose `applied`, `failed` and
        `notTried` say how far it came; applying the same again is safe. Follow workloads with
        getRolloutStatus.
        """
        due, allowance = context.deadline, self._allowance(allow_privileged)
        plan = await self.plan(
            due,
            manifest,
            namespace=namespace,
            cluster=cluster,
            force=force,
            allow_privileged=allow_privileged,
        )
        for each in plan:
            check(each, allowance)
        run = Apply(plan, due, allowance, force=force)
        try:
            done = await run.all(context)
        except FlotillaError as error:
            raise run.told(error) from None
        except asyncio.CancelledError:
            log.warning("apply_cancelled", applied=run.count, of=len(plan))
            raise
        rolls = any(each.kind in WORKLOADS for each in done)
        return Applied(
            cluster=plan[0].target.cluster.alias, applied=done, follow=FOLLOW if rolls else None
        )


def _told(each: Planned, text: str) -> DocumentDiff:
    outcome = each.outcome
    problem = outcome.error.message[:MAX_PROBLEM_CHARS] if outcome.error is not None else None
    if outcome.state == "later":
        problem = "its namespace or kind comes with this manifest; it is tried once that is there"
    return DocumentDiff(
        document=each.document.number,
        api_version=each.document.api_version,
        kind=each.target.ref.kind,
        namespace=each.target.namespace,
        name=each.target.name,
        uid=uid_of(outcome.live) if outcome.live is not None else None,
        state=outcome.state,
        diff=text,
        conflicts=[
            ManagedField(manager=found.manager, field=found.field)
            for found in outcome.conflicts[:MAX_TOLD_OF_ONE]
        ],
        refused_fields=[str(found) for found in outcome.findings[:MAX_TOLD_OF_ONE]],
        problem=problem,
    )


def _is_clean(outcome: Outcome) -> bool:
    return outcome.state in ("new", "changed", "unchanged", "later")
