"""What runs in a project, for the CMDB: instances, disks, networks, buckets, and their relations.

A page is one page of Google's, of one kind after the other. Where a zone does not answer the whole
source fails: what was not seen would otherwise count as gone.
"""

import ipaddress
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, JsonValue, ValidationError
from pydantic.alias_generators import to_camel

from flotilla import Deadline, InvalidArgument, Model, Unavailable, decode_cursor, encode_cursor
from flotilla.discovery import Covers, Described, Discovery, Seen, SeenEnd, SeenPage, SeenRelation
from google_cloud.buckets import page_of_buckets
from google_cloud.cloud import Aim, Cloud
from google_cloud.disks import page_of_disks
from google_cloud.instances import raw_page
from google_cloud.networks import network_of
from google_cloud.places import last, relative

if TYPE_CHECKING:
    from google_cloud.connections import Connection

PROVIDER = "google_cloud"
CLASSES = ["virtual_machine", "storage", "network", "cloud_resource"]
_KINDS = ("instances", "disks", "networks", "buckets")
_SIZE = 500
_LIMIT_S = 60.0
_FIELDS = (
    "id,name,zone,status,machineType,labels,networkInterfaces(network,networkIP,accessConfigs/natIP),"
    "disks/source"
)


class Within(Model):
    """The scope: an account by its alias, and a project."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)

    account: str | None = None
    project: str | None = None


class Source:
    """The projects of the accounts, one at a time, in the words of the CMDB."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def discovery(self) -> Discovery:
        return Discovery(describe=self.describe, page=self.page)

    async def describe(self, within: Mapping[str, Any]) -> Described:
        aim = await self._aim(within)
        return Described(
            tool="cloud.gcp.listInstances",
            covers=Covers(ci_classes=CLASSES, attributes=_owned(aim)),
            within={"account": aim.alias, "project": aim.project},
        )

    async def page(self, within: Mapping[str, Any], cursor: str | None) -> SeenPage:
        aim = await self._aim(within)
        kind, token = _position(aim, cursor)
        read = {
            "instances": _instances,
            "disks": _disks,
            "networks": _networks,
            "buckets": _buckets,
        }[kind]
        items, relations, following = await self._cloud.read(
            Deadline.after(_LIMIT_S),
            aim,
            lambda google, s: read(google, s, aim, token),
            sdk="storage" if kind == "buckets" else "compute_v1",
        )
        return SeenPage(
            items=items, relations=relations, next_cursor=_following(aim, kind, following)
        )

    async def _aim(self, within: Mapping[str, Any]) -> Aim:
        try:
            asked = Within.model_validate(dict(within))
        except ValidationError:
            raise InvalidArgument("a scope of Google Cloud is {account?, project?}") from None
        return await self._cloud.aim(Deadline.after(_LIMIT_S), asked.account, asked.project)


Read = tuple[list[Seen], list[SeenRelation], str]


def _instances(google: "Connection", timeout_s: float, aim: Aim, token: str) -> Read:
    page, found, missing = raw_page(google, timeout_s, aim, None, "", token, _SIZE, _FIELDS)
    _all_there(missing)
    relations: list[SeenRelation] = []
    for each in found:
        machine = SeenEnd(ci_class="virtual_machine", name=_name(aim, last(each.zone), each.name))
        ends = [("uses", "storage", _of_address(disk.source)) for disk in each.disks if disk.source]
        ends += [
            ("connects_to", "network", _of_address(one.network))
            for one in each.network_interfaces
            if relative(one.network).startswith(f"projects/{aim.project}/")
        ]
        relations += [
            SeenRelation(source=machine, type=kind, target=SeenEnd(ci_class=of, name=name))
            for kind, of, name in dict.fromkeys(ends)
        ]
    return [_machine(aim, each) for each in found], relations, page.next_page_token


