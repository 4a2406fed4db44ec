"""What must stay secret is in no answer, no approval, no log and no audit row."""

import json
from typing import Any

import pytest
import structlog.testing

from .conftest import House, Person, furnished

pytestmark = pytest.mark.anyio

CANARY = "azure-canary-4Tn9"
PASSWORD = "Chosen-Canary-4Tn9"


def planted(house: House) -> list[str]:
    """Resources full of secrets, as careless services show them."""
    group = furnished(house.estate, "vaults", {"v-1": "running"})
    machine = house.estate.find(f"{group}/providers/Microsoft.Compute/virtualMachines/v-1")
    machine["properties"]["userData"] = CANARY
    machine["properties"]["osProfile"]["secrets"] = [{"value": CANARY}]
    machine["properties"]["osProfile"]["windowsConfiguration"] = {"adminPassword": CANARY}
    settings = [{"name": "DB", "value": f"Server=x;Password={CANARY}"}]
    site = house.estate.resource(
        "vaults",
        "Microsoft.Web/sites",
        "leaky",
        {
            "siteConfig": {"appSettings": settings, "connectionStrings": settings},
            "primaryKey": CANARY,
            "hint": f"https://x.blob.core.windows.net/c?sv=1&sig={CANARY * 3}",
            "raw": json.dumps({"clientSecret": CANARY}),
        },
    )
    store = house.estate.resource(
        "vaults", "Microsoft.Storage/storageAccounts", "store", {"keys": [{"value": CANARY}]}
    )
    return [machine["id"], site["id"], store["id"]]


async def test_no_reading_tool_shows_a_secret(house: House) -> None:
    ids = planted(house)
    everything = "resources | where resourceGroup =~ 'vaults' | project id, properties"
    calls: list[tuple[str, dict[str, Any]]] = [
        *(("getResource", {"id": each}) for each in ids),
        ("getResource", {"id": ids[1], "part": "properties.siteConfig"}),
        ("getVirtualMachine", {"name": "v-1", "resourceGroup": "vaults"}),
        ("listVirtualMachines", {"resourceGroup": "vaults"}),
        ("listStorageAccounts", {"resourceGroup": "vaults"}),
        ("listResources", {"resourceGroup": "vaults"}),
        ("queryResources", {"query": everything}),
    ]
    async with house.tools() as tools:
        with structlog.testing.capture_logs() as logs:
            for tool, asked in calls:
                result = await tools.raw(tool, **asked)
                assert not result.is_error
                assert CANARY not in str(result)
        renamed = {"query": "resources | project id, x = properties.primaryKey"}
        error = await tools.refused("invalid_argument", "queryResources", **renamed)
    assert error["reason"] == "hidden_member"
    assert CANARY not in str(logs)
    # Keys of storage are had by a POST of their own, which nothing here sends.
    assert not house.asked_for("listKeys")


async def test_a_password_is_seen_by_azure_alone(house: House) -> None:
    group = furnished(house.estate, "sealed")
    person = Person()
    asked = {
        "name": "w-1",
        "resourceGroup": "sealed",
        "location": "westeurope",
        "size": "Standard_D2s_v5",
        "image": "MicrosoftWindowsServer:WindowsServer:2022-datacenter:latest",
        "subnetId": f"{group}/providers/Microsoft.Network/virtualNetworks/main/subnets/default",
        "adminUsername": "azureuser",
        "adminPassword": PASSWORD,
    }
    async with house.tools(person) as tools:
        with structlog.testing.capture_logs() as logs:
            begun = await tools("createVirtualMachine", **asked)
        made = house.estate.find(begun["target"])
        assert made["properties"]["osProfile"]["adminPassword"] == PASSWORD
        rows = await tools.client.call_tool("master_audit_query", {"limit": 50})
        told = await tools.raw("getResource", id=begun["target"])
    (question,) = person.asked
    assert "140.16" in question  # Windows costs twice as much
    for seen in (begun, question, logs, rows, told):
        assert PASSWORD not in str(seen)
    assert "createVirtualMachine" in str(rows)
