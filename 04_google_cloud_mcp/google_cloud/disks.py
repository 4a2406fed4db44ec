"""Disks: listDisks over zones, createDiskSnapshot, deleteDisk, and their previews."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from flotilla import (
    Conflict,
    Context,
    Cursor,
    Deadline,
    InvalidArgument,
    Limit,
    Model,
    Preview,
    Tool,
    destroys,
    reads,
    writes,
)
from flotilla.operations import HUB_ROLE, Operation
from flotilla.paging import DEFAULT_LIMIT
from flotilla.preview import Change, Foreseen
from google_cloud.cloud import AccountName, Aim, Cloud, Project
from google_cloud.filters import FilterText, by_labels, combined, filter_of
from google_cloud.foreseeing import LIMIT_S
from google_cloud.listing import Batch, Listing, listed, scoped
from google_cloud.long_operations import LongOperation, begun
from google_cloud.places import AnyZone, DiskName, Labels, NewName, Zone, last, moment

if TYPE_CHECKING:
    from google_cloud.connections import Connection

_FIELDS = (
    "id,name,zone,region,status,sizeGb,type,users,labels,creationTimestamp,lastDetachTimestamp"
)
_MAX_USERS = 20


class DiskItem(Model):
    """A disk; `usedBy` are the instances that it is attached to."""

    id: str
    name: str
    zone: str
    status: str
    size_gb: int
    type: str
    used_by: list[str]
    labels: dict[str, str]
    created_at: datetime | None
    last_detached_at: datetime | None = None


class OfDisk(Model):
    """A disk as the call names it."""

    disk: str
    zone: str
    account: str | None = None
    project: str | None = None
    snapshot_name: str | None = None


class Disks:
    """cloud.gcp.listDisks, createDiskSnapshot, deleteDisk."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def tools(self) -> tuple[Tool, ...]:
        named = {name: name for name in ("account", "project", "zone", "disk")}
        return (
            reads(
                "cloud.gcp.listDisks",
                self.list_disks,
                title="List disks",
                open_world=True,
                untrusted=True,
            ),
            writes(
                "cloud.gcp.createDiskSnapshot",
                self.create_disk_snapshot,
                title="Snapshot a disk",
                open_world=True,
                approval=True,
                cost="A snapshot is paid for by the size of what it holds, until it is deleted.",
                preview=Preview(
                    operation="previews.createDiskSnapshot",
                    taken={**named, "snapshotName": "snapshotName"},
                ),
            ),
            destroys(
                "cloud.gcp.deleteDisk",
                self.delete_disk,
                title="Delete a disk",
                open_world=True,
                risk="What is on the disk cannot be brought back, but from snapshots of it.",
                preview=Preview(operation="previews.deleteDisk", taken=named),
            ),
        )

    def operations(self) -> tuple[Operation, ...]:
        done = (("createDiskSnapshot", self.foresee_snapshot), ("deleteDisk", self.foresee_delete))
        return tuple(
            Operation(name=f"previews.{name}", takes=OfDisk, run=run, role=HUB_ROLE)
            for name, run in done
        )

    async def list_disks(
        self,
        context: Context,
        account: AccountName = None,
        project: Project = None,
        zone: AnyZone = None,
        labels: Annotated[
            Labels | None, Field(description="Only with all of these labels.")
        ] = None,
        filter: FilterText = None,  # noqa: A002 - Google calls it so
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Listing[DiskItem]:
        """List the persistent disks of a project over all zones, or of one zone.

        One with an empty `usedBy` is attached to nothing and paid for all the same. Zones that
        Google could not reach are named in `unreachable`.
        """
        aim = await self._cloud.aim(context.deadline, account, project)
        wanted = combined(filter_of(filter), *by_labels(labels))

        async def fetch(token: str, size: int) -> Batch[DiskItem]:
            return await self._cloud.read(
                context.deadline,
                aim,
                lambda google, s: page_of_disks(google, s, aim, zone, wanted, token, size),
            )

        kind = f"disks:{aim.alias}:{aim.project}:{zone or ''}:{wanted}"
        return await listed(kind, fetch, limit=limit, cursor=cursor)

    async def create_disk_snapshot(
        self,
        context: Context,
        disk: DiskName,
        zone: Zone,
        snapshot_name: NewName,
        labels: Annotated[Labels | None, Field(description="Labels of the snapshot.")] = None,
        description: Annotated[str | None, Field(max_length=500)] = None,
        account: AccountName = None,
        project: Project = None,
    ) -> LongOperation:
        """Make a snapshot of a disk as it is now, of what has been written to it.

        Of a disk in use it is as after a power cut; flush the file system first for more. Answers
        at once with the operation; getOperation follows it.
        """
        aim = await self._cloud.aim(context.deadline, account, project)

        def work(google: "Connection", timeout_s: float, request_id: str) -> LongOperation:
            from google.cloud import compute_v1

            asked = compute_v1.CreateSnapshotDiskRequest(
                project=aim.project,
                zone=zone,
                disk=disk,
                request_id=request_id,
                snapshot_resource=compute_v1.Snapshot(
                    name=snapshot_name, labels=labels or {}, description=description or ""
                ),
            )
            client = google.of(compute_v1.DisksClient)
            done = client.create_snapshot_unary(asked, retry=None, timeout=timeout_s)
            return begun(done, aim.project)

        return await self._cloud.change(context.deadline, aim, work)

    async def delete_disk(
        self,
        context: Context,
        disk: DiskName,
        zone: Zone,
        confirm_name: Annotated[
            str, Field(max_length=63, description="The disk's name once more, to be sure.")
        ],
        account: AccountName = None,
        project: Project = None,
    ) -> LongOperation:
        """Delete a disk for good, with all that is on it. Snapshots of it stay.

        `confirmName` must be its name; one that an instance uses is refused. Answers at once with
        the operation; getOperation follows it.
        """
        aim = await self._cloud.aim(context.deadline, account, project)
        there = await self._at(context.deadline, aim, zone, disk)
        if confirm_name != there.name:
            raise InvalidArgument(
                f"confirmName is not the name of the disk, which is {there.name!r}",
                hint="Nothing was deleted. Make sure that this is the one you mean.",
                details={"reason": "name_not_confirmed"},
            )
        if there.users:
            users = [last(user) for user in there.users][:_MAX_USERS]
            raise Conflict(
                f"disk {there.name!r} is in use by {', '.join(users)}",
                hint="It must be detached from them first.",
                details={"reason": "disk_in_use", "usedBy": users},
            )

        def work(google: "Connection", timeout_s: float, request_id: str) -> LongOperation:
            from google.cloud import compute_v1

            asked = compute_v1.DeleteDiskRequest(
                project=aim.project, zone=zone, disk=disk, request_id=request_id
            )
            client = google.of(compute_v1.DisksClient)
            return begun(client.delete_unary(asked, retry=None, timeout=timeout_s), aim.project)

        return await self._cloud.change(context.deadline, aim, work)

    async def foresee_snapshot(self, asked: OfDisk) -> Foreseen:
        aim, there = await self._look(asked)
        warnings = ["It is paid for until it is deleted."]
        if there.users:
            warnings.insert(0, "The disk is in use: the snapshot is as after a power cut.")
        return Foreseen(
            action=f"Make the snapshot {asked.snapshot_name} of the disk {there.name}",
            target=_target(aim, asked.zone, there),
            state=_state(there),
            changes=[Change(field="snapshot", before=None, after=asked.snapshot_name)],
            warnings=warnings,
        )

    async def foresee_delete(self, asked: OfDisk) -> Foreseen:
        aim, there = await self._look(asked)
        warnings = ["All that is on it is lost; only snapshots that exist already stay."]
        if there.users:
            users = ", ".join(last(user) for user in list(there.users)[:_MAX_USERS])
            warnings.insert(0, f"It is in use by {users}: the call will be refused.")
        return Foreseen(
            action=f"Delete the disk {there.name} for good",
            target=_target(aim, asked.zone, there),
            state=_state(there),
            changes=[Change(field="disk", before=there.name, after=None)],
            warnings=warnings,
        )

    async def _look(self, asked: OfDisk) -> tuple[Aim, Any]:
        due = Deadline.after(LIMIT_S)
        aim = await self._cloud.aim(due, asked.account, asked.project)
        return aim, await self._at(due, aim, asked.zone, asked.disk)

    async def _at(self, due: Deadline, aim: Aim, zone: str, disk: str) -> Any:
        def work(google: "Connection", timeout_s: float) -> Any:
            from google.cloud import compute_v1

            return google.of(compute_v1.DisksClient).get(
                project=aim.project, zone=zone, disk=disk, retry=None, timeout=timeout_s
            )

        return await self._cloud.read(due, aim, work)


def page_of_disks(
    google: "Connection",
    timeout_s: float,
    aim: Aim,
    zone: str | None,
    wanted: str,
    token: str,
    size: int,
) -> Batch[DiskItem]:
    """One page of Google's, of a zone or over all of them; for a thread."""
    from google.cloud import compute_v1

    from google_cloud.connections import FIELDS, PARTIAL

    client = google.of(compute_v1.DisksClient)
    where: dict[str, Any] = {
        "project": aim.project,
        "filter": wanted,
        "max_results": size,
        "page_token": token,
    }
    if zone is not None:
        mask = [(FIELDS, f"items({_FIELDS}),nextPageToken")]
        one_zone = compute_v1.ListDisksRequest(zone=zone, **where)
        found = client.list(one_zone, retry=None, timeout=timeout_s, metadata=mask).pages
        page: Any = next(iter(found))
        return Batch([disk_of(each) for each in page.items], page.next_page_token)
    mask = [
        (FIELDS, f"items/*(disks({_FIELDS}),warning/code),nextPageToken,unreachables"),
        (PARTIAL, "true"),
    ]
    over_all = compute_v1.AggregatedListDisksRequest(**where)
    found = client.aggregated_list(over_all, retry=None, timeout=timeout_s, metadata=mask).pages
    page = next(iter(found))
    items, missing = scoped(page, "disks")
    return Batch([disk_of(each) for each in items], page.next_page_token, missing)


def disk_of(each: Any) -> DiskItem:
    return DiskItem(
        id=str(each.id),
        name=each.name,
        zone=last(each.zone or each.region),
        status=each.status,
        size_gb=each.size_gb,
        type=last(each.type_),
        used_by=[last(user) for user in each.users][:_MAX_USERS],
        labels=dict(each.labels),
        created_at=moment(each.creation_timestamp),
        last_detached_at=moment(each.last_detach_timestamp),
    )


def _target(aim: Aim, zone: str, there: Any) -> str:
    return f"{there.name} (disk {there.id} in {zone}, project {aim.project}, account {aim.alias})"


def _state(there: Any) -> dict[str, Any]:
    return {
        "status": there.status,
        "sizeGb": there.size_gb,
        "type": last(there.type_),
        "usedBy": [last(user) for user in there.users][:_MAX_USERS],
        "labels": dict(there.labels),
    }
