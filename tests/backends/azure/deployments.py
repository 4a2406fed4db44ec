"""Deployments of templates and their what-if, as far as literal resources and parameters go."""

import copy
import re
from collections.abc import Iterator
from typing import Any

from tests.backends.azure.estate import Json, Refused
from tests.backends.azure.exchange import Handler, Reply, Request, accepted

_PARAMETER = re.compile(r"\[parameters\('(\w+)'\)\]")


def routes(subscription: str, group: str) -> Iterator[tuple[str, str, Handler]]:
    del subscription
    own = rf"(?P<scope>{group})/providers/microsoft\.resources/deployments/(?P<name>[^/]+)"
    yield "PUT", own, put
    yield "GET", own, get
    yield "POST", rf"{own}/whatif", what_if
    yield "GET", rf"{own}/operationstatuses/(?P<token>\w+)", look


def put(request: Request) -> Reply:
    estate = request.estate
    estate.find(request.scope)
    asked, resources = _read(request)
    mode = asked["mode"]
    deployment = estate.put(
        {
            "id": request.path,
            "name": request.groups["name"],
            "type": "Microsoft.Resources/deployments",
            "location": "westeurope",
            "properties": {"mode": mode, "provisioningState": "Accepted", "parameters": {}},
        }
    )

    def done() -> None:
        kept = {each["id"].lower() for each in resources} | {request.path.lower()}
        if mode == "Complete":
            for each in list(estate.below(request.scope)):
                if each["id"].lower() not in kept:
                    estate.remove(each["id"])
        for each in resources:
            estate.put(each)
        deployment["properties"]["provisioningState"] = "Succeeded"

    operation = estate.begin(done)
    operation.error = estate.fail_deployments
    place = f"{request.base}{request.path}/operationStatuses/{operation.token}"
    headers = {
        "Azure-AsyncOperation": f"{place}?api-version={request.query['api-version']}",
        "Retry-After": estate.retry_after,
    }
    return Reply(201, deployment, headers)


def get(request: Request) -> Reply:
    return Reply(body=request.estate.find(request.path))


def look(request: Request) -> Reply:
    operation = request.estate.operations.get(request.groups["token"])
    if operation is None:
        raise Refused(404, "DeploymentOperationNotFound", "The operation was not found.")
    status = operation.look()
    body: Json = {"status": "Running" if status == "InProgress" else status}
    if status == "Failed":
        body["error"] = operation.error
    return Reply(body=body, headers={"Retry-After": request.estate.retry_after})


def what_if(request: Request) -> Reply:
    request.estate.find(request.scope)
    asked, resources = _read(request)
    changes: list[Json] = []
    for each in resources:
        known = request.estate.resources.get(each["id"].lower())
        if known is None:
            changes.append({"resourceId": each["id"], "changeType": "Create", "after": each})
            continue
        delta = [
            {
                "path": name,
                "propertyChangeType": "Modify" if name in known else "Create",
                "before": known.get(name),
                "after": each[name],
            }
            for name in ("location", "tags", "properties")
            if each.get(name) != known.get(name)
            and not (name == "properties" and not each.get(name))
        ]
        kind = "Modify" if delta else "NoChange"
        changes.append(
            {
                "resourceId": each["id"],
                "changeType": kind,
                "before": known,
                "after": each,
                "delta": delta,
            }
        )
    wanted = {each["id"].lower() for each in resources}
    for each in request.estate.below(request.scope):
        if each["id"].lower() not in wanted and each["type"] != "Microsoft.Resources/deployments":
            gone = asked["mode"] == "Complete"
            changes.append(
                {
                    "resourceId": each["id"],
                    "changeType": "Delete" if gone else "Ignore",
                    "before": each,
                }
            )
    found = {"status": "Succeeded", "properties": {"correlationId": "c", "changes": changes}}
    operation = request.estate.begin(lambda: found)
    return accepted(request, operation, provider="", ways=("results",))


def _read(request: Request) -> tuple[Json, list[Json]]:
    asked: Json = (request.body or {}).get("properties") or {}
    template: Json = asked.get("template") or {}
    if "$schema" not in template or not isinstance(template.get("resources"), list):
        raise Refused(
            400, "InvalidTemplate", "Deployment template validation failed: '$schema' is missing."
        )
    if asked.get("mode") not in ("Incremental", "Complete"):
        raise Refused(400, "InvalidRequestContent", "The mode is not valid.")
    given = {name: each.get("value") for name, each in (asked.get("parameters") or {}).items()}
    declared: Json = template.get("parameters") or {}
    for name in given:
        if name not in declared:
            raise Refused(
                400, "InvalidTemplate", f"The template parameters '{name}' are not valid."
            )
    for name, each in declared.items():
        if name not in given:
            if "defaultValue" not in each:
                raise Refused(
                    400, "InvalidTemplate", f"The value for the parameter '{name}' is not provided."
                )
            given[name] = each["defaultValue"]
    resources = [_filled(each, given) for each in copy.deepcopy(template["resources"])]
    for each in resources:
        each["id"] = f"{request.scope}/providers/{each['type']}/{each['name']}"
        each.pop("apiVersion", None)
        each.setdefault("properties", {})
    return asked, resources


def _filled(value: Any, given: Json) -> Any:
    if isinstance(value, dict):
        return {key: _filled(each, given) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, given) for each in value]
    if isinstance(value, str) and (found := _PARAMETER.fullmatch(value)):
        return given[found[1]]
    return value
