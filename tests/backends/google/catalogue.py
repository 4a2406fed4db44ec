"""What Google itself offers: machine types, images, and a project's networks and rules."""

from typing import Any

from tests.backends.google.world import API

MACHINE_TYPES: list[dict[str, Any]] = [
    {"name": "e2-medium", "guestCpus": 2, "memoryMb": 4096, "isSharedCpu": True},
    {"name": "e2-standard-2", "guestCpus": 2, "memoryMb": 8192, "isSharedCpu": False},
    {"name": "n2-standard-8", "guestCpus": 8, "memoryMb": 32768, "isSharedCpu": False},
    {
        "name": "n1-standard-1",
        "guestCpus": 1,
        "memoryMb": 3840,
        "deprecated": {"state": "DEPRECATED", "replacement": "n2-standard-2"},
    },
]
IMAGES: list[dict[str, Any]] = [
    {
        "name": "debian-12-bookworm-v20240101",
        "family": "debian-12",
        "diskSizeGb": "10",
        "status": "READY",
        "architecture": "X86_64",
        "deprecated": {"state": "DEPRECATED"},
    },
    {
        "name": "debian-12-bookworm-v20240501",
        "family": "debian-12",
        "diskSizeGb": "10",
        "status": "READY",
        "architecture": "X86_64",
    },
]
NETWORKS: list[dict[str, Any]] = [
    {
        "name": "default",
        "autoCreateSubnetworks": True,
        "mtu": 1460,
        "routingConfig": {"routingMode": "REGIONAL"},
        "subnetworks": [f"{API}/projects/p/regions/europe-west1/subnetworks/default"],
    },
    {"name": "dmz", "autoCreateSubnetworks": False, "mtu": 1500},
]
FIREWALLS: list[dict[str, Any]] = [
    {
        "name": "default-allow-ssh",
        "network": f"{API}/projects/p/global/networks/default",
        "direction": "INGRESS",
        "priority": 65534,
        "sourceRanges": ["0.0.0.0/0"],
        "allowed": [{"IPProtocol": "tcp", "ports": ["22"]}],
        "disabled": False,
    },
    {
        "name": "dmz-deny-all",
        "network": f"{API}/projects/p/global/networks/dmz",
        "direction": "EGRESS",
        "priority": 1000,
        "destinationRanges": ["0.0.0.0/0"],
        "denied": [{"IPProtocol": "all"}],
        "disabled": True,
    },
]


def named(items: list[dict[str, Any]], project: str, zone: str | None) -> list[dict[str, Any]]:
    """The items as that project sees them, with IDs and times."""
    place = f"zones/{zone}" if zone else "global"
    return [
        {
            "id": str(4000 + at),
            "creationTimestamp": "2024-05-01T03:00:00.000-07:00",
            "selfLink": f"{API}/projects/{project}/{place}/{each['name']}",
            **({"zone": zone} if zone else {}),
            **each,
        }
        for at, each in enumerate(items)
    ]
