"""The ID under which every log line, metric, error and answer of one call stands. Pure."""

import os
import re
import time
from collections.abc import Mapping
from typing import Any

from flotilla import meta

HEADER = "x-correlation-id"
SCOPE = "flotilla.correlation_id"
"""Where the ASGI scope of a request holds its ID."""

_ACCEPTED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def new_correlation_id() -> str:
    """A UUIDv7 (RFC 9562 §5.7): sorts by time, so that logs and audit rows do too."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10))
    value = milliseconds << 80 | 0x7 << 76 | (random >> 68) << 64
    value |= 0b10 << 62 | random & ((1 << 62) - 1)
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def accepted(given: object) -> str | None:
    """`given` where it can stand in a header and a log line unharmed, else None."""
    return given if isinstance(given, str) and _ACCEPTED.fullmatch(given) else None


def traceparent(given: object) -> str | None:
    """`given` where it has the form of W3C Trace Context level 1, else None."""
    return given if isinstance(given, str) and _TRACEPARENT.fullmatch(given) else None


def of_call(
    assigned: str, headers: Mapping[str, str], call_meta: Mapping[str, Any]
) -> tuple[str, str | None]:
    """The correlation ID and the trace of a call, whichever way the client sent them.

    `assigned` is what the request was given at the door; only without the header of its own may
    `_meta` bring another ID. The trace of `_meta` is nearer to the call than the header's.
    """
    correlation_id = assigned
    if HEADER not in headers:
        correlation_id = accepted(call_meta.get(meta.CORRELATION_ID)) or assigned
    return correlation_id, traceparent(call_meta.get("traceparent") or headers.get("traceparent"))
