"""Structured logs: one JSON object a line, on standard error, with the correlation ID, redacted."""

import json
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import orjson
import structlog
from structlog.contextvars import merge_contextvars

from flotilla.redaction import Redactor
from flotilla.settings import Misconfigured

_QUIET = {
    # Each logs a line for every session, stream or request at INFO; ours say it once and better.
    "mcp": logging.WARNING,
    "uvicorn": logging.WARNING,
    "uvicorn.access": logging.WARNING,
    "uvicorn.error": logging.WARNING,
    "sse_starlette": logging.WARNING,
    "aiohttp": logging.WARNING,
    "asyncio": logging.WARNING,
    "httpx2": logging.WARNING,
    "httpcore2": logging.WARNING,
    "aiosqlite": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    "alembic": logging.WARNING,
}


class _Writer:
    """A logger that writes each rendered line at once, whole."""

    def __init__(self, name: str, stream: TextIO) -> None:
        self.name = name
        self._stream = stream

    def msg(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()

    debug = info = warning = error = critical = exception = log = msg


def _line(event: Any, **_options: Any) -> str:
    try:
        return orjson.dumps(event, default=str).decode()
    except TypeError:
        # Half a surrogate pair, or a number beyond 64 bits: a log line is written all the same.
        return json.dumps(event, default=str)


def set_up_logs(level: str, redactor: Redactor, stream: TextIO | None = None) -> None:
    """Send structlog and the standard library's logs alike to `stream` (standard error).

    Raises Misconfigured for a level that is not one of logging's names.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise Misconfigured(f"FLOTILLA_LOG_LEVEL: {level!r} is not DEBUG, INFO, WARNING or ERROR")

    def redact(
        _logger: Any, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        return {key: redactor.data(value) for key, value in event.items()}

    out = stream or sys.stderr
    shared: list[Any] = [
        merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
    ]
    render: list[Any] = [redact, structlog.processors.JSONRenderer(serializer=_line)]
    # Ours go straight to the stream: the standard library's way costs a call half as much again.
    structlog.configure(
        processors=[*shared, *render],
        logger_factory=lambda *names: _Writer(str(names[0]) if names else "", out),
        wrapper_class=structlog.make_filtering_bound_logger(number),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(number)
    for name, quiet in _QUIET.items():
        logging.getLogger(name).setLevel(max(number, quiet))
