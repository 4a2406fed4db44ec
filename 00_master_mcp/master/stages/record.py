"""The first and last stage: every call is answered, counted, timed and logged, whatever happens."""

from time import monotonic

import structlog

from flotilla import FlotillaError, meta
from flotilla.metrics import Metrics
from flotilla.redaction import Redactor
from flotilla.toolbox import error_result
from master import rpc
from master.call import TOOLS_CALL, Call, Stage
from master.catalogue import Catalogue
from master.offer import Kind
from master.result import Result, error_code, marked, of_json

log = structlog.get_logger(__name__)

UNKNOWN = "unknown"
"""The metric label of names that are no tool: callers must not be able to make labels."""
REFUSED = "refused"
"""The code of a request that its server refused by the protocol: strangers choose the numbers."""


def recorded(inner: Stage, catalogue: Catalogue, metrics: Metrics, redactor: Redactor) -> Stage:
    """A tool call that fails has a result that says so; any other request raises what it failed by.

    Raises rpc.RpcError where the server itself refused, FlotillaError for other requests.
    """

    # Bound once: the way from the module's logger to one that writes costs a quarter of a line.
    bound_log = log.bind()

    async def stage(call: Call) -> Result:
        try:
            result = await inner(call)
        except rpc.RpcError as error:
            _tell(call, REFUSED, rpc_code=error.code)
            raise
        except FlotillaError as error:
            if call.method != TOOLS_CALL:
                _tell(call, error.code)
                raise
            result = of_json(error_result(error, call.correlation_id, redactor))
        except Exception:  # the top-level handler: internals stay in the log
            log.exception("call_failed", tool=call.name[:100])
            broke = FlotillaError(
                "the hub failed to answer", hint="Its log has the details under this ID."
            )
            if call.method != TOOLS_CALL:
                _tell(call, broke.code)
                raise broke from None
            result = of_json(error_result(broke, call.correlation_id, redactor))
        _tell(call, error_code(result))
        if result.poured:
            return result
        return marked(result, **{meta.CORRELATION_ID: call.correlation_id})

    def _tell(call: Call, code: str | None, **more: int) -> None:
        service, label, name = _labels(call, catalogue)
        took_s = monotonic() - call.arrived
        metrics.answered(service, label, took_s, code, call.correlation_id)
        bound_log.info(
            "call_answered",
            tool=name,
            upstream=service,
            error=code,
            took_ms=round(took_s * 1e3, 1),
            **more,
        )

    return stage


def _labels(call: Call, catalogue: Catalogue) -> tuple[str, str, str]:
    """Service and name for the metrics, and the name for the log.

    URIs are without number: of them the metrics know the method alone.
    """
    if call.target is not None and call.method == TOOLS_CALL:
        return call.target.service, call.target.name, call.target.name
    if call.method in (TOOLS_CALL, "prompts/get"):
        kind: Kind = "tools" if call.method == TOOLS_CALL else "prompts"
        entry = catalogue.known(call.name, call.view, kind)
        if entry is None:
            return UNKNOWN, UNKNOWN, call.name[:100]
        return entry.service, entry.name, entry.name
    try:
        service = catalogue.find_uri(call.name, call.view).service
    except FlotillaError:
        service = UNKNOWN
    return service, call.method, f"{call.method} {call.name[:200]}"
