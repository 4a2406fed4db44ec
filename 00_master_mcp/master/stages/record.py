"""The first and last stage: every call is answered, counted, timed and logged, whatever happens."""

from time import monotonic

import structlog

from flotilla import FlotillaError, meta
from flotilla.metrics import Metrics
from flotilla.redaction import Redactor
from flotilla.toolbox import error_result
from master.call import Call, Stage
from master.catalogue import Catalogue
from master.result import Result, error_code, marked, of_json

log = structlog.get_logger(__name__)

UNKNOWN = "unknown"
"""The metric label of names that are no tool: callers must not be able to make labels."""


def recorded(inner: Stage, catalogue: Catalogue, metrics: Metrics, redactor: Redactor) -> Stage:
    async def stage(call: Call) -> Result:
        try:
            result = await inner(call)
        except FlotillaError as error:
            result = of_json(error_result(error, call.correlation_id, redactor))
        except Exception:  # the top-level handler: internals stay in the log
            log.exception("call_failed", tool=call.name[:100])
            broke = FlotillaError(
                "the hub failed to answer", hint="Its log has the details under this ID."
            )
            result = of_json(error_result(broke, call.correlation_id, redactor))
        _tell(call, result)
        return marked(result, **{meta.CORRELATION_ID: call.correlation_id})

    def _tell(call: Call, result: Result) -> None:
        entry = catalogue.find_safe(call.name)
        service, tool = (entry.service, entry.name) if entry else (UNKNOWN, UNKNOWN)
        code = error_code(result)
        took_s = monotonic() - call.arrived
        metrics.answered(service, tool, took_s, code, call.correlation_id)
        log.info(
            "call_answered",
            tool=entry.name if entry else call.name[:100],
            upstream=service,
            error=code,
            took_ms=round(took_s * 1e3, 1),
        )

    return stage
