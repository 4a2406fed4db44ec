"""Templates: foretold, deployed, followed; secrets in them are seen by nobody."""

from typing import Any

import pytest

from .conftest import House, Person, furnished

pytestmark = pytest.mark.anyio

STORAGE = "Microsoft.Storage/storageAccounts"
CANARY = "template-canary-5Hq!z"


def template(*names: str, secret: bool = False) -> dict[str, Any]:
    resources = [
        {
            "type": STORAGE,
            "apiVersion": "2023-05-01",
            "name": name,
            "location": "[parameters('place')]",
            "tags": {"made": "by template"},
            **({"properties": {"adminPassword": "[parameters('password')]"}} if secret else {}),
        }
        for name in names
    ]
    parameters: dict[str, Any] = {"place": {"type": "string"}}
    if secret:
        parameters["password"] = {"type": "secureString"}
    return {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "parameters": parameters,
        "resources": resources,
    }


async def test_a_template_is_foretold_deployed_and_followed(house: House) -> None:
    furnished(house.estate, "dep")
    old = house.estate.resource("dep", STORAGE, "old", location="northeurope", tags={})
    person = Person()
    asked = {
        "resourceGroup": "dep",
        "template": template("old", "new"),
        "parameters": {"place": "westeurope"},
    }
    async with house.tools(person) as tools:
        told = await tools("previewDeployment", **asked)
        assert told["counts"] == {"Create": 1, "Modify": 1, "Ignore": 1}
        modified = next(each for each in told["changes"] if each["change"] == "Modify")
        assert {"path": "location", "kind": "Modify", "before": "northeurope"}.items() <= (
            modified["fields"][0].items()
        )
        assert old["location"] == "northeurope"
        begun = await tools("createDeployment", name="first", **asked)
        assert "new" not in [each["name"] for each in house.estate.below(old["id"][:80])]
        assert begun["status"] == "running"
        ended = await tools("getOperation", operationId=begun["operationId"], waitS=10)
    assert ended["status"] == "succeeded"
    question = person.asked[-1]
    assert "+ Microsoft.Storage/storageAccounts new" in question
    assert "- location: northeurope" in question
    assert "+ location: westeurope" in question
    found = house.estate.find(old["id"])
    assert (found["location"], found["tags"]) == ("westeurope", {"made": "by template"})
    assert house.estate.find(old["id"].replace("/old", "/new"))


async def test_complete_deletes_only_where_it_is_said_twice(house: House) -> None:
    furnished(house.estate, "comp")
    gone = house.estate.resource("comp", STORAGE, "gone")
    person = Person()
    asked = {
        "resourceGroup": "comp",
        "name": "all",
        "template": template("stays"),
        "parameters": {"place": "westeurope"},
        "mode": "Complete",
    }
    async with house.tools(person) as tools:
        await tools.refused("invalid_argument", "createDeployment", **asked)
        assert gone["id"].lower() in house.estate.resources
        begun = await tools("createDeployment", **asked, confirmDeletionIn="comp")
        assert "Mode Complete deletes 2 resources" in person.asked[-1]
        await tools("getOperation", operationId=begun["operationId"], waitS=10)
    assert gone["id"].lower() not in house.estate.resources


async def test_a_deployment_that_fails_says_why(house: House) -> None:
    furnished(house.estate, "bad")
    asked = {
        "resourceGroup": "bad",
        "name": "broken",
        "template": template("never"),
        "parameters": {"place": "westeurope"},
    }
    async with house.tools() as tools:
        wrong = {**asked, "parameters": {"place": "westeurope", "more": 1}}
        await tools.refused("invalid_argument", "createDeployment", **wrong)
        error = await tools.refused(
            "invalid_argument",
            "previewDeployment",
            resourceGroup="bad",
            template=template("x"),
        )
        assert error["upstreamCode"] == "InvalidTemplate"
        no_template = {"resourceGroup": "bad", "template": {"resources": []}}
        await tools.refused("invalid_argument", "previewDeployment", **no_template)
        # The what-if of the approval takes one operation, and the next is the deployment.
        house.estate.fail_deployments = {"code": "DeploymentFailed", "message": "Quota exceeded."}
        begun = await tools("createDeployment", **asked)
        ended = await tools("getOperation", operationId=begun["operationId"], waitS=10)
        house.estate.fail_deployments = None
    assert (ended["status"], ended["error"]["message"]) == ("failed", "Quota exceeded.")
    assert not [key for key in house.estate.resources if key.endswith("/never")]


async def test_a_template_that_reads_keys_shows_no_values(house: House) -> None:
    furnished(house.estate, "keys")
    house.estate.resource("keys", STORAGE, "target", tags={"x": CANARY})
    asked = template("target")
    asked["resources"][0]["tags"] = {"x": "[ listKeys('store', '2023-05-01').keys[0].value ]"}
    person = Person("deny")
    whole = {"resourceGroup": "keys", "template": asked, "parameters": {"place": "westeurope"}}
    async with house.tools(person) as tools:
        told = await tools("previewDeployment", **whole)
        await tools.refused("approval_denied", "createDeployment", name="k", **whole)
    assert told["counts"]["Modify"] == 1
    assert "reads keys" in told["note"]
    assert CANARY not in str(told) + person.asked[0]
    assert "reads keys" in person.asked[0]


async def test_a_secure_parameter_reaches_azure_and_nobody_else(house: House) -> None:
    furnished(house.estate, "sec")
    asked = {
        "resourceGroup": "sec",
        "template": template("vault", secret=True),
        "parameters": {"place": "westeurope"},
    }
    person = Person()
    async with house.tools(person) as tools:
        plain = {**asked, "parameters": {"place": "westeurope", "password": CANARY}}
        error = await tools.refused("invalid_argument", "previewDeployment", **plain)
        assert CANARY not in str(error)
        secret = {"secretParameters": {"password": CANARY}}
        told = await tools.raw("previewDeployment", **asked, **secret)
        assert not told.is_error
        assert CANARY not in told.content[0].text
        begun = await tools("createDeployment", name="sealed", **asked, **secret)
        await tools("getOperation", operationId=begun["operationId"], waitS=10)
        (made,) = [each for key, each in house.estate.resources.items() if key.endswith("/vault")]
        assert made["properties"]["adminPassword"] == CANARY
        told = await tools.raw("getResource", id=made["id"])
        assert CANARY not in told.content[0].text
        assert told.structured_content["properties"]["adminPassword"] == "[redacted]"
    assert "May cloud.azure.createDeployment" in person.asked[-1]
    assert CANARY not in person.asked[-1]
