"""What we ask of Azure is what Microsoft's own typed clients ask, and they work with our server.

The spoke speaks to Resource Manager by the SDK's pipeline and leaves its generated models unloaded
(60 MB and over a second of a process that all spokes share). So this compares, request by request.
"""

import json
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from azure.core import MatchConditions
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import AioHttpTransport

from tests.backends.azure.estate import SUBSCRIPTION

from .comparing import done, every, plain, same
from .conftest import House, furnished
from .test_deployments import template
from .test_machines import KEY, to_the_end

# Real: the generated clients alone take seconds to load.
pytestmark = [pytest.mark.anyio, pytest.mark.real]

Sdk = Callable[[Any], Any]
TARGET = {"name": "s-1", "resourceGroup": "sdk"}


class Signed:
    """A credential with a token that the pretended Azure knows."""

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        return AccessToken("sdk-token", int(time.time()) + 3600)

    async def close(self) -> None: ...


@pytest.fixture
async def sdk(house: House) -> AsyncGenerator[Sdk]:
    """`sdk(Client)`: a client of the SDK that talks to the same server."""
    furnished(house.estate, "sdk", {"s-1": "running"})
    house.estate.tokens.add("sdk-token")
    context = ssl.create_default_context(cafile=house.server.trusted)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context), auto_decompress=False
    ) as session:

        def made(client: Any) -> Any:
            url = house.server.url
            return client(
                Signed(),
                SUBSCRIPTION,
                base_url=url,
                credential_scopes=[f"{url}/.default"],
                transport=AioHttpTransport(session=session, session_owner=False),
                polling_interval=0,
            )

        yield made


async def test_machines_are_asked_for_as_by_the_compute_client(house: House, sdk: Sdk) -> None:
    from azure.mgmt.compute.aio import ComputeManagementClient

    vms = sdk(ComputeManagementClient).virtual_machines
    me = ("sdk", "s-1")
    async with house.tools() as tools:

        def turned(tool: str, **more: Any) -> Callable[[], Awaitable[Any]]:
            async def turn() -> None:
                await to_the_end(tools, await tools(tool, **TARGET, **more))

            return turn

        await same(
            house,
            lambda: tools("getVirtualMachine", **TARGET),
            lambda: vms.get(*me, expand="instanceView"),
            "virtualMachines/s-1",
        )
        await same(
            house,
            lambda: tools("listVirtualMachines", resourceGroup="sdk"),
            lambda: every(vms.list("sdk")),
            "/virtualMachines?",
        )
        await same(
            house,
            lambda: tools("listVirtualMachines"),
            lambda: every(vms.list_all()),
            "/virtualMachines?",
        )
        await same(
            house, turned("restartVirtualMachine"), lambda: done(vms.begin_restart(*me)), "/restart"
        )
        await same(
            house, turned("stopVirtualMachine"), lambda: done(vms.begin_deallocate(*me)), "alloc"
        )
        size = {"hardwareProfile": {"vmSize": "Standard_B2s"}}
        await same(
            house,
            turned("resizeVirtualMachine", size="Standard_B2s"),
            lambda: done(vms.begin_update(*me, {"properties": size})),
            "PATCH",
        )
        await same(
            house, turned("startVirtualMachine"), lambda: done(vms.begin_start(*me)), "/start"
        )
        await same(
            house,
            turned("stopVirtualMachine", deallocate=False),
            lambda: done(vms.begin_power_off(*me)),
            "/powerOff",
        )
        await same(
            house,
            turned("deleteVirtualMachine", confirmName="s-1"),
            lambda: done(vms.begin_delete(*me)),
            "DELETE",
        )


