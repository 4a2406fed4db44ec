"""A caller discovers no more than it may read, and a source in trouble plans nothing."""

from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from tests.backends.azure.estate import OTHER, SUBSCRIPTION
from tests.backends.kube.things import node, pod
from tests.backends.tls_server import TlsServer
from tests.conftest import until

from .world import LAB, PROD, Book, World

pytestmark = pytest.mark.anyio

ZONE = "europe-west1-b"


def something(world: World) -> None:
    """In each scope of each provider."""
    for subscription in (SUBSCRIPTION, OTHER):
        world.estate.group("shop", subscription)
        world.estate.resource("shop", "Microsoft.Compute/disks", "d", subscription=subscription)
    for project in (PROD, LAB):
        world.google.world.instance(project, ZONE, "web")
    for kube in world.kubes.values():
        kube.put("Node", node("node-1"))
        for name in ("default", "shop"):
            kube.put("Namespace", {"metadata": {"name": name}})
            kube.put("Pod", pod("web", name))


OWN: Mapping[str, Mapping[str, Any]] = {
    "azure": {"subscription": SUBSCRIPTION},
    "google_cloud": {"account": "default"},
    "k8s": {"cluster": "main"},
}
FOREIGN: Mapping[str, Mapping[str, Any]] = {
    "azure": {"subscription": OTHER},
    "google_cloud": {"account": "lab"},
    "k8s": {"cluster": "other"},
}


@pytest.mark.parametrize("service", OWN)
async def test_a_caller_discovers_only_the_scope_that_it_may_read(
    world: World, service: str
) -> None:
    something(world)
    async with world.as_one_of("reconciler", "production") as book:
        shown = await book.preview(service, **OWN[service])
        assert shown["counts"]["creates"] > 1
        for server in (world.azure, world.google.tls, *world.kube_servers.values()):
            server.asked.clear()
        error = await book.refused(service, FOREIGN[service])
        assert error["code"] == "not_allowed", error
        assert not _listings(world)
    # Nor by the name of a subscription instead of its ID, nor by leaving out which is meant.
    async with world.as_one_of("reconciler") as book:
        error = await book.refused(service, OWN[service])
        assert error["code"] == "not_found", error


def _listings(world: World) -> list[str]:
    """What was asked of the providers that tells of more than who is asking."""
    asked = [each for server in (world.azure, world.google.tls) for each in server.asked]
    asked += [each for server in world.kube_servers.values() for each in server.asked]
    words = ("ResourceGraph", "aggregated", "/pods", "/nodes", "/b?")
    return [each.path for each in asked if any(word in each.path for word in words)]


async def test_a_subscription_by_its_name_is_judged_by_its_id(world: World) -> None:
    something(world)
    async with world.as_one_of("reconciler", "production") as book:
        assert (await book.preview("azure", subscription="Production"))["counts"]["creates"] == 2
        error = await book.refused("azure", {"subscription": "Sandbox"})
        assert error["code"] == "not_allowed", error


async def test_who_may_see_one_namespace_discovers_that_one_alone(world: World) -> None:
    something(world)
    await world.book.take("k8s", cluster="main")
    async with world.as_one_of("reconciler", "shop") as book:
        shown = await book.preview("k8s", cluster="main", namespace="shop")
        assert (shown["counts"]["unchanged"], shown["counts"]["retires"]) == (2, 0)
        for within in ({"cluster": "main"}, {"cluster": "main", "namespace": "default"}, {}):
            error = await book.refused("k8s", within)
            assert error["code"] in ("not_allowed", "invalid_argument"), error


@pytest.fixture
def servers(world: World) -> dict[str, tuple[TlsServer, str]]:
    """Of each provider its server, and what is asked in the middle of a gathering."""
    return {
        "azure": (world.azure, "resources.*api-version"),
        "google_cloud": (world.google.tls, "global/networks"),
        "k8s": (world.kube_servers["main"], "/deployments"),
    }


async def _nothing_came_of_it(world: World, book: Book, before: int) -> None:
    assert await world.plans() == before

    async def none_left() -> bool:
        return await world.gatherings() == 0

    await until(none_left)
    assert not (await book("searchItems", limit=1))["items"]


@pytest.mark.parametrize("service", OWN)
async def test_a_source_in_trouble_plans_nothing_and_says_why(
    world: World, service: str, servers: dict[str, tuple[TlsServer, str]]
) -> None:
    something(world)
    server, middle = servers[service]
    world.azure.faults.clear()
    for trouble, codes in (
        ("throttle", {"rate_limited"}),
        ("drop", {"upstream_error", "unavailable"}),
        ("garble", {"upstream_error", "unavailable"}),
    ):
        if trouble == "throttle":
            server.faults.throttle(middle, retry_after="30", times=None)
        else:
            getattr(server.faults, trouble)(middle, times=None)
        with anyio.fail_after(20):
            error = await world.book.refused(service, OWN[service])
        server.faults.clear()
        assert error["code"] in codes, (trouble, error)
        assert f"{service} broke off at page" in error["message"], (trouble, error)
        if trouble == "throttle":
            assert error["retryAfterMs"] >= 20_000, error
    await _nothing_came_of_it(world, world.book, 0)
    assert (await world.book.preview(service, **OWN[service]))["counts"]["creates"] > 1


@pytest.mark.parametrize(
    "service",
    ["k8s", *(pytest.param(each, marks=pytest.mark.real) for each in ("azure", "google_cloud"))],
)
async def test_a_source_that_hangs_is_left_at_the_deadline(
    world: World, service: str, servers: dict[str, tuple[TlsServer, str]]
) -> None:
    something(world)
    server, middle = servers[service]
    server.faults.hang(middle)
    discover = {"service": service, "within": dict(OWN[service])}
    with anyio.fail_after(10):
        result = await world.book.client.call_tool(
            "data.cmdb.previewReconcile",
            {"source": service, "discover": discover},
            meta={"io.flotilla/timeoutMs": 700},
        )
    assert result.is_error
    assert '"code":"timeout"' in result.content[0].text  # pyright: ignore
    server.faults.clear()
    await _nothing_came_of_it(world, world.book, 0)
