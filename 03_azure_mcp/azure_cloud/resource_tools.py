"""Resources of any type: listed, read, tagged, deleted."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from azure_cloud import versions
from azure_cloud.api_versions import ApiVersions
from azure_cloud.choosing import Account, Group, Tags, short_tags
from azure_cloud.clouds import Cloud, Clouds
from azure_cloud.continuation import LongCursor, listed
from azure_cloud.fitting import fitted, part_of
from azure_cloud.foreseeing import foresees, looking
from azure_cloud.group_tools import confirmed
from azure_cloud.hiding import shown
from azure_cloud.ids import ResourceId, ResourceIdText, group_in, parsed, path_of
from azure_cloud.long_operations import OperationHandle, begun
from azure_cloud.reading import pairs_at, strings_at, text_at
from azure_cloud.subscription_tools import locks_of
from azure_cloud.subscriptions import Subscription
from flotilla import (
    Context,
    InvalidArgument,
    Limit,
    Model,
    NotAllowed,
    NotFound,
    Page,
    Preview,
    Tool,
    destroys,
    reads,
    writes,
)
from flotilla.operations import Operation
from flotilla.paging import DEFAULT_LIMIT
from flotilla.preview import Change, Foreseen

TagOperation = Literal["merge", "replace", "delete"]
_TYPE = r"^[A-Za-z][A-Za-z0-9.]+(?:/[A-Za-z0-9.-]+)+$"
_LOCATION = r"^[A-Za-z0-9 ]{2,60}$"


class ResourceSummary(Model):
    id: str
    name: str
    type: str
    resource_group: str | None = None
    location: str | None = None
    kind: str | None = None
    sku: str | None = None
    tags: dict[str, str] | None = None


class Resource(ResourceSummary):
    """A resource; `properties` are its own, as its provider has them."""

    api_version: str
    zones: list[str] | None = None
    identity: str | None = None
    managed_by: str | None = None
    part: str | None = None
    properties: JsonValue = None
    left_out: list[str] = Field(default_factory=list[str])
    """Paths of parts that were too large; ask for one by `part`."""
    truncated: bool = False


class Tagged(Model):
    id: str
    tags: dict[str, str]


class ResourceAsked(Model):
    id: str
    account: str | None = None
    tags: dict[str, str] = Field(default_factory=dict[str, str])
    operation: TagOperation = "merge"


class ResourceTools:
    def __init__(self, clouds: Clouds) -> None:
        self._clouds = clouds
        self._versions = ApiVersions()

    def tools(self) -> tuple[Tool, ...]:
        target = {"id": "id", "account": "account"}
        tagging = {**target, "tags": "tags", "operation": "operation"}
        return (
            reads("cloud.azure.listResources", self.list_resources, ttl_s=10, untrusted=True),
            reads("cloud.azure.getResource", self.get_resource, untrusted=True),
            writes(
                "cloud.azure.tagResource",
                self.tag_resource,
                idempotent=True,
                approval=True,
                preview=Preview(operation="preview.tag", taken=tagging),
            ),
            destroys(
                "cloud.azure.deleteResource",
                self.delete_resource,
                preview=Preview(operation="preview.deleteResource", taken=target),
                risk="the resource and its data are gone for good",
            ),
        )

    def operations(self) -> tuple[Operation, ...]:
        return (
            foresees("preview.tag", ResourceAsked, self.foresee_tags),
            foresees("preview.deleteResource", ResourceAsked, self.foresee_deletion),
        )

    async def list_resources(
        self,
        context: Context,
        account: Account = None,
        subscription: Subscription = None,
        resource_group: Group = None,
        type: Annotated[  # noqa: A002 - Azure's own word
            str | None,
            Field(pattern=_TYPE, description="Such as Microsoft.Storage/storageAccounts."),
        ] = None,
        location: Annotated[str | None, Field(pattern=_LOCATION)] = None,
        tag: Annotated[
            str | None,
            Field(
                pattern=r"^[^=']{1,512}=[^']{0,256}$",
                description="`name=value`; Azure takes it with neither type nor location.",
            ),
        ] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: LongCursor = None,
    ) -> Page[ResourceSummary]:
        """Resources of every type in a subscription or resource group: name, type, location, tags.

        Newest knowledge of Resource Manager itself; queryResources answers wider questions.
        """
        cloud = self._clouds.chosen(account)
        chosen = await cloud.subscriptions.chosen(subscription, context)
        group = "" if resource_group is None else f"/resourceGroups/{resource_group}"
        condition = filter_of(type, location, tag)
        return await listed(
            cloud.arm,
            context,
            path=path_of(f"/subscriptions/{chosen}{group}/resources"),
            version=versions.RESOURCES,
            query={"$filter": condition} if condition else {},
            shown=resource_summary_of,
            limit=limit,
            cursor=cursor,
            top=True,
        )

    async def get_resource(
        self,
        context: Context,
        id: ResourceIdText,  # noqa: A002 - Azure's own word
        part: Annotated[
            str | None,
            Field(
                max_length=500,
                description="Only this part of it, such as `properties.networkProfile`.",
            ),
        ] = None,
        account: Account = None,
    ) -> Resource:
        """Any resource by its ID with its properties; what looks like a secret is hidden.

        What is too large for one answer is left out and named in `leftOut`; `part` reads it.
        """
        cloud, resource = self._meant(account, id)
        version = await self._versions.of(cloud.arm, resource, context)
        found = shown(await cloud.arm.get(resource.path, version, context))
        try:
            wanted: Any = found.get("properties") if part is None else part_of(found, part)
        except KeyError as error:
            raise NotFound(f"the resource has no part {part!r}: {error} is missing") from None
        small, left_out = fitted(wanted)
        start = "properties" if part is None else part
        summary: dict[str, Any] = resource_summary_of(found).model_dump(by_alias=False)
        return Resource(
            **summary,
            api_version=version,
            zones=strings_at(found, "zones") or None,
            identity=text_at(found, "identity", "type"),
            managed_by=text_at(found, "managedBy"),
            part=part,
            properties=small,
            left_out=[f"{start}.{each}" for each in left_out],
            truncated=bool(left_out),
        )

    async def tag_resource(
        self,
        context: Context,
        id: ResourceIdText,  # noqa: A002 - Azure's own word
        tags: Tags,
        operation: Annotated[
            TagOperation,
            Field(
                description="merge adds and changes these; replace leaves these alone; delete takes"
                " away those of these names, whatever their values."
            ),
        ] = "merge",
        account: Account = None,
    ) -> Tagged:
        """Change the tags of a resource, resource group or subscription; returns all of them."""
        cloud, resource = self._meant(account, id)
        if not tags and operation != "replace":
            raise InvalidArgument("tags is empty", hint="Name at least one tag.")
        path = f"{resource.path}/providers/Microsoft.Resources/tags/default"
        given = dict(tags)
        if operation == "delete":
            now = tags_of(await cloud.arm.get(path, versions.RESOURCES, context))
            given = {name: value for name, value in now.items() if name in tags}
            if not given:
                return Tagged(id=resource.text, tags=now)
        body = {"operation": operation.capitalize(), "properties": {"tags": given}}
        answer = await cloud.arm.ask("PATCH", path, context, version=versions.RESOURCES, body=body)
        return Tagged(id=resource.text, tags=tags_of(answer.body))

    async def delete_resource(
        self,
        context: Context,
        id: ResourceIdText,  # noqa: A002 - Azure's own word
        confirm_name: Annotated[str, Field(description="The resource's name, once more.")],
        account: Account = None,
    ) -> OperationHandle:
        """Delete any one resource by its ID, for good; what hangs on it may refuse or stay behind.

        Locks, role assignments and policies are not deleted. Answers at once with a handle that
        getOperation follows.
        """
        cloud, resource = self._deletable(account, id)
        confirmed(resource.name, confirm_name)
        version = await self._versions.of(cloud.arm, resource, context)
        # It must be there: Azure answers a deletion of nothing with success.
        await cloud.arm.get(resource.path, version, context)
        answer = await cloud.arm.ask("DELETE", resource.path, context, version=version)
        return begun(
            cloud.alias,
            cloud.arm.endpoint,
            answer,
            path=resource.path,
            version=version,
            target=resource.text,
            action="delete",
        )

    async def foresee_tags(self, asked: ResourceAsked) -> Foreseen:
        """Every tag that would have another value."""
        context = looking()
        cloud, resource = self._meant(asked.account, asked.id)
        path = f"{resource.path}/providers/Microsoft.Resources/tags/default"
        now = tags_of(await cloud.arm.get(path, versions.RESOURCES, context))
        after = tags_after(now, asked.tags, asked.operation)
        changes = [
            Change(field=f"tags.{name}", before=now.get(name), after=after.get(name))
            for name in sorted({*now, *after})
            if now.get(name) != after.get(name)
        ]
        return Foreseen(
            action=f"Change {len(changes)} tags of {resource.name}",
            target=f"{resource.name} ({resource.text})",
            state={"tags": len(now)},
            changes=changes,
            warnings=[] if changes else ["The tags are like that already."],
        )

    async def foresee_deletion(self, asked: ResourceAsked) -> Foreseen:
        """The resource as it is, and the locks that will refuse it."""
        context = looking()
        cloud, resource = self._deletable(asked.account, asked.id)
        version = await self._versions.of(cloud.arm, resource, context)
        found = await cloud.arm.get(resource.path, version, context)
        path = f"{resource.path}/providers/Microsoft.Authorization/locks"
        locks = locks_of(await cloud.arm.get(path, versions.LOCKS, context))
        return Foreseen(
            action=f"Delete the {resource.type} {resource.name}",
            target=f"{resource.name} ({resource.text})",
            state={
                "location": text_at(found, "location"),
                "sku": text_at(found, "sku", "name"),
                "tags": dict(pairs_at(found, "tags")),
                "provisioningState": text_at(found, "properties", "provisioningState"),
            },
            warnings=[f"The lock {lock} will refuse it." for lock in locks],
        )

    def _meant(self, account: str | None, text: str) -> tuple[Cloud, ResourceId]:
        cloud = self._clouds.chosen(account)
        resource = parsed(text)
        cloud.subscriptions.check(resource.subscription)
        return cloud, resource

    def _deletable(self, account: str | None, text: str) -> tuple[Cloud, ResourceId]:
        cloud, resource = self._meant(account, text)
        provider = resource.type.partition("/")[0].lower()
        if "/providers/" not in text.lower():
            raise InvalidArgument(
                f"{resource.name!r} is no resource", hint="deleteResourceGroup deletes groups."
            )
        # They are what guards the rest.
        if provider in ("microsoft.authorization", "microsoft.policyinsights"):
            raise NotAllowed(
                f"{resource.type} is not deleted by this tool",
                hint="Whoever may change locks, roles and policies does so in Azure.",
                details={"reason": "guards_others"},
            )
        return cloud, resource


def filter_of(kind: str | None, location: str | None, tag: str | None) -> str:
    """The OData filter of a list of resources; InvalidArgument for what Azure does not combine."""
    if tag is not None:
        if kind or location:
            raise InvalidArgument(
                "Azure takes `tag` with neither `type` nor `location`",
                hint="queryResources can ask for all of them at once.",
            )
        name, _, value = tag.partition("=")
        return f"tagName eq '{name}' and tagValue eq '{value}'"
    told = {"resourceType": kind, "location": location}
    return " and ".join(f"{name} eq '{value}'" for name, value in told.items() if value)


def tags_after(
    now: Mapping[str, str], given: Mapping[str, str], how: TagOperation
) -> dict[str, str]:
    """The tags that there would be."""
    match how:
        case "merge":
            return {**now, **given}
        case "replace":
            return dict(given)
        case "delete":
            return {name: value for name, value in now.items() if name not in given}


def tags_of(answer: Any) -> dict[str, str]:
    return pairs_at(answer, "properties", "tags")


def resource_summary_of(resource: Mapping[str, Any]) -> ResourceSummary:
    return ResourceSummary(
        id=str(resource["id"]),
        name=str(resource["name"]),
        type=str(resource["type"]),
        resource_group=group_in(str(resource["id"])),
        location=text_at(resource, "location"),
        kind=text_at(resource, "kind"),
        sku=text_at(resource, "sku", "name"),
        tags=short_tags(resource.get("tags")),
    )
