"""Virtual machines: making one, with its network interface."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Literal

import structlog
from pydantic import Field, JsonValue

from azure_cloud import versions
from azure_cloud.changing_tools import Size
from azure_cloud.choosing import Account, Tags
from azure_cloud.clouds import Cloud, Clouds
from azure_cloud.foreseeing import MachineAsked, foresees, looking
from azure_cloud.ids import GroupName, Location, ResourceName, parsed, path_of, resource_id, same
from azure_cloud.long_operations import OperationHandle, begun, read, stood
from azure_cloud.machine_bodies import address_of, interface_of, machine_body, os_profile
from azure_cloud.machine_tools import MACHINE
from azure_cloud.prices import Prices
from azure_cloud.reading import text_at
from azure_cloud.subscriptions import Subscription
from flotilla import (
    Conflict,
    Context,
    FlotillaError,
    InvalidArgument,
    NotFound,
    Preview,
    Tool,
    UpstreamError,
    writes,
)
from flotilla.operations import Operation
from flotilla.preview import Change, Foreseen
from flotilla.secret_text import SecretText

log = structlog.get_logger(__name__)

NIC = "Microsoft.Network/networkInterfaces"
ADDRESS = "Microsoft.Network/publicIPAddresses"
SUBNET = "microsoft.network/virtualnetworks/subnets"
CLEAN_UP_S = 20.0
_IMAGE = re.compile(r"[\w.-]+:[\w.-]+:[\w.-]+:[\w.-]+")
_TAKEN = (
    "account subscription resourceGroup name location size image subnetId publicIp tags "
    "osDiskSizeGb osDiskType adminUsername"
)

Image = Annotated[
    str,
    Field(
        max_length=600,
        description="publisher:offer:sku:version, such as Canonical:ubuntu-24_04-lts:server:latest,"
        " or the resource ID of an image.",
    ),
]
SshKey = Annotated[
    str,
    Field(
        pattern=r"^(?:ssh-(?:rsa|ed25519)|ecdsa-sha2-nistp\d{3})"
        r" [A-Za-z0-9+/=]{40,16000}(?: .{0,200})?$",
        description="The public half, in OpenSSH's form.",
    ),
]
DiskType = Literal["Standard_LRS", "StandardSSD_LRS", "Premium_LRS"]


class CreationAsked(MachineAsked):
    location: str
    size: str
    image: str
    subnet_id: str
    admin_username: str | None = None
    public_ip: bool = False
    tags: dict[str, str] = Field(default_factory=dict[str, str])
    os_disk_size_gb: int | None = None
    os_disk_type: str = "StandardSSD_LRS"


class MakingTools:
    def __init__(
        self,
        clouds: Clouds,
        prices: Prices,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clouds = clouds
        self._prices = prices
        self._sleep = sleep

    def tools(self) -> tuple[Tool, ...]:
        taken = {name: name for name in _TAKEN.split()}
        return (
            writes(
                "cloud.azure.createVirtualMachine",
                self.create_virtual_machine,
                approval=True,
                long=True,
                preview=Preview(operation="preview.createMachine", taken=taken),
                cost="a machine and its disk are paid for from now on",
            ),
        )

    def operations(self) -> tuple[Operation, ...]:
        return (foresees("preview.createMachine", CreationAsked, self.foresee),)

    async def create_virtual_machine(
        self,
        context: Context,
        name: ResourceName,
        resource_group: GroupName,
        location: Location,
        size: Size,
        image: Image,
        subnet_id: Annotated[
            str, Field(max_length=1024, description="As listVirtualNetworks has it.")
        ],
        admin_username: Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_.-]{0,31}$")],
        ssh_public_key: SshKey | None = None,
        admin_password: SecretText | None = None,
        public_ip: Annotated[
            bool, Field(description="Also a public address, by which anybody can try to get in.")
        ] = False,
        tags: Tags | None = None,
        os_disk_size_gb: Annotated[int, Field(ge=4, le=4095)] | None = None,
        os_disk_type: DiskType = "StandardSSD_LRS",
        account: Account = None,
        subscription: Subscription = None,
    ) -> OperationHandle:
        """Make a virtual machine and its network interface; never changes one that is there.

        Give either sshPublicKey or adminPassword (a secret handle). Answers with a handle for
        getOperation once Azure has begun; where Azure refuses it at once, nothing stays.
        """
        if (ssh_public_key is None) == (admin_password is None):
            raise InvalidArgument("give either sshPublicKey or adminPassword, and not both")
        cloud = self._clouds.chosen(account)
        chosen = await cloud.subscriptions.chosen(subscription, context)
        _check_subnet(subnet_id, chosen)
        target = resource_id(chosen, resource_group, MACHINE, name)
        nic = resource_id(chosen, resource_group, NIC, f"{name}-nic")
        ip = resource_id(chosen, resource_group, ADDRESS, f"{name}-ip") if public_ip else None
        machine = machine_body(
            location,
            tags,
            size,
            image=image_of(image, cloud),
            disk_type=os_disk_type,
            disk_size_gb=os_disk_size_gb,
            profile=os_profile(name, admin_username, ssh_public_key, admin_password),
            interface=nic,
        )
        needs = {} if ip is None else {ip: address_of(location, tags)}
        needs[nic] = interface_of(location, subnet_id, ip, tags)
        for each in (target, *needs):
            await _refuse_known(cloud, each, context)
        return await self._begin(cloud, target, machine, needs, context)

    async def _begin(
        self,
        cloud: Cloud,
        target: str,
        machine: Mapping[str, Any],
        needs: Mapping[str, Mapping[str, Any]],
        context: Context,
    ) -> OperationHandle:
        """Make what the machine needs, in this order, then begin with it itself."""
        made: list[str] = []
        try:
            for each, body in needs.items():
                await self._make(cloud, each, body, context, made)
            answer = await cloud.arm.ask(
                "PUT",
                path_of(target),
                context,
                version=versions.COMPUTE,
                body=machine,
                # One that somebody made meanwhile is refused, not changed.
                headers={"If-None-Match": "*"},
            )
        except asyncio.CancelledError:
            if made:
                log.warning("azure_left_behind", targets=made, kind="cancelled")
            raise
        except FlotillaError as error:
            # A machine that may be there after all keeps what it needs.
            if error.details.get("outcome") != "unknown":
                await _clean_up(cloud, made, context)
            if made:
                error.details["leftBehind"] = made
            raise
        return begun(
            cloud.alias,
            cloud.arm.endpoint,
            answer,
            path=path_of(target),
            version=versions.COMPUTE,
            target=target,
            action="create",
        )

    async def foresee(self, asked: CreationAsked) -> Foreseen:
        """What would be made, and what it costs in a month."""
        context = looking()
        cloud = self._clouds.chosen(asked.account)
        chosen = await cloud.subscriptions.chosen(asked.subscription, context)
        target = resource_id(chosen, asked.resource_group, MACHINE, asked.name)
        warnings: list[str] = []
        try:
            await _refuse_known(cloud, target, context)
        except Conflict:
            warnings.append("A machine of that name is there already: this will be refused.")
        if asked.public_ip:
            warnings.append("It gets a public address, by which anybody can try to get in.")
        windows = "windows" in asked.image.lower()
        cost = await self._prices.of_machine(asked.location, asked.size, windows=windows)
        fields: dict[str, JsonValue] = {
            "size": asked.size,
            "location": asked.location,
            "image": asked.image,
            "adminUsername": asked.admin_username,
            "subnet": asked.subnet_id,
            "publicIp": asked.public_ip,
            "osDisk": f"{asked.os_disk_type}, {asked.os_disk_size_gb or 'the size of the image'}",
            "tags": dict(asked.tags),
        }
        return Foreseen(
            action=f"Create the virtual machine {asked.name} ({asked.size}) in {asked.location}",
            target=f"{asked.name} ({target})",
            changes=[Change(field=name, after=value) for name, value in fields.items()],
            monthly_cost=cost,
            warnings=warnings,
        )

    async def _make(
        self,
        cloud: Cloud,
        target: str,
        body: Mapping[str, Any],
        context: Context,
        made: list[str],
    ) -> None:
        """Make what a machine needs, and wait until it is there; `made` learns of what may be."""
        path = path_of(target)
        try:
            answer = await cloud.arm.ask("PUT", path, context, version=versions.NETWORK, body=body)
        except FlotillaError as error:
            if error.details.get("outcome") == "unknown":
                made.append(target)
            raise
        made.append(target)
        handle = begun(
            cloud.alias,
            cloud.arm.endpoint,
            answer,
            path=path,
            version=versions.NETWORK,
            target=target,
            action="create",
        )
        followed = read(handle.operation_id)
        while handle.status == "running":
            await self._sleep(min(handle.retry_after_s or 0.5, 5.0))
            answer = await cloud.arm.ask("GET", followed.path, context)
            handle = stood(handle.operation_id, followed, answer)
            if handle.status in ("failed", "canceled"):
                said = handle.error or {}
                raise UpstreamError(
                    f"Azure: {said.get('message', 'it could not be made')} ({target})",
                    details={"upstreamCode": said.get("code", "unknown")},
                )


def image_of(image: str, cloud: Cloud) -> dict[str, str]:
    """The image reference; InvalidArgument for neither a URN nor an ID."""
    if image.startswith("/"):
        found = parsed(image)
        cloud.subscriptions.check(found.subscription)
        return {"id": found.text}
    if not _IMAGE.fullmatch(image):
        raise InvalidArgument("image is neither publisher:offer:sku:version nor a resource ID")
    return dict(zip(("publisher", "offer", "sku", "version"), image.split(":"), strict=True))


def _check_subnet(subnet_id: str, subscription: str) -> None:
    """Raise InvalidArgument for what is no subnet of that subscription.

    Azure takes no other either, and a rule about subscriptions judges the one that the call names.
    """
    subnet = parsed(subnet_id)
    if not same(subnet.subscription, subscription):
        raise InvalidArgument(
            "subnetId is in another subscription than the machine",
            hint="listVirtualNetworks has those of the subscription.",
        )
    if not same(subnet.type, SUBNET):
        raise InvalidArgument(
            "subnetId is no subnet", hint="listVirtualNetworks has `subnets` with their `id`."
        )


async def _refuse_known(cloud: Cloud, target: str, context: Context) -> None:
    version = versions.COMPUTE if MACHINE in target else versions.NETWORK
    try:
        found = await cloud.arm.get(path_of(target), version, context)
    except NotFound as error:
        if error.details.get("upstreamCode") in (None, "ResourceNotFound", "NotFound"):
            return
        raise
    raise Conflict(f"{text_at(found, 'id') or target} is there already", hint="Take another name.")


async def _clean_up(cloud: Cloud, made: list[str], context: Context) -> None:
    """Delete again what was made, the last first; what is left in `made` could not be."""
    for target in reversed(list(made)):
        try:
            async with asyncio.timeout(CLEAN_UP_S):
                await cloud.arm.ask("DELETE", path_of(target), context, version=versions.NETWORK)
        except (FlotillaError, TimeoutError) as error:
            log.warning("azure_left_behind", target=target, kind=type(error).__name__)
            return
        made.remove(target)
