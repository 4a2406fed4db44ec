"""Compute v1. Source: cloud.google.com/compute/docs/reference/rest/v1."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from tests.backends.google.answers import (
    answered,
    filtered,
    not_found,
    refused,
    size_of,
    sliced,
)
from tests.backends.google.catalogue import FIREWALLS, IMAGES, MACHINE_TYPES, NETWORKS, named
from tests.backends.google.world import Doing, World, now

ROOT = "/compute/v1/projects/{project}"
ZONE = ROOT + "/zones/{zone}"
Handler = Callable[[web.Request], Awaitable[web.Response]]


def compute_routes(world: World) -> list[web.RouteDef]:
    compute = _Compute(world)
    return [
        web.get(ROOT + "/zones", compute.zones),
        web.get(ROOT + "/aggregated/instances", compute.aggregated("instances", "instances")),
        web.get(ROOT + "/aggregated/disks", compute.aggregated("disks", "disks")),
        web.get(ZONE + "/instances", compute.in_zone("instances")),
        web.post(ZONE + "/instances", compute.insert),
        web.get(ZONE + "/instances/{name}", compute.get),
        web.delete(ZONE + "/instances/{name}", compute.delete),
        web.get(ZONE + "/instances/{name}/serialPort", compute.serial),
        web.post(ZONE + "/instances/{name}/setLabels", compute.set_labels),
        web.post(ZONE + "/instances/{name}/{verb:start|stop|reset}", compute.verb),
        web.get(ZONE + "/disks", compute.in_zone("disks")),
        web.get(ZONE + "/disks/{name}", compute.get_disk),
        web.delete(ZONE + "/disks/{name}", compute.delete_disk),
        web.post(ZONE + "/disks/{name}/createSnapshot", compute.snapshot),
        web.get(ZONE + "/machineTypes", compute.of_catalogue(MACHINE_TYPES)),
        web.get(ZONE + "/machineTypes/{name}", compute.machine_type),
        web.get(ROOT + "/global/images", compute.of_catalogue(IMAGES)),
        web.get(ROOT + "/global/images/family/{family}", compute.newest),
        web.get(ROOT + "/global/networks", compute.of_catalogue(NETWORKS)),
        web.get(ROOT + "/global/firewalls", compute.of_catalogue(FIREWALLS)),
        web.get(ZONE + "/operations/{name}", compute.operation),
        web.post(ZONE + "/operations/{name}/wait", compute.wait),
        web.get(ROOT + "/global/operations/{name}", compute.operation),
        web.post(ROOT + "/global/operations/{name}/wait", compute.wait),
    ]


class _Compute:
    def __init__(self, world: World) -> None:
        self._world = world

    def _may(self, request: web.Request) -> str:
        project = request.match_info["project"]
        self._world.who(request, project)
        zone = request.match_info.get("zone")
        if zone is not None and zone not in self._world.zones:
            raise refused(400, f"Invalid value for field 'zone': '{zone}'. Unknown zone.")
        if zone in self._world.unreachable:
            raise refused(503, "Internal error. Please try again.", "backendError")
        return project

    def _found(self, request: web.Request, of: str) -> tuple[tuple[str, str, str], dict[str, Any]]:
        project = self._may(request)
        zone, name = request.match_info["zone"], request.match_info["name"]
        there: dict[tuple[str, str, str], dict[str, Any]] = getattr(self._world, of)
        for key, item in there.items():
            if key[:2] == (project, zone) and name in (key[2], item["id"]):
                return key, item
        raise not_found(f"projects/{project}/zones/{zone}/{of}/{name}")

    async def zones(self, request: web.Request) -> web.Response:
        project = self._may(request)
        items = [
            {
                "id": str(2000 + at),
                "name": zone,
                "status": "DOWN" if zone in self._world.unreachable else "UP",
                "region": self._world.link(project, "regions", zone.rsplit("-", 1)[0]),
                "availableCpuPlatforms": ["Intel Broadwell"],
            }
            for at, zone in enumerate(self._world.zones)
        ]
        return self._listed(request, items)

    def in_zone(self, of: str) -> Handler:
        async def listed(request: web.Request) -> web.Response:
            project, zone = self._may(request), request.match_info["zone"]
            there = getattr(self._world, of)
            return self._listed(
                request, [item for key, item in sorted(there.items()) if key[:2] == (project, zone)]
            )

        return listed

    def of_catalogue(self, items: Any) -> Handler:
        async def listed(request: web.Request) -> web.Response:
            project = self._may(request)
            return self._listed(request, named(items, project, request.match_info.get("zone")))

        return listed

    def aggregated(self, of: str, member: str) -> Handler:
        async def listed(request: web.Request) -> web.Response:
            project = self._may(request)
            away = self._world.unreachable
            partial = request.query.get("returnPartialSuccess") == "true"
            if away and not partial:
                raise refused(503, "Internal error. Please try again.", "backendError")
            there = getattr(self._world, of)
            # Through the zones in an order of its own, as Google does.
            in_order = sorted(there.items(), key=lambda each: (each[0][1][::-1], each[0]))
            every = [item for key, item in in_order if key[0] == project and key[1] not in away]
            page, token = sliced(request, filtered(request, every), size_of(request))
            scopes: dict[str, Any] = {}
            for zone in self._world.zones:
                empty = {"code": "NO_RESULTS_ON_PAGE", "message": f"no results for zones/{zone}"}
                if zone in away:
                    empty = {"code": "UNREACHABLE", "message": f"zones/{zone} is away"}
                scopes[f"zones/{zone}"] = {"warning": empty}
            for item in page:
                scope = scopes[f"zones/{item['zone'].rsplit('/', 1)[-1]}"]
                scope.pop("warning", None)
                scope.setdefault(member, []).append(item)
            body: dict[str, Any] = {"kind": f"compute#{of}AggregatedList", "items": scopes}
            if away:
                body["unreachables"] = [f"zones/{zone}" for zone in sorted(away)]
            return answered(request, {**body, **({"nextPageToken": token} if token else {})})

        return listed

    def _listed(self, request: web.Request, items: Any) -> web.Response:
        page, token = sliced(request, filtered(request, items), size_of(request))
        return answered(
            request,
            {"items": list(page), **({"nextPageToken": token} if token else {})},
        )

    async def get(self, request: web.Request) -> web.Response:
        return answered(request, self._found(request, "instances")[1])

    async def get_disk(self, request: web.Request) -> web.Response:
        return answered(request, self._found(request, "disks")[1])

    async def machine_type(self, request: web.Request) -> web.Response:
        project, name = self._may(request), request.match_info["name"]
        for each in named(MACHINE_TYPES, project, request.match_info["zone"]):
            if each["name"] == name:
                return answered(request, each)
        raise not_found(f"projects/{project}/zones/z/machineTypes/{name}")

    async def newest(self, request: web.Request) -> web.Response:
        project, family = self._may(request), request.match_info["family"]
        for each in reversed(named(IMAGES, project, None)):
            if each["family"] == family and "deprecated" not in each:
                return answered(request, each)
        raise not_found(f"projects/{project}/global/images/family/{family}")

    async def serial(self, request: web.Request) -> web.Response:
        key, _ = self._found(request, "instances")
        raw = self._world.serial.get(key, b"")
        start = int(request.query.get("start", "0"))
        start = max(0, len(raw) + start) if start < 0 else min(start, len(raw))
        told = {
            "contents": raw[start:].decode(errors="replace"),
            "start": str(start),
            "next": str(len(raw)),
        }
        return answered(request, told)

    async def verb(self, request: web.Request) -> web.Response:
        _, item = self._found(request, "instances")
        verb = request.match_info["verb"]
        ends = {"start": "RUNNING", "stop": "TERMINATED", "reset": "RUNNING"}[verb]
        if verb == "reset" and item["status"] != "RUNNING":
            raise refused(400, "The instance is not running.", "resourceNotReady")
        during = {"start": "STAGING", "stop": "STOPPING", "reset": "RUNNING"}[verb]
        resets = item.get("_resets", 0) + (verb == "reset")

        def effect() -> None:
            item.update(status=ends, _resets=resets)

        def begin() -> None:
            item["status"] = during

        return self._begun(request, verb, item, effect, begin)

    async def set_labels(self, request: web.Request) -> web.Response:
        _, item = self._found(request, "instances")
        asked = await request.json()
        if known := self._known(request):
            return known
        if asked.get("labelFingerprint") != item["labelFingerprint"]:
            raise refused(412, "Labels fingerprint either invalid or resource labels have changed")

        def effect() -> None:
            item.update(labels=asked.get("labels", {}), labelFingerprint=secrets.token_urlsafe(8))

        return self._begun(request, "setLabels", item, effect)

    async def delete(self, request: web.Request) -> web.Response:
        if known := self._known(request):
            return known
        key, item = self._found(request, "instances")
        if item.get("deletionProtection"):
            raise refused(
                400,
                f"Invalid resource usage: 'Resource cannot be deleted: {key[2]} is protected'.",
                "invalidResourceUsage",
            )

        def effect() -> None:
            self._world.instances.pop(key, None)
            for disk in item["disks"]:
                name = disk["source"].rsplit("/", 1)[-1]
                if disk["autoDelete"]:
                    self._world.disks.pop((*key[:2], name), None)
                elif kept := self._world.disks.get((*key[:2], name)):
                    kept["users"] = []

        return self._begun(request, "delete", item, effect)

    async def delete_disk(self, request: web.Request) -> web.Response:
        if known := self._known(request):
            return known
        key, item = self._found(request, "disks")
        if item["users"]:
            raise refused(
                400,
                f"The disk resource '{key[2]}' is already being used by '{item['users'][0]}'",
                "resourceInUseByAnotherResource",
            )
        return self._begun(request, "delete", item, lambda: void(self._world.disks.pop(key, None)))

    async def snapshot(self, request: web.Request) -> web.Response:
        key, item = self._found(request, "disks")
        asked = await request.json()
        place = (key[0], "global", asked["name"])
        if known := self._known(request):
            return known
        if place in self._world.snapshots:
            raise refused(409, f"The resource '{asked['name']}' already exists")
        made = {
            **asked,
            "id": str(next(self._world.ids)),
            "status": "READY",
            "sourceDisk": item["selfLink"],
        }
        return self._begun(
            request,
            "createSnapshot",
            item,
            lambda: self._world.snapshots.__setitem__(place, made),
        )

    async def insert(self, request: web.Request) -> web.Response:
        project, zone = self._may(request), request.match_info["zone"]
        asked = await request.json()
        if known := self._known(request):
            return known
        name = asked["name"]
        if (project, zone, name) in self._world.instances:
            raise refused(409, f"The resource 'zones/{zone}/instances/{name}' already exists")
        kind = asked["machineType"].rsplit("/", 1)[-1]
        if kind not in {each["name"] for each in MACHINE_TYPES}:
            raise refused(400, f"Invalid value for field 'resource.machineType': '{kind}'.")
        made = self._world.instance(project, zone, name, status="PROVISIONING")
        boot = asked["disks"][0]
        size = boot.get("initializeParams", {}).get("diskSizeGb")
        if size:
            made["disks"][0]["diskSizeGb"] = size
            self._world.disks[project, zone, name]["sizeGb"] = size
        made["disks"][0]["autoDelete"] = boot.get("autoDelete", False)
        bare = {"labels": {}, "tags": {}, "serviceAccounts": [], "deletionProtection": False}
        made.update({**bare, "metadata": {"items": []}})
        made.update({member: asked[member] for member in (*bare, "metadata") if member in asked})
        made.update(machineType=asked["machineType"], _asked=asked)
        if any("accessConfigs" in each for each in asked["networkInterfaces"]):
            made["networkInterfaces"][0]["accessConfigs"] = [{"natIP": "203.0.113.9"}]
        effect: dict[str, str] = {"status": "RUNNING"}
        return self._begun(request, "insert", made, lambda: made.update(effect))

    def _known(self, request: web.Request) -> web.Response | None:
        """The operation of a request that came before with the same ID."""
        request_id = request.query.get("requestId")
        name = self._world.by_request.get((request.match_info["project"], request_id or ""))
        return web.json_response(self._world.operations[name].body) if name else None

    def _begun(
        self,
        request: web.Request,
        kind: str,
        item: dict[str, Any],
        effect: Callable[[], None],
        begin: Callable[[], None] = lambda: None,
    ) -> web.Response:
        if known := self._known(request):
            return known
        project, zone = request.match_info["project"], request.match_info["zone"]
        begin()
        name = f"operation-{secrets.token_hex(8)}"
        body = {
            "kind": "compute#operation",
            "id": str(next(self._world.ids)),
            "name": name,
            "zone": self._world.link(project, "zones", zone),
            "operationType": kind,
            "targetLink": item["selfLink"],
            "targetId": item["id"],
            "status": "PENDING",
            "progress": 0,
            "insertTime": now(),
            "selfLink": self._world.link(project, "zones", zone, "operations", name),
        }
        self._world.operations[name] = Doing(body, self._world.looks, effect)
        if request_id := request.query.get("requestId"):
            self._world.by_request[project, request_id] = name
        return web.json_response(body)

    async def operation(self, request: web.Request) -> web.Response:
        self._may(request)
        doing = self._world.operations.get(request.match_info["name"])
        if doing is None:
            raise not_found(f"operations/{request.match_info['name']}")
        self._step(doing)
        return answered(request, doing.body)

    async def wait(self, request: web.Request) -> web.Response:
        if self._world.held:
            await self._world.let_go.wait()
        await asyncio.sleep(0.01)
        return await self.operation(request)

    def _step(self, doing: Doing) -> None:
        body = doing.body
        if body["status"] == "DONE" or self._world.held:
            return
        doing.left -= 1
        if doing.left > 0:
            body.update(status="RUNNING", progress=50, startTime=now())
            return
        body.update(status="DONE", progress=100, endTime=now())
        failed = self._world.fails.get(body["operationType"])
        if failed is None:
            doing.effect()
            return
        status, code, message = failed
        body.update(
            httpErrorStatusCode=status,
            httpErrorMessage="BAD REQUEST",
            error={"errors": [{"code": code, "message": message}]},
        )


def void(_: Any) -> None:
    """For an effect whose value is nobody's."""
