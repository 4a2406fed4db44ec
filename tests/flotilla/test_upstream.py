"""A provider's error, as a caller of ours reads it."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import pytest

from flotilla import TooLarge
from flotilla.upstream import retry_after_s, upstream_error, whole

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "invalid_argument"),
        (401, "not_configured"),
        (403, "not_allowed"),
        (404, "not_found"),
        (409, "conflict"),
        (412, "conflict"),
        (429, "rate_limited"),
        (500, "upstream_error"),
        (503, "unavailable"),
        (504, "timeout"),
        (418, "upstream_error"),
    ],
)
def test_a_status_has_one_code(status: int, code: str) -> None:
    error = upstream_error("Azure", status, "no", code="Sorry", request_id="r-1")
    told = error.as_json("c")
    assert told["code"] == code
    assert told["upstreamStatus"] == status
    assert told["upstreamCode"] == "Sorry"
    assert told["upstreamRequestId"] == "r-1"


def test_the_wait_that_is_asked_for_is_passed_on() -> None:
    assert upstream_error("A", 429, "slow", retry_after_s=7).details["retryAfterMs"] == 7000
    assert upstream_error("A", 503, "slow", retry_after_s=7).details["retryAfterMs"] == 7000
    assert upstream_error("A", 429, "slow").details["retryAfterMs"] == 5000


def test_a_long_message_is_cut() -> None:
    assert len(upstream_error("A", 500, "x" * 5000).message) < 1100


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3),
        (" 2.5 ", 2.5),
        ("Thu, 01 Jan 2026 00:00:10 GMT", 10),
        ("Wed, 31 Dec 2025 00:00:10 GMT", 0),
        ("-4", 0),
        ("999999", 3600),
        ("soon", None),
        ("nan", None),
        (None, None),
    ],
)
def test_retry_after_is_read_in_both_forms(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, lambda: NOW) == seconds


@pytest.mark.anyio
async def test_a_body_is_read_whole_and_not_far_beyond_its_bound() -> None:
    taken: list[int] = []

    async def parts() -> AsyncGenerator[bytes]:
        for number in range(100):
            taken.append(number)
            yield b"abcd"

    assert await whole(parts(), 400, "too much", hint="less") == b"abcd" * 100
    taken.clear()
    with pytest.raises(TooLarge, match="too much"):
        await whole(parts(), 10, "too much", hint="less")
    assert taken == [0, 1, 2]
