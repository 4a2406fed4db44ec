"""IDs and times, both as text that sorts in the order of their making. Pure but for the clock."""

import secrets
import time
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""RFC 3339 in UTC with six decimals: text order is time order, on either database."""


def now() -> str:
    return written(datetime.now(UTC))


def written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def new_id(prefix: str) -> str:
    """`<prefix>_` and the hex of a UUIDv7: unguessable, and sorted by time within a microsecond."""
    ns = time.time_ns()
    ms, rest_ns = divmod(ns, 1_000_000)
    # RFC 9562, method 3: the twelve bits after the version hold the fraction of the millisecond.
    fraction = rest_ns * 4096 // 1_000_000
    bits = (ms << 80) | (0x7 << 76) | (fraction << 64) | (0b10 << 62) | secrets.randbits(62)
    return f"{prefix}_{bits:032x}"
