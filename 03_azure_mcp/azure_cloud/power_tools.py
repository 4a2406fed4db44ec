"""Virtual machines: starting, stopping, restarting."""

from typing import Annotated, Literal

from pydantic import Field

from azure_cloud import versions
from azure_cloud.choosing import Account
from azure_cloud.clouds import Clouds
from azure_cloud.foreseeing import MachineAsked, foresees, looking
from azure_cloud.ids import GroupName, ResourceName, path_of, resource_id
from azure_cloud.long_operations import OperationHandle, begun
from azure_cloud.machine_tools import MACHINE, machine_of, power_of, size_of_machine
from azure_cloud.subscriptions import Subscription
from flotilla import Context, Preview, Tool, writes
from flotilla.operations import Operation
from flotilla.preview import Change, Foreseen

Turn = Literal["start", "deallocate", "powerOff", "restart"]

AFTER: dict[Turn, str] = {
    "start": "running",
    "deallocate": "deallocated",
    "powerOff": "stopped",
    "restart": "running",
}
WORDS: dict[Turn, str] = {
    "start": "Start",
    "deallocate": "Shut down and deallocate",
    "powerOff": "Shut down, keeping it allocated and paid for,",
    "restart": "Restart",
}
TARGET = {
    "account": "account",
    "subscription": "subscription",
    "resourceGroup": "resourceGroup",
    "name": "name",
}
"""The parameters that name a machine, for previews."""


class PowerAsked(MachineAsked):
    turn: Turn | None = None
    deallocate: bool = True


class PowerTools:
    def __init__(self, clouds: Clouds) -> None:
        self._clouds = clouds

    def tools(self) -> tuple[Tool, ...]:
        def preview(**fixed: str) -> Preview:
            return Preview(operation="preview.power", taken=TARGET, fixed=fixed)

        stopping = Preview(operation="preview.power", taken={**TARGET, "deallocate": "deallocate"})
        return (
            writes(
                "cloud.azure.startVirtualMachine",
                self.start_virtual_machine,
                idempotent=True,
                approval=True,
                preview=preview(turn="start"),
                cost="a machine that runs is paid for by the hour",
            ),
            writes(
                "cloud.azure.stopVirtualMachine",
                self.stop_virtual_machine,
                idempotent=True,
                approval=True,
                preview=stopping,
                risk="what runs on it is away; a temporary disk and a dynamic address are lost",
            ),
            writes(
                "cloud.azure.restartVirtualMachine",
                self.restart_virtual_machine,
                approval=True,
                preview=preview(turn="restart"),
                risk="what runs on it is away for minutes",
            ),
        )

    def operations(self) -> tuple[Operation, ...]:
        return (foresees("preview.power", PowerAsked, self.foresee),)

    async def start_virtual_machine(
        self,
        context: Context,
        name: ResourceName,
        resource_group: GroupName,
        account: Account = None,
        subscription: Subscription = None,
    ) -> OperationHandle:
        """Start a virtual machine; answers at once with a handle that getOperation follows."""
        return await self._turn("start", context, name, resource_group, account, subscription)

    async def stop_virtual_machine(
        self,
        context: Context,
        name: ResourceName,
        resource_group: GroupName,
        account: Account = None,
        subscription: Subscription = None,
        deallocate: Annotated[
            bool, Field(description="False keeps the machine allocated, and paid for.")
        ] = True,
    ) -> OperationHandle:
        """Shut a virtual machine down and deallocate it, so that its computing costs nothing.

        Disks and reserved addresses stay and are paid for. Answers at once with a handle that
        getOperation follows.
        """
        turn: Turn = "deallocate" if deallocate else "powerOff"
        return await self._turn(turn, context, name, resource_group, account, subscription)

    async def restart_virtual_machine(
        self,
        context: Context,
        name: ResourceName,
        resource_group: GroupName,
        account: Account = None,
        subscription: Subscription = None,
    ) -> OperationHandle:
        """Restart a running virtual machine; answers at once with a handle for getOperation."""
        return await self._turn("restart", context, name, resource_group, account, subscription)

    async def foresee(self, asked: PowerAsked) -> Foreseen:
        """What an approval of one of them shows."""
        context = looking()
        cloud = self._clouds.chosen(asked.account)
        chosen = await cloud.subscriptions.chosen(asked.subscription, context)
        found = await machine_of(cloud, chosen, asked.resource_group, asked.name, context)
        turn: Turn = asked.turn or ("deallocate" if asked.deallocate else "powerOff")
        now, after = power_of(found), AFTER[turn]
        warnings = [f"It is {now} already."] if now == after and turn != "restart" else []
        if turn == "restart" and now != "running":
            warnings.append(f"It is {now}, and a restart needs a running machine.")
        return Foreseen(
            action=f"{WORDS[turn]} the virtual machine {found['name']}",
            target=f"{found['name']} ({found['id']})",
            state={
                "powerState": now,
                "size": size_of_machine(found),
                "location": found.get("location"),
                "subscription": chosen,
            },
            changes=[Change(field="powerState", before=now, after=after)] if now != after else [],
            warnings=warnings,
        )

    async def _turn(
        self,
        turn: Turn,
        context: Context,
        name: str,
        group: str,
        account: str | None,
        subscription: str | None,
    ) -> OperationHandle:
        cloud = self._clouds.chosen(account)
        chosen = await cloud.subscriptions.chosen(subscription, context)
        target = resource_id(chosen, group, MACHINE, name)
        path = path_of(target)
        answer = await cloud.arm.ask("POST", f"{path}/{turn}", context, version=versions.COMPUTE)
        return begun(
            cloud.alias,
            cloud.arm.endpoint,
            answer,
            path=path,
            version=versions.COMPUTE,
            target=target,
            action=turn,
        )
