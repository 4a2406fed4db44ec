"""What is told to one who is refused: a reason for programs, a sentence for people."""

from html import escape
from http import HTTPStatus
from typing import Final

import h11

from web_browsing.gate.visitor import Reason

REFUSED_HEADER: Final = "x-flotilla-refused"
"""Stands in every answer that is the proxy's own, with the `Reason`."""

_STATUS: Final[dict[Reason, HTTPStatus]] = {
    "no_address": HTTPStatus.BAD_GATEWAY,
    "unreachable": HTTPStatus.BAD_GATEWAY,
    "too_many_bytes": HTTPStatus.BAD_GATEWAY,
    "too_many_connections": HTTPStatus.SERVICE_UNAVAILABLE,
    "too_many_requests": HTTPStatus.TOO_MANY_REQUESTS,
}

Answer = tuple[h11.Response, bytes]


class Refused(Exception):
    """Something is not let through; `told` says why to a person, and holds no secret."""

    def __init__(self, reason: Reason, told: str) -> None:
        super().__init__(told)
        self.reason: Reason = reason
        self.told = told


def refusing(refused: Refused, *, last: bool) -> Answer:
    """The proxy's answer in the stead of the server's; `last`: the connection ends with it."""
    status = _STATUS.get(refused.reason, HTTPStatus.FORBIDDEN)
    return _page(status, refused.told, [(REFUSED_HEADER, refused.reason)], last=last)


def nothing_new() -> Answer:
    """A browser that gets this stays on the page that it shows. Source: RFC 9110 §15.3.5."""
    return h11.Response(status_code=204, reason="No Content", headers=[]), b""


def malformed(status_code: int) -> Answer:
    """To one who does not speak HTTP/1.1; nothing that was said is said again."""
    status = HTTPStatus(status_code)
    return _page(status, "The request is not one that a proxy takes.", [], last=True)


def who_are_you() -> Answer:
    """To one who did not say the token. Source: RFC 9110 §11.7."""
    challenge = [("proxy-authenticate", 'Basic realm="gate"')]
    told = "This proxy is not for everybody."
    return _page(HTTPStatus.PROXY_AUTHENTICATION_REQUIRED, told, challenge, last=True)


def _page(status: HTTPStatus, told: str, more: list[tuple[str, str]], *, last: bool) -> Answer:
    title = f"{status.value} {status.phrase}"
    body = (
        f"<!doctype html><meta charset=utf-8><title>{title}</title>"
        f"<h1>Not let through</h1><p>{escape(told)}</p>\n"
    ).encode()
    headers = [
        ("content-type", "text/html; charset=utf-8"),
        ("content-length", str(len(body))),
        ("cache-control", "no-store"),
        # It stands where a script or a style was expected, too, and under the site's own origin.
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'"),
        *more,
    ]
    if last:
        headers.append(("connection", "close"))
    return h11.Response(status_code=status.value, reason=status.phrase, headers=headers), body
