"""Storage JSON v1, Resource Manager v3 and the Cloud Billing Catalog."""

from typing import Any

from aiohttp import web

from tests.backends.google.answers import answered, not_found, refused, size_of, sliced
from tests.backends.google.world import World


def storage_routes(world: World) -> list[web.RouteDef]:
    async def buckets(request: web.Request) -> web.Response:
        project = request.query.get("project", "")
        world.who(request, project)
        prefix = request.query.get("prefix", "")
        items = [
            {name: value for name, value in each.items() if not name.startswith("_")}
            for name, each in sorted(world.buckets.items())
            if each["_project"] == project and name.startswith(prefix)
        ]
        page, token = sliced(request, items, size_of(request, 1000))
        return answered(request, _page("storage#buckets", page, token))

    async def objects(request: web.Request) -> web.Response:
        name = request.match_info["bucket"]
        email = world.who(request)
        there = world.buckets.get(name)
        if there is None:
            raise not_found("The specified bucket does not exist.")
        if there["_project"] not in world.robots[email].projects:
            raise refused(403, f"{email} does not have storage.objects.list access", "forbidden")
        prefix = request.query.get("prefix", "")
        delimiter = request.query.get("delimiter", "")
        entries: dict[str, dict[str, Any] | None] = {}
        for each in world.objects[name]:
            if not each["name"].startswith(prefix):
                continue
            rest = each["name"][len(prefix) :]
            if delimiter and delimiter in rest:
                entries[prefix + rest.split(delimiter, 1)[0] + delimiter] = None
            else:
                entries[each["name"]] = each
        page, token = sliced(request, sorted(entries.items()), size_of(request, 1000))
        body = _page("storage#objects", [each for _, each in page if each is not None], token)
        folders = [name for name, each in page if each is None]
        return answered(request, {**body, **({"prefixes": folders} if folders else {})})

    return [web.get("/storage/v1/b", buckets), web.get("/storage/v1/b/{bucket}/o", objects)]


def project_routes(world: World) -> list[web.RouteDef]:
    async def search(request: web.Request) -> web.Response:
        email = world.who(request)
        allowed = world.robots[email].projects
        wanted = request.query.get("query", "")
        items = [each for name, each in sorted(world.projects.items()) if name in allowed]
        if wanted:
            items = [each for each in items if f"projectId:{each['projectId']}" in wanted]
        page, token = sliced(request, items, size_of(request))
        return answered(
            request, {"projects": list(page), **({"nextPageToken": token} if token else {})}
        )

    return [web.get("/v3/projects:search", search)]


def billing_routes(world: World) -> list[web.RouteDef]:
    async def skus(request: web.Request) -> web.Response:
        world.who(request)
        if not world.prices:
            raise refused(403, "Cloud Billing API has not been used in project 1", "forbidden")
        return web.json_response(world.prices)

    return [web.get("/v1/services/{service}/skus", skus)]


def _page(kind: str, items: Any, token: str) -> dict[str, Any]:
    return {"kind": kind, "items": list(items), **({"nextPageToken": token} if token else {})}
