"""Structured logs: one JSON object a line, on standard error, with the correlation ID, redacted."""

import logging
import sys
from collections.abc import Generator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache
from time import time_ns
from types import MappingProxyType
from typing import Any, TextIO

import structlog
from structlog.contextvars import merge_contextvars

from flotilla.known_values import Known
from flotilla.redaction import REDACTED, Redactor
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
    # It says addresses whole, and in them what is searched for.
    "primp": logging.WARNING,
}

_FIELDS: ContextVar[Mapping[str, Any]] = ContextVar(
    "flotilla_log_fields", default=MappingProxyType({})
)
_OF_CALL: ContextVar[Known | None] = ContextVar("flotilla_log_secrets", default=None)
_TOLD_LAST = ("level", "logger", "at")


class _Writer:
    """A logger that writes each rendered line at once, whole; `name` is JSON text."""

    def __init__(self, name: str, stream: TextIO) -> None:
        self.name = name
        self._stream = stream

    def msg(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()

    debug = info = warning = error = critical = exception = log = msg


class _Bound:
    """Fields that the lines within bear; what was bound before comes back afterwards."""

    __slots__ = ("_fields", "_token")

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    def __enter__(self) -> None:
        self._token = _FIELDS.set({**_FIELDS.get(), **self._fields})

    def __exit__(self, *_: object) -> None:
        try:
            _FIELDS.reset(self._token)
        except ValueError:
            # The collector closed a coroutine that was given up, in whichever context it was
            # itself: there is nothing to undo there.
            return


def bound(**fields: Any) -> _Bound:
    """Give every line within these fields: `with bound(principal="ann"): ...`.

    The same as structlog's `bound_contextvars`, which costs a request five times as much. A field
    that is bound by both, or named in the line itself, has structlog's value, or the line's.
    """
    return _Bound(fields)


def bound_field(name: str) -> Any:
    """What `bound` says of the place where this runs, say its correlation_id; None for nothing."""
    return _FIELDS.get().get(name)


Event = MutableMapping[str, Any]


def _merged(logger: Any, method: str, event: Event) -> Event:
    """The event with what structlog, and then what `bound`, knows of where it happened."""
    merge_contextvars(logger, method, event)
    for key, value in _FIELDS.get().items():
        event.setdefault(key, value)
    return event


class _Clock:
    """Tells the time in ISO 8601, UTC, to the microsecond."""

    def __init__(self) -> None:
        self._last = (-1, "")

    def now(self) -> str:
        second, nanoseconds = divmod(time_ns(), 1_000_000_000)
        last, text = self._last
        if second != last:
            text = f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"
            self._last = (second, text)
        return f"{text}.{nanoseconds // 1000:06}Z"


class _Line:
    """Turns an event into its line; the one processor of our own logs.

    Level, logger and time are put behind what was searched for secrets and rendered: they are known
    to hold none, and nothing that JSON would escape.
    """

    def __init__(self, redactor: Redactor) -> None:
        self.redactor = redactor
        self._clock = _Clock()

    def __call__(self, logger: _Writer, method: str, event: Event) -> str:
        _merged(logger, method, event)
        if "exc_info" in event:
            event = structlog.processors.format_exc_info(logger, method, event)
        for key in _TOLD_LAST:
            event.pop(key, None)
        said = _without_those_of_call(self.redactor.json(event))[1:-1]
        last = f'"level":"{method}","logger":{logger.name},"at":"{self._clock.now()}"'
        return f"{{{said},{last}}}" if said else f"{{{last}}}"

    def foreign(self, _logger: Any, _method: str, event: Event) -> str:
        """The last processor of an event of the standard library's, which says the rest itself."""
        event["at"] = self._clock.now()
        return _without_those_of_call(self.redactor.json(event))


def _without_those_of_call(line: str) -> str:
    known = _OF_CALL.get()
    return line if known is None or not known.may_be_in(line) else known.hidden(line, REDACTED)


@contextmanager
def hiding(known: Known) -> Generator[None]:
    """Hide these values in the lines within, and in those of tasks that are begun within."""
    before = _OF_CALL.set(known)
    try:
        yield
    finally:
        _OF_CALL.reset(before)


def process_redactor() -> Redactor:
    """The redactor of this process's log, for all that the process says; a new one without a log.

    A value that any part of the process learns is then hidden everywhere.
    """
    for processor in structlog.get_config()["processors"]:
        if isinstance(processor, _Line):
            return processor.redactor
    return Redactor()


def set_up_logs(level: str, redactor: Redactor, stream: TextIO | None = None) -> None:
    """Send structlog and the standard library's logs alike to `stream` (standard error).

    Raises Misconfigured for a level that is not one of logging's names.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise Misconfigured(f"FLOTILLA_LOG_LEVEL: {level!r} is not DEBUG, INFO, WARNING or ERROR")

    out, line = stream or sys.stderr, _Line(redactor)

    @cache
    def writer(*names: object) -> _Writer:
        return _Writer(redactor.json(str(names[0]) if names else ""), out)

    # Ours go straight to the stream: the standard library's way costs a call half as much again.
    structlog.configure(
        processors=[line],
        logger_factory=writer,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                _merged,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.format_exc_info,
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, line.foreign],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(number)
    for name, quiet in _QUIET.items():
        logging.getLogger(name).setLevel(max(number, quiet))
