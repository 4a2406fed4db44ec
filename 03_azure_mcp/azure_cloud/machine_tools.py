"""Virtual machines: what there is, and each of them whole."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any

from pydantic import Field

from azure_cloud import graph, versions
from azure_cloud.choosing import Account, Group, short_tags
from azure_cloud.clouds import Cloud, Clouds
from azure_cloud.continuation import LongCursor, listed
from azure_cloud.hiding import shown
from azure_cloud.ids import GroupName, ResourceName, group_in, last_of, path_of, resource_id
from azure_cloud.reading import at, each_of, text_at
from azure_cloud.subscriptions import Subscription
from flotilla import Context, Limit, Model, NotAllowed, NotFound, Page, Tool, reads
from flotilla.meta import members
from flotilla.paging import DEFAULT_LIMIT

MACHINE = "Microsoft.Compute/virtualMachines"
POWER = "PowerState/"


class MachineSummary(Model):
    id: str
    name: str
    resource_group: str | None = None
    location: str | None = None
    size: str | None = None
    os: str | None = None
    provisioning_state: str | None = None
    power_state: str | None = None
    tags: dict[str, str] | None = None


class Disk(Model):
    name: str | None = None
    id: str | None = None
    size_gb: int | None = None
    lun: int | None = None
    deleted_with_machine: bool
    kind: str


class Machine(MachineSummary):
    """One virtual machine; `instanceUuid` is Azure's vmId."""

    instance_uuid: str | None = None
    computer_name: str | None = None
    admin_username: str | None = None
    image: dict[str, Any] | None = None
    zones: list[str] = Field(default_factory=list[str])
    disks: list[Disk]
    network_interfaces: list[str]
    private_ips: list[str]
    extensions: list[str]
    agent: str | None = None
    created_at: str | None = None
    statuses: list[str]


class MachineTools:
    def __init__(self, clouds: Clouds) -> None:
        self._clouds = clouds

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads(
                "cloud.azure.listVirtualMachines",
                self.list_virtual_machines,
                ttl_s=10,
                untrusted=True,
            ),
            reads("cloud.azure.getVirtualMachine", self.get_virtual_machine, untrusted=True),
        )

    async def list_virtual_machines(
        self,
        context: Context,
        account: Account = None,
        subscription: Subscription = None,
        resource_group: Group = None,
        power_state: Annotated[
            bool,
            Field(
                description="Also say whether each runs, as Resource Graph knows it: a request"
                " more, up to a minute old. getVirtualMachine asks the machine itself."
            ),
        ] = False,
        limit: Limit = DEFAULT_LIMIT,
        cursor: LongCursor = None,
    ) -> Page[MachineSummary]:
        """Virtual machines of a subscription or resource group: name, size, location, OS, tags."""
        cloud = self._clouds.chosen(account)
        chosen = await cloud.subscriptions.chosen(subscription, context)
        group = "" if resource_group is None else f"/resourceGroups/{resource_group}"
        page = await listed(
            cloud.arm,
            context,
            path=path_of(f"/subscriptions/{chosen}{group}/providers/{MACHINE}"),
            version=versions.COMPUTE,
            shown=summary_of,
            limit=limit,
            cursor=cursor,
        )
        if not power_state or not page.items:
            return page
        states = await graph.power_states(cloud, chosen, [each.id for each in page.items], context)
        return page.model_copy(
            update={
                "items": [
                    each.model_copy(update={"power_state": states.get(each.id.lower())})
                    for each in page.items
                ]
            }
        )

    async def get_virtual_machine(
        self,
        context: Context,
        name: ResourceName,
        resource_group: GroupName,
        account: Account = None,
        subscription: Subscription = None,
    ) -> Machine:
        """One virtual machine as it is now: power state, disks, addresses, image, extensions.

        Custom data, user data and settings of extensions are never shown.
        """
        cloud = self._clouds.chosen(account)
        chosen = await cloud.subscriptions.chosen(subscription, context)
        found = await machine_of(cloud, chosen, resource_group, name, context)
        ips: list[str] = []
        for nic in nics_of(found)[:8]:
            # The machine is told without an address that the account may not read.
            with suppress(NotFound, NotAllowed):
                interface = await cloud.arm.get(path_of(nic), versions.NETWORK, context)
                ips += private_ips_of(interface)
        return whole_of(found, ips)


