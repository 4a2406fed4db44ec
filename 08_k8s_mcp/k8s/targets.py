"""The one object that a changing tool means, and how its writes are sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from flotilla import (
    Conflict,
    Deadline,
    FlotillaError,
    InvalidArgument,
    TimedOut,
    Unavailable,
    UpstreamError,
)
from k8s.answers import upstream_status
from k8s.api import Cluster
from k8s.clusters import Clusters
from k8s.kinds import ResourceRef
from k8s.objects import Object, members

MANAGER = "flotilla"
"""The field manager of all that is written here."""
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"

Uid = Annotated[
    str | None,
    Field(max_length=128, description="Only where the object still has this metadata.uid."),
]


@dataclass(frozen=True, slots=True)
class Target:
    """An object by kind, namespace and name in one cluster; it need not exist."""

    cluster: Cluster
    ref: ResourceRef
    namespace: str | None
    name: str

    def path(self, subresource: str | None = None) -> str:
        return self.ref.path(self.namespace, self.name, subresource)

    def __str__(self) -> str:
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.ref.kind} {place} in {self.cluster.alias}"

    def known_as(self, uid: str) -> str:
        """How an approval names it: `Deployment shop/web in prod (uid ...)`."""
        return f"{self} (uid {uid})" if uid else str(self)

    async def live(self, due: Deadline) -> Object:
        """The object as it is. Raises NotFound where there is none."""
        return await self.cluster.request("GET", self.path(), due=due)

    async def live_or_none(self, due: Deadline) -> Object | None:
        try:
            return await self.live(due)
        except FlotillaError as error:
            if upstream_status(error) == 404:
                return None
            raise

    async def patch(
        self,
        body: Any,
        content_type: str,
        due: Deadline,
        *,
        dry_run: bool = False,
        force: bool | None = None,
        subresource: str | None = None,
    ) -> Object:
        """What the object is afterwards, or would be; unknown fields are refused (since 1.25)."""
        query = {
            "fieldManager": MANAGER,
            "fieldValidation": "Strict",
            "force": force,
            "dryRun": "All" if dry_run else None,
        }
        return await self.cluster.request(
            "PATCH",
            self.path(subresource),
            due=due,
            query=query,
            body=body,
            content_type=content_type,
        )


async def target_of(
    clusters: Clusters,
    cluster: str | None,
    kind: str,
    name: str,
    namespace: str | None,
    due: Deadline,
) -> Target:
    """The object that a call names.

    Raises InvalidArgument for a namespace where the kind has none: a rule that lets somebody work
    in one namespace must not let them at the nodes.
    """
    client = await clusters.client(cluster)
    ref = await client.resource(kind, due=due)
    if not ref.namespaced:
        if namespace is not None:
            raise InvalidArgument(f"{ref.kind} has no namespace; leave `namespace` out")
        return Target(client, ref, None, name)
    return Target(client, ref, namespace or client.namespace, name)


def uid_of(content: Mapping[str, Any]) -> str:
    return str(members(content, "metadata").get("uid") or "")


def expect_uid(target: Target, live: Object, uid: str | None) -> None:
    """Raise Conflict where another object of the same name stands there by now."""
    if uid is not None and uid_of(live) != uid:
        raise Conflict(
            f"{target} is another object by now",
            hint="Look at it again, and ask anew for what is there.",
            details={"reason": "uid_changed", "expected": uid, "found": uid_of(live)},
        )


def is_uncertain(error: FlotillaError) -> bool:
    """Whether a write that failed so may have taken effect all the same."""
    status = upstream_status(error)
    if status is None:
        return isinstance(error, (TimedOut, Unavailable, UpstreamError))
    return status == 408 or status >= 500


def unsettled(error: FlotillaError, told: str) -> FlotillaError:
    """The error, saying that it is not known whether the write took effect where it is not."""
    if is_uncertain(error):
        error.message = f"{error.message}; whether {told} is not known"
        error.hint = "Look with infra.k8s.getResource before you ask again."
        error.details["uncertain"] = True
    return error