async def test_a_machine_is_made_as_by_the_typed_models(house: House, sdk: Sdk) -> None:
    from azure.mgmt.compute import models
    from azure.mgmt.compute.aio import ComputeManagementClient
    from azure.mgmt.network.aio import NetworkManagementClient

    group = furnished(house.estate, "sdk")
    subnet = f"{group}/providers/Microsoft.Network/virtualNetworks/main/subnets/default"
    nic = f"{group}/providers/Microsoft.Network/networkInterfaces/typed-nic"
    async with house.tools() as tools:
        begun = await tools(
            "createVirtualMachine",
            name="typed",
            resourceGroup="sdk",
            location="westeurope",
            size="Standard_B2s",
            image="Canonical:ubuntu-24_04-lts:server:latest",
            subnetId=subnet,
            adminUsername="azureuser",
            sshPublicKey=KEY,
            osDiskSizeGb=64,
        )
        await to_the_end(tools, begun)
        ours = [plain(each) for each in house.server.asked if each.method == "PUT"]
        await to_the_end(
            tools,
            await tools(
                "deleteVirtualMachine", name="typed", resourceGroup="sdk", confirmName="typed"
            ),
        )
        house.estate.remove(nic)
    house.server.asked.clear()
    interface = {
        "location": "westeurope",
        "tags": {},
        "properties": {
            "ipConfigurations": [
                {
                    "name": "ipconfig1",
                    "properties": {
                        "subnet": {"id": subnet},
                        "privateIPAllocationMethod": "Dynamic",
                    },
                }
            ]
        },
    }
    interfaces = sdk(NetworkManagementClient).network_interfaces
    made = await done(interfaces.begin_create_or_update("sdk", "typed-nic", interface))
    assert made.ip_configurations[0].private_ip_address == "10.0.0.9"
    machine = models.VirtualMachine(
        location="westeurope",
        tags={},
        hardware_profile=models.HardwareProfile(vm_size="Standard_B2s"),
        storage_profile=models.StorageProfile(
            image_reference=models.ImageReference(
                publisher="Canonical", offer="ubuntu-24_04-lts", sku="server", version="latest"
            ),
            os_disk=models.OSDisk(
                create_option="FromImage",
                disk_size_gb=64,
                managed_disk=models.ManagedDiskParameters(storage_account_type="StandardSSD_LRS"),
            ),
        ),
        os_profile=models.OSProfile(
            computer_name="typed",
            admin_username="azureuser",
            linux_configuration=models.LinuxConfiguration(
                disable_password_authentication=True,
                ssh=models.SshConfiguration(
                    public_keys=[
                        models.SshPublicKey(
                            path="/home/azureuser/.ssh/authorized_keys", key_data=KEY
                        )
                    ]
                ),
            ),
        ),
        network_profile=models.NetworkProfile(
            network_interfaces=[
                models.NetworkInterfaceReference(id=nic, primary=True, delete_option="Delete")
            ]
        ),
    )
    vms = sdk(ComputeManagementClient).virtual_machines
    missing = {"match_condition": MatchConditions.IfMissing}
    typed = await done(vms.begin_create_or_update("sdk", "typed", machine, **missing))
    assert typed.provisioning_state == "Succeeded"
    theirs = [plain(each) for each in house.server.asked if each.method == "PUT"]
    assert ours == theirs


async def test_resources_are_asked_for_as_by_the_resource_client(house: House, sdk: Sdk) -> None:
    from azure.mgmt.resource.resources.aio import ResourceManagementClient

    client = sdk(ResourceManagementClient)
    kind = "Microsoft.Storage/storageAccounts"
    store = house.estate.resource("sdk", kind, "store")["id"]
    async with house.tools() as tools:
        await same(
            house,
            lambda: tools("listResources", resourceGroup="sdk", type=kind, limit=5),
            lambda: every(
                client.resources.list_by_resource_group(
                    "sdk", filter=f"resourceType eq '{kind}'", top=5
                )
            ),
            "/resources?",
        )
        await same(
            house,
            lambda: tools("listResourceGroups", limit=100),
            lambda: every(client.resource_groups.list(top=100)),
            "/resourcegroups?",
        )
        await same(
            house,
            lambda: tools("getResource", id=store),
            lambda: client.resources.get_by_id(store, api_version="2023-05-01"),
            "storageAccounts/store",
        )
        await same(
            house,
            lambda: tools("createResourceGroup", name="sdk-1", location="westeurope", tags={}),
            lambda: client.resource_groups.create_or_update(
                "sdk-1", {"location": "westeurope", "tags": {}}
            ),
            "PUT",
        )
        tags = {"operation": "Merge", "properties": {"tags": {"a": "b"}}}
        await same(
            house,
            lambda: tools("tagResource", id=store, tags={"a": "b"}),
            lambda: client.tags.begin_update_at_scope(store[1:], tags),
            "PATCH",
        )

        async def delete() -> None:
            begun = await tools("deleteResourceGroup", name="sdk-1", confirmName="sdk-1")
            await to_the_end(tools, begun)
            house.estate.group("sdk-1")

        await same(
            house, delete, lambda: done(client.resource_groups.begin_delete("sdk-1")), "DELETE"
        )
    assert not [key for key in house.estate.resources if key.endswith("/sdk-1")]


