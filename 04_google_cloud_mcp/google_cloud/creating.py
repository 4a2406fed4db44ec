"""createInstance: what it takes, the request that it makes, and what a person is told before."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, JsonValue

from flotilla import Context, Deadline, Model, NotFound, Preview, Tool, writes
from flotilla.operations import HUB_ROLE, Operation
from flotilla.preview import Change, Foreseen
from flotilla.secret_text import SecretText
from google_cloud.catalogue import image_path
from google_cloud.cloud import AccountName, Aim, Cloud, Project
from google_cloud.foreseeing import LIMIT_S
from google_cloud.instances import Found, instance_at
from google_cloud.long_operations import LongOperation, begun
from google_cloud.places import RESOURCE, Labels, NewName, Zone
from google_cloud.prices import Prices, Wanted

if TYPE_CHECKING:
    from google_cloud.connections import Connection

DiskType = Literal["pd-standard", "pd-balanced", "pd-ssd", "hyperdisk-balanced"]
MachineTypeName = Annotated[
    str,
    Field(pattern=r"^[a-z][a-z0-9-]{1,62}$", description="A name of listMachineTypes."),
]
SshKeyLine = Annotated[
    str,
    Field(
        max_length=2000,
        pattern=r"^[a-z_][a-z0-9_-]{0,31}:(?:ssh-|ecdsa-|sk-)[a-z0-9@.-]+ "
        r"[A-Za-z0-9+/=]+(?: [^\r\n]*)?$",
        description="`user:ssh-ed25519 AAAA... comment`: a public key.",
    ),
]
_PREVIEWED = (
    "name",
    "zone",
    "machineType",
    "image",
    "diskSizeGb",
    "diskType",
    "network",
    "subnetwork",
    "externalIp",
    "labels",
    "networkTags",
    "serviceAccount",
    "spot",
    "deletionProtection",
    "account",
    "project",
)


class NewInstance(Model):
    """What is to be made; what the hub passes to the preview, without its secrets."""

    name: str
    zone: str
    machine_type: str
    image: str
    disk_size_gb: int | None = None
    disk_type: DiskType = "pd-balanced"
    network: str = "default"
    subnetwork: str | None = None
    external_ip: bool = False
    labels: dict[str, str] = Field(default_factory=dict[str, str])
    network_tags: list[str] = Field(default_factory=list[str])
    service_account: str | None = None
    spot: bool = False
    deletion_protection: bool = False
    account: str | None = None
    project: str | None = None


class Creating:
    """cloud.gcp.createInstance."""

    def __init__(self, cloud: Cloud, prices: Prices) -> None:
        self._cloud = cloud
        self._prices = prices

    def tools(self) -> tuple[Tool, ...]:
        return (
            writes(
                "cloud.gcp.createInstance",
                self.create_instance,
                title="Create an instance",
                open_world=True,
                approval=True,
                cost="A new machine and its disk are paid for until they are deleted.",
                preview=Preview(
                    operation="previews.createInstance",
                    taken={name: name for name in _PREVIEWED},
                ),
            ),
        )

    def operations(self) -> tuple[Operation, ...]:
        name = "previews.createInstance"
        return (Operation(name=name, takes=NewInstance, run=self.foresee, role=HUB_ROLE),)

    async def create_instance(
        self,
        context: Context,
        name: NewName,
        zone: Zone,
        machine_type: MachineTypeName,
        image: Annotated[
            str,
            Field(
                max_length=200,
                description="`debian-cloud/family/debian-12`, or `reference` of listImages.",
            ),
        ],
        disk_size_gb: Annotated[
            int | None, Field(ge=10, le=65_536, description="Left out: as large as the image.")
        ] = None,
        disk_type: DiskType = "pd-balanced",
        network: Annotated[str, Field(pattern=rf"^{RESOURCE}$")] = "default",
        subnetwork: Annotated[
            str | None,
            Field(pattern=rf"^{RESOURCE}$", description="In the zone's region."),
        ] = None,
        external_ip: Annotated[
            bool, Field(description="Give it an address on the public internet.")
        ] = False,
        labels: Labels = {},  # noqa: B006  it is never changed
        network_tags: Annotated[
            list[Annotated[str, Field(pattern=rf"^{RESOURCE}$")]],
            Field(max_length=64, description="What firewall rules know it by."),
        ] = [],  # noqa: B006  it is never changed
        service_account: Annotated[
            str | None,
            Field(
                pattern=r"^[A-Za-z0-9._-]{1,100}@[A-Za-z0-9.-]{1,150}$",
                description="Who the machine is to Google; left out: nobody.",
            ),
        ] = None,
        ssh_public_keys: Annotated[list[SshKeyLine], Field(max_length=20)] = [],  # noqa: B006
        startup_script: SecretText | None = None,
        spot: Annotated[
            bool, Field(description="Cheaper, and Google may stop it at any time.")
        ] = False,
        deletion_protection: bool = False,
        account: AccountName = None,
        project: Project = None,
    ) -> LongOperation:
        """Create a virtual machine with one boot disk, which is deleted with it.

        Without a public address and without a service account unless asked for; shielded (vTPM and
        integrity monitoring). The start-up script is a secret: it is shown nowhere. Answers at once
        with the operation; getOperation follows it.
        """
        aim = await self._cloud.aim(context.deadline, account, project)
        asked = NewInstance(
            name=name,
            zone=zone,
            machine_type=machine_type,
            image=image,
            disk_size_gb=disk_size_gb,
            disk_type=disk_type,
            network=network,
            subnetwork=subnetwork,
            external_ip=external_ip,
            labels=labels,
            network_tags=network_tags,
            service_account=service_account,
            spot=spot,
            deletion_protection=deletion_protection,
        )
        metadata = metadata_of(ssh_public_keys, startup_script)
        body = body_of(aim, asked, metadata)

        def work(google: "Connection", timeout_s: float, request_id: str) -> LongOperation:
            from google.cloud import compute_v1

            request = compute_v1.InsertInstanceRequest(
                project=aim.project,
                zone=zone,
                request_id=request_id,
                instance_resource=compute_v1.Instance(body),
            )
            client = google.of(compute_v1.InstancesClient)
            return begun(client.insert_unary(request, retry=None, timeout=timeout_s), aim.project)

        return await self._cloud.change(context.deadline, aim, work)

    async def foresee(self, asked: NewInstance) -> Foreseen:
        due = Deadline.after(LIMIT_S)
        aim = await self._cloud.aim(due, asked.account, asked.project)
        image_path(aim, asked.image)
        machine, exists = await self._cloud.read(
            due, aim, lambda google, s: _look(google, s, aim, asked)
        )
        warnings = [f"There is an instance {asked.name} in that zone already."] if exists else []
        if asked.external_ip:
            warnings.append("It gets an address on the public internet.")
        if asked.service_account:
            warnings.append(f"Programs on it act in Google as {asked.service_account}.")
        if asked.spot:
            warnings.append("Google may stop it at any time (spot).")
        cost = await self._prices.monthly(due, aim, wanted_of(asked, machine))
        if cost is None:
            warnings.append("Price unknown.")
        return Foreseen(
            action=f"Create the instance {asked.name}",
            target=f"{asked.name} (new, in {asked.zone}, project {aim.project}, "
            f"account {aim.alias})",
            state={"exists": exists},
            changes=[Change(field=field, after=value) for field, value in _told(asked, machine)],
            monthly_cost=cost,
            warnings=warnings,
        )


def metadata_of(keys: list[str], startup_script: str | None) -> list[dict[str, str]]:
    """The metadata of a new machine: keys of people, and a script; nothing else is taken."""
    found: list[dict[str, str]] = []
    if keys:
        found.append({"key": "ssh-keys", "value": "\n".join(keys)})
    if startup_script is not None:
        found.append({"key": "startup-script", "value": startup_script})
    return found


def body_of(aim: Aim, asked: NewInstance, metadata: list[dict[str, str]]) -> dict[str, Any]:
    """The instance as the SDK takes it. Raises InvalidArgument, NotAllowed for its image. Pure."""
    zone = f"zones/{asked.zone}"
    region = asked.zone.rsplit("-", 1)[0]
    interface: dict[str, Any] = {
        "network": f"projects/{aim.project}/global/networks/{asked.network}"
    }
    if asked.subnetwork:
        interface["subnetwork"] = (
            f"projects/{aim.project}/regions/{region}/subnetworks/{asked.subnetwork}"
        )
    if asked.external_ip:
        interface["access_configs"] = [{"name": "External NAT", "type_": "ONE_TO_ONE_NAT"}]
    initial: dict[str, Any] = {
        "source_image": image_path(aim, asked.image),
        "disk_type": f"{zone}/diskTypes/{asked.disk_type}",
        "labels": asked.labels,
    }
    if asked.disk_size_gb is not None:
        initial["disk_size_gb"] = asked.disk_size_gb
    body: dict[str, Any] = {
        "name": asked.name,
        "machine_type": f"{zone}/machineTypes/{asked.machine_type}",
        "labels": asked.labels,
        "tags": {"items": asked.network_tags},
        "disks": [{"boot": True, "auto_delete": True, "initialize_params": initial}],
        "network_interfaces": [interface],
        "metadata": {"items": metadata},
        "deletion_protection": asked.deletion_protection,
        "shielded_instance_config": {"enable_vtpm": True, "enable_integrity_monitoring": True},
    }
    if asked.service_account:
        scope = "https://www.googleapis.com/auth/cloud-platform"
        body["service_accounts"] = [{"email": asked.service_account, "scopes": [scope]}]
    if asked.spot:
        body["scheduling"] = {
            "provisioning_model": "SPOT",
            "instance_termination_action": "STOP",
            "automatic_restart": False,
            "on_host_maintenance": "TERMINATE",
        }
    return body


def wanted_of(asked: NewInstance, machine: Any) -> Wanted:
    """What is to be paid for, as the price list counts it."""
    return Wanted(
        region=asked.zone.rsplit("-", 1)[0],
        machine_type=asked.machine_type,
        cpus=machine.guest_cpus,
        memory_mb=machine.memory_mb,
        disk_type=asked.disk_type,
        disk_size_gb=asked.disk_size_gb or 10,
        spot=asked.spot,
    )


def _look(google: "Connection", timeout_s: float, aim: Aim, asked: NewInstance) -> tuple[Any, bool]:
    """The machine type, and whether there is such an instance already; for a thread."""
    from google.api_core.exceptions import NotFound as Missing
    from google.cloud import compute_v1

    try:
        machine = google.of(compute_v1.MachineTypesClient).get(
            project=aim.project,
            zone=asked.zone,
            machine_type=asked.machine_type,
            retry=None,
            timeout=timeout_s,
        )
    except Missing:
        raise NotFound(
            f"there is no machine type {asked.machine_type!r} in {asked.zone}",
            hint="listMachineTypes shows what there is.",
        ) from None
    try:
        instance_at(google, timeout_s, Found(aim, asked.zone, asked.name))
    except Missing:
        return machine, False
    return machine, True


def _told(asked: NewInstance, machine: Any) -> list[tuple[str, JsonValue]]:
    size = "as the image" if asked.disk_size_gb is None else asked.disk_size_gb
    memory_gb = round(machine.memory_mb / 1024, 1)
    return [
        ("machineType", f"{asked.machine_type} ({machine.guest_cpus} CPUs, {memory_gb} GB)"),
        ("image", asked.image),
        ("diskSizeGb", size),
        ("diskType", asked.disk_type),
        ("network", asked.subnetwork or asked.network),
        ("externalIp", asked.external_ip),
        ("labels", dict(asked.labels)),
        ("networkTags", list(asked.network_tags)),
        ("serviceAccount", asked.service_account),
        ("spot", asked.spot),
        ("deletionProtection", asked.deletion_protection),
    ]
