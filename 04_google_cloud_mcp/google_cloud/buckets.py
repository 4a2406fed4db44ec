"""Buckets and what they hold, by name and size, never its content: listBuckets, listObjects."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from flotilla import Context, Cursor, Limit, Model, NotFound, Tool, reads
from flotilla.paging import DEFAULT_LIMIT
from google_cloud.cloud import AccountName, Aim, Cloud, Project
from google_cloud.listing import Batch, Listing, listed
from google_cloud.places import moment

BUCKET_FIELDS = (
    "items(name,location,locationType,storageClass,timeCreated,labels,versioning,"
    "iamConfiguration(publicAccessPrevention,uniformBucketLevelAccess/enabled),"
    "retentionPolicy/retentionPeriod),nextPageToken"
)
_OBJECT_FIELDS = (
    "items(name,size,contentType,storageClass,updated,generation,md5Hash),prefixes,nextPageToken"
)

Prefix = Annotated[
    str | None, Field(max_length=1024, description="Only names that begin with this.")
]


class BucketItem(Model):
    name: str
    location: str
    location_type: str
    storage_class: str
    created_at: datetime | None
    labels: dict[str, str]
    versioning: bool
    public_access_prevention: str
    """`enforced`: nobody can make it public; `inherited`: the organisation's policy decides."""
    uniform_access: bool
    retention_s: int | None = None


class ObjectItem(Model):
    """An object, or a folder: a part of the names that `delimiter` ends, which has only a name."""

    name: str
    folder: bool = False
    size_bytes: int | None = None
    content_type: str | None = None
    storage_class: str | None = None
    updated_at: datetime | None = None
    generation: str | None = None
    md5: str | None = None


class Buckets:
    """cloud.gcp.listBuckets and listObjects."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def tools(self) -> tuple[Tool, ...]:
        more: Mapping[str, Any] = {"open_world": True, "untrusted": True}
        return (
            reads("cloud.gcp.listBuckets", self.list_buckets, title="List buckets", **more),
            reads("cloud.gcp.listObjects", self.list_objects, title="List objects", **more),
        )

    async def list_buckets(
        self,
        context: Context,
        prefix: Prefix = None,
        account: AccountName = None,
        project: Project = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Listing[BucketItem]:
        """List the storage buckets of a project: where they are, their class, who may be let in."""
        aim = await self._cloud.aim(context.deadline, account, project)

        async def fetch(token: str, size: int) -> Batch[BucketItem]:
            return await self._cloud.read(
                context.deadline,
                aim,
                lambda google, s: page_of_buckets(google, s, aim.project, prefix, token, size),
                sdk="storage",
            )

        kind = f"buckets:{aim.alias}:{aim.project}:{prefix}"
        return await listed(kind, fetch, limit=limit, cursor=cursor)

    async def list_objects(
        self,
        context: Context,
        bucket: Annotated[
            str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", description="Its name.")
        ],
        prefix: Prefix = None,
        delimiter: Annotated[
            str | None,
            Field(
                min_length=1,
                max_length=8,
                description="`/` shows one level of folders; left out: all objects below `prefix`.",
            ),
        ] = None,
        account: AccountName = None,
        project: Project = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Listing[ObjectItem]:
        """List objects of a bucket by name, with size and type. Their content is never read.

        `folder` entries stand for all that begins with their name.
        """
        aim = await self._cloud.aim(context.deadline, account, project)
        if aim.account.projects or project is not None:
            await self._check_owner(context, aim, bucket)

        async def fetch(token: str, size: int) -> Batch[ObjectItem]:
            return await self._cloud.read(
                context.deadline,
                aim,
                lambda google, s: page_of_objects(
                    google, s, bucket, prefix, delimiter, token, size
                ),
                sdk="storage",
            )

        kind = f"objects:{aim.alias}:{bucket}:{prefix}:{delimiter}"
        return await listed(kind, fetch, limit=limit, cursor=cursor)

    async def _check_owner(self, context: Context, aim: Aim, bucket: str) -> None:
        """Raise NotFound unless the bucket is one of the project.

        A bucket's name says nothing of its project: neither the account's list of projects nor a
        rule about the project that a call names would hold without asking.
        """
        # The shortest name with a prefix comes first, and that is the prefix itself.
        found = await self._cloud.read(
            context.deadline,
            aim,
            lambda google, s: page_of_buckets(google, s, aim.project, bucket, "", 1),
            sdk="storage",
        )
        if [each.name for each in found.items] != [bucket]:
            raise NotFound(
                f"there is no bucket {bucket!r} in project {aim.project}",
                hint="listBuckets shows what there is.",
            )


def page_of_buckets(
    google: Any, timeout_s: float, project: str, prefix: str | None, token: str, size: int
) -> Batch[BucketItem]:
    from google.cloud import storage

    found = google.of(storage.Client).list_buckets(
        project=project,
        prefix=prefix,
        page_size=size,
        page_token=token or None,
        fields=BUCKET_FIELDS,
        retry=None,
        timeout=timeout_s,
    )
    page: Any = next(iter(found.pages), ())
    return Batch([_bucket(each._properties) for each in page], found.next_page_token or "")


def page_of_objects(
    google: Any,
    timeout_s: float,
    bucket: str,
    prefix: str | None,
    delimiter: str | None,
    token: str,
    size: int,
) -> Batch[ObjectItem]:
    from google.cloud import storage

    found = google.of(storage.Client).list_blobs(
        bucket,
        prefix=prefix,
        delimiter=delimiter,
        page_size=size,
        page_token=token or None,
        fields=_OBJECT_FIELDS,
        retry=None,
        timeout=timeout_s,
    )
    page: Any = next(iter(found.pages), ())
    items = [_object(each._properties) for each in page]
    folders = [ObjectItem(name=name, folder=True) for name in found.prefixes]
    items = sorted([*folders, *items], key=lambda each: each.name)
    return Batch(items, found.next_page_token or "")


def _bucket(raw: Mapping[str, Any]) -> BucketItem:
    # The members as Google sent them: the SDK's own names miss some, and ask again for others.
    access = _inside(raw, "iamConfiguration")
    retention = _inside(raw, "retentionPolicy").get("retentionPeriod")
    return BucketItem(
        name=raw["name"],
        location=str(raw.get("location", "")),
        location_type=str(raw.get("locationType", "")),
        storage_class=str(raw.get("storageClass", "")),
        created_at=moment(raw.get("timeCreated", "")),
        labels=raw.get("labels") or {},
        versioning=bool(_inside(raw, "versioning").get("enabled")),
        public_access_prevention=str(access.get("publicAccessPrevention", "")),
        uniform_access=bool(_inside(access, "uniformBucketLevelAccess").get("enabled")),
        retention_s=None if retention is None else int(retention),
    )


def _inside(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return raw.get(name) or {}


def _object(raw: Mapping[str, Any]) -> ObjectItem:
    return ObjectItem(
        name=raw["name"],
        size_bytes=int(raw.get("size", 0)),
        content_type=raw.get("contentType"),
        storage_class=raw.get("storageClass"),
        updated_at=moment(raw.get("updated", "")),
        generation=raw.get("generation"),
        md5=raw.get("md5Hash"),
    )
