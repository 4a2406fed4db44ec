"""An API server that hangs, throttles, breaks off or sends nonsense: a clear error inside the
deadline, and the next call works."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import anyio
import pytest

from flotilla import Context, Deadline, Principal, TimedOut
from tests.backends.kube.bare import StartBare
from tests.backends.kube.bare import authority as authority
from tests.backends.kube.bare import start_bare as start_bare
from tests.backends.kube.emulator import KubeEmulator, Refused
from tests.backends.kube.things import pod
from tests.conftest import until

if TYPE_CHECKING:
    from conftest import StartKube

    from tests.backends.kube.fleet import KubeFleet

pytestmark = pytest.mark.anyio


def status_body(status: int) -> bytes:
    refused = Refused(status, "TooManyRequests", "too many requests, please try again later")
    body = refused.response().body
    assert isinstance(body, bytes)
    return body


async def works(k8s: KubeFleet) -> None:
    assert (await k8s("listPods"))["items"][0]["name"] == "web-1"


async def test_a_server_that_hangs_is_an_error_within_the_deadline(start_kube: StartKube) -> None:
    async with start_kube(timeout_s=3) as k8s:
        k8s.kube.put("Pod", pod("web-1"))
        k8s.server.faults.hang("/pods")
        with anyio.fail_after(8):
            # Whichever of hub and spoke is first to say so.
            await k8s.refused("timeout", "listPods")
        k8s.server.faults.clear()
        await works(k8s)


async def test_a_server_that_hangs_is_named(start_bare: StartBare) -> None:
    async with start_bare(KubeEmulator()) as k8s:
        k8s.server.faults.hang("/pods")
        (tool,) = [each for each in k8s.spoke.tools if each.name == "infra.k8s.listPods"]
        # By itself: a pause may last until the whole call ends too, and then that is what is told.
        context = Context(
            principal=Principal("ada"), correlation_id="test", deadline=Deadline.after(1)
        )
        with pytest.raises(TimedOut, match="main did not answer in time"):
            await tool.run(cluster="main", context=context)


async def test_throttling_says_when_to_come_again(k8s: KubeFleet) -> None:
    k8s.kube.put("Pod", pod("web-1"))
    k8s.server.faults.body_of_status = status_body
    # The hub tries a reading call again by itself, as often as its settings say.
    k8s.server.faults.throttle("/pods", retry_after="7", times=20)
    error = await k8s.refused("rate_limited", "listPods")
    assert error["retryAfterMs"] == 7000
    assert error["upstreamCode"] == "TooManyRequests"
    k8s.server.faults.clear()
    await works(k8s)


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ("drop", "unavailable", "broke off before the answer was whole"),
        ("garble", "upstream_error", "broken JSON"),
    ],
)
async def test_half_an_answer_is_never_taken_for_one(
    k8s: KubeFleet, fault: str, code: str, words: str
) -> None:
    k8s.kube.put("Pod", pod("web-1"))
    getattr(k8s.server.faults, fault)("/pods", times=20)
    error = await k8s.refused(code, "listPods")
    assert words in error["message"]
    k8s.server.faults.clear()
    await works(k8s)


async def test_an_error_that_is_no_status_object_is_told_by_its_number(k8s: KubeFleet) -> None:
    k8s.kube.put("Pod", pod("web-1"))
    k8s.server.faults.body_of_status = lambda _status: b"<html>bad gateway, token=abc</html>"
    k8s.server.faults.fail("/pods", 502, times=20)
    error = await k8s.refused("upstream_error", "listPods")
    assert error["message"] == "Kubernetes: cluster main answered 502"
    k8s.server.faults.clear()
    await works(k8s)


@pytest.mark.parametrize("tool", ["listPods", "listEvents", "topPods"])
async def test_whoever_gives_up_closes_the_request(k8s: KubeFleet, tool: str) -> None:
    k8s.kube.put("Pod", pod("web-1"))
    k8s.kube.held = "/namespaces/default/"
    waiting = asyncio.create_task(k8s(tool))
    await until(lambda: k8s.kube.holding == 1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await until(lambda: k8s.kube.holding == 0)
    k8s.kube.held = None
    await works(k8s)


async def test_a_token_that_is_refused_is_about_the_fleets_own_credentials(
    k8s: KubeFleet,
) -> None:
    k8s.kube.put("Pod", pod("web-1"))
    k8s.kube.users.tokens.clear()
    error = await k8s.refused("not_configured", "listPods")
    assert "does not take the credentials" in error["hint"]
    assert "admin-token" not in json.dumps(error)
    k8s.kube.users.tokens["admin-token"] = "admin"
    await works(k8s)
