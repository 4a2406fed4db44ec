"""What the gate's refusals mean to whoever asked for a page. Pure."""

from datetime import datetime, timedelta
from typing import get_args

from yarl import URL

from flotilla import FlotillaError, NotAllowed, NotFound, RateLimited, TooLarge, Unavailable
from web_browsing.fetching.targets import origin_of
from web_browsing.gate.visitor import Reason, Visitor

_SLACK = timedelta(seconds=1)
_HINTS = {
    "private_address": (
        "It is on an inside address, and nothing inside is reached. An operator may open exactly "
        "this one: WEB_BROWSING_ALLOW_HOSTS=host:port."
    ),
    "bad_port": "An operator sets WEB_BROWSING_PORTS.",
}


def refused(visitor: Visitor, url: URL, reason: str, asked_at: datetime) -> FlotillaError | None:
    """The error for a refusal that the gate remembers; None where a page only pretends to be one.

    `reason` is what the answer's header says, which any server could send as well.
    """
    host = url.host_subcomponent or ""
    remembered = visitor.last_refusal(host)
    if remembered is None or remembered.at < asked_at - _SLACK or reason not in get_args(Reason):
        return None
    told = f"{origin_of(url)}: {remembered.told}" if remembered.told else origin_of(url)
    details = {"reason": reason}
    match reason:
        case "no_address":
            return NotFound(told, details=details)
        case "unreachable":
            return Unavailable(told, details=details)
        case "too_many_bytes":
            return TooLarge(told, details=details)
        case "too_many_connections" | "too_many_requests":
            error = RateLimited(told, retry_after_ms=1000)
            error.details.update(details)
            return error
        case _:
            return NotAllowed(told, hint=_HINTS.get(reason), details=details)
