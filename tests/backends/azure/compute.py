"""Virtual machines of the pretended Azure."""

import copy

from tests.backends.azure.estate import FAR_SIZE, SIZES, Json, Refused
from tests.backends.azure.exchange import Reply, Request, accepted, page_of

KIND = "Microsoft.Compute/virtualMachines"
COMPUTE = "Microsoft.Compute"
AFTER = {
    "start": "running",
    "deallocate": "deallocated",
    "poweroff": "stopped",
    "restart": "running",
}


def list_machines(request: Request) -> Reply:
    items = [_plain(each) for each in request.estate.below(request.scope, KIND)]
    return page_of(request, items)


def get_machine(request: Request) -> Reply:
    found = request.estate.find(request.scope)
    seen = _plain(found)
    if request.query.get("$expand") == "instanceView":
        power = request.estate.power.get(request.scope.lower(), "running")
        seen["properties"]["instanceView"] = {
            "vmAgent": {"vmAgentVersion": "2.11.1"},
            "statuses": [
                {"code": "ProvisioningState/succeeded", "displayStatus": "Provisioning succeeded"},
                {"code": f"PowerState/{power}", "displayStatus": f"VM {power}"},
            ],
        }
    return Reply(body=seen)


def turn_machine(request: Request) -> Reply:
    machine = request.estate.find(request.scope)
    action = request.groups["action"].lower()
    key = machine["id"].lower()
    if action == "restart" and request.estate.power.get(key) != "running":
        raise Refused(
            409, "OperationNotAllowed", "Operation 'restart' is not allowed: the VM is not running."
        )

    def done() -> None:
        request.estate.power[key] = AFTER[action]

    return accepted(request, request.estate.begin(done), provider=COMPUTE)


def put_machine(request: Request) -> Reply:
    body: Json = request.body
    if request.headers.get("If-None-Match") == "*" and (
        request.scope.lower() in request.estate.resources
    ):
        raise Refused(412, "PreconditionFailed", "The resource exists already.")
    for member in ("hardwareProfile", "storageProfile", "osProfile", "networkProfile"):
        if member not in body.get("properties", {}):
            raise Refused(400, "InvalidParameter", f"Required parameter '{member}' is missing.")
    for each in body["properties"]["networkProfile"]["networkInterfaces"]:
        if each["id"].lower() not in request.estate.resources:
            raise Refused(
                400, "InvalidResourceReference", f"Resource {each['id']} referenced was not found."
            )
    if body["properties"]["hardwareProfile"]["vmSize"] not in SIZES:
        raise Refused(400, "InvalidParameter", "The value of parameter vmSize is invalid.")
    if "location" not in body:
        raise Refused(400, "LocationRequired", "The location property is required.")
    group = "/".join(request.scope.split("/")[:5])
    request.estate.find(group)
    machine = {
        "id": request.scope,
        "name": request.scope.rsplit("/", 1)[1],
        "type": KIND,
        **copy.deepcopy(body),
    }
    machine["properties"] |= {"provisioningState": "Creating", "vmId": "new-vm-id"}
    machine["properties"]["storageProfile"]["osDisk"].setdefault("osType", "Linux")
    request.estate.put(machine)
    request.estate.power[request.scope.lower()] = "starting"

    def done() -> None:
        machine["properties"]["provisioningState"] = "Succeeded"
        request.estate.power[request.scope.lower()] = "running"

    operation = request.estate.begin(done)
    return accepted(
        request, operation, provider=COMPUTE, status=201, body=_plain(machine), ways=("operation",)
    )


def patch_machine(request: Request) -> Reply:
    machine = request.estate.find(request.scope)
    size = request.body.get("properties", {}).get("hardwareProfile", {}).get("vmSize")
    if size is not None:
        if size not in SIZES:
            raise Refused(400, "InvalidParameter", f"The value {size} of vmSize is not valid.")
        if size == FAR_SIZE and request.estate.power[request.scope.lower()] != "deallocated":
            raise Refused(
                409,
                "OperationNotAllowed",
                f"Unable to resize the VM since the requested size {size} is not available in the "
                "current hardware cluster. Deallocate the VM first.",
            )

    def done() -> None:
        if size is not None:
            machine["properties"]["hardwareProfile"]["vmSize"] = size

    operation = request.estate.begin(done)
    return accepted(
        request,
        operation,
        provider=COMPUTE,
        status=200,
        body=_plain(machine),
        ways=("operation", "location"),
    )


def delete_machine(request: Request) -> Reply:
    if request.scope.lower() not in request.estate.resources:
        return Reply(204)
    request.estate.check_locks(request.scope)
    operation = request.estate.begin(lambda: request.estate.remove(request.scope))
    return accepted(request, operation, provider=COMPUTE)


def list_sizes(request: Request) -> Reply:
    """Those that the machine can take where it is now."""
    request.estate.find(request.scope)
    near = request.estate.power[request.scope.lower()] != "deallocated"
    sizes = [
        {"name": name, "numberOfCores": 2, "memoryInMB": 8192}
        for name in SIZES
        if not near or name != FAR_SIZE
    ]
    return Reply(body={"value": sizes})


def _plain(machine: Json) -> Json:
    """As Azure tells it: passwords and custom data never come back."""
    seen = copy.deepcopy(machine)
    for name in ("adminPassword", "customData"):
        seen["properties"].get("osProfile", {}).pop(name, None)
    return seen
