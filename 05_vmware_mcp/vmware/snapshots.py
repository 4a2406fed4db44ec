"""infra.vmware.listSnapshots, createSnapshot, revertSnapshot and removeSnapshot."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from flotilla import (
    Context,
    Cursor,
    InvalidArgument,
    Limit,
    Model,
    NotFound,
    Page,
    Tool,
    cut,
    destroys,
    page_of,
    reads,
    writes,
)
from flotilla.paging import DEFAULT_LIMIT
from vmware.foresee import preview_of
from vmware.link import Links
from vmware.machines import KIND, VmId, VmName, found
from vmware.names import MoId, VCenterName, decoded, encoded
from vmware.tasks import Task, begun

if TYPE_CHECKING:
    from vmware.reading import Vc

SNAPSHOT = "VirtualMachineSnapshot"
DESCRIPTION_BYTES = 500
PATHS = (
    "snapshot.rootSnapshotList",
    "snapshot.currentSnapshot",
    "layoutEx.snapshot",
    "layoutEx.file",
)

SnapshotId = Annotated[MoId, Field(description="`snapshotId` from listSnapshots.")]


class Snapshot(Model):
    """A snapshot in its tree: parents come before their children, `depth` 0 is a root.

    `sizeMb` is what its own files take on the datastore, memory included and disks not; None where
    vCenter does not say. `current` is the one that the machine goes on from.
    """

    vcenter: str
    vm_id: str
    snapshot_id: str
    name: str
    description: str
    created_at: datetime | None
    power_state: str
    quiesced: bool
    depth: int
    parent_id: str | None
    child_count: int
    current: bool
    size_mb: float | None


class Snapshots:
    """The tools of this file."""

    def __init__(self, links: Links) -> None:
        self._links = links

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads(
                "infra.vmware.listSnapshots",
                self.list_snapshots,
                title="Snapshots of a machine",
                untrusted=True,
            ),
            writes(
                "infra.vmware.createSnapshot",
                self.create_snapshot,
                title="Take a snapshot",
                approval=True,
                preview=preview_of("createSnapshot", "snapshotName", "memory", "quiesce"),
            ),
            destroys(
                "infra.vmware.revertSnapshot",
                self.revert_snapshot,
                title="Go back to a snapshot",
                preview=preview_of("revertSnapshot", "snapshotId"),
                risk="everything since the snapshot is lost",
            ),
            destroys(
                "infra.vmware.removeSnapshot",
                self.remove_snapshot,
                title="Remove a snapshot",
                preview=preview_of("removeSnapshot", "snapshotId", "withChildren"),
                risk="there is no way back to that moment afterwards",
            ),
        )

    async def list_snapshots(
        self,
        context: Context,
        vcenter: VCenterName = None,
        vm_id: VmId = None,
        name: VmName = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[Snapshot]:
        """List the snapshots of a virtual machine as a tree, parents before children.

        Names and descriptions were written by whoever took them.
        """
        link = self._links.to(vcenter)

        def work(vc: "Vc") -> list[Snapshot]:
            mo_id = found(vc, vm_id, name)
            return snapshots_of(vc.alias, mo_id, vc.leaves(KIND, mo_id, ("name", *PATHS)))

        snapshots = await link.use(context.deadline, work)
        return page_of(f"snapshots|{link.alias}", snapshots, limit=limit, cursor=cursor)

    async def create_snapshot(
        self,
        context: Context,
        snapshot_name: Annotated[str, Field(min_length=1, max_length=80)],
        vcenter: VCenterName = None,
        vm_id: VmId = None,
        name: VmName = None,
        description: Annotated[str, Field(max_length=1024)] = "",
        memory: Annotated[bool, Field(description="Keep the memory of a running machine too.")] = (
            False
        ),
        quiesce: Annotated[
            bool, Field(description="Have VMware Tools still the guest's file systems first.")
        ] = False,
    ) -> Task:
        """Take a snapshot of a virtual machine; returns a task, whose resultId is its ID.

        Not a backup: it lies beside the machine, grows with every write and slows the machine
        down. `memory` and `quiesce` exclude each other.
        """
        if memory and quiesce:
            raise InvalidArgument("memory and quiesce exclude each other", hint="Choose one.")

        def start(vc: "Vc") -> Any:
            machine = vc.ref(KIND, found(vc, vm_id, name))
            vc.changing()
            return machine.CreateSnapshot_Task(
                name=encoded(snapshot_name),
                description=description,
                memory=memory,
                quiesce=quiesce,
            )

        return await begun(self._links.to(vcenter), context.deadline, start)

    async def revert_snapshot(
        self,
        context: Context,
        snapshot_id: SnapshotId,
        vcenter: VCenterName = None,
        vm_id: VmId = None,
        name: VmName = None,
        power_on: Annotated[
            bool, Field(description="Power it on where the snapshot was taken running.")
        ] = True,
    ) -> Task:
        """Set a virtual machine back to a snapshot; what came after it on its disks is lost.

        Take a snapshot first to be able to return. Returns a task for getTask. Answers not_found
        when that machine has no such snapshot.
        """

        def start(vc: "Vc") -> Any:
            chosen(vc, found(vc, vm_id, name), snapshot_id)
            vc.changing()
            return vc.ref(SNAPSHOT, snapshot_id).RevertToSnapshot_Task(
                host=None, suppressPowerOn=not power_on
            )

        return await begun(self._links.to(vcenter), context.deadline, start)

    async def remove_snapshot(
        self,
        context: Context,
        snapshot_id: SnapshotId,
        vcenter: VCenterName = None,
        vm_id: VmId = None,
        name: VmName = None,
        with_children: Annotated[
            bool, Field(description="Remove all that were taken after it, too.")
        ] = False,
        consolidate: Annotated[
            bool, Field(description="Merge disks that no snapshot needs any more.")
        ] = True,
    ) -> Task:
        """Remove a snapshot of a virtual machine; the machine stays as it is now.

        Its changes are merged into its child, which can take long. Returns a task for getTask.
        """

        def start(vc: "Vc") -> Any:
            chosen(vc, found(vc, vm_id, name), snapshot_id)
            vc.changing()
            return vc.ref(SNAPSHOT, snapshot_id).RemoveSnapshot_Task(
                removeChildren=with_children, consolidate=consolidate
            )

        return await begun(self._links.to(vcenter), context.deadline, start)


def chosen(vc: "Vc", mo_id: str, snapshot_id: str) -> tuple[Snapshot, list[Snapshot]]:
    """The snapshot of that machine, and all of them; NotFound when it is none of its."""
    values = vc.leaves(KIND, mo_id, ("name", *PATHS))
    snapshots = snapshots_of(vc.alias, mo_id, values)
    for snapshot in snapshots:
        if snapshot.snapshot_id == snapshot_id:
            return snapshot, snapshots
    raise NotFound(
        f"{decoded(values.get('name', mo_id))} has no snapshot {snapshot_id!r}",
        hint="listSnapshots names those that it has.",
    )


def descendants(snapshots: Iterable[Snapshot], snapshot_id: str) -> list[Snapshot]:
    """All that were taken after a snapshot in its tree, given parents before children."""
    above = {snapshot_id}
    below: list[Snapshot] = []
    for snapshot in snapshots:
        if snapshot.parent_id in above:
            above.add(snapshot.snapshot_id)
            below.append(snapshot)
    return below


def snapshots_of(alias: str, mo_id: str, values: Mapping[str, Any]) -> list[Snapshot]:
    """The tree as a list, from the machine's leaf paths; empty where it has none."""
    current = getattr(values.get("snapshot.currentSnapshot"), "_moId", None)
    sizes = _sizes_mb(values.get("layoutEx.snapshot") or (), values.get("layoutEx.file") or ())

    def told(tree: Any, depth: int, parent: str | None) -> Iterator[Snapshot]:
        own = tree.snapshot._moId
        children = tree.childSnapshotList or ()
        yield Snapshot(
            vcenter=alias,
            vm_id=mo_id,
            snapshot_id=own,
            name=decoded(tree.name),
            description=cut(tree.description or "", DESCRIPTION_BYTES)[0],
            created_at=tree.createTime,
            power_state=str(tree.state),
            quiesced=bool(tree.quiesced),
            depth=depth,
            parent_id=parent,
            child_count=len(children),
            current=own == current,
            size_mb=sizes.get(own),
        )
        for child in children:
            yield from told(child, depth + 1, own)

    roots = values.get("snapshot.rootSnapshotList") or ()
    return [snapshot for root in roots for snapshot in told(root, 0, None)]


def _sizes_mb(layouts: Iterable[Any], files: Iterable[Any]) -> dict[str, float]:
    by_key = {file.key: file.size for file in files}
    return {
        layout.key._moId: round(
            sum(by_key.get(key, 0) for key in (layout.dataKey, layout.memoryKey)) / 1024**2, 1
        )
        for layout in layouts
    }
