"""What of a resource is a secret, and what is not."""

from typing import Any

import pytest

from azure_cloud.hiding import shown
from azure_cloud.query_tools import refuse_secrets
from flotilla import InvalidArgument
from flotilla.json_text import to_json

CANARY = "canary-8fK2"


@pytest.mark.parametrize(
    "value",
    [
        {"osProfile": {"adminPassword": CANARY, "customData": CANARY}},
        {"userData": CANARY},
        {"protectedSettings": {"commandToExecute": CANARY}},
        {"settings": {"commandToExecute": f"run {CANARY}"}},
        {"primaryKey": CANARY, "secondaryMasterKey": CANARY, "key1": CANARY, "apiKey": CANARY},
        {"connectionString": CANARY, "primaryConnectionString": CANARY},
        {"text": f"Server=x;AccountKey={CANARY};EndpointSuffix=y"},
        {"url": f"https://x.blob.core.windows.net/a?sv=1&sig={CANARY}"},
        {"parameters": {"p": {"type": "SecureString", "value": CANARY}}},
        {"outputs": {"p": {"type": "secureObject", "value": {"a": CANARY}}}},
        {"siteConfig": {"appSettings": [{"name": "X", "value": CANARY}]}},
        {"connectionStrings": {"db": {"value": CANARY}}},
        {
            "containers": [
                {"properties": {"environmentVariables": [{"name": "A", "value": CANARY}]}}
            ]
        },
        {"sasToken": CANARY, "accessToken": CANARY, "registrationToken": CANARY},
        {"nested": [[{"clientSecret": CANARY}]]},
        {"asText": to_json({"adminPassword": CANARY}).decode()},
        {"windowsConfiguration": {"additionalUnattendContent": [{"content": CANARY}]}},
    ],
)
def test_what_is_secret_in_a_resource_is_not_shown(value: Any) -> None:
    assert CANARY not in to_json(shown(value)).decode()


@pytest.mark.parametrize(
    "value",
    [
        {"disablePasswordAuthentication": True, "enableSecretRotation": "yes"},
        {"keyVaultId": "/subscriptions/x", "secretUri": "https://v.vault.azure.net/secrets/x"},
        {"ssh": {"publicKeys": [{"keyData": "ssh-rsa AAAA", "path": "/home/a"}]}},
        {"adminPassword": None, "hasPassword": False},
        {"type": "string", "value": "plain"},
        {"adminPassword": {"reference": {"keyVault": {"id": "x"}, "secretName": "y"}}},
    ],
)
def test_what_is_no_secret_stays(value: Any) -> None:
    assert shown(value) == value


@pytest.mark.parametrize(
    "query",
    [
        "resources | project x = properties.adminPassword",
        "resources | project x = properties['osProfile']['adminPassword']",
        "resources | extend a = properties . primaryKey",
    ],
)
def test_a_query_cannot_rename_a_secret(query: str) -> None:
    with pytest.raises(InvalidArgument):
        refuse_secrets(query)


def test_other_queries_may_speak_of_secrets() -> None:
    refuse_secrets("resources | where name contains 'secret' | project id, properties.tokenCount")
