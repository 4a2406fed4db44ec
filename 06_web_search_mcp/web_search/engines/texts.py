"""What engines write, as plain text, moments and addresses. Pure."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from html import unescape
from typing import Any, cast
from urllib.parse import urlsplit

_TAG = re.compile(
    r"</?(?:a|b|br|code|em|font|i|mark|p|small|span|strong|sub|sup|u|wbr)(?:\s[^<>]{0,300})?/?>",
    re.IGNORECASE,
)
"""Those that engines put around what fits; any other is what somebody wrote."""
MAX_READ_CHARS = 20_000
"""Of one text; what is beyond is nobody's title or snippet."""
_AGO = re.compile(
    r"\b(\d{1,4})\s*(minute|min|m|hour|hr|h|day|d|week|w|month|mo|year|y)s?\b", re.IGNORECASE
)
_DAYS = {"d": 1, "w": 7, "mo": 30, "y": 365}


def words(text: Any) -> str:
    """White space collapsed; nothing for what is no text."""
    return " ".join(text[:MAX_READ_CHARS].split()) if isinstance(text, str) else ""


def plain(text: Any) -> str:
    """Without tags and entities, white space collapsed; nothing for what is no text."""
    if not isinstance(text, str):
        return ""
    return words(unescape(_TAG.sub("", text[:MAX_READ_CHARS])))


def web_url(text: Any) -> str:
    """The address where it is one of the web with a host, else nothing."""
    if not isinstance(text, str):
        return ""
    url = text.strip()
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return url if parts.scheme in ("http", "https") and parts.hostname else ""


def moment(text: Any) -> datetime | None:
    """When, in UTC, of an ISO 8601 or RFC 5322 date or seconds since 1970; None where unclear."""
    try:
        if isinstance(text, (int, float)) and not isinstance(text, bool):
            return datetime.fromtimestamp(text, UTC)
        if not isinstance(text, str) or not text.strip():
            return None
        try:
            found = datetime.fromisoformat(text.strip())
        except ValueError:
            found = parsedate_to_datetime(text)
    except (ValueError, OverflowError, OSError):
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def moment_ago(text: Any, now: datetime) -> datetime | None:
    """When "5 hours ago", "3d" or "2 weeks ago" was; None where it says no such thing."""
    found = _AGO.search(text) if isinstance(text, str) else None
    if found is None:
        return None
    count, unit = int(found[1]), found[2].lower()
    try:
        return now - _span(count, unit)
    except OverflowError:
        return None


def _span(count: int, unit: str) -> timedelta:
    if unit in ("minute", "min", "m"):
        return timedelta(minutes=count)
    if unit.startswith("h"):
        return timedelta(hours=count)
    days = _DAYS["mo" if unit.startswith("mo") else unit[0]]
    return timedelta(days=days * count)


def number(value: Any) -> int | None:
    """A count of pixels, where it is one."""
    try:
        found = int(value)
    except (TypeError, ValueError):
        return None
    return found if 0 < found < 1_000_000 else None


def rows(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a JSON list; nothing for what is none."""
    if not isinstance(value, list):
        return []
    listed = cast("list[Any]", value)
    return [cast("Mapping[str, Any]", each) for each in listed if isinstance(each, dict)]
