"""An instance's life: start, stop, reset, new labels, and its end."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from flotilla import Conflict, Context, InvalidArgument, Preview, Tool, destroys, writes
from google_cloud.cloud import AccountName, Cloud, Project
from google_cloud.instances import Found, Instances
from google_cloud.long_operations import LongOperation, begun
from google_cloud.places import FoundZone, InstanceName, Labels, Zone

if TYPE_CHECKING:
    from google_cloud.connections import Connection

Verb = Literal["start", "stop", "reset", "delete"]
PREVIEWED = {name: name for name in ("account", "project", "zone", "instance")}


class Life:
    """cloud.gcp.startInstance, stopInstance, resetInstance, setInstanceLabels, deleteInstance."""

    def __init__(self, cloud: Cloud, instances: Instances) -> None:
        self._cloud = cloud
        self._instances = instances

    def tools(self) -> tuple[Tool, ...]:
        return (
            writes(
                "cloud.gcp.startInstance",
                self.start_instance,
                title="Start an instance",
                idempotent=True,
                open_world=True,
                approval=True,
                cost="A running instance is paid for by the second.",
                preview=Preview(operation="previews.startInstance", taken=PREVIEWED),
            ),
            writes(
                "cloud.gcp.stopInstance",
                self.stop_instance,
                title="Stop an instance",
                idempotent=True,
                open_world=True,
                approval=True,
                risk="What runs on it ends; an ephemeral external address and local SSDs are lost.",
                preview=Preview(operation="previews.stopInstance", taken=PREVIEWED),
            ),
            writes(
                "cloud.gcp.resetInstance",
                self.reset_instance,
                title="Reset an instance hard",
                open_world=True,
                approval=True,
                risk="Like pulling the plug: what was not written to a disk is lost.",
                preview=Preview(operation="previews.resetInstance", taken=PREVIEWED),
            ),
            writes(
                "cloud.gcp.setInstanceLabels",
                self.set_instance_labels,
                title="Label an instance",
                open_world=True,
                approval=True,
                preview=Preview(
                    operation="previews.setInstanceLabels",
                    taken={**PREVIEWED, "labels": "labels", "mode": "mode"},
                ),
            ),
            destroys(
                "cloud.gcp.deleteInstance",
                self.delete_instance,
                title="Delete an instance",
                open_world=True,
                risk="The instance and the disks that are deleted with it cannot be brought back.",
                preview=Preview(operation="previews.deleteInstance", taken=PREVIEWED),
            ),
        )

    async def start_instance(
        self,
        context: Context,
        instance: InstanceName,
        account: AccountName = None,
        project: Project = None,
        zone: FoundZone = None,
    ) -> LongOperation:
        """Start a stopped instance. Answers at once with the operation; getOperation follows it."""
        return await self._done("start", context, account, project, zone, instance)

    async def stop_instance(
        self,
        context: Context,
        instance: InstanceName,
        account: AccountName = None,
        project: Project = None,
        zone: FoundZone = None,
    ) -> LongOperation:
        """Shut an instance down; its disks stay and are still paid for.

        Answers at once with the operation; getOperation follows it, for up to some minutes.
        """
        return await self._done("stop", context, account, project, zone, instance)

    async def reset_instance(
        self,
        context: Context,
        instance: InstanceName,
        account: AccountName = None,
        project: Project = None,
        zone: FoundZone = None,
    ) -> LongOperation:
        """Reset an instance HARD, without shutting it down: unwritten data is lost.

        For one that does not answer any more; otherwise stop and start it. Answers at once with the
        operation; getOperation follows it.
        """
        return await self._done("reset", context, account, project, zone, instance)

    async def set_instance_labels(
        self,
        context: Context,
        instance: InstanceName,
        labels: Annotated[Labels, Field(description="Labels by their keys.")],
        mode: Annotated[
            Literal["merge", "replace"],
            Field(description="merge: the others stay; replace: these alone."),
        ] = "merge",
        fingerprint: Annotated[
            str | None,
            Field(
                max_length=128,
                description="labelFingerprint of getInstance: refused if they changed since.",
            ),
        ] = None,
        account: AccountName = None,
        project: Project = None,
        zone: FoundZone = None,
    ) -> LongOperation:
        """Add labels to an instance, or replace all that it has.

        `conflict` when somebody changed them since `fingerprint` was read, or just now. Answers at
        once with the operation; getOperation follows it.
        """
        found = await self._instances.find(context.deadline, account, project, zone, instance)
        before = await self._instances.raw(context.deadline, found)
        if fingerprint is not None and fingerprint != before.label_fingerprint:
            raise Conflict(
                f"the labels of {instance!r} changed since they were read",
                hint="Read them again with getInstance and decide anew.",
                details={"reason": "stale_fingerprint", "fingerprint": before.label_fingerprint},
            )
        wanted = {**dict(before.labels), **labels} if mode == "merge" else dict(labels)

        def work(google: "Connection", timeout_s: float, _request_id: str) -> LongOperation:
            from google.cloud import compute_v1

            # Google refuses the request when the labels are others than those of the fingerprint,
            # so that a second one of the same kind does nothing; its own ID is set all the same.
            asked = compute_v1.SetLabelsInstanceRequest(
                project=found.aim.project,
                zone=found.zone,
                instance=found.name,
                request_id=_request_id,
                instances_set_labels_request_resource=compute_v1.InstancesSetLabelsRequest(
                    label_fingerprint=before.label_fingerprint, labels=wanted
                ),
            )
            client = google.of(compute_v1.InstancesClient)
            return begun(
                client.set_labels_unary(asked, retry=None, timeout=timeout_s), found.aim.project
            )

        return await self._cloud.change(context.deadline, found.aim, work)

    async def delete_instance(
        self,
        context: Context,
        instance: InstanceName,
        confirm_name: Annotated[
            str, Field(max_length=63, description="The instance's name once more, to be sure.")
        ],
        zone: Zone,
        account: AccountName = None,
        project: Project = None,
    ) -> LongOperation:
        """Delete an instance for good, with every disk that is set to go with it (autoDelete).

        `confirmName` must be the instance's name. One with deletion protection is refused: somebody
        has to take that off in Google first. Answers at once with the operation; getOperation
        follows it.
        """
        found = await self._instances.find(context.deadline, account, project, zone, instance)
        there = await self._instances.raw(context.deadline, found)
        if confirm_name != there.name:
            raise InvalidArgument(
                f"confirmName is not the name of the instance, which is {there.name!r}",
                hint="Nothing was deleted. Make sure that this is the one you mean.",
                details={"reason": "name_not_confirmed"},
            )
        if there.deletion_protection:
            raise Conflict(
                f"instance {there.name!r} is protected against deletion",
                hint="Somebody who may has to take the protection off in Google first.",
                details={"reason": "deletion_protected"},
            )
        return await self._begin("delete", context, found)

    async def _done(
        self,
        verb: Verb,
        context: Context,
        account: str | None,
        project: str | None,
        zone: str | None,
        instance: str,
    ) -> LongOperation:
        found = await self._instances.find(context.deadline, account, project, zone, instance)
        return await self._begin(verb, context, found)

    async def _begin(self, verb: Verb, context: Context, found: Found) -> LongOperation:
        return await self._cloud.change(
            context.deadline,
            found.aim,
            lambda google, s, request_id: begin(google, s, request_id, verb, found),
        )


def begin(
    google: "Connection", timeout_s: float, request_id: str, verb: Verb, found: Found
) -> LongOperation:
    """Ask Google to do it; for a thread."""
    from google.cloud import compute_v1

    client = google.of(compute_v1.InstancesClient)
    kinds: dict[str, tuple[Any, Any]] = {
        "start": (client.start_unary, compute_v1.StartInstanceRequest),
        "stop": (client.stop_unary, compute_v1.StopInstanceRequest),
        "reset": (client.reset_unary, compute_v1.ResetInstanceRequest),
        "delete": (client.delete_unary, compute_v1.DeleteInstanceRequest),
    }
    call, request = kinds[verb]
    asked = request(
        project=found.aim.project, zone=found.zone, instance=found.name, request_id=request_id
    )
    return begun(call(asked, retry=None, timeout=timeout_s), found.aim.project)
