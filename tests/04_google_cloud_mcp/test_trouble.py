"""Google hangs, throttles, breaks off or talks nonsense: a clear error, and nothing twice."""

import asyncio
from time import monotonic

import pytest

from tests.conftest import until

from .conftest import PROD, Estate, OpenEstate, followed

pytestmark = pytest.mark.anyio
ZONE = "europe-west1-b"


@pytest.fixture(scope="module")
async def hasty_estate(open_estate: OpenEstate, tmp_path_factory: pytest.TempPathFactory) -> Estate:
    """One whose requests may take a second."""
    folder = tmp_path_factory.mktemp("hasty")
    estate = await open_estate(folder, timeout_s=3, settings={"request_timeout_s": 1.0})
    estate.world.instance(PROD, ZONE, "web-1")
    # The SDK is loaded and signed in; what is timed is what Google does.
    await estate.call("listInstances")
    return estate


@pytest.fixture
def hasty(hasty_estate: Estate) -> Estate:
    hasty_estate.world.forget()
    hasty_estate.google.faults.clear()
    hasty_estate.google.tls.asked.clear()
    hasty_estate.world.instance(PROD, ZONE, "web-1")
    return hasty_estate


async def test_a_google_that_hangs_is_a_timeout_before_the_deadline(hasty: Estate) -> None:
    hasty.google.faults.hang("/aggregated/instances")
    began = monotonic()
    error = await hasty.fails("listInstances")
    assert error["code"] == "timeout"
    assert monotonic() - began < 4
    hasty.google.faults.clear()
    assert (await hasty.call("listInstances"))["returned"] == 1


async def test_throttling_tells_when_to_come_again(hasty: Estate) -> None:
    hasty.google.faults.throttle("/zones/", retry_after="17", times=None)
    error = await hasty.fails("listInstances", zone=ZONE)
    assert (error["code"], error["retryAfterMs"], error["upstreamStatus"]) == (
        "rate_limited",
        17000,
        429,
    )


async def test_a_quota_is_rate_limited_though_google_says_forbidden(hasty: Estate) -> None:
    hasty.google.faults.body_of_status, kept = (
        lambda _: (
            b'{"error":{"code":403,"message":"Quota exceeded for quota metric Queries",'
            b'"errors":[{"reason":"rateLimitExceeded","domain":"usageLimits","message":"x"}]}}'
        ),
        hasty.google.faults.body_of_status,
    )
    try:
        hasty.google.faults.fail("/zones/", 403, times=None)
        error = await hasty.fails("listInstances", zone=ZONE)
    finally:
        hasty.google.faults.body_of_status = kept
    assert (error["code"], error["upstreamStatus"], error["reason"]) == (
        "rate_limited",
        403,
        "rateLimitExceeded",
    )
    assert error["retryAfterMs"] == 30_000
    assert "https://" not in error["message"]


@pytest.mark.parametrize(
    ("fault", "code", "reason"),
    [("drop", "unavailable", "connection_broken"), ("garble", "upstream_error", "garbled_answer")],
)
async def test_a_broken_answer_is_told_as_such_and_the_next_call_works(
    hasty: Estate, fault: str, code: str, reason: str
) -> None:
    for path, action in (("/aggregated/instances", "listInstances"), ("/v1/b", "listBuckets")):
        getattr(hasty.google.faults, fault)(path, times=None)
        error = await hasty.fails(action)
        assert (error["code"], error["reason"]) == (code, reason), action
        hasty.google.faults.clear()
        await hasty.call(action)


@pytest.mark.parametrize("fault", ["drop", "garble"])
async def test_a_change_whose_answer_was_lost_is_asked_again_and_done_once(
    hasty: Estate, fault: str
) -> None:
    getattr(hasty.google.faults, fault)("/reset", times=1)
    begun = await hasty.call("resetInstance", instance="web-1")
    assert (await followed(hasty, begun, 2))["outcome"] == "succeeded"
    asked = hasty.google.paths("POST", "/reset")
    assert len(asked) == 2
    assert asked[0] == asked[1], "the same request ID"
    assert len(hasty.world.operations) == 1
    assert hasty.world.instances[PROD, ZONE, "web-1"]["_resets"] == 1


async def test_a_change_that_nobody_answers_is_never_told_as_done(hasty: Estate) -> None:
    hasty.google.faults.hang("/reset")
    error = await hasty.fails("resetInstance", instance="web-1", zone=ZONE)
    assert error["code"] == "timeout"
    hasty.google.faults.clear()
    await until(lambda: len(hasty.world.by_request) <= 1)
    hasty.google.faults.drop("/reset", times=None)
    error = await hasty.fails("resetInstance", instance="web-1", zone=ZONE)
    assert (error["code"], error["mayHaveHappened"]) == ("unavailable", True)
    assert error["requestId"]


async def test_a_cancelled_wait_ends_at_once_and_stops_nothing(hasty: Estate) -> None:
    begun = await hasty.call("stopInstance", instance="web-1")
    hasty.world.held = True
    waiting = asyncio.create_task(
        hasty.call("getOperation", operationId=begun["operationId"], waitS=2)
    )
    await until(lambda: hasty.google.paths("POST", "/wait"))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    hasty.world.held = False
    hasty.world.let_go.set()
    assert (await followed(hasty, begun, 2))["outcome"] == "succeeded"


async def test_a_google_that_hangs_in_one_account_leaves_the_other_alone(hasty: Estate) -> None:
    hasty.google.faults.hang("/projects/acme-prod/")
    hanging = [asyncio.create_task(hasty.fails("listInstances", zone=ZONE)) for _ in range(3)]
    await until(lambda: len(hasty.google.paths("GET", "/acme-prod/")) >= 3)
    assert (await hasty.call("listInstances", account="other"))["returned"] == 0
    hasty.google.faults.clear()
    await asyncio.gather(*hanging, return_exceptions=True)


async def test_a_redirect_is_not_followed_with_the_token(hasty: Estate) -> None:
    hasty.google.faults.body_of_status, kept = lambda _: b"{}", hasty.google.faults.body_of_status
    try:
        hasty.google.faults.fail("/zones/", 302, times=None)
        error = await hasty.fails("listInstances", zone=ZONE)
    finally:
        hasty.google.faults.body_of_status = kept
    assert (error["code"], error["reason"]) == ("unavailable", "connection_broken")


async def test_a_token_endpoint_in_trouble_is_told_as_such(hasty: Estate) -> None:
    hasty.world.tokens.clear()
    hasty.google.faults.drop("/token", times=None)
    error = await hasty.fails("listInstances", zone=ZONE)
    assert (error["code"], error["reason"]) == ("unavailable", "sign_in_unreachable")
    hasty.google.faults.clear()
    assert (await hasty.call("listInstances", zone=ZONE))["returned"] == 1