async def machine_of(
    cloud: Cloud, subscription: str, group: str, name: str, context: Context
) -> dict[str, Any]:
    """A machine with its instance view, as Azure has it."""
    path = path_of(resource_id(subscription, group, MACHINE, name))
    return await cloud.arm.get(path, versions.COMPUTE, context, {"$expand": "instanceView"})


def summary_of(vm: Mapping[str, Any]) -> MachineSummary:
    properties = vm.get("properties")
    return MachineSummary(
        id=str(vm["id"]),
        name=str(vm["name"]),
        resource_group=group_in(str(vm["id"])),
        location=text_at(vm, "location"),
        size=text_at(properties, "hardwareProfile", "vmSize"),
        os=text_at(properties, "storageProfile", "osDisk", "osType"),
        provisioning_state=text_at(properties, "provisioningState"),
        tags=short_tags(vm.get("tags")),
    )


def whole_of(vm: Mapping[str, Any], ips: list[str]) -> Machine:
    properties = vm.get("properties")
    known: dict[str, Any] = summary_of(vm).model_dump(by_alias=False, exclude={"power_state"})
    zones: list[Any] = vm.get("zones") or []
    return Machine(
        **known,
        power_state=power_of(vm),
        instance_uuid=text_at(properties, "vmId"),
        computer_name=text_at(properties, "osProfile", "computerName"),
        admin_username=text_at(properties, "osProfile", "adminUsername"),
        image=shown(at(properties, "storageProfile", "imageReference")) or None,
        zones=[str(zone) for zone in zones],
        disks=disks_of(vm),
        network_interfaces=nics_of(vm),
        private_ips=ips,
        extensions=[last_of(str(each.get("id"))) for each in each_of(vm.get("resources"))][:50],
        agent=text_at(properties, "instanceView", "vmAgent", "vmAgentVersion"),
        created_at=text_at(properties, "timeCreated"),
        statuses=[str(each.get("displayStatus") or each.get("code")) for each in _statuses(vm)][
            :20
        ],
    )


def power_of(vm: Mapping[str, Any]) -> str | None:
    """`running`, `stopped`, `deallocated`, ...; None where Azure does not say."""
    for status in _statuses(vm):
        code = str(status.get("code"))
        if code.startswith(POWER):
            return code.removeprefix(POWER)
    return None


def size_of_machine(vm: Mapping[str, Any]) -> str | None:
    return text_at(vm, "properties", "hardwareProfile", "vmSize")


def disks_of(vm: Mapping[str, Any]) -> list[Disk]:
    storage = at(vm, "properties", "storageProfile")
    data = each_of(at(storage, "dataDisks"))
    return [_disk(members(at(storage, "osDisk")), "os"), *(_disk(each, "data") for each in data)]


def nics_of(vm: Mapping[str, Any]) -> list[str]:
    found = each_of(at(vm, "properties", "networkProfile", "networkInterfaces"))
    return [str(each.get("id")) for each in found]


def private_ips_of(nic: Mapping[str, Any]) -> list[str]:
    configurations = each_of(at(nic, "properties", "ipConfigurations"))
    found = [text_at(each, "properties", "privateIPAddress") for each in configurations]
    return [ip for ip in found if ip]


def _disk(disk: Mapping[str, Any], kind: str) -> Disk:
    return Disk(
        name=text_at(disk, "name"),
        id=text_at(disk, "managedDisk", "id"),
        size_gb=disk.get("diskSizeGB"),
        lun=disk.get("lun"),
        deleted_with_machine=disk.get("deleteOption") == "Delete",
        kind=kind,
    )


def _statuses(vm: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return each_of(at(vm, "properties", "instanceView", "statuses"))
