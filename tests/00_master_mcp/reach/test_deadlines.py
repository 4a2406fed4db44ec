"""A call ends when its caller said, through one hub and through two, however hung its spoke is."""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from time import monotonic
from typing import Any

import anyio
import pytest

from flotilla import Model, Spoke, meta, reads
from master.upstream import wire
from tests.conftest import until

pytestmark = [pytest.mark.anyio, pytest.mark.real]

TIMEOUT_MS = 300
LATE_S = 0.05


class Waited(Model):
    """What nobody ever sees."""


class Hanging:
    """Tools that do not answer."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    async def wait(self) -> Waited:
        """Wait until somebody ends it."""
        await anyio.sleep_forever()
        return Waited()

    async def resist(self) -> Waited:
        """Wait, whoever wants to end it."""
        with anyio.CancelScope(shield=True):
            await self.released.wait()
        return Waited()

    def spoke(self) -> Spoke:
        return Spoke(
            name="hanging",
            version="1",
            instructions="Hangs.",
            namespaces=("test.hanging",),
            tools=(
                reads("test.hanging.wait", self.wait),
                reads("test.hanging.resist", self.resist),
            ),
        )


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def hops(
    anyio_backend: Any, start_fleet_in: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[dict[int, tuple[Any, str]]]:
    """A hub by how many hops it is from the spoke, with the name of the spoke's namespace there."""
    hanging = Hanging()
    inner_folder: Path = tmp_path_factory.mktemp("inner")
    outer_folder: Path = tmp_path_factory.mktemp("outer")
    async with start_fleet_in(inner_folder, [hanging.spoke()]) as inner:
        entry = {"type": "http", "url": f"{inner.url}/mcp", "headers": inner.headers}
        async with start_fleet_in(outer_folder, external={"inner": entry}) as outer:
            prefix = "ext_inner_test_hanging"

            async def is_listed() -> bool:
                async with outer.client() as client:
                    listed = await client.list_tools(cache_mode="refresh")
                    return any(tool.name.startswith(prefix) for tool in listed.tools)

            await until(is_listed)
            yield {2: (inner, "test_hanging"), 3: (outer, prefix)}
            hanging.released.set()


async def ended(fleet: Any, mode: str, tool: str) -> tuple[float, dict[str, Any]]:
    """How late a call ended, in seconds, and its error; of three, the one that was least late."""
    calls: list[tuple[float, dict[str, Any]]] = []
    async with fleet.client(mode=mode) as client:
        for _ in range(3):
            started = monotonic()
            result = await client.call_tool(tool, {}, meta={meta.TIMEOUT_MS: TIMEOUT_MS})
            late_s = monotonic() - started - TIMEOUT_MS / 1000
            assert result.is_error
            # A hub takes nobody's word in `_meta` but its own spokes': the text says the same.
            calls.append((late_s, json.loads(result.content[0].text)["error"]))
    # This machine does other things meanwhile, and its loop is the spoke's too.
    return min(calls, key=lambda each: each[0])


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
@pytest.mark.parametrize("count", [2, 3])
async def test_a_deadline_holds_though_the_spoke_does_not_end(
    hops: dict[int, tuple[Any, str]], count: int, mode: str
) -> None:
    fleet, prefix = hops[count]
    late_s, error = await ended(fleet, mode, f"{prefix}_resist")
    assert error["code"] == "timeout"
    assert -LATE_S < late_s < LATE_S


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
@pytest.mark.parametrize("count", [2, 3])
async def test_the_spokes_own_word_of_it_comes_first(
    hops: dict[int, tuple[Any, str]], count: int, mode: str
) -> None:
    fleet, prefix = hops[count]
    late_s, error = await ended(fleet, mode, f"{prefix}_wait")
    assert error["message"] == "test.hanging.wait did not finish before its deadline"
    assert -LATE_S - wire.EARLIER_S < late_s < LATE_S


@pytest.mark.parametrize(
    ("left_s", "ms"), [(30.0, 29_980), (0.5, 480), (0.2, 180), (0.1, 90), (0.01, 9), (0.0, 0)]
)
def test_a_server_is_told_to_be_done_a_little_before_the_deadline(left_s: float, ms: int) -> None:
    assert abs(wire.told_ms(left_s) - ms) <= 1
