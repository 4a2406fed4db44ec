"""What there is in this Google: projects, machines, disks, buckets, and operations on their way."""

import asyncio
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from itertools import count
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.backends.google.answers import refused

ZONES = ("europe-west1-b", "europe-west1-c", "us-central1-a", "us-east1-b")
API = "https://www.googleapis.com/compute/v1"
Key = tuple[str, str, str]
"""Project, zone and name."""


@dataclass
class Robot:
    email: str
    public_key: str
    projects: Sequence[str]


@dataclass
class Doing:
    """An operation: `left` more looks until it is done, and then `effect` happens."""

    body: dict[str, Any]
    left: int
    effect: Callable[[], None]


@cache
def _pair(name: str) -> tuple[str, str]:
    """A private key and its public one; the same for a name, since one takes long to make."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private, public.decode()


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass
class World:
    """`looks`: how often an operation is looked at before it is done; held: it never is."""

    url: str = ""
    zones: Sequence[str] = ZONES
    unreachable: set[str] = field(default_factory=set[str])
    robots: dict[str, Robot] = field(default_factory=dict[str, Robot])
    tokens: dict[str, str] = field(default_factory=dict[str, str])
    granted: list[str] = field(default_factory=list[str])
    may_become: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    projects: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    instances: dict[Key, dict[str, Any]] = field(default_factory=dict[Key, dict[str, Any]])
    disks: dict[Key, dict[str, Any]] = field(default_factory=dict[Key, dict[str, Any]])
    snapshots: dict[Key, dict[str, Any]] = field(default_factory=dict[Key, dict[str, Any]])
    buckets: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    objects: dict[str, list[dict[str, Any]]] = field(
        default_factory=dict[str, list[dict[str, Any]]]
    )
    serial: dict[Key, bytes] = field(default_factory=dict[Key, bytes])
    operations: dict[str, Doing] = field(default_factory=dict[str, Doing])
    by_request: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    looks: int = 2
    held: bool = False
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    fails: dict[str, tuple[int, str, str]] = field(default_factory=dict[str, tuple[int, str, str]])
    """By their kind, operations that end in an error: its status, code and message."""
    prices: dict[str, Any] = field(default_factory=dict[str, Any])
    ids: Any = field(default_factory=lambda: count(7_000_000_000_000_000_001))

    def service_account(self, name: str, projects: Sequence[str], home: str = "") -> str:
        """A robot that may do all in these projects; the JSON of its key."""
        home = home or projects[0]
        private, public = _pair(name)
        email = f"{name}@{home}.iam.gserviceaccount.com"
        self.robots[email] = Robot(email, public, projects)
        for project in projects:
            self.project(project)
        return json.dumps(
            {
                "type": "service_account",
                "project_id": home,
                "private_key_id": f"id-of-{name}",
                "private_key": private,
                "client_email": email,
                "client_id": "1",
                "token_uri": "https://oauth2.invalid/token",
            }
        )

    def forget(self) -> None:
        """Everything but who may come: what a test before has left is gone."""
        fresh = World()
        kept = {"url", "robots", "tokens", "granted", "projects", "ids"}
        for name in set(vars(fresh)) - kept:
            setattr(self, name, getattr(fresh, name))

    def new_token(self, email: str) -> str:
        token = f"ya29.c.{secrets.token_urlsafe(40)}"
        self.tokens[token] = email
        return token

    def who(self, request: web.Request, project: str | None = None) -> str:
        """Whose token the request carries; refused where it may not look at that project."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        email = self.tokens.get(token)
        if kind != "Bearer" or email is None:
            raise refused(401, "Request had invalid authentication credentials.", "authError")
        if project is not None and project not in self.robots[email].projects:
            raise refused(
                403,
                f"Required 'compute' permission for 'projects/{project}'",
                "forbidden",
            )
        return email

    def project(self, project: str, name: str = "") -> None:
        number = str(next(self.ids))
        self.projects.setdefault(
            project,
            {
                "name": f"projects/{number}",
                "projectId": project,
                "displayName": name or project.title(),
                "state": "ACTIVE",
                "createTime": "2024-05-01T10:00:00Z",
                "labels": {"owner": "platform"},
                "parent": "folders/1",
            },
        )

    def link(self, *parts: str) -> str:
        return "/".join((API, "projects", *parts))

    def instance(
        self, project: str, zone: str, name: str, *, status: str = "RUNNING", **more: Any
    ) -> dict[str, Any]:
        """A machine with a boot disk of 10 GB that goes with it."""
        self.project(project)
        number = len(self.instances) + 2
        disk = self.disk(project, zone, name)
        made = {
            "kind": "compute#instance",
            "id": str(next(self.ids)),
            "name": name,
            "zone": self.link(project, "zones", zone),
            "selfLink": self.link(project, "zones", zone, "instances", name),
            "machineType": self.link(project, "zones", zone, "machineTypes", "e2-medium"),
            "status": status,
            "creationTimestamp": "2024-05-01T03:00:00.000-07:00",
            "cpuPlatform": "Intel Broadwell",
            "labels": {"env": "prod"},
            "labelFingerprint": secrets.token_urlsafe(8),
            "tags": {"items": ["http-server"], "fingerprint": "42WmSpB8rSM="},
            "metadata": {"kind": "compute#metadata", "fingerprint": "x", "items": []},
            "deletionProtection": False,
            "networkInterfaces": [
                {
                    "kind": "compute#networkInterface",
                    "name": "nic0",
                    "network": self.link(project, "global", "networks", "default"),
                    "subnetwork": self.link(
                        project, "regions", zone.rsplit("-", 1)[0], "subnetworks", "default"
                    ),
                    "networkIP": f"10.{number // 62500 % 250}.{number // 250 % 250}.{number % 250}",
                }
            ],
            "disks": [
                {
                    "kind": "compute#attachedDisk",
                    "type": "PERSISTENT",
                    "mode": "READ_WRITE",
                    "source": disk["selfLink"],
                    "deviceName": name,
                    "index": 0,
                    "boot": True,
                    "autoDelete": True,
                    "diskSizeGb": "10",
                }
            ],
            "serviceAccounts": [
                {
                    "email": f"robot@{project}.iam.gserviceaccount.com",
                    "scopes": ["https://www.googleapis.com/auth/cloud-platform"],
                }
            ],
            "scheduling": {
                "onHostMaintenance": "MIGRATE",
                "automaticRestart": True,
                "preemptible": False,
                "provisioningModel": "STANDARD",
            },
            **more,
        }
        disk["users"] = [made["selfLink"]]
        self.instances[project, zone, name] = made
        return made

    def disk(self, project: str, zone: str, name: str, size_gb: int = 10) -> dict[str, Any]:
        made = {
            "kind": "compute#disk",
            "id": str(next(self.ids)),
            "name": name,
            "zone": self.link(project, "zones", zone),
            "selfLink": self.link(project, "zones", zone, "disks", name),
            "sizeGb": str(size_gb),
            "type": self.link(project, "zones", zone, "diskTypes", "pd-balanced"),
            "status": "READY",
            "creationTimestamp": "2024-05-01T03:00:00.000-07:00",
            "labels": {},
            "users": [],
        }
        self.disks[project, zone, name] = made
        return made

    def bucket(self, project: str, name: str, objects: Sequence[str] = ()) -> None:
        self.buckets[name] = {
            "kind": "storage#bucket",
            "id": name,
            "name": name,
            "projectNumber": "1",
            "_project": project,
            "location": "EU",
            "locationType": "multi-region",
            "storageClass": "STANDARD",
            "timeCreated": "2024-05-01T10:00:00.000Z",
            "updated": "2024-05-02T10:00:00.000Z",
            "labels": {"team": "web"},
            "versioning": {"enabled": True},
            "iamConfiguration": {
                "publicAccessPrevention": "enforced",
                "uniformBucketLevelAccess": {"enabled": True},
            },
        }
        self.objects[name] = [
            {
                "kind": "storage#object",
                "name": each,
                "bucket": name,
                "size": str(100 + at),
                "contentType": "text/plain",
                "storageClass": "STANDARD",
                "timeCreated": "2024-05-01T10:00:00.000Z",
                "updated": "2024-05-02T10:00:00.000Z",
                "generation": "1714557600000000",
                "md5Hash": "CY9rzUYh03PK3k6DJie09g==",
            }
            for at, each in enumerate(sorted(objects))
        ]
