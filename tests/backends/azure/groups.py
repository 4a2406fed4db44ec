"""Subscriptions, resource groups, resources of any type, tags, locks and operations."""

import copy
import re

from tests.backends.azure.estate import TENANT, Json, Refused
from tests.backends.azure.exchange import Reply, Request, accepted, page_of

_FILTER = re.compile(r"(resourceType|tagName|tagValue|name|location) eq '([^']*)'")

PROVIDERS = {
    "microsoft.compute": {"virtualMachines": "2024-07-01", "disks": "2024-03-02"},
    "microsoft.network": {
        "virtualNetworks": "2024-05-01",
        "networkInterfaces": "2024-05-01",
        "networkSecurityGroups": "2024-05-01",
        "publicIPAddresses": "2024-05-01",
    },
    "microsoft.storage": {"storageAccounts": "2023-05-01"},
    "microsoft.web": {"sites": "2023-12-01", "sites/config": "2023-12-01"},
}


def list_subscriptions(request: Request) -> Reply:
    return page_of(
        request,
        [
            {
                "id": f"/subscriptions/{each}",
                "subscriptionId": each,
                "tenantId": TENANT,
                "displayName": name,
                "state": "Enabled",
            }
            for each, name in request.estate.subscriptions.items()
        ],
    )


def list_groups(request: Request) -> Reply:
    return page_of(request, list(request.estate.groups(request.path.split("/")[2])))


def get_group(request: Request) -> Reply:
    return Reply(body=request.estate.find(request.scope))


def put_group(request: Request) -> Reply:
    if not request.body or "location" not in request.body:
        raise Refused(
            400, "LocationRequired", "The location property is required for this definition."
        )
    known = request.estate.resources.get(request.scope.lower())
    if known is not None and known["location"] != request.body["location"]:
        raise Refused(
            409,
            "InvalidResourceGroupLocation",
            f"Invalid resource group location '{request.body['location']}'. The Resource group "
            f"already exists in location '{known['location']}'.",
        )
    name = request.scope.rsplit("/", 1)[1]
    made = request.estate.group(name, request.path.split("/")[2], **request.body.get("tags") or {})
    made["location"] = request.body["location"]
    return Reply(200 if known else 201, made)


def delete_group(request: Request) -> Reply:
    request.estate.find(request.scope)
    request.estate.check_locks(request.scope)
    operation = request.estate.begin(lambda: request.estate.remove(request.scope))
    return accepted(request, operation, provider="", ways=("results",))


def list_resources(request: Request) -> Reply:
    wanted = dict(_FILTER.findall(request.query.get("$filter", "")))
    if request.query.get("$filter") and not wanted:
        raise Refused(400, "InvalidFilterInQueryString", "Invalid $filter in query string.")
    items = []
    for each in request.estate.below(request.scope, wanted.get("resourceType")):
        tags = each.get("tags") or {}
        if "tagName" in wanted and tags.get(wanted["tagName"]) != wanted.get("tagValue"):
            continue
        if "location" in wanted and each["location"] != wanted["location"]:
            continue
        items.append({key: each[key] for key in each if key not in ("properties",)})
    return page_of(request, items)


def get_provider(request: Request) -> Reply:
    known = PROVIDERS.get(request.groups["provider"].lower())
    if known is None:
        raise Refused(404, "InvalidResourceNamespace", "The resource namespace is invalid.")
    return Reply(
        body={
            "namespace": request.groups["provider"],
            "registrationState": "Registered",
            "resourceTypes": [
                {"resourceType": kind, "apiVersions": ["2030-01-01-preview", version, "2019-01-01"]}
                for kind, version in known.items()
            ],
        }
    )


def get_resource(request: Request) -> Reply:
    _check_version(request)
    return Reply(body=copy.deepcopy(request.estate.find(request.scope)))


def delete_resource(request: Request) -> Reply:
    _check_version(request)
    if request.scope.lower() not in request.estate.resources:
        return Reply(204)
    request.estate.check_locks(request.scope)
    if "storageaccounts" in request.scope.lower():
        request.estate.remove(request.scope)
        return Reply(200)
    operation = request.estate.begin(lambda: request.estate.remove(request.scope))
    provider = request.scope.split("/")[6]
    return accepted(request, operation, provider=provider, ways=("location",))


def look(request: Request) -> Reply:
    operation = request.estate.operations.get(request.groups["token"])
    if operation is None:
        raise Refused(404, "OperationNotFound", "The operation was not found.")
    status = operation.look()
    if "operationresults" in request.path.lower() or "monitor" in request.query:
        if status == "InProgress":
            again = f"{request.base}{request.path}?api-version={request.query['api-version']}"
            headers = {"Location": again, "Retry-After": request.estate.retry_after}
            return Reply(202, None, headers)
        if status == "Failed":
            error = operation.error or {}
            raise Refused(409, error["code"], error["message"])
        return Reply(200, operation.result) if operation.result else Reply(204)
    body: Json = {"name": operation.token, "status": status}
    if status == "Failed":
        body["error"] = operation.error
    headers = {"Retry-After": request.estate.retry_after} if status == "InProgress" else {}
    return Reply(200, body, headers)


def list_locks(request: Request) -> Reply:
    own = request.scope.lower()
    found = [
        lock
        for scope, locks in request.estate.locks.items()
        if own == scope or own.startswith(f"{scope}/") or scope.startswith(f"{own}/")
        for lock in locks
    ]
    return Reply(body={"value": found})


def get_tags(request: Request) -> Reply:
    found = _tagged(request)
    return Reply(body=_tags_body(request, found.get("tags") or {}))


def patch_tags(request: Request) -> Reply:
    found = _tagged(request)
    given = request.body["properties"]["tags"]
    now = dict(found.get("tags") or {})
    match request.body["operation"]:
        case "Merge":
            now |= given
        case "Replace":
            now = dict(given)
        case "Delete":
            now = {key: value for key, value in now.items() if given.get(key) != value}
        case other:
            raise Refused(400, "InvalidTagsOperation", f"The operation {other} is not known.")
    if len(now) > 50:
        raise Refused(400, "InvalidTagsCount", "A resource takes 50 tags.")
    found["tags"] = now
    return Reply(body=_tags_body(request, now))


def _tagged(request: Request) -> Json:
    if len(request.scope.split("/")) == 3:
        key = f"{request.scope.lower()}"
        return request.estate.resources.setdefault(key, {"id": request.scope, "tags": {}})
    return request.estate.find(request.scope)


def _tags_body(request: Request, tags: Json) -> Json:
    return {"id": request.path, "name": "default", "properties": {"tags": tags}}


def _check_version(request: Request) -> None:
    parts = request.scope.split("/")
    kinds = parts[7::2]
    known = PROVIDERS.get(parts[6].lower(), {})
    versions = {kind.lower(): version for kind, version in known.items()}
    version = versions.get("/".join(kinds).lower())
    if version is None:
        raise Refused(404, "InvalidResourceType", "The resource type could not be found.")
    asked = request.query["api-version"]
    if asked < "2019" or asked.endswith("preview"):
        raise Refused(
            400,
            "NoRegisteredProviderFound",
            f"No registered resource provider found for API version '{asked}'. The supported "
            f"api-versions are '{version}'.",
        )
