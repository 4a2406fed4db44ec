"""Virtual machines: another size, or none at all any more."""

from typing import Annotated

from pydantic import Field

from azure_cloud import versions
from azure_cloud.choosing import Account
from azure_cloud.clouds import Cloud, Clouds
from azure_cloud.foreseeing import MachineAsked, foresees, looking
from azure_cloud.group_tools import confirmed
from azure_cloud.ids import GroupName, ResourceName, last_of, path_of, resource_id
from azure_cloud.long_operations import OperationHandle, begun
from azure_cloud.machine_tools import (
    MACHINE,
    disks_of,
    machine_of,
    nics_of,
    power_of,
    size_of_machine,
    summary_of,
)
from azure_cloud.power_tools import TARGET
from azure_cloud.prices import Prices
from azure_cloud.reading import at, each_of, text_at
from azure_cloud.subscription_tools import locks_of
from azure_cloud.subscriptions import Subscription
from flotilla import Conflict, Context, Preview, Tool, destroys, writes
from flotilla.operations import Operation
from flotilla.preview import Change, Foreseen

Size = Annotated[
    str,
    Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{1,59}$", description="Such as Standard_D2s_v5."),
]


class ResizeAsked(MachineAsked):
    size: str


class ChangingTools:
    def __init__(self, clouds: Clouds, prices: Prices) -> None:
        self._clouds = clouds
        self._prices = prices

    def tools(self) -> tuple[Tool, ...]:
        return (
            writes(
                "cloud.azure.resizeVirtualMachine",
                self.resize_virtual_machine,
                idempotent=True,
                approval=True,
                preview=Preview(operation="preview.resize", taken={**TARGET, "size": "size"}),
                risk="a machine that runs is restarted",
            ),
            destroys(
                "cloud.azure.deleteVirtualMachine",
                self.delete_virtual_machine,
                preview=Preview(operation="preview.deleteMachine", taken=TARGET),
                risk="the machine is gone for good, and the disks that go with it",
            ),
        )

    def operations(self) -> tuple[Operation, ...]:
        return (
            foresees("preview.resize", ResizeAsked, self.foresee_size),
            foresees("preview.deleteMachine", MachineAsked, self.foresee_deletion),
        )

    async def resize_virtual_machine(
        self,
        context: Context,
        name: ResourceName,
        resource_group: GroupName,
        size: Size,
        account: Account = None,
        subscription: Subscription = None,
    ) -> OperationHandle:
        """Give a virtual machine another size; one that runs is restarted by it.

        A size that its present hardware does not have needs stopVirtualMachine first: then this is
        refused with `conflict`, and nothing happens. Answers at once with a handle.
        """
        cloud = self._clouds.chosen(account)
        chosen = await cloud.subscriptions.chosen(subscription, context)
        target = resource_id(chosen, resource_group, MACHINE, name)
        path = path_of(target)
        try:
            answer = await cloud.arm.ask(
                "PATCH",
                path,
                context,
                version=versions.COMPUTE,
                body={"properties": {"hardwareProfile": {"vmSize": size}}},
            )
        except Conflict as error:
            error.hint = "Deallocate it by stopVirtualMachine first, then try again."
            raise
        return begun(
            cloud.alias,
            cloud.arm.endpoint,
            answer,
            path=path,
            version=versions.COMPUTE,
            target=target,
            action="resize",
        )

    async def delete_virtual_machine(
        self,
        context: Context,
        name: ResourceName,
        resource_group: GroupName,
        confirm_name: Annotated[str, Field(description="The machine's name, once more.")],
        account: Account = None,
        subscription: Subscription = None,
    ) -> OperationHandle:
        """Delete a virtual machine for good.

        Disks and interfaces that are set to go with it go; the others stay and are paid for.
        Refused where `confirmName` is not its name. Answers at once with a handle that getOperation
        follows.
        """
        confirmed(name, confirm_name)
        cloud = self._clouds.chosen(account)
        chosen = await cloud.subscriptions.chosen(subscription, context)
        # It must be there: Azure answers a deletion of nothing with success.
        found = await machine_of(cloud, chosen, resource_group, name, context)
        path = path_of(resource_id(chosen, resource_group, MACHINE, name))
        answer = await cloud.arm.ask("DELETE", path, context, version=versions.COMPUTE)
        return begun(
            cloud.alias,
            cloud.arm.endpoint,
            answer,
            path=path,
            version=versions.COMPUTE,
            target=str(found["id"]),
            action="delete",
        )

    async def foresee_size(self, asked: ResizeAsked) -> Foreseen:
        """Both sizes, whether it must be stopped for it, and what the new one costs."""
        context = looking()
        cloud = self._clouds.chosen(asked.account)
        chosen = await cloud.subscriptions.chosen(asked.subscription, context)
        found = await machine_of(cloud, chosen, asked.resource_group, asked.name, context)
        power, now = power_of(found), size_of_machine(found)
        warnings: list[str] = []
        if now == asked.size:
            warnings.append("It has that size already.")
        elif power == "running":
            warnings.append("It runs, and is restarted by this.")
        sizes = await _sizes(cloud, str(found["id"]), context)
        if sizes and asked.size.lower() not in sizes:
            warnings.append(
                "Its present hardware does not have that size: Azure will refuse unless the"
                " machine is deallocated first."
            )
        location = text_at(found, "location") or ""
        windows = summary_of(found).os == "Windows"
        before = await self._prices.of_machine(location, now or "", windows=windows)
        after = await self._prices.of_machine(location, asked.size, windows=windows)
        changes = [Change(field="size", before=now, after=asked.size)]
        if before is not None and after is not None and before.currency == after.currency:
            changes.append(
                Change(
                    field=f"monthly cost in {after.currency}",
                    before=before.amount,
                    after=after.amount,
                )
            )
        return Foreseen(
            action=f"Change the size of the virtual machine {found['name']} to {asked.size}",
            target=f"{found['name']} ({found['id']})",
            state={"powerState": power, "size": now, "location": location},
            changes=changes,
            monthly_cost=after,
            warnings=warnings,
        )

    async def foresee_deletion(self, asked: MachineAsked) -> Foreseen:
        """The machine as it is, what goes with it, what stays, and locks that will refuse it."""
        context = looking()
        cloud = self._clouds.chosen(asked.account)
        chosen = await cloud.subscriptions.chosen(asked.subscription, context)
        found = await machine_of(cloud, chosen, asked.resource_group, asked.name, context)
        path = path_of(str(found["id"]))
        locks = await cloud.arm.get(
            f"{path}/providers/Microsoft.Authorization/locks", versions.LOCKS, context
        )
        interfaces = each_of(at(found, "properties", "networkProfile", "networkInterfaces"))
        going = [str(each.name) for each in disks_of(found) if each.deleted_with_machine]
        going += [
            last_of(str(each.get("id")))
            for each in interfaces
            if at(each, "properties", "deleteOption") == "Delete"
        ]
        staying = [str(each.name) for each in disks_of(found) if not each.deleted_with_machine]
        staying += [name for each in nics_of(found) if (name := last_of(each)) not in going]
        warnings = [f"The lock {lock} will refuse it." for lock in locks_of(locks)]
        if power_of(found) == "running":
            warnings.insert(0, "It is running.")
        if going:
            warnings.append(f"These go with it: {', '.join(going[:20])}.")
        if staying:
            warnings.append(f"These stay and are paid for: {', '.join(staying[:20])}.")
        return Foreseen(
            action=f"Delete the virtual machine {found['name']}",
            target=f"{found['name']} ({found['id']})",
            state={
                "powerState": power_of(found),
                "size": size_of_machine(found),
                "location": text_at(found, "location"),
                "tags": dict(found.get("tags") or {}),
            },
            warnings=warnings,
        )


async def _sizes(cloud: Cloud, machine_id: str, context: Context) -> set[str]:
    """The sizes that a machine can take where it is, in lower case."""
    found = await cloud.arm.get(f"{path_of(machine_id)}/vmSizes", versions.COMPUTE, context)
    return {str(each.get("name")).lower() for each in each_of(at(found, "value"))}
