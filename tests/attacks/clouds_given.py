"""Arguments with which each tool of a provider does what it is for, on something made for it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tests.backends.azure.estate import SUBSCRIPTION
from tests.backends.kube.things import deployment, node, pod

from .clouds import GROUP, PROJECT, ZONE, Clouds
from .schemas import least

Made = Callable[[Clouds], Awaitable[dict[str, Any]]]

TEMPLATE = {
    "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
    "contentVersion": "1.0.0.0",
    "parameters": {"place": {"type": "string"}, "word": {"type": "secureString"}},
    "resources": [
        {
            "type": "Microsoft.Storage/storageAccounts",
            "apiVersion": "2023-05-01",
            "name": "made",
            "location": "[parameters('place')]",
            "properties": {"adminPassword": "[parameters('word')]"},
        }
    ],
}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ0c2VjcmV0bm90aGluZ29mdGhla2luZA ada@acme"


async def given(clouds: Clouds, tool: str) -> dict[str, Any]:
    """For a tool that is not named here, the least that it takes."""
    if (made := MADE.get(tool)) is not None:
        return await made(clouds)
    if tool in READY:
        return dict(READY[tool])
    schema = clouds.listing[tool]["inputSchema"]
    return least(schema, schema)


def furnish(clouds: Clouds) -> None:
    """What is there before anybody comes."""
    estate = clouds.estate
    estate.looks = 0
    estate.group(GROUP, owner="ada")
    space = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}
    network = "Microsoft.Network/virtualNetworks"
    vnet = estate.resource(GROUP, network, "main", space)
    vnet["properties"]["subnets"] = [
        {
            "name": "default",
            "id": f"{vnet['id']}/subnets/default",
            "properties": {"addressPrefix": "10.0.0.0/24"},
        }
    ]
    clouds.google.world.looks = 0
    clouds.google.world.instance(PROJECT, ZONE, "web-1")
    clouds.google.world.bucket(PROJECT, "acme-logs", ["a", "b"])
    clouds.kube.put("Node", node("node-1"))
    clouds.kube.put("Pod", pod("web"))
    clouds.kube.logs["default", "web", "app"] = ["2026-01-02T03:04:05Z up"]
    clouds.kube.put("Deployment", deployment("shop"))
    clouds.now.add("cmdb_ci_linux_server", name="web-1", serial_number="S1")


def _name(clouds: Clouds) -> str:
    return f"n{next(clouds.numbers)}"


def _machine(power: str, **more: Any) -> Made:
    async def made(clouds: Clouds) -> dict[str, Any]:
        name = _name(clouds)
        clouds.estate.machine(GROUP, name, power)
        again = {"confirmName": name} if more.get("confirm") else {}
        rest = {key: value for key, value in more.items() if key != "confirm"}
        return {"name": name, "resourceGroup": GROUP, **again, **rest}

    return made


async def _azure_new(clouds: Clouds) -> dict[str, Any]:
    vnet = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Network"
    return {
        "name": _name(clouds),
        "resourceGroup": GROUP,
        "location": "westeurope",
        "size": "Standard_D2s_v5",
        "image": "Canonical:ubuntu-24_04-lts:server:latest",
        "subnetId": f"{vnet}/virtualNetworks/main/subnets/default",
        "adminUsername": "azureuser",
        "sshPublicKey": KEY,
        "tags": {"owner": "ada"},
    }


async def _storage(clouds: Clouds) -> str:
    kind = "Microsoft.Storage/storageAccounts"
    return clouds.estate.resource(GROUP, kind, _name(clouds), tags={"a": "b"})["id"]


async def _resource(clouds: Clouds) -> dict[str, Any]:
    return {"id": await _storage(clouds)}


async def _tagged(clouds: Clouds) -> dict[str, Any]:
    return {"id": await _storage(clouds), "tags": {"owner": "ada"}}


async def _gone(clouds: Clouds) -> dict[str, Any]:
    found = await _storage(clouds)
    return {"id": found, "confirmName": found.rpartition("/")[2]}


async def _group_gone(clouds: Clouds) -> dict[str, Any]:
    name = _name(clouds)
    clouds.estate.group(name)
    return {"name": name, "confirmName": name}


async def _group_new(clouds: Clouds) -> dict[str, Any]:
    return {"name": _name(clouds), "location": "westeurope", "tags": {"owner": "ada"}}


async def _deployed(clouds: Clouds) -> dict[str, Any]:
    return {**DEPLOYED, "name": _name(clouds)}


async def _azure_operation(clouds: Clouds) -> dict[str, Any]:
    started = await clouds.call(
        "cloud.azure.startVirtualMachine", **await _machine("deallocated")(clouds)
    )
    return {"operationId": started["operationId"]}


def _instance(status: str = "RUNNING", **more: Any) -> Made:
    async def made(clouds: Clouds) -> dict[str, Any]:
        name = _name(clouds)
        clouds.google.world.instance(PROJECT, ZONE, name, status=status)
        again = {"confirmName": name} if more.get("confirm") else {}
        rest = {key: value for key, value in more.items() if key != "confirm"}
        return {"instance": name, "zone": ZONE, **again, **rest}

    return made


async def _snapshot(clouds: Clouds) -> dict[str, Any]:
    name = _name(clouds)
    clouds.google.world.disk(PROJECT, ZONE, name)
    return {"disk": name, "zone": ZONE, "snapshotName": f"s-{name}", "labels": {"a": "b"}}


async def _disk_gone(clouds: Clouds) -> dict[str, Any]:
    name = _name(clouds)
    clouds.google.world.disk(PROJECT, ZONE, name)
    return {"disk": name, "zone": ZONE, "confirmName": name}


async def _google_new(clouds: Clouds) -> dict[str, Any]:
    return {
        "name": _name(clouds),
        "zone": ZONE,
        "machineType": "e2-standard-2",
        "image": "debian-cloud/family/debian-12",
        "labels": {"owner": "ada"},
        "networkTags": ["web"],
        "sshPublicKeys": [f"ada:{KEY}"],
    }


async def _google_operation(clouds: Clouds) -> dict[str, Any]:
    begun = await clouds.call("cloud.gcp.startInstance", **await _instance("TERMINATED")(clouds))
    return {"operationId": begun["operationId"]}


def _on_machine(**more: Any) -> Made:
    async def made(clouds: Clouds) -> dict[str, Any]:
        return {"name": f"DC0_H0_VM{next(clouds.numbers) % 120}", **more}

    return made


async def _vmware_off(clouds: Clouds) -> dict[str, Any]:
    found = await _on_machine()(clouds)
    begun = await clouds.caller.call("infra.vmware.powerOff", found)
    if begun.code is None:
        task = begun.structured["taskId"]
        await clouds.call("infra.vmware.getTask", taskId=task, waitS=20)
    return found


async def _vmware_gone(clouds: Clouds) -> dict[str, Any]:
    # A copy: those that others are tried on stay.
    asked = await _vmware_clone(clouds)
    begun = await clouds.call("infra.vmware.cloneVirtualMachine", **asked)
    task = await clouds.call("infra.vmware.getTask", taskId=begun["taskId"], waitS=20)
    return {"vmId": task["resultId"], "name": asked["newName"]}


async def _vmware_clone(clouds: Clouds) -> dict[str, Any]:
    return {**await _on_machine()(clouds), "newName": _name(clouds)}


async def _vmware_snapshot(clouds: Clouds) -> dict[str, Any]:
    found = await _on_machine()(clouds)
    begun = await clouds.call("infra.vmware.createSnapshot", **found, snapshotName="kept")
    task = await clouds.call("infra.vmware.getTask", taskId=begun["taskId"], waitS=20)
    return {**found, "snapshotId": task["resultId"]}


async def _vmware_task(clouds: Clouds) -> dict[str, Any]:
    begun = await clouds.call(
        "infra.vmware.createSnapshot", **await _on_machine()(clouds), snapshotName="kept"
    )
    return {"taskId": begun["taskId"]}


async def _vmware_moved(clouds: Clouds) -> dict[str, Any]:
    hosts = await clouds.call("infra.vmware.listHosts")
    return {**await _on_machine()(clouds), "hostId": hosts["items"][0]["hostId"]}


async def _vmware_host(clouds: Clouds) -> dict[str, Any]:
    hosts = await clouds.call("infra.vmware.listHosts")
    return {"hostId": hosts["items"][0]["hostId"]}


async def _pod(clouds: Clouds) -> dict[str, Any]:
    name = _name(clouds)
    owner = {"kind": "ReplicaSet", "name": "rs", "uid": "u", "controller": True}
    clouds.kube.put("Pod", pod(name, owner=owner))
    return {"name": name}


async def _exec(clouds: Clouds) -> dict[str, Any]:
    return {**await _pod(clouds), "command": ["echo", "x"]}


async def _config(clouds: Clouds) -> dict[str, Any]:
    name = _name(clouds)
    thing = {"metadata": {"name": name, "namespace": "default"}, "data": {"a": "b"}}
    clouds.kube.put("ConfigMap", thing)
    return {"kind": "configmaps", "name": name}


async def _patch(clouds: Clouds) -> dict[str, Any]:
    return {**await _config(clouds), "patch": '{"data": {"a": "c"}}'}


async def _manifest(clouds: Clouds) -> dict[str, Any]:
    name = _name(clouds)
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  a: b\n"
    return {"manifest": text, "namespace": "default"}


async def _items(clouds: Clouds) -> dict[str, Any]:
    made = await clouds.call(
        "data.cmdb.createItem",
        ciClass="server",
        name=_name(clouds),
        attributes={"serial_number": _name(clouds)},
    )
    return {"items": [{"id": made["id"], "expectedVersion": made["version"]}]}


DEPLOYED: Mapping[str, Any] = {
    "resourceGroup": GROUP,
    "template": TEMPLATE,
    "parameters": {"place": "westeurope"},
    "secretParameters": {"word": "of-no-worth-Xy9"},
}

READY: Mapping[str, Mapping[str, Any]] = {
    "cloud.azure.getResourceGroup": {"name": GROUP},
    "cloud.azure.listVirtualMachines": {"resourceGroup": GROUP},
    "cloud.azure.queryResources": {"query": "resources | project id, name | order by id asc"},
    "cloud.azure.previewDeployment": DEPLOYED,
    "cloud.gcp.getInstance": {"instance": "web-1"},
    "cloud.gcp.getSerialOutput": {"instance": "web-1"},
    "cloud.gcp.listMachineTypes": {"zone": ZONE},
    "cloud.gcp.listObjects": {"bucket": "acme-logs"},
    "infra.k8s.getPod": {"name": "web"},
    "infra.k8s.getPodLogs": {"name": "web"},
    "infra.k8s.getRolloutStatus": {"name": "shop"},
    "infra.k8s.getResource": {"kind": "deployments", "name": "shop"},
    "infra.k8s.listResources": {"kind": "pods"},
    "infra.k8s.canI": {"verb": "get", "kind": "pods"},
    "infra.k8s.scaleDeployment": {"name": "shop", "replicas": 2},
    "infra.k8s.restartDeployment": {"name": "shop"},
    "infra.k8s.drainNode": {"node": "node-1", "action": "cordon"},
    "data.cmdb.queryServiceNow": {
        "table": "cmdb_ci_server",
        "conditions": [{"field": "name", "value": "web-1"}],
        "anyOf": [{"field": "serial_number", "value": "S1"}],
        "fields": ["name"],
    },
    "data.cmdb.pullServiceNow": {
        "table": "cmdb_ci_linux_server",
        "conditions": [{"field": "name", "value": "web-1"}],
        "dryRun": True,
    },
}

MADE: Mapping[str, Made] = {
    "cloud.azure.getVirtualMachine": _machine("running"),
    "cloud.azure.startVirtualMachine": _machine("deallocated"),
    "cloud.azure.stopVirtualMachine": _machine("running"),
    "cloud.azure.restartVirtualMachine": _machine("running"),
    "cloud.azure.resizeVirtualMachine": _machine("running", size="Standard_D4s_v5"),
    "cloud.azure.deleteVirtualMachine": _machine("running", confirm=True),
    "cloud.azure.createVirtualMachine": _azure_new,
    "cloud.azure.getResource": _resource,
    "cloud.azure.tagResource": _tagged,
    "cloud.azure.deleteResource": _gone,
    "cloud.azure.createResourceGroup": _group_new,
    "cloud.azure.deleteResourceGroup": _group_gone,
    "cloud.azure.createDeployment": _deployed,
    "cloud.azure.getOperation": _azure_operation,
    "cloud.gcp.startInstance": _instance("TERMINATED"),
    "cloud.gcp.stopInstance": _instance(),
    "cloud.gcp.resetInstance": _instance(),
    "cloud.gcp.setInstanceLabels": _instance(labels={"owner": "ada"}),
    "cloud.gcp.deleteInstance": _instance(confirm=True),
    "cloud.gcp.createDiskSnapshot": _snapshot,
    "cloud.gcp.deleteDisk": _disk_gone,
    "cloud.gcp.createInstance": _google_new,
    "cloud.gcp.getOperation": _google_operation,
    "infra.vmware.getVirtualMachine": _on_machine(),
    "infra.vmware.listSnapshots": _on_machine(),
    "infra.vmware.createSnapshot": _on_machine(snapshotName="kept"),
    "infra.vmware.revertSnapshot": _vmware_snapshot,
    "infra.vmware.removeSnapshot": _vmware_snapshot,
    "infra.vmware.getPerformance": _on_machine(),
    "infra.vmware.getTask": _vmware_task,
    "infra.vmware.getHost": _vmware_host,
    "infra.vmware.powerOn": _vmware_off,
    "infra.vmware.powerOff": _on_machine(),
    "infra.vmware.shutdownGuest": _on_machine(),
    "infra.vmware.reboot": _on_machine(force=True),
    "infra.vmware.cloneVirtualMachine": _vmware_clone,
    "infra.vmware.reconfigureVirtualMachine": _on_machine(notes="x"),
    "infra.vmware.migrateVirtualMachine": _vmware_moved,
    "infra.vmware.deleteVirtualMachine": _vmware_gone,
    "infra.k8s.execInPod": _exec,
    "infra.k8s.deletePod": _pod,
    "infra.k8s.deleteResource": _config,
    "infra.k8s.patchResource": _patch,
    "infra.k8s.diffManifest": _manifest,
    "infra.k8s.applyManifest": _manifest,
    "data.cmdb.previewServiceNowPush": _items,
    "data.cmdb.pushServiceNow": _items,
}

REFUSED: Mapping[str, str] = {
    "infra.k8s.rollbackDeployment": "not_found",
}
"""What these answer to the least that they take."""
