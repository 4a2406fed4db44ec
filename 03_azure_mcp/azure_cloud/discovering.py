"""What really runs in a subscription, told in the words of the CMDB, a page of Resource Graph each.

Names are qualified by subscription and group, in lower case: Azure does not tell case apart, and
its services spell the same ID in different ways.
"""

import ipaddress
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from azure_cloud import graph
from azure_cloud.clouds import Clouds
from azure_cloud.foreseeing import looking
from azure_cloud.reading import at, each_of, pairs_at, strings_at, text_at
from flotilla import InvalidArgument, decode_cursor, encode_cursor
from flotilla.discovery import (
    Covers,
    Described,
    Discovery,
    Seen,
    SeenEnd,
    SeenPage,
    SeenRelation,
)

TOOL = "cloud.azure.listResources"
PAGE_ROWS = 500
"""Groups, their resources and relations stay below the 1000 items of a page."""
MOST_NAME_CHARS = 200
"""Of an item of the CMDB."""
_KIND = "azdisc"

_CLASSES: Mapping[str, str] = {
    "microsoft.compute/virtualmachines": "virtual_machine",
    "microsoft.network/virtualnetworks": "network",
    "microsoft.storage/storageaccounts": "storage",
    "microsoft.compute/disks": "storage",
}
_OTHERS = "cloud_resource"
_GROUP = "group"
_NIC = "microsoft.network/networkinterfaces"

_GROUPS = (
    "resourcecontainers | where type =~ 'microsoft.resources/subscriptions/resourcegroups'"
    " | project id, name, type, location, tags | order by id asc"
)
_RESOURCES = (
    "resources | project id, name, type, location, kind, tags, managedBy,"
    " sku = sku.name, vmId = properties.vmId, state = properties.provisioningState,"
    " power = properties.extended.instanceView.powerState.code,"
    " vmSize = properties.hardwareProfile.vmSize,"
    " os = properties.storageProfile.osDisk.osType,"
    " diskSizeGB = properties.diskSizeGB,"
    " prefixes = properties.addressSpace.addressPrefixes,"
    " machine = properties.virtualMachine.id, addresses = properties.ipConfigurations"
    " | order by id asc"
)
_STAGES = (_GROUPS, _RESOURCES)


class Discoverer:
    def __init__(self, clouds: Clouds) -> None:
        self._clouds = clouds

    def source(self) -> Discovery:
        return Discovery(describe=self.describe, page=self.page)

    async def describe(self, within: Mapping[str, Any]) -> Described:
        """The scope with account and subscription filled in."""
        account, subscription = await self._scope(within)
        return Described(
            tool=TOOL,
            covers=Covers(
                ci_classes=[*sorted({*_CLASSES.values(), _OTHERS}), _GROUP],
                attributes={"provider": "azure", "account": subscription},
            ),
            within={"account": account, "subscription": subscription},
        )

    async def page(self, within: Mapping[str, Any], cursor: str | None) -> SeenPage:
        """Groups first, then resources, in the order of their IDs."""
        account, subscription = await self._scope(within)
        stage, token = _start(cursor)
        told = await graph.asked(
            self._clouds.chosen(account),
            [subscription],
            _STAGES[stage],
            looking(),
            top=PAGE_ROWS,
            skip_token=token,
        )
        items: list[Seen] = []
        relations: list[SeenRelation] = []
        for row in each_of(told["data"]):
            items.append(seen_of(row, subscription))
            relations += relations_of(row)
        following = text_at(told, "$skipToken")
        position = [stage, following] if following else [stage + 1, None]
        ended = not following and stage + 1 >= len(_STAGES)
        return SeenPage(
            items=items,
            relations=relations,
            next_cursor=None if ended else encode_cursor(_KIND, position),
        )

    async def _scope(self, within: Mapping[str, Any]) -> tuple[str, str]:
        unknown = sorted(set(within) - {"account", "subscription"})
        if unknown:
            raise InvalidArgument(
                f"azure takes no {', '.join(unknown)} here",
                hint="Its scope has `account` and `subscription`.",
            )
        texts = {name: value for name, value in within.items() if value is not None}
        if not all(isinstance(value, str) for value in texts.values()):
            raise InvalidArgument("account and subscription are texts")
        cloud = self._clouds.chosen(texts.get("account"))
        return cloud.alias, await cloud.subscriptions.chosen(texts.get("subscription"), looking())


