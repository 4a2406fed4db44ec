"""infra.vmware.powerOn, powerOff, shutdownGuest and reboot."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from flotilla import Context, Model, Tool, writes
from vmware.foresee import preview_of
from vmware.link import Links
from vmware.machines import KIND, VmId, VmName, decoded, found
from vmware.names import VCenterName
from vmware.tasks import Task, begun

if TYPE_CHECKING:
    from vmware.reading import Vc


class Asked(Model):
    """What a guest was asked for; it does so by itself, and vCenter makes no task of it.

    Look at `powerState` with getVirtualMachine to see it done.
    """

    vcenter: str
    vm_id: str
    name: str
    asked: str
    power_state: str


class Power:
    """The tools of this file."""

    def __init__(self, links: Links) -> None:
        self._links = links

    def tools(self) -> tuple[Tool, ...]:
        return (
            writes(
                "infra.vmware.powerOn",
                self.power_on,
                title="Power on",
                approval=True,
                preview=preview_of("powerOn"),
            ),
            writes(
                "infra.vmware.powerOff",
                self.power_off,
                title="Power off",
                approval=True,
                preview=preview_of("powerOff"),
                risk="the guest is not asked: what it had not written is lost",
            ),
            writes(
                "infra.vmware.shutdownGuest",
                self.shutdown_guest,
                title="Shut down a guest",
                approval=True,
                preview=preview_of("shutdownGuest"),
            ),
            writes(
                "infra.vmware.reboot",
                self.reboot,
                title="Reboot",
                approval=True,
                preview=preview_of("reboot", "force"),
                risk="with force the guest is not asked: what it had not written is lost",
            ),
        )

    async def power_on(
        self, context: Context, vcenter: VCenterName = None, vm_id: VmId = None, name: VmName = None
    ) -> Task:
        """Power a virtual machine on, or wake a suspended one. Returns a task for getTask.

        Answers conflict when it is on already.
        """

        def start(vc: "Vc") -> object:
            machine = vc.ref(KIND, found(vc, vm_id, name))
            vc.changing()
            return machine.PowerOnVM_Task(None)

        return await begun(self._links.to(vcenter), context.deadline, start)

    async def power_off(
        self, context: Context, vcenter: VCenterName = None, vm_id: VmId = None, name: VmName = None
    ) -> Task:
        """Power a virtual machine off at once, as if its plug were pulled.

        shutdownGuest is gentler. Returns a task for getTask; conflict when it is off already.
        """

        def start(vc: "Vc") -> object:
            machine = vc.ref(KIND, found(vc, vm_id, name))
            vc.changing()
            return machine.PowerOffVM_Task()

        return await begun(self._links.to(vcenter), context.deadline, start)

    async def shutdown_guest(
        self, context: Context, vcenter: VCenterName = None, vm_id: VmId = None, name: VmName = None
    ) -> Asked:
        """Ask a machine's guest to shut down; needs VMware Tools in it.

        Returns as soon as the guest was asked. Answers conflict when Tools do not run or when the
        machine is not on.
        """

        def work(vc: "Vc") -> Asked:
            mo_id = found(vc, vm_id, name)
            vc.changing()
            vc.ref(KIND, mo_id).ShutdownGuest()
            return asked(vc, mo_id, "shutdown")

        return await self._links.to(vcenter).use(context.deadline, work)

    async def reboot(
        self,
        context: Context,
        vcenter: VCenterName = None,
        vm_id: VmId = None,
        name: VmName = None,
        force: Annotated[
            bool, Field(description="Reset it, without asking the guest or needing Tools.")
        ] = False,
    ) -> Asked:
        """Ask a machine's guest to reboot; with `force` reset it as by its button.

        Without force it needs VMware Tools, and returns as soon as the guest was asked.
        """
        link = self._links.to(vcenter)
        if force:
            mo_id = await link.use(context.deadline, lambda vc: found(vc, vm_id, name))

            def start(vc: "Vc") -> object:
                vc.changing()
                return vc.ref(KIND, mo_id).ResetVM_Task()

            await begun(link, context.deadline, start)
            return await link.use(context.deadline, lambda vc: asked(vc, mo_id, "reset"))

        def work(vc: "Vc") -> Asked:
            mo_id = found(vc, vm_id, name)
            vc.changing()
            vc.ref(KIND, mo_id).RebootGuest()
            return asked(vc, mo_id, "reboot")

        return await link.use(context.deadline, work)


def asked(vc: "Vc", mo_id: str, what: str) -> Asked:
    values = vc.leaves(KIND, mo_id, ("name", "runtime.powerState"))
    return Asked(
        vcenter=vc.alias,
        vm_id=mo_id,
        name=decoded(values.get("name", "")),
        asked=what,
        power_state=str(values.get("runtime.powerState", "unknown")),
    )
