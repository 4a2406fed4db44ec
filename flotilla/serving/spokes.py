"""A spoke as a service: its tools behind the hub's signed token."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.requests import Request

from flotilla import meta
from flotilla.context import Context, Deadline
from flotilla.credentials import credential_operations
from flotilla.errors import FlotillaError
from flotilla.fleet import FleetConfig
from flotilla.identity import Caller, Verifier
from flotilla.json_text import to_json
from flotilla.known_values import Known
from flotilla.logs import bound, hiding, process_redactor
from flotilla.metrics import Metrics
from flotilla.redaction import Redactor, without
from flotilla.secret_places import SecretWalk, texts_at
from flotilla.secret_text import MARK
from flotilla.serving.app import service_app
from flotilla.serving.draining import Drain
from flotilla.serving.endpoint import Endpoint, Incoming
from flotilla.serving.gates import CALLER, hub_only
from flotilla.serving.operations import OperationDesk
from flotilla.serving.service import Service
from flotilla.settings import CommonSettings
from flotilla.spoke import Spoke
from flotilla.toolbox import Toolbox, error_code_of, error_result

log = structlog.get_logger(__name__)

OTHER = "other"
"""The metric label of names that are no tool: callers must not be able to make labels."""


def spoke_service(spoke: Spoke, common: CommonSettings, fleet: FleetConfig) -> Service:
    """Wire a spoke's manifest to a port; BadTool for a method that cannot be a tool."""
    entry = fleet.service(spoke.name)
    metrics = Metrics()
    drain = Drain(spoke.name)
    verifier = Verifier(common.hub_public_key_path, audience=spoke.name)
    redactor = process_redactor()
    redactor.learn((*spoke.secrets, *common.secret_values()))
    needed = spoke.credentials
    own = () if needed is None else credential_operations(needed, redactor.learn)
    found = () if spoke.discovery is None else spoke.discovery.operations()
    backend = SpokeBackend(spoke, redactor, metrics, drain, entry.timeout_s, entry.long_timeout_s)
    endpoint = Endpoint(
        name=spoke.name, version=spoke.version, instructions=spoke.instructions, backend=backend
    )
    desk = OperationDesk(
        spoke.name,
        (*spoke.operations, *own, *found),
        redactor=redactor,
        metrics=metrics,
        drain=drain,
        limit_s=entry.long_timeout_s,
    )
    metrics.watch(
        spoke.name, running=lambda: drain.running, sessions=lambda: endpoint.open_sessions
    )

    async def ready() -> str | None:
        if drain.closed:
            return "stopping"
        if not verifier.has_key():
            return f"waiting for the hub's public key at {common.hub_public_key_path}"
        return await spoke.ready()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        with bound(service=spoke.name):
            async with spoke.lifespan(), endpoint.running():
                yield

    app = service_app(
        name=spoke.name,
        version=spoke.version,
        settings=common,
        routes=[*endpoint.routes(), *desk.routes()],
        ready=ready,
        metrics=metrics,
        authenticate=hub_only(verifier),
        lifespan=lifespan,
        own_hosts=(spoke.name.replace("_", "-"),),
    )
    return Service(
        name=spoke.name,
        app=app,
        drain=drain,
        stop_streams=endpoint.stop_streams,
        bind=common.bind,
        port=fleet.port(spoke.name),
        grace_s=common.shutdown_grace_s,
        tls=common.tls_dir,
    )


class SpokeBackend:
    """Runs calls in the spoke's toolbox, within their deadline, counted and timed."""

    def __init__(
        self,
        spoke: Spoke,
        redactor: Redactor,
        metrics: Metrics,
        drain: Drain,
        timeout_s: float,
        long_timeout_s: float,
    ) -> None:
        self._name = spoke.name
        self._toolbox = Toolbox(spoke.tools, redactor)
        self._long = {tool.name for tool in spoke.tools if tool.long}
        self._trusted = {
            tool["name"]
            for tool in self._toolbox.listing()
            if MARK in to_json(tool["inputSchema"]).decode()
        }
        """Tools that are given secrets."""
        self._redactor = redactor
        self._metrics = metrics
        self._drain = drain
        self._timeout_s = timeout_s
        self._long_timeout_s = long_timeout_s
        self._listing = self._toolbox.listing()
        if spoke.not_configured is not None:
            mark = {meta.NOT_CONFIGURED: spoke.not_configured}
            self._listing = [{**tool, "_meta": {**tool["_meta"], **mark}} for tool in self._listing]

    async def list_tools(self, request: Request) -> Sequence[Mapping[str, Any]]:
        del request
        return self._listing

    def input_schema(self, name: str) -> Mapping[str, Any] | None:
        return self._toolbox.input_schema(name)

    async def call_tool(self, call: Incoming) -> dict[str, Any]:
        started = perf_counter()
        tool = self._toolbox.canonical(call.name)
        try:
            with self._drain.call():
                result = await self._run(tool, call)
        except FlotillaError as error:
            result = error_result(error, call.correlation_id, self._redactor)
        code = error_code_of(result)
        took_s = perf_counter() - started
        self._metrics.answered(self._name, tool or OTHER, took_s, code, call.correlation_id)
        caller: Caller = call.request.scope[CALLER]
        log.info(
            "tool_called",
            tool=tool or call.name,
            error=code,
            took_ms=round(took_s * 1e3, 1),
            **({} if caller.approval is None else {"approval": caller.approval}),
        )
        return result

    async def _run(self, tool: str | None, call: Incoming) -> dict[str, Any]:
        """The tool's result; what it was given in confidence is in no line and no result of it."""
        if tool is None or tool not in self._trusted:
            return await self._toolbox.call(call.name, call.arguments, self._context(call))
        walk = SecretWalk(self._toolbox.input_schema(tool))
        given = Known(texts_at(call.arguments, walk.places(call.arguments)))
        with hiding(given):
            result = await self._toolbox.call(call.name, call.arguments, self._context(call))
        text = to_json(result).decode()
        return result if not given.may_be_in(text) else without(result, given)

    def _context(self, call: Incoming) -> Context:
        caller: Caller = call.request.scope[CALLER]
        tool = self._toolbox.canonical(call.name)
        limit_s = self._long_timeout_s if tool in self._long else self._timeout_s
        return Context(
            principal=caller.principal,
            correlation_id=call.correlation_id,
            deadline=deadline_of(call.meta, limit_s),
            traceparent=call.traceparent,
            approved=tool is not None and caller.approved_tool == tool,
            report=call.report,
        )


def deadline_of(call_meta: Mapping[str, Any], limit_s: float) -> Deadline:
    """The caller's `io.flotilla/timeoutMs` from now, at most `limit_s`."""
    asked = call_meta.get(meta.TIMEOUT_MS)
    if isinstance(asked, (int, float)) and not isinstance(asked, bool) and asked >= 0:
        limit_s = min(limit_s, asked / 1000)
    return Deadline.after(limit_s)
