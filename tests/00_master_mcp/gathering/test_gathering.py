"""What a source sees reaches the CMDB by the hub: by the caller's rights, whole or not at all."""

import asyncio
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

import anyio
import pytest

from flotilla import RateLimited, UpstreamError
from tests.conftest import StartFleet, until

from .toys import KEY, World, world_in

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def opened(
    anyio_backend: Any, start_fleet_in: StartFleet, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[World]:
    folder = tmp_path_factory.mktemp("toys")
    async with world_in(folder, partial(start_fleet_in, folder)) as world:
        yield world


@pytest.fixture
async def world(opened: World) -> World:
    """The one world, in which nothing has happened yet."""
    await opened.begin_anew()
    return opened


async def rows(world: World, count: int) -> list[Any]:
    """What the audit has of the last calls of the toys' own tool, so many, oldest first."""
    found: list[Any] = []

    async def written() -> bool:
        told = await world.call(
            "master.audit.query",
            {"limit": 100, "tool": "test.toys.*", "since": world.since},
        )
        found[:] = [each["row"] for each in reversed(told["items"])]
        return len(found) >= count

    await until(written)
    return found


async def test_what_runs_is_planned_applied_and_told_in_the_audit(world: World) -> None:
    plan = await world.preview()
    assert plan["counts"]["creates"] == 6 and plan["counts"]["relations"] == 5
    assert [cursor for _, cursor in world.box.pages] == [None, "2", "4"]
    # The spoke's own secret is taken out before the page leaves it.
    assert KEY not in str(plan) and "note" in str(plan)
    done = await world.call("data.cmdb.applyReconcile", {"planId": plan["planId"]})
    assert (done["created"], done["relationsCreated"]) == (6, 5)
    again = await world.preview()
    assert again["counts"]["unchanged"] == 6 and again["counts"]["creates"] == 0
    await until(lambda: _none_left(world))
    told = await rows(world, 2)
    assert told[0]["details"] == {
        "gatheredFor": "data.cmdb.previewReconcile", "pages": 3, "items": 6, "relations": 5
    }  # fmt: skip
    assert told[0]["arguments"] == {"account": "main"} and told[0]["outcome"] == "ok"


async def _none_left(world: World) -> bool:
    return await world.gatherings() == 0


async def test_a_caller_is_given_no_more_than_its_own_calls_would_tell(world: World) -> None:
    world.box.toys["secret"] = ["x"]
    reconciler = await world.token("reconciler")
    error = await world.preview(reconciler)
    # It may call nothing of the toys, so that it is told nothing of them either.
    assert error["code"] == "not_found" and not world.box.pages
    viewer = await world.token("viewer")
    assert (await world.preview(viewer))["counts"]["creates"] == 6
    world.box.pages.clear()
    named = {"service": "toys", "within": {"account": "secret"}}
    for token in (viewer, None):
        error = await world.preview(token, discover=named)
        assert (error["code"], error["rules"]) == ("not_allowed", ["nobody-sees-secret-toys"])
    assert not world.box.pages
    outcomes = [each["outcome"] for each in await rows(world, 3)]
    assert outcomes == ["ok", "not_allowed", "not_allowed"]
    # What waits for a person is not gathered past them.
    asked = await world.token("asked")
    error = await world.preview(asked)
    assert error["code"] == "not_allowed" and "waits for a person" in error["message"]
    assert not world.box.pages


async def test_nothing_is_gathered_before_the_call_itself_may_run(world: World) -> None:
    approver = await world.token("approver")
    assert (await world.preview(approver))["code"] == "not_allowed"
    careful = await world.token("careful")
    error = await world.preview(careful)
    assert error["code"] == "approval_required" and not world.box.pages
    held = f"/approvals/{error['approvalId']}"
    assert "toys" in (await world.api("GET", held))["shown"]
    await world.api("POST", f"{held}/decide", {"decision": "approve"})

    async def done() -> bool:
        return (await world.api("GET", held))["state"] == "done"

    await until(done)
    told = await world.api("GET", held)
    assert told["result"]["structuredContent"]["counts"]["creates"] == 6
    assert len(world.box.pages) == 3


async def test_only_what_a_source_stands_for_by_a_reading_tool_of_its_own_is_read(
    world: World,
) -> None:
    for name in ("data.cmdb.listClasses", "data.cmdb.createItem", "test.toys.nothing"):
        world.box.named = name
        assert (await world.preview())["code"] == "not_allowed"
    assert not world.box.pages


async def test_an_endpoint_that_leaves_the_source_out_gathers_nothing_of_it(world: World) -> None:
    error = await world.preview(path="/mcp/p/cmdb?names=dotted")
    assert error["code"] == "not_found" and not world.box.pages
    for path in ("/mcp/p/both?names=dotted", "/servers/cmdb/mcp?names=dotted"):
        assert (await world.preview(path=path))["counts"]["creates"] == 6


async def test_a_gathering_of_a_clients_own_making_is_refused(world: World) -> None:
    for more in (
        {"gathering": "x" * 43},
        {"gathering": "x" * 43, "discover": None, "items": []},
        {"discover": {"service": 7}},
        {"discover": {"service": "toys", "within": []}},
        {"discover": {"service": "toys", "more": 1}},
        {"discover": "toys"},
        {"discover": {"service": "cmdb"}},
        {"discover": {"service": "toys", "within": {"account": "none"}}},
        {"items": []},
    ):
        error = await world.preview(**more)
        assert error["code"] == "invalid_argument", more
    for service in ("nowhere", "master", "hub"):
        error = await world.preview(discover={"service": service})
        assert error["code"] in ("not_found", "invalid_argument")
    items = [{"ciClass": "server", "name": "s"}]
    plan = await world.preview(discover=None, items=items)
    assert plan["counts"]["creates"] == 1


async def test_a_source_that_breaks_off_plans_nothing(world: World) -> None:
    plan = await world.preview()
    await world.call("data.cmdb.applyReconcile", {"planId": plan["planId"]})
    for trouble, code in (
        (UpstreamError("the provider threw up", details={"requestId": "r-1"}), "upstream_error"),
        (RateLimited("slowly", retry_after_ms=1234), "rate_limited"),
        ("circle", "upstream_error"),
    ):
        world.box.trouble = {2: trouble}
        error = await world.preview()
        assert error["code"] == code
        if trouble != "circle":
            assert "broke off at page 2" in error["message"]
        if code == "rate_limited":
            assert error["retryAfterMs"] == 1234
    world.box.trouble = {}
    await until(lambda: _none_left(world))
    assert (await world.preview())["counts"]["retires"] == 0


async def test_a_source_that_suddenly_sees_nothing_retires_nothing(world: World) -> None:
    plan = await world.preview()
    await world.call("data.cmdb.applyReconcile", {"planId": plan["planId"]})
    world.box.toys["main"] = []
    error = await world.preview()
    assert (error["code"], error["reason"]) == ("conflict", "mass_retirement")
    gone = await world.preview(allowMassRetirement=True)
    assert gone["counts"]["retires"] == 5


async def test_a_cancel_drops_what_was_gathered(world: World) -> None:
    world.box.trouble = {2: "hang"}
    async with world.client() as client:
        arguments = {"source": "toys", "discover": {"service": "toys"}}
        task = asyncio.create_task(client.call_tool("data.cmdb.previewReconcile", arguments))
        with anyio.fail_after(10):
            await world.box.hanging.wait()
        assert await world.gatherings() == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await until(lambda: _none_left(world))
    world.box.trouble = {}
    assert (await world.preview())["counts"]["creates"] == 6


async def test_a_deadline_ends_it_and_nothing_is_planned(world: World) -> None:
    world.box.trouble = {2: "hang"}
    arguments = {"source": "toys", "discover": {"service": "toys"}}
    async with world.client() as client:
        with anyio.fail_after(10):
            result = await client.call_tool(
                "data.cmdb.previewReconcile", arguments, meta={"io.flotilla/timeoutMs": 700}
            )
    assert result.is_error and (result.meta or {})["io.flotilla/error"]["code"] == "timeout"
    await until(lambda: _none_left(world))


@pytest.mark.real
async def test_twenty_thousand_come_in_and_a_second_look_is_quick(world: World) -> None:
    world.box.toys["main"] = [f"t{number:05}" for number in range(20_000)]
    world.box.page_size = 999
    plan = await world.preview()
    assert plan["counts"]["creates"] == 20_001 and len(str(plan)) < 200_000
    await world.call("data.cmdb.applyReconcile", {"planId": plan["planId"]})
    again = await world.preview()
    assert again["counts"]["unchanged"] == 20_001