def _disks(google: "Connection", timeout_s: float, aim: Aim, token: str) -> Read:
    batch = page_of_disks(google, timeout_s, aim, None, "", token, _SIZE)
    _all_there(list(batch.unreachable))
    items = [
        Seen(
            ci_class="storage",
            name=_name(aim, each.zone, each.name),
            key="resource_id",
            attributes={
                **_owned(aim),
                "resource_id": each.id,
                "region": each.zone,
                "storage_type": each.type,
                "capacity_gb": each.size_gb,
                "status": each.status,
                "tags": dict(each.labels),
            },
        )
        for each in batch.items
    ]
    return items, [], batch.next_token


def _networks(google: "Connection", timeout_s: float, aim: Aim, token: str) -> Read:
    from google.cloud import compute_v1

    asked = compute_v1.ListNetworksRequest(project=aim.project, max_results=_SIZE, page_token=token)
    found = google.of(compute_v1.NetworksClient).list(asked, retry=None, timeout=timeout_s)
    page: Any = next(iter(found.pages))
    items = [
        Seen(
            ci_class="network",
            name=f"{aim.project}/{each.name}",
            key="resource_id",
            attributes={**_owned(aim), "resource_id": each.id},
        )
        for each in map(network_of, page.items)
    ]
    return items, [], page.next_page_token


def _buckets(google: "Connection", timeout_s: float, aim: Aim, token: str) -> Read:
    batch = page_of_buckets(google, timeout_s, aim.project, None, token, _SIZE)
    items = [
        Seen(
            ci_class="cloud_resource",
            name=f"{aim.project}/{each.name}",
            key="resource_id",
            attributes={
                **_owned(aim),
                "resource_id": f"//storage.googleapis.com/{each.name}",
                "resource_type": "storage_bucket",
                "region": each.location,
                "tags": dict(each.labels),
            },
        )
        for each in batch.items
    ]
    return items, [], batch.next_token


def _machine(aim: Aim, each: Any) -> Seen:
    inner = [one.network_i_p for one in each.network_interfaces]
    outer = [way.nat_i_p for one in each.network_interfaces for way in one.access_configs]
    ips: list[JsonValue] = [one for one in (*inner, *outer) if _is_ip(one)]
    attributes: dict[str, JsonValue] = {
        **_owned(aim),
        "instance_uuid": str(each.id),
        "hypervisor": "Google Compute Engine",
        "status": each.status,
        "region": last(each.zone),
        "machine_type": last(each.machine_type),
        "ip": ips[0] if ips else None,
        "ips": ips,
        "tags": dict(each.labels),
    }
    name = _name(aim, last(each.zone), each.name)
    return Seen(ci_class="virtual_machine", name=name, key="instance_uuid", attributes=attributes)


def _owned(aim: Aim) -> dict[str, str]:
    return {"provider": PROVIDER, "account": aim.project}


def _name(aim: Aim, zone: str, name: str) -> str:
    return f"{aim.project}/{zone}/{name}"


def _of_address(address: str) -> str:
    """`.../projects/p/zones/z/disks/d` -> `p/z/d`; `.../projects/p/global/networks/n` -> `p/n`."""
    parts = relative(address).split("/")
    return "/".join([parts[1], *([parts[3]] if parts[2] != "global" else []), parts[-1]])


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _all_there(missing: list[str]) -> None:
    if missing:
        raise Unavailable(
            f"these zones did not answer Google: {', '.join(missing[:20])}",
            hint="Try again; what is in them would count as gone.",
            details={"unreachable": missing[:20]},
        )


def _position(aim: Aim, cursor: str | None) -> tuple[str, str]:
    if cursor is None:
        return _KINDS[0], ""
    kind, token = decode_cursor(f"discovery:{aim.project}", cursor)
    if kind not in _KINDS or not isinstance(token, str):
        raise InvalidArgument("cursor is not one that this source gave out")
    return kind, token


def _following(aim: Aim, kind: str, token: str) -> str | None:
    """The cursor of the next page of the kind, or of the first page of the next kind."""
    if not token:
        rest = _KINDS[_KINDS.index(kind) + 1 :]
        if not rest:
            return None
        kind = rest[0]
    return encode_cursor(f"discovery:{aim.project}", [kind, token])
