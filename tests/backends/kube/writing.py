"""What writes to the emulator: create, apply, patches, scale, delete, evictions and exec.

kube = KubeEmulator()
writes = Writes(kube)
writes.run["echo"] = echo               # programs of exec, by argv[0]
writes.lingers.add("web-1")             # evicted pods that do not end until `leave`
"""

import base64
import copy
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import yaml
from aiohttp import WSMsgType, web

from tests.backends.kube.emulator import Ask, KubeEmulator, Refused, json_response
from tests.backends.kube.fields import Managed, told
from tests.backends.kube.patches import BadPatch, json_patched, merged, strategic
from tests.backends.kube.store import Object, by_labels

V4, V5 = "v4.channel.k8s.io", "v5.channel.k8s.io"
_KNOWN = {"apiVersion", "kind", "metadata", "spec", "status"}
_KNOWN_OF = {
    "ConfigMap": {"data", "binaryData", "immutable"},
    "Secret": {"data", "stringData", "type", "immutable"},
    "Role": {"rules"},
    "ClusterRole": {"rules", "aggregationRule"},
    "RoleBinding": {"roleRef", "subjects"},
    "ClusterRoleBinding": {"roleRef", "subjects"},
}

Out = Callable[[int, bytes], Awaitable[None]]
Program = Callable[[list[str], bytes, Out], Awaitable[int]]


