"""What is sent to Azure to make a virtual machine and what it needs. Pure."""

from collections.abc import Mapping
from typing import Any


def machine_body(
    location: str,
    tags: Mapping[str, str] | None,
    size: str,
    *,
    image: Mapping[str, str],
    disk_type: str,
    disk_size_gb: int | None,
    profile: Mapping[str, Any],
    interface: str,
) -> dict[str, Any]:
    """A machine with one interface, which goes with it; its disk stays."""
    disk = {
        "createOption": "FromImage",
        "managedDisk": {"storageAccountType": disk_type},
        **({"diskSizeGB": disk_size_gb} if disk_size_gb else {}),
    }
    attached = {"id": interface, "properties": {"primary": True, "deleteOption": "Delete"}}
    return {
        "location": location,
        "tags": dict(tags or {}),
        "properties": {
            "hardwareProfile": {"vmSize": size},
            "storageProfile": {"imageReference": dict(image), "osDisk": disk},
            "osProfile": dict(profile),
            "networkProfile": {"networkInterfaces": [attached]},
        },
    }


def os_profile(
    name: str, admin: str, ssh_public_key: str | None, password: str | None
) -> dict[str, Any]:
    """How one gets into the machine."""
    profile: dict[str, Any] = {"computerName": name[:64], "adminUsername": admin}
    if password is not None:
        return {**profile, "adminPassword": password}
    key = {"path": f"/home/{admin}/.ssh/authorized_keys", "keyData": ssh_public_key}
    return {
        **profile,
        "linuxConfiguration": {
            "disablePasswordAuthentication": True,
            "ssh": {"publicKeys": [key]},
        },
    }


def interface_of(
    location: str, subnet_id: str, address: str | None, tags: Mapping[str, str] | None
) -> dict[str, Any]:
    public = {"publicIPAddress": {"id": address}} if address else {}
    return {
        "location": location,
        "tags": dict(tags or {}),
        "properties": {
            "ipConfigurations": [
                {
                    "name": "ipconfig1",
                    "properties": {
                        "subnet": {"id": subnet_id},
                        "privateIPAllocationMethod": "Dynamic",
                        **public,
                    },
                }
            ]
        },
    }


def address_of(location: str, tags: Mapping[str, str] | None) -> dict[str, Any]:
    return {
        "location": location,
        "tags": dict(tags or {}),
        "sku": {"name": "Standard"},
        "properties": {"publicIPAllocationMethod": "Static", "deleteOption": "Delete"},
    }
