"""Networks and the rules at their doors: listNetworks, listFirewallRules."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from flotilla import Context, Cursor, Limit, Model, Tool, reads
from flotilla.paging import DEFAULT_LIMIT
from google_cloud.asking import compute_list
from google_cloud.cloud import AccountName, Cloud, Project
from google_cloud.listing import Listing
from google_cloud.places import last, relative

_MAX_SHOWN = 50


class Network(Model):
    id: str
    name: str
    mtu: int
    auto_subnetworks: bool
    routing_mode: str
    subnetworks: list[str]
    """`<region>/<name>`, at most 50."""
    subnetwork_count: int
    peerings: list[str]
    description: str


class FirewallRule(Model):
    """A rule; `allowed` and `denied` are like `tcp:22,80-90`, and `all`."""

    id: str
    name: str
    network: str
    direction: Literal["INGRESS", "EGRESS"] | str
    priority: int
    """The lowest number counts first."""
    disabled: bool
    allowed: list[str]
    denied: list[str]
    source_ranges: list[str]
    destination_ranges: list[str]
    source_tags: list[str]
    target_tags: list[str]
    target_service_accounts: list[str]
    logged: bool


class Networks:
    """cloud.gcp.listNetworks and listFirewallRules."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def tools(self) -> tuple[Tool, ...]:
        more: Mapping[str, Any] = {"open_world": True, "untrusted": True}
        return (
            reads("cloud.gcp.listNetworks", self.list_networks, title="List networks", **more),
            reads(
                "cloud.gcp.listFirewallRules",
                self.list_firewall_rules,
                title="List firewall rules",
                **more,
            ),
        )

    async def list_networks(
        self,
        context: Context,
        account: AccountName = None,
        project: Project = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Listing[Network]:
        """List the VPC networks of a project with their subnetworks and peerings."""
        aim = await self._cloud.aim(context.deadline, account, project)
        asked = (
            "NetworksClient",
            "ListNetworksRequest",
            {"project": aim.project},
            "id,name,mtu,autoCreateSubnetworks,routingConfig/routingMode,subnetworks,"
            "peerings/network,description",
        )
        kind = f"networks:{aim.alias}:{aim.project}"
        return await compute_list(
            self._cloud, context, aim, kind, asked, network_of, limit=limit, cursor=cursor
        )

    async def list_firewall_rules(
        self,
        context: Context,
        network: Annotated[
            str | None,
            Field(pattern=r"^[a-z][a-z0-9-]{0,62}$", description="Only those of this network."),
        ] = None,
        account: AccountName = None,
        project: Project = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Listing[FirewallRule]:
        """List the firewall rules of a project: who may reach what, by which ports, in what order.

        Rules of hierarchical and network firewall policies are not among them.
        """
        aim = await self._cloud.aim(context.deadline, account, project)
        asked = (
            "FirewallsClient",
            "ListFirewallsRequest",
            {"project": aim.project},
            "id,name,network,direction,priority,disabled,allowed,denied,sourceRanges,"
            "destinationRanges,sourceTags,targetTags,targetServiceAccounts,logConfig/enable",
        )

        def shape(each: Any) -> FirewallRule | None:
            rule = rule_of(each)
            return rule if network is None or rule.network == network else None

        kind = f"firewalls:{aim.alias}:{aim.project}:{network}"
        return await compute_list(
            self._cloud, context, aim, kind, asked, shape, limit=limit, cursor=cursor
        )


def network_of(each: Any) -> Network:
    subnetworks = [_regional(address) for address in each.subnetworks]
    return Network(
        id=str(each.id),
        name=each.name,
        mtu=each.mtu,
        auto_subnetworks=each.auto_create_subnetworks,
        routing_mode=each.routing_config.routing_mode,
        subnetworks=subnetworks[:_MAX_SHOWN],
        subnetwork_count=len(subnetworks),
        peerings=[relative(peer.network) for peer in each.peerings][:_MAX_SHOWN],
        description=each.description[:200],
    )


def rule_of(each: Any) -> FirewallRule:
    return FirewallRule(
        id=str(each.id),
        name=each.name,
        network=last(each.network),
        direction=each.direction,
        priority=each.priority,
        disabled=each.disabled,
        allowed=[_ports(one) for one in each.allowed][:_MAX_SHOWN],
        denied=[_ports(one) for one in each.denied][:_MAX_SHOWN],
        source_ranges=list(each.source_ranges)[:_MAX_SHOWN],
        destination_ranges=list(each.destination_ranges)[:_MAX_SHOWN],
        source_tags=list(each.source_tags)[:_MAX_SHOWN],
        target_tags=list(each.target_tags)[:_MAX_SHOWN],
        target_service_accounts=list(each.target_service_accounts)[:_MAX_SHOWN],
        logged=each.log_config.enable,
    )


def _ports(one: Any) -> str:
    return f"{one.I_p_protocol}:{','.join(one.ports)}" if one.ports else one.I_p_protocol


def _regional(address: str) -> str:
    parts = address.split("/")
    return f"{parts[-3]}/{parts[-1]}" if len(parts) > 3 else address