@dataclass
class Writes:
    """Registers itself with the emulator."""

    kube: KubeEmulator
    managed: dict[tuple[str, str, str], Managed] = field(default_factory=dict)
    run: dict[str, Program] = field(default_factory=dict)
    protocols: tuple[str, ...] = (V5, V4)
    eviction_versions: tuple[str, ...] = ("policy/v1",)
    retry_after: str = "0.05"
    lingers: set[str] = field(default_factory=set)
    namespaces: set[str] = field(default_factory=lambda: {"default", "kube-system"})
    ran: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kube.verbs |= {
            ("POST", ""): self.create,
            ("PATCH", ""): self.patch,
            ("DELETE", ""): self.delete,
            ("GET", "scale"): self.read_scale,
            ("PATCH", "scale"): self.patch_scale,
            ("POST", "eviction"): self.evict,
            ("GET", "exec"): self.exec,
        }

    async def create(self, ask: Ask) -> web.StreamResponse:
        content = await ask.request.json()
        self._check_namespace(ask)
        name = content["metadata"]["name"]
        content["metadata"].setdefault("namespace", ask.namespace or "")
        if self.kube.store.get(ask.kind, ask.namespace or "", name):
            raise Refused(409, "AlreadyExists", f'{ask.kind.plural} "{name}" already exists')
        return json_response(self._kept(ask, None, content, name), 201)

    async def patch(self, ask: Ask) -> web.StreamResponse:
        raw = await ask.request.read()
        content_type = ask.request.content_type
        live = self.kube.store.get(ask.kind, ask.namespace or "", ask.name or "")
        if content_type == "application/apply-patch+yaml":
            return self._apply(ask, live, yaml.safe_load(raw))
        if live is None:
            self.kube.one(ask)
        patch = json.loads(raw)
        after = self._patched(content_type, live, patch)
        for key in ("name", "namespace", "uid"):
            if after["metadata"].get(key) != (live or {})["metadata"].get(key):
                raise Refused(422, "Invalid", f"metadata.{key}: Invalid value: field is immutable")
        self._strict(ask, after)
        return json_response(self._kept(ask, live, after, ask.name or ""))

    def _patched(self, content_type: str, live: Object | None, patch: Any) -> Object:
        if content_type == "application/json-patch+json":
            try:
                return json_patched(live, patch)
            except BadPatch as error:
                raise Refused(422, "Invalid", f"the server rejected our request: {error}") from None
        if content_type == "application/merge-patch+json":
            return merged(live, patch)
        if content_type == "application/strategic-merge-patch+json":
            return strategic(live, patch)
        raise Refused(415, "UnsupportedMediaType", "the body of the request was in an unknown form")

    def _apply(self, ask: Ask, live: Object | None, wanted: Object) -> web.Response:
        self._check_namespace(ask)
        manager = ask.query.get("fieldManager")
        if not manager:
            raise Refused(422, "Invalid", "metadata.fieldManager: Required value")
        if wanted["metadata"].get("managedFields") is not None:
            raise Refused(400, "BadRequest", "metadata.managedFields must be nil")
        self._strict(ask, wanted)
        wanted = _secret(wanted)
        key = self._key(ask, ask.name or "")
        managed = copy.deepcopy(self.managed.get(key, Managed()))
        force = ask.query.get("force") == "true"
        after, conflicts = managed.applied(manager, live, wanted, force=force)
        if conflicts:
            using = f"using {ask.kind.api_version}"
            causes = [
                {
                    "reason": "FieldManagerConflict",
                    "message": f'conflict with "{other}" {using}',
                    "field": told(path),
                }
                for other, path in conflicts
            ]
            first = f"{causes[0]['message']}: {causes[0]['field']}"
            count = f"{len(causes)} conflict{'s' if len(causes) > 1 else ''}"
            message = f"Apply failed with {count}: {first}"
            raise Refused(409, "Conflict", message, {"causes": causes})
        after["apiVersion"], after["kind"] = ask.kind.api_version, ask.kind.kind
        metadata = after.setdefault("metadata", {})
        metadata["name"] = ask.name
        if ask.namespace:
            metadata["namespace"] = ask.namespace
        kept = self._kept(ask, live, after, ask.name or "", managed)
        return json_response(kept, 200 if live else 201)

    def _kept(
        self,
        ask: Ask,
        live: Object | None,
        after: Object,
        name: str,
        managed: Managed | None = None,
    ) -> Object:
        """What the object is by now, kept unless it is a dry run."""
        after = copy.deepcopy(after)
        version = after["metadata"].pop("resourceVersion", None)
        now = live["metadata"]["resourceVersion"] if live else None
        if version is not None and now is not None and version != now:
            raise Refused(
                409, "Conflict", f'Operation cannot be fulfilled on {ask.kind.plural} "{name}": '
                "the object has been modified; please apply your changes to the latest version"
            )  # fmt: skip
        metadata = after["metadata"]
        generation = metadata.get("generation", 0)
        if live is None or live.get("spec") != after.get("spec"):
            generation += 1
        metadata["generation"] = generation
        if ask.query.get("dryRun") == "All":
            after["metadata"] = {"uid": "dry", "resourceVersion": now or "", **metadata}
            return after
        key = self._key(ask, name)
        if managed is None:
            managed = self.managed.get(key, Managed())
            managed.written(ask.query.get("fieldManager") or "unknown", live, after)
        self.managed[key] = managed
        kept = self.kube.store.put(ask.kind, after)
        if ask.kind.kind == "Namespace":
            self.namespaces.add(name)
        if ask.kind.kind == "CustomResourceDefinition":
            self._established(kept)
        return kept

    def _established(self, definition: Object) -> None:
        definition["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
        self.kube.without = self.kube.without - {definition["spec"]["group"]}

    def _strict(self, ask: Ask, content: Object) -> None:
        if ask.query.get("fieldValidation") != "Strict":
            return
        known = _KNOWN | _KNOWN_OF.get(ask.kind.kind, set())
        if unknown := sorted(set(content) - known):
            told = f'strict decoding error: unknown field "{unknown[0]}"'
            raise Refused(400, "BadRequest", told)

    def _check_namespace(self, ask: Ask) -> None:
        if ask.namespace and ask.namespace not in self.namespaces:
            details = {"name": ask.namespace, "kind": "namespaces"}
            raise Refused(404, "NotFound", f'namespaces "{ask.namespace}" not found', details)

    @staticmethod
    def _key(ask: Ask, name: str) -> tuple[str, str, str]:
        return ask.kind.plural, ask.namespace or "", name

    async def read_scale(self, ask: Ask) -> web.StreamResponse:
        return json_response(_scale(self.kube.one(ask)))

    async def patch_scale(self, ask: Ask) -> web.StreamResponse:
        live = self.kube.one(ask)
        wanted = merged(_scale(live), await ask.request.json())
        after = copy.deepcopy(live)
        after["spec"]["replicas"] = wanted["spec"]["replicas"]
        after["metadata"]["resourceVersion"] = wanted["metadata"]["resourceVersion"]
        return json_response(_scale(self._kept(ask, live, after, ask.name or "")))

    async def delete(self, ask: Ask) -> web.StreamResponse:
        raw = await ask.request.read()
        # As the real one: of a request with a body, what the query says does not count.
        options = json.loads(raw) if raw else {"dryRun": ask.query.getall("dryRun", [])}
        return json_response(self._gone(ask, options))

    def _gone(self, ask: Ask, options: Object) -> Object:
        live = self.kube.one(ask)
        metadata = live["metadata"]
        wanted = (options.get("preconditions") or {}).get("uid")
        if wanted is not None and wanted != metadata["uid"]:
            raise Refused(
                409, "Conflict", f"Precondition failed: UID in precondition: {wanted}, "
                f"UID in object meta: {metadata['uid']}"
            )  # fmt: skip
        if options.get("dryRun") == ["All"]:
            return live
        if metadata.get("finalizers") or ask.name in self.lingers:
            metadata["deletionTimestamp"] = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
            metadata["deletionGracePeriodSeconds"] = options.get("gracePeriodSeconds", 30)
            return self.kube.store.put(ask.kind, live)
        self.kube.store.remove(ask.kind, ask.namespace or "", ask.name or "")
        self.managed.pop(self._key(ask, ask.name or ""), None)
        return {
            "kind": "Status", "apiVersion": "v1", "status": "Success",
            "details": {"name": ask.name, "kind": ask.kind.plural, "uid": metadata["uid"]},
        }  # fmt: skip

    def leave(self, namespace: str, name: str) -> None:
        """An evicted pod that lingered has ended."""
        self.lingers.discard(name)
        self.kube.store.remove(self.kube.kind("Pod"), namespace, name)

    async def evict(self, ask: Ask) -> web.StreamResponse:
        body = await ask.request.json()
        if body["apiVersion"] not in self.eviction_versions:
            told = f'no kind "Eviction" is registered for version "{body["apiVersion"]}"'
            raise Refused(400, "BadRequest", told)
        pod = self.kube.one(ask)
        budgets = [
            each
            for each in self.kube.store.all(self.kube.kind("PodDisruptionBudget"), ask.namespace)
            if by_labels(
                ",".join(f"{k}={v}" for k, v in each["spec"]["selector"]["matchLabels"].items()),
                pod,
            )
        ]
        if len(budgets) > 1:
            told = "This pod has more than one PodDisruptionBudget, which the eviction subresource "
            raise Refused(500, "InternalError", told + "does not support.")
        if budgets:
            self._disrupt(budgets[0])
        self._gone(ask, body.get("deleteOptions") or {})
        return json_response({"kind": "Status", "apiVersion": "v1", "status": "Success"}, 201)

    def _disrupt(self, budget: Object) -> None:
        allowed = budget["status"]["disruptionsAllowed"]
        if allowed < 1:
            name = budget["metadata"]["name"]
            raise Refused(
                429,
                "TooManyRequests",
                "Cannot evict pod as it would violate the pod's disruption budget.",
                {
                    "causes": [
                        {
                            "reason": "DisruptionBudget",
                            "message": f"The disruption budget {name} needs 1 healthy pods and "
                            "has 1 currently",
                        }
                    ]
                },
                {"Retry-After": self.retry_after},
            )
        budget["status"]["disruptionsAllowed"] = allowed - 1

    async def exec(self, ask: Ask) -> web.StreamResponse:
        self.kube.one(ask)
        argv = ask.query.getall("command")
        socket = web.WebSocketResponse(protocols=self.protocols)
        asked = ask.request.headers.get("Sec-WebSocket-Protocol", "")
        if not {each.strip() for each in asked.split(",")} & set(self.protocols):
            raise Refused(400, "BadRequest", "unable to upgrade: no protocol in common")
        await socket.prepare(ask.request)
        self.ran.append(list(argv))
        stdin = await _read(socket) if ask.query.get("stdin") == "true" else b""

        async def out(channel: int, raw: bytes) -> None:
            await socket.send_bytes(bytes([channel]) + raw)

        program = self.run.get(argv[0])
        if program is None:
            message = f'exec: "{argv[0]}": executable file not found in $PATH'
            await out(3, _status({"reason": "InternalError", "message": message}))
        else:
            code = await program(list(argv), stdin, out)
            if code >= 0:
                await out(3, _ended(code))
        await socket.close()
        return socket


async def _read(socket: web.WebSocketResponse) -> bytes:
    """All of stdin, up to the message of v5 that closes it."""
    raw = b""
    async for message in socket:
        if message.type is not WSMsgType.BINARY:
            continue
        if message.data == bytes([255, 0]):
            break
        if message.data[:1] == b"\0":
            raw += message.data[1:]
    return raw


def _status(more: Object) -> bytes:
    return json.dumps({"metadata": {}, "status": "Failure", **more}).encode()


def _ended(code: int) -> bytes:
    if code == 0:
        return b'{"metadata":{},"status":"Success"}'
    causes = [{"reason": "ExitCode", "message": str(code)}]
    return _status({"reason": "NonZeroExitCode", "details": {"causes": causes}})


def _scale(thing: Object) -> Object:
    metadata = thing["metadata"]
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion")},
        "spec": {"replicas": thing["spec"].get("replicas", 1)},
        "status": {"replicas": thing.get("status", {}).get("replicas", 0)},
    }


def _secret(wanted: Object) -> Object:
    """The server keeps what was given as text in `data`."""
    if wanted.get("kind") != "Secret" or "stringData" not in wanted:
        return wanted
    found = {key: value for key, value in wanted.items() if key != "stringData"}
    encoded = {
        key: base64.b64encode(value.encode()).decode()
        for key, value in wanted["stringData"].items()
    }
    return {**found, "data": {**found.get("data", {}), **encoded}}
