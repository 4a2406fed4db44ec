"""A pretended Azure over HTTPS: Entra's token endpoint, Resource Manager, Resource Graph, prices.

    estate = Estate()
    server = TlsServer(application_of(estate), folder)

It keeps the protocol: bearer tokens that it gave out itself, an api-version on every path, JSON
bodies, ARM's error bodies with request IDs, 202 with Azure-AsyncOperation or Location, next links.
What it does not know it answers with ARM's 404, never with something made up.
Source: Azure Resource Manager, REST API reference and its API guidelines.
"""

import json
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable
from uuid import uuid4

from aiohttp import web

from tests.backends.azure import compute, cost, deployments, graph, groups, network
from tests.backends.azure.estate import CLIENT, TENANT, Estate, Refused
from tests.backends.azure.exchange import Handler, Reply, Request

_S = r"/subscriptions/[^/]+"
_G = rf"{_S}/resourcegroups/[^/]+"
_VM = rf"{_G}/providers/microsoft\.compute/virtualmachines/[^/]+"
_ANY = rf"{_G}/providers/[^/]+(?:/[^/]+/[^/]+)+"

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]
Routes = Iterable[tuple[str, str, Handler]]

ROUTES: Routes = (
    ("GET", r"/subscriptions", groups.list_subscriptions),
    ("GET", rf"(?P<scope>{_S})/resourcegroups", groups.list_groups),
    ("GET", rf"(?P<scope>{_S})/resources", groups.list_resources),
    ("GET", rf"(?P<scope>{_G})/resources", groups.list_resources),
    ("GET", rf"{_S}/providers/(?P<provider>[^/]+)", groups.get_provider),
    (
        "GET",
        rf"{_S}/(?:providers/[^/]+/locations/[^/]+/operations|operationresults)/(?P<token>\w+)",
        groups.look,
    ),
    (
        "GET",
        r"(?P<scope>.+)/providers/microsoft\.authorization/locks",
        groups.list_locks,
    ),
    ("GET", r"(?P<scope>.+)/providers/microsoft\.resources/tags/default", groups.get_tags),
    ("PATCH", r"(?P<scope>.+)/providers/microsoft\.resources/tags/default", groups.patch_tags),
    ("POST", r"/providers/microsoft\.resourcegraph/resources", graph.query),
    ("POST", r"(?P<scope>.+)/providers/microsoft\.costmanagement/query", cost.query),
    *deployments.routes(_S, _G),
    *(
        (
            "GET",
            rf"(?P<scope>{scope})/providers/microsoft\.compute/virtualmachines",
            compute.list_machines,
        )
        for scope in (_S, _G)
    ),
    ("GET", rf"(?P<scope>{_VM})/vmsizes", compute.list_sizes),
    ("GET", rf"(?P<scope>{_VM})", compute.get_machine),
    ("PUT", rf"(?P<scope>{_VM})", compute.put_machine),
    ("PATCH", rf"(?P<scope>{_VM})", compute.patch_machine),
    ("DELETE", rf"(?P<scope>{_VM})", compute.delete_machine),
    (
        "POST",
        rf"(?P<scope>{_VM})/(?P<action>start|deallocate|poweroff|restart)",
        compute.turn_machine,
    ),
    *network.routes(_S, _G),
    ("GET", rf"(?P<scope>{_G})", groups.get_group),
    ("PUT", rf"(?P<scope>{_G})", groups.put_group),
    ("DELETE", rf"(?P<scope>{_G})", groups.delete_group),
    ("GET", rf"(?P<scope>{_ANY})", groups.get_resource),
    ("DELETE", rf"(?P<scope>{_ANY})", groups.delete_resource),
)


