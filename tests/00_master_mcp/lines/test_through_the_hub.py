"""Programs of each era as entries of mcp.json: every kind of client can call them."""

import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

pytestmark = pytest.mark.anyio

TESTS = Path(__file__).resolve().parents[2]
ERAS = ("modern", "handshake", "both")


def entry(era: str) -> dict[str, Any]:
    return {
        "command": sys.executable,
        "args": ["-m", "everything", "--transport", "stdio", "--era", era],
        "env": {"PYTHONPATH": str(TESTS)},
        "readable": [str(TESTS / "everything")],
        "approval": "never",
    }


async def connected(fleet: Any) -> None:
    wanted = {f'mcp_service_health{{service="{era}"}} 1.0' for era in ERAS}
    async with httpx2.AsyncClient() as http:
        with anyio.fail_after(30):
            while not wanted <= set((await http.get(f"{fleet.url}/metrics")).text.splitlines()):
                await anyio.sleep(0.02)


@pytest.fixture(scope="module")
async def fleet(
    anyio_backend: Any, start_fleet_in: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Any]:
    folder: Path = tmp_path_factory.mktemp("programs")
    async with start_fleet_in(folder, external={era: entry(era) for era in ERAS}) as started:
        await connected(started)
        yield started


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
async def test_each_client_calls_programs_of_each_era(fleet: Any, mode: str) -> None:
    async with fleet.client(mode=mode) as client:
        for era in ERAS:
            steps: list[float] = []

            async def heard(
                progress: float, total: float | None, said: str | None, to: Any = steps
            ) -> None:
                to.append(progress)

            result = await client.call_tool(
                f"ext_{era}_slow_progress",
                {"steps": 3, "intervalMs": 10},
                progress_callback=heard,
            )
            assert result.content[0].text == "3 steps"
            assert result.meta["io.flotilla/untrusted"] is True
            assert steps == [1, 2, 3]
