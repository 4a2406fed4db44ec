"""Which kinds a cluster has, as its server tells: built-in ones and custom resources alike.

Source: Kubernetes documentation, "API discovery" (aggregated, and the older one by group version).
"""

import asyncio
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol
from urllib.parse import quote

from flotilla.context import Deadline
from flotilla.errors import FlotillaError, InvalidArgument, NotFound
from k8s.answers import upstream_status
from k8s.objects import Object, listed, members, objects, text

KEPT_S = 300.0
ANEW_S = 10.0
"""A kind that is not known makes us look anew, but no more often than that."""
AT_ONCE = 8
AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,"
    "application/json"
)

_KIND = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,62}(?:\.[A-Za-z0-9.-]{1,253})?(?:/[a-z0-9]{1,40})?")
_BAD_SEGMENT = re.compile(r"[\x00-\x20\x7f/%?#\\]")
MAX_NAME_CHARS = 253


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceRef:
    """One kind: where its objects are, and what may be done with them."""

    group: str
    version: str
    plural: str
    kind: str
    singular: str = ""
    namespaced: bool = True
    verbs: tuple[str, ...] = ()
    short_names: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def name(self) -> str:
        """`pods`, `deployments.apps`: how a caller may name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(
        self, namespace: str | None = None, name: str | None = None, subresource: str | None = None
    ) -> str:
        """The path of its objects, of one, or of a part of one.

        `namespace` is left out for kinds that have none. Raises InvalidArgument for a name that
        would leave its place in the path.
        """
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        if namespace is not None and self.namespaced:
            base += f"/namespaces/{segment(namespace, 'namespace')}"
        base += f"/{self.plural}"
        if name is not None:
            base += f"/{segment(name, 'name')}"
        return base if subresource is None else f"{base}/{segment(subresource, 'subresource')}"


NAMESPACES = ResourceRef(
    group="", version="v1", plural="namespaces", kind="Namespace", namespaced=False
)
NODES = ResourceRef(group="", version="v1", plural="nodes", kind="Node", namespaced=False)
PODS = ResourceRef(group="", version="v1", plural="pods", kind="Pod")
EVENTS = ResourceRef(group="", version="v1", plural="events", kind="Event")
DEPLOYMENTS = ResourceRef(group="apps", version="v1", plural="deployments", kind="Deployment")
STATEFUL_SETS = ResourceRef(group="apps", version="v1", plural="statefulsets", kind="StatefulSet")
DAEMON_SETS = ResourceRef(group="apps", version="v1", plural="daemonsets", kind="DaemonSet")
"""Those that every cluster has: nothing needs to be asked for them."""


def segment(name: str, what: str) -> str:
    """A name as a segment of a path. Raises InvalidArgument for what is no object's name."""
    too_long = len(name) > MAX_NAME_CHARS
    if not name or too_long or name in (".", "..") or _BAD_SEGMENT.search(name):
        raise InvalidArgument(f"{what} {name[:80]!r} cannot be the name of an object")
    return quote(name, safe=":")


class Asks(Protocol):
    """What discovery needs of a cluster."""

    alias: str

    async def request(
        self, method: str, path: str, *, due: Deadline, accept: str = "application/json"
    ) -> Any: ...