def seen_of(row: Mapping[str, Any], subscription: str) -> Seen:
    """The item that a row speaks of."""
    resource_id, kind = str(row["id"]), str(row["type"]).lower()
    ci_class = class_of(kind)
    attributes: dict[str, Any] = {
        "provider": "azure",
        "account": subscription,
        "region": text_at(row, "location"),
        # In one case, like names: else the same thing spelt in another way would have changed.
        "resource_id": resource_id.lower(),
        "resource_type": kind,
        "tags": pairs_at(row, "tags") or None,
        "status": _status(row),
    }
    key = "resource_id"
    match ci_class:
        case "virtual_machine":
            attributes |= {
                "instance_uuid": text_at(row, "vmId"),
                "os": text_at(row, "os"),
                "size": text_at(row, "vmSize"),
                "hypervisor": "azure",
            }
            key = "instance_uuid" if attributes["instance_uuid"] else key
        case "network":
            attributes["cidr"] = next(filter(_is_cidr, strings_at(row, "prefixes")), None)
        case "storage":
            attributes["storage_type"] = text_at(row, "sku") or text_at(row, "kind") or kind
            attributes["capacity_gb"] = row.get("diskSizeGB")
        case _:
            pass
    return Seen(ci_class=ci_class, name=name_of(resource_id), key=key, attributes=attributes)


def relations_of(row: Mapping[str, Any]) -> list[SeenRelation]:
    """Membership of the group, a machine's use of its disk, and the networks it is in."""
    resource_id, kind = str(row["id"]), str(row["type"]).lower()
    parts = resource_id.split("/")
    own = SeenEnd(ci_class=class_of(kind), name=name_of(resource_id))
    found: list[SeenRelation] = []
    if len(parts) > 6:
        group = SeenEnd(ci_class=_GROUP, name=name_of("/".join(parts[:5])))
        found.append(SeenRelation(source=own, type="member_of", target=group))
    user = text_at(row, "managedBy")
    if own.ci_class == "storage" and user and "/virtualmachines/" in user.lower():
        found.append(SeenRelation(source=_machine(user), type="uses", target=own))
    machine = text_at(row, "machine")
    if kind == _NIC and machine:
        networks = {
            subnet.lower().rpartition("/subnets/")[0]
            for each in each_of(row.get("addresses"))
            if (subnet := text_at(at(each, "properties", "subnet"), "id"))
        }
        found += [
            SeenRelation(
                source=_machine(machine),
                type="connects_to",
                target=SeenEnd(ci_class="network", name=name_of(network)),
            )
            for network in sorted(networks)
            if network
        ]
    return found


def class_of(kind: str) -> str:
    """The class of the CMDB for a type of Azure in lower case."""
    if kind.endswith("/resourcegroups"):
        return _GROUP
    return _CLASSES.get(kind, _OTHERS)


def name_of(resource_id: str) -> str:
    """`subscription/group/name`, with the type before the name where a class holds many types."""
    parts = resource_id.lower().strip("/").split("/")
    subscription, group = parts[1], parts[3] if len(parts) > 3 else ""
    if len(parts) <= 4:
        return f"{subscription}/{group}"
    rest = "/".join(parts[4:]).partition("providers/")[2].split("/")
    kind, name = "/".join([rest[0], *rest[1::2]]), "/".join(rest[2::2])
    plain = kind in ("microsoft.compute/virtualmachines", "microsoft.network/virtualnetworks")
    whole = "/".join([subscription, group, *([] if plain else [kind]), name])
    if len(whole) <= MOST_NAME_CHARS:
        return whole
    return f"{whole[: MOST_NAME_CHARS - 17]}~{sha256(whole.encode()).hexdigest()[:16]}"


def _machine(resource_id: str) -> SeenEnd:
    return SeenEnd(ci_class="virtual_machine", name=name_of(resource_id))


def _status(row: Mapping[str, Any]) -> str | None:
    power = text_at(row, "power")
    return power.removeprefix("PowerState/") if power else text_at(row, "state")


def _is_cidr(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _start(cursor: str | None) -> tuple[int, str | None]:
    if cursor is None:
        return 0, None
    position: Any = decode_cursor(_KIND, cursor)
    match position:
        case [int() as stage, str() | None as token] if 0 <= stage < len(_STAGES):
            return stage, token
        case _:
            raise InvalidArgument("cursor is not one that this source gave out")
