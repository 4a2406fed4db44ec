"""What a failed call tells of its server."""

from datetime import UTC, datetime

import pytest

from flotilla import (
    FlotillaError,
    InvalidArgument,
    NotConfigured,
    NotFound,
    RateLimited,
    TimedOut,
    TooLarge,
    Unavailable,
    UpstreamError,
)
from flotilla.errors import CircuitOpen
from master import rpc
from master.upstream.failure import judged
from master.upstream.handshake.transport import SessionLost
from master.upstream.http import OutOfService, Refused, retry_after_s
from master.upstream.lines.speaker import Ended, OtherEra
from master.upstream.transport.client import broke_http, too_late, unreachable, went_away
from master.upstream.transport.head import BadHeader
from master.upstream.transport.target import BadAddress, Target

SPOKE = Target.of("http://127.0.0.1:1/mcp", "spoke")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (unreachable("spoke"), "not_sent"),
        (SessionLost("spoke has forgotten the session"), "not_sent"),
        (went_away("spoke"), "unknown"),
        (Unavailable("external server x has ended"), "unknown"),
        (Ended("x ended before it said what it offers"), "unknown"),
        (too_late(SPOKE), "timeout"),
        (TimedOut("external server x reads nothing of what it is sent"), "timeout"),
        (broke_http(SPOKE, "garbage"), "broken"),
        (UpstreamError("the server sent something that is no JSON-RPC message"), "broken"),
        (OtherEra("x does not speak 2026-07-28"), "broken"),
        (Refused("spoke answered with HTTP 500", 500), "broken"),
        (Refused("spoke answered with a redirect", 302), "broken"),
        (OutOfService("spoke is out of service (HTTP 503)", 503), "broken"),
        (Refused("spoke refused the hub's credentials", 401), "answered"),
        (Refused("spoke answered with HTTP 429", 429), "answered"),
        (rpc.RpcError(rpc.INTERNAL_ERROR, "no", status=500), "answered"),
        (TooLarge("the server sent a message of over 16 MiB"), "answered"),
        (NotFound("no tool 'x' here"), "answered"),
        (BadHeader("the header x has a line break"), "own"),
        (BadAddress("the address of x is no URL"), "own"),
        (InvalidArgument("size is missing"), "own"),
        (NotConfigured("a token is missing"), "own"),
        (RateLimited("too many calls", retry_after_ms=5), "own"),
        (CircuitOpen("resting"), "own"),
        (FlotillaError("broke"), "own"),
        (RuntimeError("a fault of the hub's"), "own"),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_each_error_tells_one_thing_of_its_server(error: Exception, kind: str) -> None:
    failure = judged(error)
    assert failure.kind == kind
    assert failure.proves_alive == (kind == "answered")
    assert failure.retry_after_s is None


def test_the_reason_is_what_the_error_says_and_a_fault_of_the_hub_shows_only_its_kind() -> None:
    assert judged(unreachable("cmdb")).reason == "cmdb cannot be reached"
    assert judged(rpc.RpcError(rpc.INVALID_PARAMS, "no such city")).reason == "no such city"
    assert "secret" not in judged(RuntimeError("secret")).reason


@pytest.mark.parametrize("error", [Refused("busy", 429, None, 2.0), OutOfService("busy", 503, 2.0)])
def test_how_long_a_server_wants_to_be_left_alone_goes_with_the_failure(
    error: FlotillaError,
) -> None:
    assert judged(error).retry_after_s == 2.0


NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("99999999", 3600.0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("Thu, 01 Jan 2037 11:00:00 GMT", 3600.0),
        ("Thu, 01 Jan 2026 12:00:30", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("\u0665", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_a_number_or_a_date_and_anything_else_says_nothing(
    told: str | None, seconds: float | None
) -> None:
    assert retry_after_s(told, NOW) == seconds
