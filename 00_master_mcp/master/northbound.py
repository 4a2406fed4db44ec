"""What the hub's endpoint shows and answers: the catalogue in the view of the URL, the pipeline."""

from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

from starlette.requests import Request

from flotilla import FlotillaError, correlation
from flotilla.identity import Caller
from flotilla.redaction import Redactor
from flotilla.serving.draining import Drain
from flotilla.serving.endpoint import Incoming
from flotilla.serving.gates import CALLER
from flotilla.toolbox import error_result
from master.call import Call, Stage
from master.catalogue import Catalogue
from master.views import VIEW


class HubBackend:
    """Turns what comes in, whatever the transport, into a `Call`."""

    def __init__(
        self, catalogue: Catalogue, answer: Stage, drain: Drain, redactor: Redactor
    ) -> None:
        self._catalogue = catalogue
        self._answer = answer
        self._drain = drain
        self._redactor = redactor

    async def list_tools(self, request: Request) -> Sequence[Mapping[str, Any]]:
        return self._catalogue.listing(request.scope[VIEW])

    def input_schema(self, name: str) -> Mapping[str, Any] | None:
        entry = self._catalogue.find_safe(name)
        return None if entry is None else entry.listed.get("inputSchema")

    async def call_tool(self, call: Incoming) -> dict[str, Any]:
        try:
            with self._drain.call():
                return await self._answer(_call(call))
        except FlotillaError as error:
            return error_result(error, call.correlation_id, self._redactor)


def _call(incoming: Incoming) -> Call:
    scope = incoming.request.scope
    caller: Caller = scope[CALLER]
    trace = incoming.meta.get("traceparent") or incoming.request.headers.get("traceparent")
    return Call(
        principal=caller.principal,
        name=incoming.name,
        arguments=incoming.arguments,
        meta=incoming.meta,
        correlation_id=incoming.correlation_id,
        traceparent=correlation.traceparent(trace) if isinstance(trace, str) else None,
        view=scope[VIEW],
        arrived=monotonic(),
        report=incoming.report,
    )
