"""The classes that a new CMDB starts with."""

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from cmdb.catalogue import ROOT, CiClass

TEXT: dict[str, Any] = {"type": "string", "maxLength": 2000}
SHORT: dict[str, Any] = {"type": "string", "maxLength": 200}
COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
AMOUNT: dict[str, Any] = {"type": "number", "minimum": 0}
DATE: dict[str, Any] = {"type": "string", "format": "date"}
PORT: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 65535}
IP: dict[str, Any] = {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}
SOURCE: dict[str, Any] = {
    "provider": SHORT,
    "account": SHORT,
    "region": SHORT,
    "zone": SHORT,
    "cluster": SHORT,
    "resource_id": TEXT,
    "resource_type": SHORT,
}
"""Whose an item is, and what it is called there, as the sources of the fleet tell it."""
TAGS: dict[str, Any] = {"type": "array", "items": SHORT, "maxItems": 200}


def _class(
    name: str, parent: str | None, title: str, *, abstract: bool = False, **properties: Any
) -> CiClass:
    schema = {"type": "object", "properties": properties} if properties else {}
    return CiClass(name, parent, title, abstract=abstract, attribute_schema=schema)


SEED_CLASSES: tuple[CiClass, ...] = (
    _class(
        ROOT,
        None,
        "Configuration item",
        abstract=True,
        description=TEXT,
        owner=SHORT,
        environment=SHORT,
        criticality={"enum": ["low", "medium", "high", "critical"]},
        status=SHORT,
        tags={"anyOf": [TAGS, {"type": "object", "maxProperties": 200}]},
    ),
    _class("location", ROOT, "Site, room or region", address=TEXT, country=SHORT, **SOURCE),
    _class("rack", "location", "Rack", units=COUNT),
    _class("group", ROOT, "Group of items or people", purpose=TEXT, **SOURCE),
    _class("cluster", "group", "Cluster", cluster_type=SHORT, version=SHORT, node_count=COUNT),
    _class("kubernetes_cluster", "cluster", "Kubernetes cluster", api_server=SHORT),
    _class(
        "hardware",
        ROOT,
        "Physical device",
        serial_number=SHORT,
        manufacturer=SHORT,
        model=SHORT,
        warranty_until=DATE,
    ),
    _class(
        "network_device",
        "hardware",
        "Network device",
        ip=IP,
        mac=SHORT,
        device_type=SHORT,
        firmware=SHORT,
        ports=COUNT,
    ),
    _class("power_device", "hardware", "Power or cooling device", capacity_w=AMOUNT),
    _class(
        "compute",
        ROOT,
        "Machine",
        abstract=True,
        ip=IP,
        ips={"type": "array", "items": IP, "maxItems": 200},
        fqdn=SHORT,
        os=SHORT,
        os_version=SHORT,
        cpu_count=COUNT,
        memory_mb=AMOUNT,
        disk_gb=AMOUNT,
        **SOURCE,
    ),
    _class(
        "server",
        "compute",
        "Physical server",
        serial_number=SHORT,
        manufacturer=SHORT,
        model=SHORT,
        warranty_until=DATE,
    ),
    _class("virtual_machine", "compute", "Virtual machine", hypervisor=SHORT, instance_uuid=SHORT),
    _class("container", "compute", "Container", image=SHORT, image_digest=SHORT, runtime=SHORT),
    _class("kubernetes_object", ROOT, "Kubernetes object", namespace=SHORT, kind=SHORT, **SOURCE),
    _class("pod", "kubernetes_object", "Pod", ip=IP, node=SHORT, phase=SHORT),
    _class("deployment", "kubernetes_object", "Deployment", replicas=COUNT, image=SHORT),
    _class("platform", ROOT, "Platform that others run on", version=SHORT, vendor=SHORT),
    _class("software", ROOT, "Software", abstract=True, version=SHORT, vendor=SHORT, **SOURCE),
    _class("application", "software", "Application", url=TEXT, repository=TEXT, language=SHORT),
    _class("service", "software", "Service", url=TEXT, port=PORT, protocol=SHORT, sla=SHORT),
    _class("database", "software", "Database", engine=SHORT, port=PORT, size_gb=AMOUNT),
    _class("middleware", "software", "Queue, cache or proxy", engine=SHORT, port=PORT),
    _class(
        "storage",
        ROOT,
        "Storage",
        storage_type=SHORT,
        capacity_gb=AMOUNT,
        used_gb=AMOUNT,
        ip=IP,
        **SOURCE,
    ),
    _class(
        "network",
        ROOT,
        "Network or subnet",
        cidr={"type": "string", "format": "cidr"},
        vlan={"type": "integer", "minimum": 0, "maximum": 4095},
        gateway=IP,
        **SOURCE,
    ),
    _class("load_balancer", "software", "Load balancer", ip=IP, port=PORT, algorithm=SHORT),
    _class("certificate", ROOT, "Certificate", subject=SHORT, issuer=SHORT, not_after=SHORT),
    _class("cloud_resource", ROOT, "Cloud resource", **SOURCE),
)
"""Parents stand before their children: they are inserted in this order."""

FORMER: Mapping[str, frozenset[str]] = {
    "location": frozenset(["474f7a50002db565"]),
    "group": frozenset(["c18ec66821875714"]),
    "compute": frozenset(["2dc0b81d8385552d"]),
    "kubernetes_object": frozenset(["c99b90ef95a0c435"]),
    "software": frozenset(["d839c0e95d05d139"]),
    "storage": frozenset(["0e8be6eda06dec93"]),
    "network": frozenset(["9213f4c69e4dc030"]),
    "cloud_resource": frozenset(["9d9bd7fb28e82271"]),
}
"""The marks of what these classes were seeded with before: so they are known as nobody's work."""


def mark_of(schema: Mapping[str, Any]) -> str:
    """Whether two schemas are the same, whatever the order of their members."""
    written = orjson.dumps(schema, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(written).hexdigest()[:16]
