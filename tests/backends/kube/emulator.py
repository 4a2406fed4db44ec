"""An API server of ours for tests: real paths, Tables, paging, watches, Status errors, users.

    kube = KubeEmulator()
    kube.put("Pod", {"metadata": {"name": "web", "namespace": "default"}, "spec": {...}})
    server = TlsServer(kube.application, folder)        # tests.backends.tls_server
    async with server.running(): ...

Bearer tokens `admin-token` and `reader-token` (kube.users). What writes is registered by others in
`kube.verbs`, by method and subresource. Written from the API's documentation, apart from the spoke.
"""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from aiohttp import web

from tests.backends.kube import tables
from tests.backends.kube.access import Users
from tests.backends.kube.kinds import (
    KINDS,
    Kind,
    aggregated,
    find,
    group_list,
    resource_list,
)
from tests.backends.kube.store import BadSelector, Object, Store, by_fields, by_labels

LOOK_S = 0.02
"""How soon it is seen that whoever watches has gone."""
VERB_OF = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class Refused(Exception):
    """Becomes a Status object."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: Object | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.details = details or {}
        self.headers = headers or {}

    def response(self) -> web.Response:
        told = {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": str(self), "reason": self.reason, "details": self.details,
            "code": self.code,
        }  # fmt: skip
        return json_response(told, self.code, {"Audit-Id": "audit-1", **self.headers})


@dataclass(frozen=True)
class Ask:
    """A request for objects of a kind: of all, of one, or of a part of one."""

    request: web.Request
    user: str
    kind: Kind
    namespace: str | None
    name: str | None
    part: str

    @property
    def query(self) -> Any:
        return self.request.query


Verb = Callable[[Ask], Awaitable[web.StreamResponse]]


@dataclass
class KubeEmulator:
    """`aggregates` off makes it tell of its kinds as servers before 1.26 do; `without` are groups
    that it does not have (say `metrics.k8s.io`)."""

    users: Users = field(default_factory=Users)
    store: Store = field(default_factory=Store)
    aggregates: bool = True
    tables: bool = True
    without: frozenset[str] = frozenset()
    logs: dict[tuple[str, str, str], list[str]] = field(default_factory=dict)
    previous_logs: dict[tuple[str, str, str], list[str]] = field(default_factory=dict)
    watching: int = 0
    held: str | None = None  # paths with this in them are not answered
    holding: int = 0
    cut: asyncio.Event = field(default_factory=asyncio.Event)
    verbs: dict[tuple[str, str], Verb] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.verbs |= {("GET", ""): self._read, ("GET", "log"): self._log}
        self.application = web.Application(client_max_size=8 * 1024 * 1024)
        self.application.router.add_route("*", "/{path:.*}", self._answer)

    def forget(self) -> None:
        """No objects, logs or users but those that there are at first."""
        self.store.of_kind.clear()
        self.store.compact()
        self.logs.clear()
        self.previous_logs.clear()
        self.users = Users()
        self.held = None
        self.aggregates, self.tables, self.without = True, True, frozenset()

    def kind(self, name: str) -> Kind:
        return next(kind for kind in KINDS if name in (kind.kind, kind.plural))

    def put(self, kind: str, thing: Object) -> Object:
        return self.store.put(self.kind(kind), thing)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            user = self.users.user(request.headers.get("Authorization"))
            if user is None:
                raise Refused(401, "Unauthorized", "Unauthorized")
            if self.held is not None and self.held in request.path:
                return await self._hold(request)
            return await self._routed(request, user)
        except Refused as refused:
            return refused.response()

    async def _routed(self, request: web.Request, user: str) -> web.StreamResponse:
        path = request.path.rstrip("/")
        if (found := self._discovery(path, request)) is not None:
            return found
        if path.startswith("/apis/authorization.k8s.io/v1/selfsubject"):
            return await self._review(request, user)
        ask = self._parsed(path, request, user)
        verb = VERB_OF.get(request.method) or (
            "get" if ask.name else "watch" if "watch" in request.query else "list"
        )
        if ask.part in ("exec", "eviction"):
            verb = "create"
        self._check(ask, verb)
        handler = self.verbs.get((request.method, ask.part))
        if handler is None:
            raise Refused(405, "MethodNotAllowed", "the server does not allow this method")
        return await handler(ask)

    def _discovery(self, path: str, request: web.Request) -> web.Response | None:
        asked = request.headers.get("Accept", "")
        whole = self.aggregates and "as=APIGroupDiscoveryList" in asked
        if path == "/version":
            return json_response({"major": "1", "minor": "31", "gitVersion": "v1.31.0"})
        if path == "/api":
            versions = {"kind": "APIVersions", "versions": ["v1"]}
            return json_response(aggregated(True, self.without) if whole else versions)
        if path == "/apis":
            told = aggregated(False, self.without) if whole else group_list(self.without)
            return json_response(told)
        parts = path.strip("/").split("/")
        if parts[0] == "api" and len(parts) == 2:
            return json_response(resource_list("", parts[1]))
        if parts[0] == "apis" and len(parts) == 3 and parts[1] not in self.without:
            return json_response(resource_list(parts[1], parts[2]))
        return None

    def _parsed(self, path: str, request: web.Request, user: str) -> Ask:
        parts = path.strip("/").split("/")
        group, version, rest = (
            ("", parts[1], parts[2:]) if parts[0] == "api" else (parts[1], parts[2], parts[3:])
        )
        namespace = None
        if len(rest) > 2 and rest[0] == "namespaces" and find(group, version, rest[2]):
            namespace, rest = rest[1], rest[2:]
        kind = find(group, version, rest[0]) if rest else None
        if kind is None or group in self.without:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        name = rest[1] if len(rest) > 1 else None
        part = rest[2] if len(rest) > 2 else ""
        if part and part not in kind.parts:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        return Ask(request, user, kind, namespace, name, part)

    def _check(self, ask: Ask, verb: str) -> None:
        kind = ask.kind
        resource = f"{kind.plural}/{ask.part}" if ask.part else kind.plural
        if self.users.allows(ask.user, verb, kind.group, resource, ask.namespace or ""):
            return
        where = f'in the namespace "{ask.namespace}"' if ask.namespace else "at the cluster scope"
        what = f'{kind.plural} "{ask.name}" is forbidden' if ask.name else (
            f"{kind.plural} is forbidden"
        )  # fmt: skip
        raise Refused(
            403,
            "Forbidden",
            f'{what}: User "{ask.user}" cannot {verb} resource "{resource}" in API group '
            f'"{kind.group}" {where}',
            {"name": ask.name, "group": kind.group, "kind": kind.plural},
        )

    def one(self, ask: Ask) -> Object:
        assert ask.name is not None
        found = self.store.get(ask.kind, ask.namespace or "", ask.name)
        if found is None:
            raise Refused(
                404,
                "NotFound",
                f'{ask.kind.plural} "{ask.name}" not found',
                {"name": ask.name, "group": ask.kind.group, "kind": ask.kind.plural},
            )
        return found

    async def _read(self, ask: Ask) -> web.StreamResponse:
        if ask.query.get("watch") in ("1", "true"):
            return await self._watch(ask)
        if ask.name is not None:
            found = self.one(ask)
            return json_response(self._shaped(ask, [found], {}, found))
        return self._list(ask)

    def _list(self, ask: Ask) -> web.Response:
        limit = int(ask.query.get("limit", "0"))
        start, version = "", self.store.version
        if told := ask.query.get("continue"):
            start, version = self._continued(told)
        chosen = [thing for thing in self._chosen(ask) if _key(thing) > start]
        page = chosen[:limit] if limit else chosen
        metadata: Object = {"resourceVersion": str(version)}
        if len(page) < len(chosen):
            metadata["continue"] = _continue(version, _key(page[-1]))
            if not (ask.query.get("labelSelector") or ask.query.get("fieldSelector")):
                metadata["remainingItemCount"] = len(chosen) - len(page)
        whole = {
            "kind": f"{ask.kind.kind}List",
            "apiVersion": ask.kind.api_version,
            "metadata": metadata,
            # As the real one: the objects of a list do not say of which kind they are.
            "items": [
                {key: value for key, value in thing.items() if key not in ("kind", "apiVersion")}
                for thing in page
            ],
        }
        return json_response(self._shaped(ask, page, metadata, whole))

    def _continued(self, told: str) -> tuple[str, int]:
        try:
            token = json.loads(base64.urlsafe_b64decode(told + "=="))
        except ValueError:
            raise Refused(400, "BadRequest", "continue key is not valid") from None
        if token["rv"] < self.store.oldest:
            raise Refused(
                410, "Expired", "The provided continue parameter is too old to display a "
                "consistent list result. You can start a new list without the continue parameter."
            )  # fmt: skip
        return token["start"], token["rv"]

    def _chosen(self, ask: Ask) -> list[Object]:
        labels, fields = ask.query.get("labelSelector", ""), ask.query.get("fieldSelector", "")
        try:
            return [
                thing
                for thing in self.store.all(ask.kind, ask.namespace)
                if by_labels(labels, thing) and by_fields(fields, ask.kind, thing)
            ]
        except BadSelector as error:
            raise Refused(400, "BadRequest", str(error)) from None

    def _shaped(self, ask: Ask, things: list[Object], metadata: Object, whole: Object) -> Object:
        asked = ask.request.headers.get("Accept", "")
        if "as=Table" in asked and self.tables:
            include = ask.query.get("includeObject", "Metadata")
            return tables.table(ask.kind, things, metadata, include)
        if "as=PartialObjectMetadataList" in asked:
            return {
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata,
                "items": [tables.partial(thing) for thing in things],
            }
        return whole

    async def _watch(self, ask: Ask) -> web.StreamResponse:
        seen = int(ask.query.get("resourceVersion") or self.store.version)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(ask.request)
        if seen < self.store.oldest:
            told = Refused(410, "Expired", f"too old resource version: {seen}").response().text
            await response.write(f'{{"type":"ERROR","object":{told}}}\n'.encode())
            return response
        self.watching += 1
        ends_at, cut = monotonic() + float(ask.query.get("timeoutSeconds", 60)), self.cut
        try:
            while True:
                changed = self.store.changed
                for change in list(self.store.since(seen, ask.kind)):
                    seen = change.version
                    if self._is_chosen(ask, change.object):
                        told = {"type": change.type, "object": change.object}
                        await response.write(json.dumps(told).encode() + b"\n")
                while not changed.is_set():
                    if self._is_over(ask, ends_at, cut):
                        return response
                    with suppress(TimeoutError):
                        await asyncio.wait_for(changed.wait(), LOOK_S)
        finally:
            self.watching -= 1

    def _is_over(self, ask: Ask, ends_at: float, cut: asyncio.Event) -> bool:
        """Whether whoever watches has gone, or its time is over; one that is cut is broken off."""
        transport = ask.request.transport
        if cut.is_set() and transport is not None:
            transport.abort()
        return transport is None or transport.is_closing() or monotonic() >= ends_at

    async def _hold(self, request: web.Request) -> web.Response:
        self.holding += 1
        try:
            while request.transport is not None and not request.transport.is_closing():
                await asyncio.sleep(LOOK_S)
        finally:
            self.holding -= 1
        return web.Response()

    def cut_watches(self) -> None:
        """Break off the connections of all that watch now."""
        self.cut.set()
        self.cut = asyncio.Event()

    def _is_chosen(self, ask: Ask, thing: Object) -> bool:
        return (
            ask.namespace in (None, thing["metadata"].get("namespace", ""))
            and by_labels(ask.query.get("labelSelector", ""), thing)
            and by_fields(ask.query.get("fieldSelector", ""), ask.kind, thing)
        )

    async def _log(self, ask: Ask) -> web.StreamResponse:
        pod = self.one(ask)
        names = [each["name"] for each in pod["spec"]["containers"]]
        container = ask.query.get("container") or (names[0] if len(names) == 1 else "")
        if not container:
            told = f"a container name must be specified for pod {ask.name}, choose one of: {names}"
            raise Refused(400, "BadRequest", told)
        if container not in names:
            told = f"container {container} is not valid for pod {ask.name}"
            raise Refused(400, "BadRequest", told)
        previous = ask.query.get("previous") == "true"
        kept = (self.previous_logs if previous else self.logs).get(
            (ask.namespace or "", ask.name or "", container)
        )
        if kept is None:
            what = "previous terminated container" if previous else "container"
            told = f'{what} "{container}" in pod "{ask.name}" not found'
            raise Refused(400, "BadRequest", told)
        lines = kept[-int(ask.query["tailLines"]) :] if "tailLines" in ask.query else kept
        if ask.query.get("timestamps") == "true":
            lines = [f"2026-01-02T03:04:{n % 60:02}.000000000Z {x}" for n, x in enumerate(lines)]
        raw = "".join(f"{line}\n" for line in lines).encode()
        if "limitBytes" in ask.query:
            raw = raw[: int(ask.query["limitBytes"])]
        return web.Response(body=raw, content_type="text/plain")

    async def _review(self, request: web.Request, user: str) -> web.Response:
        body = await request.json()
        if request.path.endswith("selfsubjectrulesreviews"):
            rules = [
                rule.as_json()
                for rule in self.users.rules.get(user, ())
                if not rule.namespaces or body["spec"]["namespace"] in rule.namespaces
            ]
            body["status"] = {"resourceRules": rules, "nonResourceRules": [], "incomplete": False}
            return json_response(body, 201)
        asked = body["spec"]["resourceAttributes"]
        resource = asked.get("resource", "*")
        if asked.get("subresource"):
            resource += f"/{asked['subresource']}"
        allowed = self.users.allows(
            user, asked.get("verb", "*"), asked.get("group", ""), resource,
            asked.get("namespace", ""),
        )  # fmt: skip
        body["status"] = {"allowed": allowed, **({"reason": "RBAC: allowed"} if allowed else {})}
        return json_response(body, 201)


def json_response(
    told: Any, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    return web.json_response(told, status=status, headers=headers)


def _key(thing: Object) -> str:
    return f"{thing['metadata'].get('namespace', '')}/{thing['metadata']['name']}"


def _continue(version: int, start: str) -> str:
    token = {"v": "meta.k8s.io/v1", "rv": version, "start": start}
    return base64.urlsafe_b64encode(json.dumps(token).encode()).decode().rstrip("=")
