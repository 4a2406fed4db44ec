"""The classes that a new CMDB starts with."""

from typing import Any

from cmdb.catalogue import ROOT, CiClass

TEXT: dict[str, Any] = {"type": "string", "maxLength": 2000}
SHORT: dict[str, Any] = {"type": "string", "maxLength": 200}
COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
AMOUNT: dict[str, Any] = {"type": "number", "minimum": 0}
DATE: dict[str, Any] = {"type": "string", "format": "date"}
PORT: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 65535}
IP: dict[str, Any] = {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}
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
    _class("location", ROOT, "Site, room or region", address=TEXT, country=SHORT),
    _class("rack", "location", "Rack", units=COUNT),
    _class("group", ROOT, "Group of items or people", purpose=TEXT),
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
    _class("kubernetes_object", ROOT, "Kubernetes object", namespace=SHORT, kind=SHORT),
    _class("pod", "kubernetes_object", "Pod", ip=IP, node=SHORT, phase=SHORT),
    _class("deployment", "kubernetes_object", "Deployment", replicas=COUNT, image=SHORT),
    _class("platform", ROOT, "Platform that others run on", version=SHORT, vendor=SHORT),
    _class("software", ROOT, "Software", abstract=True, version=SHORT, vendor=SHORT),
    _class("application", "software", "Application", url=TEXT, repository=TEXT, language=SHORT),
    _class("service", "software", "Service", url=TEXT, port=PORT, protocol=SHORT, sla=SHORT),
    _class("database", "software", "Database", engine=SHORT, port=PORT, size_gb=AMOUNT),
    _class("middleware", "software", "Queue, cache or proxy", engine=SHORT, port=PORT),
    _class(
        "storage", ROOT, "Storage", storage_type=SHORT, capacity_gb=AMOUNT, used_gb=AMOUNT, ip=IP
    ),
    _class(
        "network",
        ROOT,
        "Network or subnet",
        cidr={"type": "string", "format": "cidr"},
        vlan={"type": "integer", "minimum": 0, "maximum": 4095},
        gateway=IP,
    ),
    _class("load_balancer", "software", "Load balancer", ip=IP, port=PORT, algorithm=SHORT),
    _class("certificate", ROOT, "Certificate", subject=SHORT, issuer=SHORT, not_after=SHORT),
    _class(
        "cloud_resource",
        ROOT,
        "Cloud resource",
        provider=SHORT,
        region=SHORT,
        account=SHORT,
        resource_id=TEXT,
        resource_type=SHORT,
    ),
)
"""Parents stand before their children: they are inserted in this order."""
