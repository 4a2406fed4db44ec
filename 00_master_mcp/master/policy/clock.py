"""The time, as rules speak of it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from flotilla.settings import Misconfigured

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """`zone` is the one of `context.time`."""

    zone: tzinfo = UTC
    now: Callable[[], datetime] = utc_now

    def at(self, moment: datetime) -> "Clock":
        """One that always shows this moment."""
        return Clock(self.zone, lambda: moment)


def zone_of(name: str) -> tzinfo:
    """A time zone by its IANA name, `Europe/Berlin`; Misconfigured for any other."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise Misconfigured(
            f"FLOTILLA_TIMEZONE: {name!r} is no time zone; write it as Europe/Berlin"
        ) from None


def shown(moment: datetime) -> dict[str, Any]:
    """A Clock of the schema: that of the zone in which the moment is given."""
    return {
        "hour": moment.hour,
        "minute": moment.minute,
        "weekday": WEEKDAYS[moment.weekday()],
        "date": moment.strftime("%Y-%m-%d"),
    }


def exact(moment: datetime) -> dict[str, Any]:
    """A datetime of the schema."""
    written = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
    return {"__extn": {"fn": "datetime", "arg": f"{written}Z"}}
