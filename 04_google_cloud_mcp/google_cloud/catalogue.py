"""What Google offers to build with: listZones, listMachineTypes, listImages."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from flotilla import Context, Cursor, InvalidArgument, Limit, Model, Tool, reads
from flotilla.paging import DEFAULT_LIMIT
from google_cloud.asking import compute_list
from google_cloud.cloud import AccountName, Aim, Cloud, Project, check_project
from google_cloud.filters import equal
from google_cloud.listing import Listing
from google_cloud.places import Zone, last, moment

PUBLIC_IMAGES = frozenset(
    {
        "centos-cloud",
        "cos-cloud",
        "debian-cloud",
        "deeplearning-platform-release",
        "fedora-cloud",
        "fedora-coreos-cloud",
        "opensuse-cloud",
        "oracle-linux-cloud",
        "rhel-cloud",
        "rhel-sap-cloud",
        "rocky-linux-cloud",
        "suse-cloud",
        "suse-sap-cloud",
        "ubuntu-os-cloud",
        "ubuntu-os-pro-cloud",
        "windows-cloud",
        "windows-sql-cloud",
    }
)
"""Projects in which Google publishes images for all; any account may read these."""

IncludeDeprecated = Annotated[bool, Field(description="Also what Google advises against.")]


class ZoneItem(Model):
    name: str
    region: str
    status: str


class MachineType(Model):
    name: str
    cpus: int
    memory_mb: int
    shared_cpu: bool
    architecture: str
    description: str
    deprecated: str | None = None
    """DEPRECATED, OBSOLETE or DELETED."""


class Image(Model):
    """An image; `reference` is what createInstance takes."""

    id: str
    name: str
    reference: str
    family: str
    disk_size_gb: int
    status: str
    architecture: str
    created_at: datetime | None
    deprecated: str | None = None


class Catalogue:
    """cloud.gcp.listZones, listMachineTypes, listImages."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def tools(self) -> tuple[Tool, ...]:
        more: Mapping[str, Any] = {"open_world": True, "untrusted": True, "ttl_s": 300.0}
        return (
            reads("cloud.gcp.listZones", self.list_zones, title="List zones", **more),
            reads(
                "cloud.gcp.listImages",
                self.list_images,
                title="List images",
                open_world=True,
                untrusted=True,
            ),
            reads(
                "cloud.gcp.listMachineTypes",
                self.list_machine_types,
                title="List machine types",
                **more,
            ),
        )

    async def list_zones(
        self,
        context: Context,
        account: AccountName = None,
        project: Project = None,
        limit: Limit = 200,
        cursor: Cursor = None,
    ) -> Listing[ZoneItem]:
        """List the zones that a project may use, with their region and state (UP or DOWN)."""
        aim = await self._cloud.aim(context.deadline, account, project)
        asked = ("ZonesClient", "ListZonesRequest", {"project": aim.project}, "name,region,status")
        return await compute_list(
            self._cloud,
            context,
            aim,
            f"zones:{aim.alias}:{aim.project}",
            asked,
            lambda each: ZoneItem(
                name=each.name, region=last(each.region), status=str(each.status)
            ),
            limit=limit,
            cursor=cursor,
        )

    async def list_machine_types(
        self,
        context: Context,
        zone: Zone,
        family: Annotated[
            str | None,
            Field(pattern=r"^[a-z][a-z0-9-]{0,30}$", description="Only these: `e2`, `n2`, `c3`."),
        ] = None,
        include_deprecated: IncludeDeprecated = False,
        account: AccountName = None,
        project: Project = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Listing[MachineType]:
        """List the machine types of a zone with CPUs and memory, deprecated ones left out."""
        aim = await self._cloud.aim(context.deadline, account, project)
        # Compute's own form for a regular expression over the whole field.
        wanted = f'name eq "{family}-.*"' if family else ""
        asked = (
            "MachineTypesClient",
            "ListMachineTypesRequest",
            {"project": aim.project, "zone": zone, "filter": wanted},
            "name,guestCpus,memoryMb,isSharedCpu,architecture,description,deprecated/state",
        )

        def shape(each: Any) -> MachineType | None:
            state = each.deprecated.state or None
            if state and not include_deprecated:
                return None
            return MachineType(
                name=each.name,
                cpus=each.guest_cpus,
                memory_mb=each.memory_mb,
                shared_cpu=each.is_shared_cpu,
                architecture=each.architecture,
                description=each.description[:200],
                deprecated=state,
            )

        kind = f"machine_types:{aim.alias}:{aim.project}:{zone}:{family}:{include_deprecated}"
        return await compute_list(
            self._cloud, context, aim, kind, asked, shape, limit=limit, cursor=cursor
        )

    async def list_images(
        self,
        context: Context,
        image_project: Annotated[
            str | None,
            Field(
                max_length=100,
                description="Whose images: `debian-cloud`, `ubuntu-os-cloud`, ...; "
                "left out: the project's own.",
            ),
        ] = None,
        family: Annotated[
            str | None, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$", description="Such as `debian-12`.")
        ] = None,
        include_deprecated: IncludeDeprecated = False,
        account: AccountName = None,
        project: Project = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Listing[Image]:
        """List images to make disks of, deprecated ones left out.

        Google's own images are in projects of theirs, such as debian-cloud, ubuntu-os-cloud,
        rocky-linux-cloud, cos-cloud or windows-cloud.
        """
        aim = await self._cloud.aim(context.deadline, account, project)
        owner = image_owner(aim, image_project)
        asked = (
            "ImagesClient",
            "ListImagesRequest",
            {"project": owner, "filter": equal("family", family) if family else ""},
            "id,name,family,diskSizeGb,status,architecture,creationTimestamp,deprecated/state",
        )

        def shape(each: Any) -> Image | None:
            state = each.deprecated.state or None
            if state and not include_deprecated:
                return None
            return Image(
                id=str(each.id),
                name=each.name,
                reference=f"{owner}/{each.name}",
                family=each.family,
                disk_size_gb=each.disk_size_gb,
                status=each.status,
                architecture=each.architecture,
                created_at=moment(each.creation_timestamp),
                deprecated=state,
            )

        kind = f"images:{aim.alias}:{owner}:{family}:{include_deprecated}"
        return await compute_list(
            self._cloud, context, aim, kind, asked, shape, limit=limit, cursor=cursor
        )


_IMAGE = re.compile(
    r"(?:(?P<owner>[a-z0-9.:-]{1,100})/)?(?P<family>family/)?(?P<name>[a-z][a-z0-9-]{0,62})"
)


def image_owner(aim: Aim, owner: str | None) -> str:
    """The project whose image is meant: the call's own, Google's, or another one it may use."""
    if owner is None or owner == aim.project:
        return aim.project
    if owner not in PUBLIC_IMAGES:
        check_project(aim.alias, aim.account, owner)
    return owner


def image_path(aim: Aim, reference: str) -> str:
    """The address of an image: `debian-cloud/family/debian-12`, `debian-cloud/debian-12-v2024`.

    Raises InvalidArgument for anything else, NotAllowed for a project that is not to be used.
    """
    found = _IMAGE.fullmatch(reference)
    if found is None:
        raise InvalidArgument(
            "image is not like `debian-cloud/family/debian-12` or `debian-cloud/<image>`",
            hint="listImages gives references.",
        )
    owner = image_owner(aim, found["owner"])
    return f"projects/{owner}/global/images/{found['family'] or ''}{found['name']}"