def application_of(estate: Estate) -> web.Application:
    """The application; what it holds is in `estate`, which tests may look at and change."""
    table = [(method, re.compile(path, re.IGNORECASE), do) for method, path, do in ROUTES]

    @web.middleware
    async def seen(request: web.Request, handler: Answering) -> web.StreamResponse:
        if request.transport is not None:
            estate.connections.append(request.transport)
        return await handler(request)

    # The first is around all others, so that one that hangs has been seen.
    application = web.Application(client_max_size=8 * 1024 * 1024, middlewares=[seen])

    async def arm(request: web.Request) -> web.Response:
        ids = {
            "x-ms-request-id": str(uuid4()),
            "x-ms-correlation-request-id": request.headers.get(
                "x-ms-correlation-request-id", str(uuid4())
            ),
        }
        try:
            reply = _answered(request, await request.read(), estate, table)
        except Refused as refused:
            body = {"error": {"code": refused.code, "message": refused.message}}
            return web.json_response(
                body, status=refused.status, headers={**ids, **refused.headers}
            )
        if reply.body is None:
            return web.Response(status=reply.status, headers={**ids, **reply.headers})
        return web.json_response(reply.body, status=reply.status, headers={**ids, **reply.headers})

    async def token(request: web.Request) -> web.Response:
        return await _token(request, estate)

    async def prices(request: web.Request) -> web.Response:
        return cost.prices(request, estate)

    application.router.add_post("/{tenant}/oauth2/v2.0/token", token)
    application.router.add_get("/api/retail/prices", prices)
    application.router.add_route("*", "/{path:.*}", arm)
    return application


def _answered(
    request: web.Request,
    raw: bytes,
    estate: Estate,
    table: list[tuple[str, re.Pattern[str], Callable[[Request], Reply]]],
) -> Reply:
    _check_bearer(request, estate)
    query = dict(request.query)
    if "api-version" not in query:
        raise Refused(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    if not re.fullmatch(r"20\d\d-\d\d-\d\d(-preview)?", query["api-version"]):
        raise Refused(400, "InvalidApiVersionParameter", "The api-version is invalid.")
    body = None
    if raw:
        if request.content_type != "application/json":
            raise Refused(415, "UnsupportedMediaType", "The content media type is not supported.")
        try:
            body = json.loads(raw)
        except ValueError:
            raise Refused(
                400, "InvalidRequestContent", "The request content was invalid."
            ) from None
    path = request.path.rstrip("/")
    parts = path.split("/")
    within = parts[2].lower() if len(parts) > 2 and parts[1].lower() == "subscriptions" else None
    if within is not None and within not in estate.subscriptions:
        raise Refused(
            404, "SubscriptionNotFound", f"The subscription '{within}' could not be found."
        )
    for end, (status, told, headers) in estate.instead.items():
        if path.lower().endswith(end):
            return Reply(status, told, headers)
    base = f"https://{request.host}"
    for method, pattern, do in table:
        if method == request.method and (found := pattern.fullmatch(path)):
            asked = Request(method, base, path, query, body, estate, request.headers)
            asked.groups = found.groupdict()
            return do(asked)
    raise Refused(
        404, "InvalidResourceType", f"The resource type could not be found: {request.method} {path}"
    )


def _check_bearer(request: web.Request, estate: Estate) -> None:
    kind, _, bearer = request.headers.get("Authorization", "").partition(" ")
    if kind != "Bearer" or bearer not in estate.tokens:
        raise Refused(
            401,
            "InvalidAuthenticationToken",
            "The access token is invalid.",
            WWW_Authenticate='Bearer error="invalid_token"',
        )


async def _token(request: web.Request, estate: Estate) -> web.Response:
    """OAuth 2.0 client credentials, as Entra answers them (v2.0)."""
    form = await request.post()

    def refused(code: str, message: str) -> web.Response:
        body = {
            "error": code,
            "error_description": f"{message} Trace ID: x",
            "error_codes": [7000215],
        }
        return web.json_response(body, status=401)

    if request.match_info["tenant"] != TENANT:
        return refused("invalid_request", "AADSTS90002: Tenant not found.")
    if form.get("grant_type") != "client_credentials" or not str(form.get("scope")).endswith(
        "/.default"
    ):
        return refused("unsupported_grant_type", "AADSTS70003: The app requested another grant.")
    if form.get("client_id") != CLIENT or form.get("client_secret") != estate.client_secret:
        return refused("invalid_client", "AADSTS7000215: Invalid client secret provided.")
    token = f"token-{secrets.token_hex(16)}"
    estate.tokens.add(token)
    return web.json_response({"token_type": "Bearer", "expires_in": 3599, "access_token": token})
