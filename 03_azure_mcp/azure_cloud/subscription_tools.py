"""What subscriptions and resource groups there are."""

from collections.abc import Mapping
from typing import Any

from azure_cloud import versions
from azure_cloud.choosing import Account, short_tags
from azure_cloud.clouds import Clouds
from azure_cloud.continuation import LongCursor, listed
from azure_cloud.hiding import shown
from azure_cloud.ids import GroupName, group_id, path_of
from azure_cloud.subscriptions import Subscription
from flotilla import Context, Cursor, Limit, Model, Page, Tool, page_of, reads
from flotilla.meta import members
from flotilla.paging import DEFAULT_LIMIT


class SubscriptionSummary(Model):
    """A subscription that an account may use."""

    id: str
    name: str
    state: str | None = None
    account: str
    tenant: str | None = None


class GroupSummary(Model):
    id: str
    name: str
    location: str | None = None
    provisioning_state: str | None = None
    tags: dict[str, str] | None = None


class Group(GroupSummary):
    """A resource group; `locks` are what keeps it or what is in it from being changed."""

    managed_by: str | None = None
    locks: list[str]


class SubscriptionTools:
    def __init__(self, clouds: Clouds) -> None:
        self._clouds = clouds

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads("cloud.azure.listSubscriptions", self.list_subscriptions, ttl_s=60),
            reads(
                "cloud.azure.listResourceGroups",
                self.list_resource_groups,
                ttl_s=10,
                untrusted=True,
            ),
            reads("cloud.azure.getResourceGroup", self.get_resource_group, untrusted=True),
        )

    async def list_subscriptions(
        self,
        context: Context,
        account: Account = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[SubscriptionSummary]:
        """Subscriptions that an account of this service may use, by name and ID."""
        cloud = self._clouds.chosen(account)
        found = [
            SubscriptionSummary(
                id=str(each.get("subscriptionId")),
                name=str(each.get("displayName")),
                state=each.get("state"),
                account=cloud.alias,
                tenant=each.get("tenantId"),
            )
            for each in await cloud.subscriptions.listed(context)
        ]
        # 150 of them stay below 48 KB.
        return page_of(f"azsub:{cloud.alias}", found, limit=min(limit, 150), cursor=cursor)

    async def list_resource_groups(
        self,
        context: Context,
        account: Account = None,
        subscription: Subscription = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: LongCursor = None,
    ) -> Page[GroupSummary]:
        """Resource groups of a subscription: name, location, tags."""
        cloud = self._clouds.chosen(account)
        chosen = await cloud.subscriptions.chosen(subscription, context)
        return await listed(
            cloud.arm,
            context,
            path=f"/subscriptions/{chosen}/resourcegroups",
            version=versions.RESOURCES,
            shown=group_summary_of,
            limit=limit,
            cursor=cursor,
            top=True,
        )

    async def get_resource_group(
        self,
        context: Context,
        name: GroupName,
        account: Account = None,
        subscription: Subscription = None,
    ) -> Group:
        """One resource group with its locks; listResources tells what is in it."""
        cloud = self._clouds.chosen(account)
        chosen = await cloud.subscriptions.chosen(subscription, context)
        path = path_of(group_id(chosen, name))
        found = await cloud.arm.get(path, versions.RESOURCES, context)
        locks = await cloud.arm.get(
            f"{path}/providers/Microsoft.Authorization/locks", versions.LOCKS, context
        )
        return Group(
            **{
                **group_summary_of(found).model_dump(by_alias=False),
                "tags": shown(found.get("tags")),
            },
            managed_by=found.get("managedBy"),
            locks=locks_of(locks),
        )


def locks_of(answer: Mapping[str, Any]) -> list[str]:
    """Locks as `name (level)`."""
    return [
        f"{each.get('name')} ({members(each.get('properties')).get('level')})"
        for each in answer.get("value", [])[:50]
    ]


def group_summary_of(group: Mapping[str, Any]) -> GroupSummary:
    return GroupSummary(
        id=str(group["id"]),
        name=str(group["name"]),
        location=group.get("location"),
        provisioning_state=members(group.get("properties")).get("provisioningState"),
        tags=short_tags(group.get("tags")),
    )