class Kinds:
    """The kinds of one cluster, kept for some minutes; asked for once at a time."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._found: tuple[ResourceRef, ...] = ()
        self._asked_at = float("-inf")
        self._one_at_a_time = asyncio.Lock()

    async def all(self, cluster: Asks, due: Deadline) -> tuple[ResourceRef, ...]:
        return await self._no_older_than(KEPT_S, cluster, due)

    async def named(self, cluster: Asks, kind: str, due: Deadline) -> ResourceRef:
        if not _KIND.fullmatch(kind):
            raise InvalidArgument(
                f"{kind[:80]!r} is no name of a kind",
                hint="Like `pods`, `Deployment` or `certificates.cert-manager.io/v1`.",
            )
        for age_s in (KEPT_S, ANEW_S):
            known = await self._no_older_than(age_s, cluster, due)
            if found := named(known, kind):
                return found
        near = ", ".join(sorted({ref.name for ref in known if ref.plural[:4] == kind[:4].lower()}))
        raise NotFound(
            f"cluster {cluster.alias} has no kind {kind!r}",
            hint=f"Near it: {near}." if near else "infra.k8s.listApiResources names all.",
        )

    async def of_manifest(
        self, cluster: Asks, api_version: str, kind: str, due: Deadline
    ) -> ResourceRef:
        for age_s in (KEPT_S, ANEW_S):
            for ref in await self._no_older_than(age_s, cluster, due):
                if ref.api_version == api_version and ref.kind == kind:
                    return ref
        raise NotFound(
            f"cluster {cluster.alias} has no {kind[:80]!r} of {api_version[:120]!r}",
            hint="infra.k8s.listApiResources names all kinds and their versions.",
        )

    async def _no_older_than(
        self, age_s: float, cluster: Asks, due: Deadline
    ) -> tuple[ResourceRef, ...]:
        async with self._one_at_a_time:
            if self._clock() - self._asked_at > age_s or not self._found:
                self._found = await discovered(cluster, due)
                self._asked_at = self._clock()
            return self._found


def named(known: Iterable[ResourceRef], kind: str) -> ResourceRef | None:
    """The first of `known` that is called so, in the server's order: core groups come first.

    `plural.group/version`, kubectl's `plural.version.group`, or less of it; a name is the plural,
    the singular, a short name or the kind, in any case. Pure.
    """
    head, _, version = kind.partition("/")
    word, _, group = head.partition(".")
    word = word.lower()
    for ref in known:
        names = (ref.plural, ref.singular, ref.kind.lower(), *ref.short_names)
        if word not in names or (version and ref.version != version):
            continue
        if group in ("", ref.group, f"{ref.version}.{ref.group}"):
            return ref
    return None


async def discovered(cluster: Asks, due: Deadline) -> tuple[ResourceRef, ...]:
    """Ask the server; two requests where it tells all at once, else one for each group version."""
    roots = [
        await cluster.request("GET", path, due=due, accept=AGGREGATED) for path in ("/api", "/apis")
    ]
    found: list[ResourceRef] = []
    for root in roots:
        if root.get("kind") == "APIGroupDiscoveryList":
            found.extend(aggregated(root))
        else:
            found.extend(await _by_group_version(cluster, group_versions(root), due))
    return tuple(found)


async def _by_group_version(
    cluster: Asks, wanted: Iterable[str], due: Deadline
) -> list[ResourceRef]:
    places = asyncio.Semaphore(AT_ONCE)

    async def one(group_version: str) -> list[ResourceRef]:
        place = "/apis" if "/" in group_version else "/api"
        async with places:
            try:
                answer = await cluster.request("GET", f"{place}/{group_version}", due=due)
            except FlotillaError as error:
                # A broken extension of the API must not hide all other kinds.
                if upstream_status(error) in (403, 404, 500, 503):
                    return []
                raise
        return of_group_version(group_version, answer)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(each)) for each in wanted]
    return [ref for task in tasks for ref in task.result()]


def group_versions(root: Object) -> list[str]:
    """The group versions of an APIVersions or APIGroupList, preferred ones first. Pure."""
    if root.get("kind") == "APIVersions":
        return [text(each) for each in listed(root.get("versions"))]
    found: list[str] = []
    for group in objects(root.get("groups")):
        preferred = text(members(group, "preferredVersion").get("groupVersion"))
        others = [text(each.get("groupVersion")) for each in objects(group.get("versions"))]
        found.extend(sorted(others, key=preferred.__ne__))
    return found


def of_group_version(group_version: str, answer: Object) -> list[ResourceRef]:
    """The kinds of an APIResourceList. Pure."""
    group, _, version = group_version.rpartition("/")
    parts: dict[str, list[str]] = {}
    whole: list[Object] = []
    for each in objects(answer.get("resources")):
        plural, _, part = text(each.get("name")).partition("/")
        if part:
            parts.setdefault(plural, []).append(part)
        else:
            whole.append(each)
    return [
        ResourceRef(
            group=group,
            version=version,
            plural=text(each.get("name")),
            kind=text(each.get("kind")),
            singular=text(each.get("singularName")) or text(each.get("kind")).lower(),
            namespaced=each.get("namespaced") is True,
            verbs=tuple(listed(each.get("verbs"))),
            short_names=tuple(listed(each.get("shortNames"))),
            subresources=tuple(parts.get(text(each.get("name")), ())),
        )
        for each in whole
    ]


def aggregated(root: Object) -> list[ResourceRef]:
    """The kinds of an APIGroupDiscoveryList, each group's preferred version first. Pure."""
    return [
        _of_aggregated(text(members(group, "metadata").get("name")), version, each)
        for group in objects(root.get("items"))
        for version in objects(group.get("versions"))
        for each in objects(version.get("resources"))
    ]


def _of_aggregated(group: str, version: Object, each: Object) -> ResourceRef:
    kind = text(members(each, "responseKind").get("kind"))
    parts = objects(each.get("subresources"))
    return ResourceRef(
        group=group,
        version=text(version.get("version")),
        plural=text(each.get("resource")),
        kind=kind,
        singular=text(each.get("singularResource")) or kind.lower(),
        namespaced=each.get("scope") == "Namespaced",
        verbs=tuple(listed(each.get("verbs"))),
        short_names=tuple(listed(each.get("shortNames"))),
        subresources=tuple(text(part.get("subresource")) for part in parts),
    )