async def test_networks_storage_and_questions_are_asked_as_by_their_clients(
    house: House, sdk: Sdk
) -> None:
    from azure.mgmt.costmanagement.aio import CostManagementClient
    from azure.mgmt.network.aio import NetworkManagementClient
    from azure.mgmt.resourcegraph.aio import ResourceGraphClient
    from azure.mgmt.resourcegraph.models import QueryRequest, QueryRequestOptions
    from azure.mgmt.storage.aio import StorageManagementClient

    network, storage = sdk(NetworkManagementClient), sdk(StorageManagementClient)
    graph = sdk(lambda credential, _, **more: ResourceGraphClient(credential, **more))
    cost = sdk(lambda credential, _, **more: CostManagementClient(credential, **more))
    query = "resources | project id"
    scope = f"subscriptions/{SUBSCRIPTION}"
    definition = {
        "type": "ActualCost",
        "timeframe": "MonthToDate",
        "dataset": {
            "granularity": "Daily",
            "aggregation": {"totalCost": {"name": "Cost", "function": "Sum"}},
            "grouping": [{"type": "Dimension", "name": "ResourceGroupName"}],
        },
    }
    async with house.tools() as tools:
        await same(
            house,
            lambda: tools("listVirtualNetworks"),
            lambda: every(network.virtual_networks.list_all()),
            "/virtualNetworks?",
        )
        await same(
            house,
            lambda: tools("listNetworkSecurityGroups", resourceGroup="sdk"),
            lambda: every(network.network_security_groups.list("sdk")),
            "/networkSecurityGroups?",
        )
        await same(
            house,
            lambda: tools("listStorageAccounts", resourceGroup="sdk"),
            lambda: every(storage.storage_accounts.list_by_resource_group("sdk")),
            "/storageAccounts?",
        )
        options = QueryRequestOptions(top=50)
        request = QueryRequest(subscriptions=[SUBSCRIPTION], query=query, options=options)

        async def asked() -> None:
            await tools("queryResources", query=query, subscriptions=[SUBSCRIPTION])
            sent = json.loads(house.server.asked[-1].body)
            sent["options"]["allowPartialScopes"] = False  # the SDK says the default
            house.server.asked[-1].body = json.dumps(sent).encode()

        await same(house, asked, lambda: graph.resources(request), "ResourceGraph")
        await same(
            house,
            lambda: tools("queryCost", granularity="daily", groupBy=["resourceGroupName"]),
            lambda: cost.query.usage(scope, definition),
            "CostManagement",
        )


async def test_deployments_are_asked_for_as_by_their_client(house: House, sdk: Sdk) -> None:
    from azure.mgmt.resource.deployments.aio import DeploymentsMgmtClient

    deployments = sdk(DeploymentsMgmtClient).deployments
    place = {"place": {"value": "westeurope"}}
    properties: dict[str, Any] = {
        "mode": "Incremental",
        "template": template("from-template"),
        "parameters": place,
    }
    asked = {
        "resourceGroup": "sdk",
        "template": properties["template"],
        "parameters": {"place": "westeurope"},
    }
    async with house.tools() as tools:

        async def deployed() -> None:
            await to_the_end(tools, await tools("createDeployment", name="preview", **asked))

        settings = {"whatIfSettings": {"resultFormat": "FullResourcePayloads"}}
        foretold = {"properties": {**properties, **settings}}
        await same(
            house,
            lambda: tools("previewDeployment", **asked),
            lambda: done(deployments.begin_what_if("sdk", "preview", foretold)),
            "/whatIf",
        )
        await same(
            house,
            deployed,
            lambda: done(
                deployments.begin_create_or_update("sdk", "preview", {"properties": properties})
            ),
            "PUT",
        )
