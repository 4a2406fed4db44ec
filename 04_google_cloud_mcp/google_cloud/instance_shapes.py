"""An instance as our callers see it: a summary or its details, and never its secrets. Pure."""

import base64
import binascii
import hashlib
import json
from datetime import datetime
from typing import Any

from pydantic import Field

from flotilla import Model
from google_cloud.places import last, moment

SUMMARY_FIELDS = (
    "id,name,zone,status,machineType,creationTimestamp,labels,deletionProtection,"
    "networkInterfaces(networkIP,accessConfigs/natIP)"
)
"""What a list asks Google for: the metadata, where start-up scripts are, does not even come."""

HARMLESS = frozenset(
    {
        "block-project-ssh-keys",
        "cos-update-strategy",
        "disable-legacy-endpoints",
        "enable-guest-attributes",
        "enable-osconfig",
        "enable-oslogin",
        "enable-oslogin-2fa",
        "enable-windows-ssh",
        "google-logging-enabled",
        "google-monitoring-enabled",
        "serial-port-enable",
        "serial-port-logging-enable",
        "vmdnssetting",
    }
)
"""Keys of metadata whose values are switches; those of all others are not shown."""
_MAX_SWITCH_CHARS = 64
_MAX_KEYS = 100


class Instance(Model):
    """An instance, as lists show it."""

    id: str
    name: str
    zone: str
    status: str
    machine_type: str
    internal_ips: list[str]
    external_ips: list[str]
    labels: dict[str, str]
    created_at: datetime | None
    deletion_protection: bool


class AttachedDisk(Model):
    name: str
    """The disk's own name, as listDisks has it."""
    device_name: str
    boot: bool
    auto_delete: bool
    """It goes when the instance is deleted."""
    size_gb: int
    mode: str
    kind: str


class Interface(Model):
    name: str
    network: str
    subnetwork: str
    internal_ip: str
    external_ips: list[str]


class ServiceAccount(Model):
    email: str
    scopes: list[str]


class SshKey(Model):
    """Who may come in by which key; the key itself is not shown."""

    user: str
    algorithm: str
    fingerprint: str | None


class MetadataEntry(Model):
    """A key of the metadata. `value` is there for harmless switches alone."""

    key: str
    chars: int
    value: str | None = None


class InstanceDetails(Instance):
    """Everything of an instance but the values of its metadata, which may hold secrets."""

    description: str
    cpu_platform: str
    disks: list[AttachedDisk]
    interfaces: list[Interface]
    network_tags: list[str]
    service_accounts: list[ServiceAccount]
    metadata: list[MetadataEntry]
    ssh_keys: list[SshKey]
    windows_users: list[str]
    label_fingerprint: str
    """setInstanceLabels takes it: the labels change only if they are still these."""
    provisioning_model: str
    automatic_restart: bool
    on_host_maintenance: str
    last_started_at: datetime | None = None
    last_stopped_at: datetime | None = None
    secure_boot: bool = Field(default=False)


def summary(instance: Any) -> Instance:
    return Instance(**_summary(instance))


def details(instance: Any) -> InstanceDetails:
    metadata = list(instance.metadata.items)
    return InstanceDetails(
        **_summary(instance),
        description=instance.description[:1000],
        cpu_platform=instance.cpu_platform,
        disks=[attached(disk) for disk in instance.disks],
        interfaces=[
            Interface(
                name=each.name,
                network=last(each.network),
                subnetwork=last(each.subnetwork),
                internal_ip=each.network_i_p,
                external_ips=[one.nat_i_p for one in each.access_configs if one.nat_i_p],
            )
            for each in instance.network_interfaces
        ],
        network_tags=list(instance.tags.items),
        service_accounts=[
            ServiceAccount(email=each.email, scopes=[last(scope) for scope in each.scopes][:50])
            for each in instance.service_accounts
        ],
        metadata=[entry_of(each.key, each.value) for each in metadata[:_MAX_KEYS]],
        ssh_keys=[
            key
            for each in metadata
            if each.key.lower() in ("ssh-keys", "sshkeys")
            for key in ssh_keys(each.value)
        ][:_MAX_KEYS],
        windows_users=[
            user
            for each in metadata
            if each.key.lower() == "windows-keys"
            for user in windows_users(each.value)
        ][:_MAX_KEYS],
        label_fingerprint=instance.label_fingerprint,
        provisioning_model=instance.scheduling.provisioning_model
        or ("PREEMPTIBLE" if instance.scheduling.preemptible else "STANDARD"),
        automatic_restart=instance.scheduling.automatic_restart,
        on_host_maintenance=instance.scheduling.on_host_maintenance,
        last_started_at=moment(instance.last_start_timestamp),
        last_stopped_at=moment(instance.last_stop_timestamp),
        secure_boot=instance.shielded_instance_config.enable_secure_boot,
    )


def attached(disk: Any) -> AttachedDisk:
    return AttachedDisk(
        name=last(disk.source) if disk.source else disk.device_name,
        device_name=disk.device_name,
        boot=disk.boot,
        auto_delete=disk.auto_delete,
        size_gb=disk.disk_size_gb,
        mode=disk.mode,
        kind=disk.type_,
    )


def entry_of(key: str, value: str) -> MetadataEntry:
    """What is shown of a key: its value only where it can be no secret."""
    shown = key.lower() in HARMLESS and len(value) <= _MAX_SWITCH_CHARS
    return MetadataEntry(key=key, chars=len(value), value=value if shown else None)


def ssh_keys(text: str) -> list[SshKey]:
    """Users and fingerprints of `user:algorithm key comment`, one a line."""
    found: list[SshKey] = []
    for line in text.splitlines():
        user, separator, rest = line.strip().partition(":")
        words = rest.split()
        if not separator or len(words) < 2:
            continue
        found.append(SshKey(user=user, algorithm=words[0], fingerprint=_fingerprint(words[1])))
    return found


def windows_users(text: str) -> list[str]:
    """The users of the keys by which passwords of Windows were asked for, one JSON a line."""
    found: dict[str, None] = {}
    for line in text.splitlines():
        try:
            key: Any = json.loads(line)
        except ValueError:
            continue
        if isinstance(key, dict) and isinstance(user := key.get("userName"), str):  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            found[user] = None
    return list(found)


def _fingerprint(key: str) -> str | None:
    try:
        raw = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        return None
    digest = base64.b64encode(hashlib.sha256(raw).digest()).decode().rstrip("=")
    return f"SHA256:{digest}"


def _summary(instance: Any) -> dict[str, Any]:
    # Each attribute of a message of the SDK costs microseconds, and a list has hundreds of them.
    interfaces = list(instance.network_interfaces)
    return {
        "id": str(instance.id),
        "name": instance.name,
        "zone": last(instance.zone),
        "status": instance.status,
        "machine_type": last(instance.machine_type),
        "internal_ips": [each.network_i_p for each in interfaces if each.network_i_p],
        "external_ips": [
            one.nat_i_p for each in interfaces for one in each.access_configs if one.nat_i_p
        ],
        "labels": dict(instance.labels),
        "created_at": moment(instance.creation_timestamp),
        "deletion_protection": instance.deletion_protection,
    }
