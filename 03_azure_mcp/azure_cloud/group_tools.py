"""Resource groups: made, and deleted with all that is in them."""

from typing import Annotated, Any

from pydantic import Field

from azure_cloud import graph, versions
from azure_cloud.choosing import Account, Tags
from azure_cloud.clouds import Cloud, Clouds
from azure_cloud.foreseeing import foresees, looking
from azure_cloud.ids import GroupName, Location, group_id, path_of, same
from azure_cloud.long_operations import OperationHandle, begun
from azure_cloud.reading import each_of, text_at
from azure_cloud.subscription_tools import GroupSummary, group_summary_of, locks_of
from azure_cloud.subscriptions import Subscription
from flotilla import (
    Conflict,
    Context,
    InvalidArgument,
    Model,
    NotFound,
    Preview,
    Tool,
    destroys,
    writes,
)
from flotilla.operations import Operation
from flotilla.preview import Change, Foreseen

MOST_TYPES = 30


class GroupAsked(Model):
    name: str
    account: str | None = None
    subscription: str | None = None
    location: str | None = None
    tags: dict[str, str] | None = None


class GroupTools:
    def __init__(self, clouds: Clouds) -> None:
        self._clouds = clouds

    def tools(self) -> tuple[Tool, ...]:
        target = {"name": "name", "account": "account", "subscription": "subscription"}
        made = {**target, "location": "location", "tags": "tags"}
        return (
            writes(
                "cloud.azure.createResourceGroup",
                self.create_resource_group,
                idempotent=True,
                approval=True,
                preview=Preview(operation="preview.createGroup", taken=made),
            ),
            destroys(
                "cloud.azure.deleteResourceGroup",
                self.delete_resource_group,
                preview=Preview(operation="preview.deleteGroup", taken=target),
                risk="everything in the group is deleted for good, its data too",
            ),
        )

    def operations(self) -> tuple[Operation, ...]:
        return (
            foresees("preview.createGroup", GroupAsked, self.foresee_creation),
            foresees("preview.deleteGroup", GroupAsked, self.foresee_deletion),
        )

    async def create_resource_group(
        self,
        context: Context,
        name: GroupName,
        location: Location,
        tags: Tags | None = None,
        account: Account = None,
        subscription: Subscription = None,
    ) -> GroupSummary:
        """Make an empty resource group; one of that name is never changed, but said to be there."""
        cloud = self._clouds.chosen(account)
        chosen = await cloud.subscriptions.chosen(subscription, context)
        path = path_of(group_id(chosen, name))
        # A PUT would silently replace the tags of a group that is there.
        known = await _found(cloud, path, context)
        if known is not None:
            if same(str(known.get("location")), location) and (known.get("tags") or {}) == (
                tags or {}
            ):
                return group_summary_of(known)
            raise Conflict(
                f"resource group {name!r} is there already, with another location or other tags",
                hint="tagResource changes the tags; a location cannot be changed.",
            )
        body: dict[str, Any] = {"location": location, "tags": tags or {}}
        answer = await cloud.arm.ask("PUT", path, context, version=versions.RESOURCES, body=body)
        return group_summary_of(answer.body)

    async def delete_resource_group(
        self,
        context: Context,
        name: GroupName,
        confirm_name: Annotated[str, Field(description="The same name once more.")],
        account: Account = None,
        subscription: Subscription = None,
    ) -> OperationHandle:
        """Delete a resource group and everything in it, for good.

        Refused where `confirmName` is not the same name. Answers at once with a handle that
        getOperation follows; it may take many minutes.
        """
        confirmed(name, confirm_name)
        cloud = self._clouds.chosen(account)
        chosen = await cloud.subscriptions.chosen(subscription, context)
        target = group_id(chosen, name)
        path = path_of(target)
        answer = await cloud.arm.ask("DELETE", path, context, version=versions.RESOURCES)
        return begun(
            cloud.alias,
            cloud.arm.endpoint,
            answer,
            path=path,
            version=versions.RESOURCES,
            target=target,
            action="delete",
        )

    async def foresee_creation(self, asked: GroupAsked) -> Foreseen:
        context = looking()
        cloud = self._clouds.chosen(asked.account)
        chosen = await cloud.subscriptions.chosen(asked.subscription, context)
        target = group_id(chosen, asked.name)
        known = await _found(cloud, path_of(target), context)
        there = (
            [] if known is None else ["A group of that name is there already; it stays as it is."]
        )
        return Foreseen(
            action=f"Create the resource group {asked.name} in {asked.location}",
            target=f"{asked.name} ({target})",
            changes=[
                Change(field="location", after=asked.location),
                Change(field="tags", after=dict(asked.tags or {})),
            ],
            warnings=there,
        )

    async def foresee_deletion(self, asked: GroupAsked) -> Foreseen:
        """The group, how much of what is in it, and the locks that will refuse it."""
        context = looking()
        cloud = self._clouds.chosen(asked.account)
        chosen = await cloud.subscriptions.chosen(asked.subscription, context)
        path = path_of(group_id(chosen, asked.name))
        group = await cloud.arm.get(path, versions.RESOURCES, context)
        locks = locks_of(
            await cloud.arm.get(
                f"{path}/providers/Microsoft.Authorization/locks", versions.LOCKS, context
            )
        )
        counts = await _counts(cloud, chosen, asked.name, context)
        total = sum(counts.values())
        warnings = [f"{total} resources go with it."] if total else []
        warnings += [f"The lock {lock} will refuse it." for lock in locks]
        return Foreseen(
            action=f"Delete the resource group {group['name']} and everything in it",
            target=f"{group['name']} ({group['id']})",
            state={
                "location": text_at(group, "location"),
                "tags": dict(group.get("tags") or {}),
                "resources": total,
                "resourcesByType": dict(list(counts.items())[:MOST_TYPES]),
            },
            warnings=warnings,
        )


def confirmed(name: str, again: str) -> None:
    """Raises InvalidArgument unless the name was said twice alike."""
    if name != again:
        raise InvalidArgument(
            "confirmName is not the name of what would be deleted",
            hint="Repeat the name exactly, once it is sure that this is the right one.",
        )


async def _counts(cloud: Cloud, subscription: str, group: str, context: Context) -> dict[str, int]:
    """How many resources of each type are in a group, the most numerous first."""
    query = f"resources | where resourceGroup =~ {graph.quoted(group)} | summarize count() by type"
    found = await graph.asked(cloud, [subscription], query, context, top=graph.MOST_ROWS)
    pairs = [(str(row.get("type")), int(row.get("count_") or 0)) for row in each_of(found["data"])]
    return dict(sorted(pairs, key=lambda pair: -pair[1]))


async def _found(cloud: Cloud, path: str, context: Context) -> dict[str, Any] | None:
    try:
        return await cloud.arm.get(path, versions.RESOURCES, context)
    except NotFound:
        return None
