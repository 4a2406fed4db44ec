"""The ID under which every log line, metric, error and answer of one call stands. Pure."""

import os
import re
import time
from uuid import UUID

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
    return str(UUID(int=value))


def accepted(given: str | None) -> str | None:
    """`given` where it can stand in a header and a log line unharmed, else None."""
    return given if given is not None and _ACCEPTED.fullmatch(given) else None


def traceparent(given: str | None) -> str | None:
    """`given` where it has the form of W3C Trace Context level 1, else None."""
    return given if given is not None and _TRACEPARENT.fullmatch(given) else None
