"""What a manifest would do, document by document, before anything of it is done."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from flotilla import Deadline, InvalidArgument, NotFound
from k8s import safety
from k8s.answers import upstream_status
from k8s.api import Cluster
from k8s.foresight import Allowance, Outcome, applied
from k8s.kinds import ResourceRef
from k8s.manifests import Document
from k8s.objects import Object, listed, members, objects, text
from k8s.targets import Target

AT_ONCE = 6
"""Dry runs at the same time: the server's own fairness sees one caller."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A document, where it goes, and what would become of it."""

    document: Document
    target: Target
    content: Object
    outcome: Outcome

    def __str__(self) -> str:
        return f"document {self.document.number} ({self.target})"


async def planned(
    cluster: Cluster,
    documents: Sequence[Document],
    due: Deadline,
    *,
    namespace: str | None,
    force: bool,
    allowance: Allowance,
) -> list[Planned]:
    """Each document with its outcome, in their order.

    Raises InvalidArgument for two documents of one object or one outside `namespace`, NotFound for
    a kind that neither the cluster nor the manifest has, and what `applied` raises.
    """
    own = _own_kinds(documents)
    placed = [await _placed(cluster, each, namespace, own, due) for each in documents]
    _check_distinct(placed)
    made = {each.name for each in documents if (each.group, each.kind) == ("", "Namespace")}
    places = asyncio.Semaphore(AT_ONCE)

    async def one(document: Document, target: Target, content: Object) -> Planned:
        async with places:
            outcome = await applied(target, content, due, force=force, allowance=allowance)
        is_own_kind = (target.ref.api_version, target.ref.kind) in own
        if _is_missing(outcome) and (is_own_kind or target.namespace in made):
            outcome = _later(content, allowance)
        return Planned(document, target, content, outcome)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(*each)) for each in placed]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


def _is_missing(outcome: Outcome) -> bool:
    return outcome.error is not None and upstream_status(outcome.error) == 404


def _later(content: Object, allowance: Allowance) -> Outcome:
    """The outcome of what no server can try yet: its text alone is judged, for now."""
    found = tuple(safety.added(content, None))
    refused = bool(found) and not allowance.given
    return Outcome(state="refused" if refused else "later", after=content, findings=found)


async def again(each: Planned, due: Deadline, allowance: Allowance, *, force: bool) -> Planned:
    """The same with what waits for something of its manifest told now."""
    outcome = await applied(each.target, each.content, due, force=force, allowance=allowance)
    return replace(each, outcome=outcome)


async def _placed(
    cluster: Cluster,
    document: Document,
    namespace: str | None,
    own: dict[tuple[str, str], ResourceRef],
    due: Deadline,
) -> tuple[Document, Target, Object]:
    """Where a document goes, and what is sent."""
    try:
        ref = await cluster.resource_of(document.api_version, document.kind, due=due)
    except NotFound:
        found = own.get((document.api_version, document.kind))
        if found is None:
            raise
        ref = found
    place = None
    if ref.namespaced:
        place = document.namespace or namespace or cluster.namespace
        if namespace is not None and place != namespace:
            raise InvalidArgument(
                f"{document} is for namespace {place}, and the call for {namespace}",
                hint="Leave `namespace` out to apply what names its own.",
            )
    elif namespace is not None or document.namespace is not None:
        # A rule that lets somebody work in one namespace must not let them at the cluster.
        raise InvalidArgument(
            f"{document} belongs to no namespace",
            hint="Leave `namespace` out, in the call and in the document.",
        )
    metadata = {
        # What `kubectl get -o yaml` shows and an apply may not bring.
        key: value
        for key, value in document.content["metadata"].items()
        if key not in ("managedFields", "creationTimestamp")
    }
    if place is not None:
        metadata["namespace"] = place
    content = {**document.content, "metadata": metadata}
    return document, Target(cluster, ref, place, document.name), content


def _check_distinct(placed: Sequence[tuple[Document, Target, Object]]) -> None:
    seen: dict[str, Document] = {}
    for document, target, _ in placed:
        first = seen.setdefault(target.path(), document)
        if first is not document:
            raise InvalidArgument(
                f"{first} and {document} are the same object", hint="Give each object once."
            )


def _own_kinds(documents: Sequence[Document]) -> dict[tuple[str, str], ResourceRef]:
    """The kinds that the manifest itself defines, by apiVersion and kind."""
    found: dict[tuple[str, str], ResourceRef] = {}
    for document in documents:
        if document.kind != "CustomResourceDefinition":
            continue
        spec = members(document.content, "spec")
        names = members(spec, "names")
        for version in objects(listed(spec.get("versions"))):
            ref = ResourceRef(
                group=text(spec.get("group")),
                version=text(version.get("name")),
                plural=text(names.get("plural")),
                kind=text(names.get("kind")),
                namespaced=spec.get("scope") == "Namespaced",
            )
            found[ref.api_version, ref.kind] = ref
    return found
