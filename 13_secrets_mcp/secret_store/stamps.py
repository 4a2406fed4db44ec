"""Times as text that sorts in their order, from a clock that is handed in."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import Field

from flotilla import InvalidArgument

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""RFC 3339 in UTC with six decimals: text order is time order, on either database."""
GivenTime = Annotated[
    str,
    Field(
        max_length=64,
        description="RFC 3339, say 2027-01-31T12:00:00Z.",
        json_schema_extra={"format": "date-time"},
    ),
]


class Clock:
    """Now, and from now on, as text."""

    def __init__(self, utc_now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._utc_now = utc_now

    def now(self) -> str:
        return written(self._utc_now())

    def after(self, seconds: float) -> str:
        """`seconds` from now; before now where they are negative."""
        return written(self._utc_now() + timedelta(seconds=seconds))


def written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def read_time(given: str, name: str) -> str:
    """A time that a caller gave, in our form; InvalidArgument for anything else."""
    try:
        moment = datetime.fromisoformat(given)
        if moment.tzinfo is not None:
            return written(moment)
    except (ValueError, OverflowError):
        pass
    raise InvalidArgument(
        f"{name} is not a time", hint="Write it with its zone, say 2027-01-31T12:00:00Z."
    )
