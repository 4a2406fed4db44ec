"""Networks, security groups and storage accounts: summaries of what there is."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import Field

from azure_cloud import versions
from azure_cloud.choosing import Account, Group, short_tags
from azure_cloud.clouds import Clouds
from azure_cloud.continuation import LongCursor, listed
from azure_cloud.ids import group_in, last_of, path_of
from azure_cloud.reading import at, each_of, pairs_at, strings_at, text_at
from azure_cloud.subscriptions import Subscription
from flotilla import Context, Limit, Model, Page, Tool, reads
from flotilla.paging import DEFAULT_LIMIT

MOST_INNER = 20
"""Subnets and rules in a summary; getResource has all."""

Item = TypeVar("Item", bound=Model)


class Located(Model):
    id: str
    name: str
    resource_group: str | None = None
    location: str | None = None
    tags: dict[str, str] | None = None


class Subnet(Model):
    name: str
    id: str | None = None
    prefix: str | None = None


class VirtualNetwork(Located):
    address_space: list[str]
    subnets: list[Subnet]
    subnet_count: int
    peerings: int


class Rule(Model):
    name: str
    priority: int | None = None
    direction: str | None = None
    access: str | None = None
    protocol: str | None = None
    source: str | None = None
    destination: str | None = None
    ports: str | None = None


class SecurityGroup(Located):
    rules: list[Rule] = Field(description="Those that somebody made, by priority.")
    rule_count: int
    subnets: list[str]
    interface_count: int


class StorageAccount(Located):
    kind: str | None = None
    sku: str | None = None
    access_tier: str | None = None
    public_network: bool
    public_blobs: bool | None = None
    https_only: bool | None = None
    minimum_tls: str | None = None
    endpoints: dict[str, str] | None = None


class NetworkTools:
    def __init__(self, clouds: Clouds) -> None:
        self._clouds = clouds

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads(
                "cloud.azure.listStorageAccounts",
                self.list_storage_accounts,
                ttl_s=10,
                untrusted=True,
            ),
            reads(
                "cloud.azure.listVirtualNetworks",
                self.list_virtual_networks,
                ttl_s=10,
                untrusted=True,
            ),
            reads(
                "cloud.azure.listNetworkSecurityGroups",
                self.list_network_security_groups,
                ttl_s=10,
                untrusted=True,
            ),
        )

    async def list_storage_accounts(
        self,
        context: Context,
        account: Account = None,
        subscription: Subscription = None,
        resource_group: Group = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: LongCursor = None,
    ) -> Page[StorageAccount]:
        """Storage accounts: kind, redundancy, tier, and whether the public can reach them.

        Their keys are never read.
        """
        kind = "Microsoft.Storage/storageAccounts"
        where = (account, subscription, resource_group)
        return await self._listed(
            context, where, kind, versions.STORAGE, _storage, limit=limit, cursor=cursor
        )

    async def list_virtual_networks(
        self,
        context: Context,
        account: Account = None,
        subscription: Subscription = None,
        resource_group: Group = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: LongCursor = None,
    ) -> Page[VirtualNetwork]:
        """Virtual networks with their address spaces and subnets; a subnet's ID is what
        createVirtualMachine takes."""
        kind = "Microsoft.Network/virtualNetworks"
        where = (account, subscription, resource_group)
        return await self._listed(
            context, where, kind, versions.NETWORK, _network, limit=limit, cursor=cursor
        )

    async def list_network_security_groups(
        self,
        context: Context,
        account: Account = None,
        subscription: Subscription = None,
        resource_group: Group = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: LongCursor = None,
    ) -> Page[SecurityGroup]:
        """Network security groups with their own rules and what they are attached to."""
        kind = "Microsoft.Network/networkSecurityGroups"
        where = (account, subscription, resource_group)
        return await self._listed(
            context, where, kind, versions.NETWORK, _security_group, limit=limit, cursor=cursor
        )

    async def _listed(
        self,
        context: Context,
        where: tuple[str | None, str | None, str | None],
        kind: str,
        version: str,
        shown: Callable[[Mapping[str, Any]], Item],
        *,
        limit: int,
        cursor: str | None,
    ) -> Page[Item]:
        account, subscription, resource_group = where
        cloud = self._clouds.chosen(account)
        chosen = await cloud.subscriptions.chosen(subscription, context)
        group = "" if resource_group is None else f"/resourceGroups/{resource_group}"
        return await listed(
            cloud.arm,
            context,
            path=path_of(f"/subscriptions/{chosen}{group}/providers/{kind}"),
            version=version,
            shown=shown,
            limit=limit,
            cursor=cursor,
        )


def _located(resource: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": str(resource["id"]),
        "name": str(resource["name"]),
        "resource_group": group_in(str(resource["id"])),
        "location": text_at(resource, "location"),
        "tags": short_tags(resource.get("tags")),
    }


def _network(found: Mapping[str, Any]) -> VirtualNetwork:
    subnets = each_of(at(found, "properties", "subnets"))
    prefixes = strings_at(found, "properties", "addressSpace", "addressPrefixes")
    return VirtualNetwork(
        **_located(found),
        address_space=prefixes[:MOST_INNER],
        subnets=[
            Subnet(
                name=str(each.get("name")),
                id=text_at(each, "id"),
                prefix=_joined(at(each, "properties"), "addressPrefix"),
            )
            for each in subnets[:MOST_INNER]
        ],
        subnet_count=len(subnets),
        peerings=len(each_of(at(found, "properties", "virtualNetworkPeerings"))),
    )


def _security_group(found: Mapping[str, Any]) -> SecurityGroup:
    rules = each_of(at(found, "properties", "securityRules"))
    ordered = sorted(rules, key=lambda each: at(each, "properties", "priority") or 0)
    return SecurityGroup(
        **_located(found),
        rules=[_rule(each) for each in ordered[:MOST_INNER]],
        rule_count=len(rules),
        subnets=[
            last_of(str(each.get("id"))) for each in each_of(at(found, "properties", "subnets"))
        ][:MOST_INNER],
        interface_count=len(each_of(at(found, "properties", "networkInterfaces"))),
    )


def _rule(found: Mapping[str, Any]) -> Rule:
    properties = at(found, "properties")
    return Rule(
        name=str(found.get("name")),
        priority=at(properties, "priority"),
        direction=text_at(properties, "direction"),
        access=text_at(properties, "access"),
        protocol=text_at(properties, "protocol"),
        source=_joined(properties, "sourceAddressPrefix"),
        destination=_joined(properties, "destinationAddressPrefix"),
        ports=_joined(properties, "destinationPortRange"),
    )


def _joined(properties: Any, name: str) -> str | None:
    """One value or several, which stand under the name in its plural."""
    plural = f"{name}es" if name.endswith("x") else f"{name}s"
    several = strings_at(properties, plural)
    if several:
        return ", ".join(several[:MOST_INNER])
    return text_at(properties, name)


def _storage(found: Mapping[str, Any]) -> StorageAccount:
    properties = at(found, "properties")
    return StorageAccount(
        **_located(found),
        kind=text_at(found, "kind"),
        sku=text_at(found, "sku", "name"),
        access_tier=text_at(properties, "accessTier"),
        public_network=at(properties, "publicNetworkAccess") != "Disabled",
        public_blobs=at(properties, "allowBlobPublicAccess"),
        https_only=at(properties, "supportsHttpsTrafficOnly"),
        minimum_tls=text_at(properties, "minimumTlsVersion"),
        endpoints=pairs_at(properties, "primaryEndpoints") or None,
    )
