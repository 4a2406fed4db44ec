"""What a pretended Azure holds: subscriptions, resources, power, locks, running operations."""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
OTHER = "99999999-8888-7777-6666-555555555555"
TENANT = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
CLIENT = "cccccccc-1111-2222-3333-444444444444"
CLIENT_SECRET = "entra-secret-canary-7Q~x1"

SIZES = ("Standard_D2s_v5", "Standard_D4s_v5", "Standard_B2s", "Standard_M416ms_v2")
FAR_SIZE = "Standard_M416ms_v2"
"""A size that a machine only gets when it is deallocated."""

Json = dict[str, Any]


class Refused(Exception):
    """An error of Resource Manager."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass
class Operation:
    """Something that goes on; each look at it brings it nearer to its end."""

    token: str
    looks_left: int
    done: Callable[[], Any]
    error: Json | None = None
    ended: bool = False
    result: Any = None

    def look(self) -> str:
        if not self.ended:
            self.looks_left -= 1
            if self.looks_left < 0:
                self.ended = True
                if self.error is None:
                    self.result = self.done()
        if not self.ended:
            return "InProgress"
        return "Succeeded" if self.error is None else "Failed"


@dataclass
class Estate:
    """`looks`: how often an operation must be looked at; `page`: items of a page of lists."""

    looks: int = 1
    page: int = 50
    retry_after: str = "0"
    subscriptions: dict[str, str] = field(
        default_factory=lambda: {SUBSCRIPTION: "Production", OTHER: "Sandbox"}
    )
    resources: dict[str, Json] = field(default_factory=dict[str, Json])
    power: dict[str, str] = field(default_factory=dict[str, str])
    locks: dict[str, list[Json]] = field(default_factory=dict[str, list[Json]])
    operations: dict[str, Operation] = field(default_factory=dict[str, Operation])
    tokens: set[str] = field(default_factory=set[str])
    client_secret: str = CLIENT_SECRET
    fail_next: Json | None = None
    """The error that the next operation ends with."""
    fail_deployments: Json | None = None
    """The error that deployments end with."""
    prices: dict[str, float] = field(
        default_factory=lambda: {"Standard_D2s_v5": 0.096, "Standard_D4s_v5": 0.192}
    )
    instead: dict[str, tuple[int, Any, dict[str, str]]] = field(
        default_factory=dict[str, tuple[int, Any, dict[str, str]]]
    )
    """What is answered to paths that end so, whatever they ask: status, body, headers."""
    connections: list[asyncio.Transport] = field(default_factory=list[asyncio.Transport])
    """Of each request, in their order."""
    page_tokens: dict[str, int] = field(default_factory=dict[str, int])

    def find(self, resource_id: str) -> Json:
        found = self.resources.get(resource_id.lower())
        if found is None:
            parts = resource_id.split("/")
            if len(parts) > 4 and "/".join(parts[:5]).lower() not in self.resources:
                raise Refused(
                    404, "ResourceGroupNotFound", f"Resource group '{parts[4]}' could not be found."
                )
            raise Refused(
                404,
                "ResourceNotFound",
                f"The Resource '{'/'.join(parts[-3:])}' under resource group "
                f"'{parts[4] if len(parts) > 4 else ''}' was not found.",
            )
        return found

    def put(self, resource: Json) -> Json:
        self.resources[resource["id"].lower()] = resource
        return resource

    def remove(self, resource_id: str) -> None:
        """It and all below it."""
        own = resource_id.lower()
        for each in [key for key in self.resources if key == own or key.startswith(f"{own}/")]:
            del self.resources[each]
            self.power.pop(each, None)

    def below(self, scope: str, kind: str | None = None) -> Iterator[Json]:
        """The resources of a subscription or group, without groups, of one type or all."""
        start = f"{scope.lower()}/"
        for key, each in self.resources.items():
            fits = kind is None or each["type"].lower() == kind.lower()
            if fits and key.startswith(start) and "/providers/" in key:
                yield each

    def groups(self, subscription: str) -> Iterator[Json]:
        for key, each in self.resources.items():
            if (
                key.startswith(f"/subscriptions/{subscription.lower()}/")
                and "/providers/" not in key
            ):
                yield each

    def begin(self, done: Callable[[], Any]) -> Operation:
        error, self.fail_next = self.fail_next, None
        operation = Operation(secrets.token_hex(8), self.looks, done, error)
        self.operations[operation.token] = operation
        return operation

    def check_locks(self, resource_id: str, level: str = "CanNotDelete") -> None:
        own = resource_id.lower()
        for scope, locks in self.locks.items():
            covers = own == scope or own.startswith(f"{scope}/") or scope.startswith(f"{own}/")
            held = any(each["properties"]["level"] in (level, "ReadOnly") for each in locks)
            if covers and held:
                raise Refused(
                    409,
                    "ScopeLocked",
                    f"The scope '{resource_id}' cannot perform delete operation because following "
                    f"scope(s) are locked: '{scope}'. Please remove the lock and try again.",
                )

    def group(self, name: str, subscription: str = SUBSCRIPTION, **tags: str) -> Json:
        return self.put(
            {
                "id": f"/subscriptions/{subscription}/resourceGroups/{name}",
                "name": name,
                "type": "Microsoft.Resources/resourceGroups",
                "location": "westeurope",
                "tags": tags,
                "properties": {"provisioningState": "Succeeded"},
            }
        )

    def resource(
        self,
        group: str,
        kind: str,
        name: str,
        properties: Json | None = None,
        subscription: str = SUBSCRIPTION,
        **more: Any,
    ) -> Json:
        within = f"/subscriptions/{subscription}/resourceGroups/{group}"
        return self.put(
            {
                "id": f"{within}/providers/{kind}/{name}",
                "name": name,
                "type": kind,
                "location": "westeurope",
                "properties": {"provisioningState": "Succeeded", **(properties or {})},
                **more,
            }
        )

    def machine(self, group: str, name: str, power: str = "running", **more: Any) -> Json:
        nic = self.resource(
            group,
            "Microsoft.Network/networkInterfaces",
            f"{name}-nic",
            {
                "ipConfigurations": [
                    {
                        "name": "ipconfig1",
                        "properties": {
                            "privateIPAddress": "10.0.0.4",
                            "subnet": {
                                "id": f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}"
                                "/providers/Microsoft.Network/virtualNetworks/main/subnets/default"
                            },
                        },
                    }
                ]
            },
        )
        found = self.resource(
            group,
            "Microsoft.Compute/virtualMachines",
            name,
            {
                "vmId": secrets.token_hex(16),
                "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
                "storageProfile": {
                    "imageReference": {"publisher": "Canonical", "offer": "ubuntu-24_04-lts"},
                    "osDisk": {
                        "osType": "Linux",
                        "name": f"{name}-os",
                        "diskSizeGB": 30,
                        "deleteOption": "Detach",
                        "managedDisk": {"id": f"{nic['id'].rsplit('/', 4)[0]}/disks/{name}-os"},
                    },
                    "dataDisks": [],
                },
                "osProfile": {"computerName": name, "adminUsername": "azureuser"},
                "networkProfile": {"networkInterfaces": [{"id": nic["id"]}]},
            },
            **more,
        )
        self.power[found["id"].lower()] = power
        return found
