"""Networks and storage accounts of the pretended Azure."""

import copy
from collections.abc import Iterator

from tests.backends.azure.estate import Json, Refused
from tests.backends.azure.exchange import Handler, Reply, Request, accepted, page_of

NETWORK = "Microsoft.Network"


def routes(subscription: str, group: str) -> Iterator[tuple[str, str, Handler]]:
    for kind, provider in (
        ("virtualNetworks", r"microsoft\.network"),
        ("networkSecurityGroups", r"microsoft\.network"),
        ("storageAccounts", r"microsoft\.storage"),
    ):
        for scope in (subscription, group):
            yield "GET", rf"(?P<scope>{scope})/providers/{provider}/(?P<kind>{kind})", listed
    nic = rf"(?P<scope>{group}/providers/microsoft\.network/networkinterfaces/[^/]+)"
    yield "PUT", nic, put_interface
    address = rf"(?P<scope>{group}/providers/microsoft\.network/publicipaddresses/[^/]+)"
    yield "PUT", address, put_address


def listed(request: Request) -> Reply:
    provider = "Microsoft.Storage" if "storage" in request.path.lower() else NETWORK
    kind = f"{provider}/{request.groups['kind']}"
    return page_of(request, list(request.estate.below(request.scope, kind)))


def put_interface(request: Request) -> Reply:
    estate = request.estate
    estate.find("/".join(request.scope.split("/")[:5]))
    for each in request.body["properties"]["ipConfigurations"]:
        subnet = each["properties"]["subnet"]["id"]
        vnet, _, name = subnet.rpartition("/subnets/")
        found = estate.resources.get(vnet.lower())
        names = [inner["name"] for inner in (found or {}).get("properties", {}).get("subnets", [])]
        if name not in names:
            raise Refused(
                400,
                "InvalidResourceReference",
                f"Resource {subnet} referenced by resource {request.scope} was not found.",
            )
        each["properties"]["privateIPAddress"] = "10.0.0.9"
    return _put(request, "Microsoft.Network/networkInterfaces")


def put_address(request: Request) -> Reply:
    return _put(request, "Microsoft.Network/publicIPAddresses")


def _put(request: Request, kind: str) -> Reply:
    made: Json = {
        "id": request.scope,
        "name": request.scope.rsplit("/", 1)[1],
        "type": kind,
        **copy.deepcopy(request.body),
    }
    made["properties"]["provisioningState"] = "Updating"
    request.estate.put(made)
    operation = request.estate.begin(
        lambda: made["properties"].update({"provisioningState": "Succeeded"})
    )
    return accepted(
        request, operation, provider=NETWORK, status=201, body=made, ways=("operation",)
    )
