"""Whoever looks at getServiceHealth, the metrics or the log reads the same of the same trouble."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from structlog.testing import capture_logs

from flotilla.fleet import HubLimits
from flotilla.resilience import Breaker, Places, RateLimit
from tests.conftest import InProcessFleet, until

from .content.limited import limited_fleet
from .holding import Holding
from .wire.conftest import connected
from .wire.scripted import Asked, Scripted
from .wire.ways import SOUTHS

pytestmark = pytest.mark.anyio

MODERN = next(each for each in SOUTHS if each.modern)
HOLD = "test_hold_holdOn"


class Looking:
    """One who looks at a fleet in every way that there is."""

    def __init__(self, fleet: InProcessFleet, client: Client, http: httpx2.AsyncClient) -> None:
        self._fleet, self.client, self._http = fleet, client, http

    async def health(self, service: str) -> dict[str, Any]:
        found = await self.client.call_tool("master_getServiceHealth", {})
        assert found.structured_content is not None
        return found.structured_content[service]

    async def metric(self, name: str, **labels: str) -> float:
        """The value of a series, 0 where there is none."""
        text = (await self._http.get(f"{self._fleet.url}/metrics")).text
        wanted = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        found = re.search(rf"^{re.escape(f'{name}{{{wanted}}}')} (\S+)$", text, re.MULTILINE)
        return 0.0 if found is None else float(found[1])

    async def code(self, tool: str) -> str | None:
        result = await self.client.call_tool(tool, {})
        if not result.is_error:
            return None
        assert result.meta is not None
        return result.meta["io.flotilla/error"]["code"]

    async def turned_away(self, service: str, reason: str) -> tuple[float, float]:
        """How often, as health and as the metrics say."""
        told = (await self.health(service))["turnedAway"].get(reason, 0)
        return told, await self.metric(
            "mcp_calls_turned_away_total", reason=reason, service=service
        )


@asynccontextmanager
async def looked_at(folder: Path, holding: Holding, **settings: Any) -> AsyncGenerator[Looking]:
    async with (
        limited_fleet(folder, [holding.spoke()], **settings) as fleet,
        fleet.client() as client,
        httpx2.AsyncClient() as http,
    ):
        yield Looking(fleet, client, http)


async def test_a_circuit_has_the_same_state_wherever_one_looks(tmp_path: Path) -> None:
    async def failing(asked: Asked) -> None:
        await asked.http(b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    async with (
        Scripted(MODERN, {"fail": failing}).running() as scripted,
        limited_fleet(
            tmp_path,
            external={"bad": MODERN.entry(scripted.url)},
            breaker=Breaker(failures=3, open_s=60),
        ) as fleet,
        fleet.client() as client,
        httpx2.AsyncClient() as http,
    ):
        await connected(fleet, "bad")
        looking = Looking(fleet, client, http)

        async def states() -> dict[str, float]:
            return {
                state: await looking.metric("mcp_circuit_state", service="bad", state=state)
                for state in ("closed", "open", "half_open")
            }

        assert (await looking.health("bad"))["circuit"] == "closed"
        assert await states() == {"closed": 1, "open": 0, "half_open": 0}
        with capture_logs() as logged:
            codes = [await looking.code("ext_bad_fail") for _ in range(5)]
        assert codes == ["upstream_error"] * 3 + ["circuit_open"] * 2
        health = await looking.health("bad")
        assert health["circuit"] == "open" and "circuit is open" in health["reason"]
        assert 0 < health["retryAfterMs"] <= 60_000
        assert await states() == {"closed": 0, "open": 1, "half_open": 0}
        assert await looking.turned_away("bad", "circuit") == (2, 2)
        (changed,) = [line for line in logged if line["event"] == "circuit_changed"]
        assert (changed["upstream"], changed["circuit"], changed["failures"]) == ("bad", "open", 3)
        assert changed["reason"] in health["reason"]


async def test_a_rate_limit_is_counted_alike(tmp_path: Path) -> None:
    holding = Holding()
    holding.go.set()
    limit = RateLimit(per_minute=60, burst=2)
    async with looked_at(tmp_path, holding, rate_limit=limit) as looking:
        codes = [await looking.code(HOLD) for _ in range(3)]
        assert codes == [None, None, "rate_limited"]
        assert await looking.turned_away("hold", "rate_limit") == (1, 1)


async def test_full_places_are_counted_alike_while_they_are_full(tmp_path: Path) -> None:
    holding = Holding()
    places = Places(calls=2, waiting=0, share=1)
    async with looked_at(tmp_path, holding, places=places) as looking:
        running = [asyncio.create_task(looking.client.call_tool(HOLD, {})) for _ in range(2)]
        await until(lambda: holding.held == 2)
        assert await looking.code(HOLD) == "rate_limited"
        assert (await looking.health("hold"))["inFlight"] == 2
        assert await looking.metric("mcp_calls_in_flight", service="hold") == 2
        assert await looking.turned_away("hold", "places") == (1, 1)
        holding.go.set()
        await asyncio.gather(*running)
        assert (await looking.health("hold"))["inFlight"] == 0
        assert await looking.metric("mcp_calls_in_flight", service="hold") == 0


async def test_an_overloaded_hub_says_why_in_each_place(tmp_path: Path) -> None:
    holding = Holding()
    with capture_logs() as lines:
        async with looked_at(tmp_path, holding, hub=HubLimits(calls=2)) as looking:
            assert (await looking.health("master"))["status"] == "healthy"
            running = [asyncio.create_task(looking.client.call_tool(HOLD, {})) for _ in range(2)]
            await until(lambda: holding.held == 2)
            assert await looking.code(HOLD) == "rate_limited"
            health = await looking.health("master")
            assert (health["status"], health["reason"]) == ("unhealthy", "overloaded by calls")
            assert await looking.turned_away("hold", "overload") == (1, 1)
            holding.go.set()
            await asyncio.gather(*running)

            async def is_over() -> bool:
                return (await looking.health("master"))["status"] == "healthy"

            await until(is_over)
    told = [line for line in lines if line["event"].startswith("overload")]
    assert [line["event"] for line in told] == ["overloaded", "overload_over"]
    assert told[0]["reason"] == "calls" and told[1]["turned_away"] == 1
