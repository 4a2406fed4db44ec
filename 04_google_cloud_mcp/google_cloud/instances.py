"""Looking at instances: listInstances over zones, and getInstance."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from flotilla import (
    Context,
    Cursor,
    Deadline,
    InvalidArgument,
    Limit,
    NotFound,
    Tool,
    Unavailable,
    reads,
)
from flotilla.paging import DEFAULT_LIMIT
from google_cloud.cloud import AccountName, Aim, Cloud, Project
from google_cloud.filters import FilterText, by_labels, combined, equal, filter_of
from google_cloud.instance_shapes import (
    SUMMARY_FIELDS,
    Instance,
    InstanceDetails,
    details,
    summary,
)
from google_cloud.listing import Batch, Listing, listed, scoped
from google_cloud.places import AnyZone, FoundZone, InstanceName, Labels, last

if TYPE_CHECKING:
    from google_cloud.connections import Connection

_MOST_LOOKED_AT = 20
"""Pages of an aggregated list in which an instance is looked for by its name."""

Status = Literal[
    "PROVISIONING",
    "STAGING",
    "RUNNING",
    "STOPPING",
    "SUSPENDING",
    "SUSPENDED",
    "REPAIRING",
    "TERMINATED",
]


@dataclass(frozen=True, slots=True)
class Found:
    """Where an instance is: what every other request needs to name it."""

    aim: Aim
    zone: str
    name: str


class Instances:
    """cloud.gcp.listInstances and getInstance, and the way from a name to an instance."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def tools(self) -> tuple[Tool, ...]:
        more: Mapping[str, Any] = {"open_world": True, "untrusted": True}
        return (
            reads("cloud.gcp.listInstances", self.list_instances, title="List instances", **more),
            reads("cloud.gcp.getInstance", self.get_instance, title="Show an instance", **more),
        )

    async def list_instances(
        self,
        context: Context,
        account: AccountName = None,
        project: Project = None,
        zone: AnyZone = None,
        status: Annotated[
            Status | None, Field(description="Only in this state; TERMINATED means stopped.")
        ] = None,
        labels: Annotated[
            Labels | None, Field(description="Only with all of these labels.")
        ] = None,
        filter: FilterText = None,  # noqa: A002 - Google calls it so
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Listing[Instance]:
        """List the virtual machines (instances) of a project over all zones, or of one zone.

        Summaries: state, machine type, addresses, labels; getInstance has the rest. Zones that
        Google could not reach are named in `unreachable`, and their instances are missing.
        """
        aim = await self._cloud.aim(context.deadline, account, project)
        wanted = combined(
            filter_of(filter), equal("status", status) if status else None, *by_labels(labels)
        )
        kind = f"instances:{aim.alias}:{aim.project}:{zone or ''}:{wanted}"

        async def fetch(token: str, size: int) -> Batch[Instance]:
            return await self._cloud.read(
                context.deadline,
                aim,
                lambda google, s: page_of_instances(google, s, aim, zone, wanted, token, size),
            )

        return await listed(kind, fetch, limit=limit, cursor=cursor)

    async def get_instance(
        self,
        context: Context,
        instance: InstanceName,
        account: AccountName = None,
        project: Project = None,
        zone: FoundZone = None,
    ) -> InstanceDetails:
        """Show one instance: disks, interfaces, service accounts, scheduling, labels, metadata.

        Values of metadata are not shown but for harmless switches: start-up scripts and the like
        hold secrets. Of SSH keys there are users and fingerprints.
        """
        found = await self.find(context.deadline, account, project, zone, instance)
        return details(await self.raw(context.deadline, found))

    async def find(
        self,
        due: Deadline,
        account: str | None,
        project: str | None,
        zone: str | None,
        instance: str,
    ) -> Found:
        """The instance that a call means; looked for in all zones where it names none.

        Raises NotFound, InvalidArgument where several zones have one of that name.
        """
        aim = await self._cloud.aim(due, account, project)
        if zone is not None:
            return Found(aim, zone, instance)
        wanted = equal("id" if instance.isdigit() else "name", instance)
        zones, missing = await self._cloud.read(
            due, aim, lambda google, s: zones_of(google, s, due, aim, wanted)
        )
        if len(zones) > 1:
            raise InvalidArgument(
                f"there are {len(zones)} instances {instance!r} in {aim.project}",
                hint=f"Pass `zone`, one of: {', '.join(sorted(zones))}.",
                details={"zones": sorted(zones)},
            )
        if not zones and missing:
            raise Unavailable(
                f"no instance {instance!r} in the zones that answered; "
                f"these did not: {', '.join(missing[:20])}",
                hint="Pass `zone` if you know it, or try again.",
                details={"unreachable": missing[:20]},
            )
        if not zones:
            raise NotFound(
                f"there is no instance {instance!r} in project {aim.project}",
                hint="listInstances shows what there is.",
            )
        return Found(aim, zones[0], instance)

    async def raw(self, due: Deadline, found: Found) -> Any:
        """The whole instance as Google has it."""
        return await self._cloud.read(
            due, found.aim, lambda google, s: instance_at(google, s, found)
        )


def instance_at(google: "Connection", timeout_s: float, found: Found) -> Any:
    from google.cloud import compute_v1

    return google.of(compute_v1.InstancesClient).get(
        project=found.aim.project,
        zone=found.zone,
        instance=found.name,
        retry=None,
        timeout=timeout_s,
    )


def page_of_instances(
    google: "Connection",
    timeout_s: float,
    aim: Aim,
    zone: str | None,
    wanted: str,
    token: str,
    size: int,
    fields: str = SUMMARY_FIELDS,
) -> Batch[Instance]:
    """One page of Google's, of a zone or over all of them; for a thread."""
    page, found, missing = raw_page(google, timeout_s, aim, zone, wanted, token, size, fields)
    return Batch([summary(each) for each in found], page.next_page_token, missing)


def raw_page(
    google: "Connection",
    timeout_s: float,
    aim: Aim,
    zone: str | None,
    wanted: str,
    token: str,
    size: int,
    fields: str,
) -> tuple[Any, list[Any], list[str]]:
    """The page itself, its instances, and the zones that are missing from it."""
    from google.cloud import compute_v1

    from google_cloud.connections import FIELDS, PARTIAL

    client = google.of(compute_v1.InstancesClient)
    if zone is not None:
        asked = compute_v1.ListInstancesRequest(
            project=aim.project, zone=zone, filter=wanted, max_results=size, page_token=token
        )
        mask = [(FIELDS, f"items({fields}),nextPageToken")]
        one: Any = next(
            iter(client.list(asked, retry=None, timeout=timeout_s, metadata=mask).pages)
        )
        return one, list(one.items), []
    over_all = compute_v1.AggregatedListInstancesRequest(
        project=aim.project, filter=wanted, max_results=size, page_token=token
    )
    mask = [
        (FIELDS, f"items/*(instances({fields}),warning/code),nextPageToken,unreachables"),
        (PARTIAL, "true"),
    ]
    pages = client.aggregated_list(over_all, retry=None, timeout=timeout_s, metadata=mask).pages
    page: Any = next(iter(pages))
    items, missing = scoped(page, "instances")
    return page, items, missing


def zones_of(
    google: "Connection", timeout_s: float, due: Deadline, aim: Aim, wanted: str
) -> tuple[list[str], list[str]]:
    """The zones in which such an instance is, and those that did not answer."""
    zones: list[str] = []
    missing: list[str] = []
    token = ""
    for _ in range(_MOST_LOOKED_AT):
        left_s = max(0.05, min(timeout_s, due.remaining_s()))
        page, found, unreached = raw_page(google, left_s, aim, None, wanted, token, 50, "name,zone")
        zones.extend(last(each.zone) for each in found)
        missing.extend(unreached)
        token = page.next_page_token
        if not token:
            break
    return zones, list(dict.fromkeys(missing))
