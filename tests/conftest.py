"""What all tests share: a fleet in this very process, on free ports of loopback."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from flotilla import CommonSettings, Spoke
from flotilla.fleet import HUB, FleetConfig, ServiceEntry
from flotilla.serving.run import Running
from flotilla.serving.spokes import spoke_service
from master import build as build_hub
from master.settings import Settings as HubSettings


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class InProcessFleet:
    """A hub and spokes that serve on loopback until the fixture ends."""

    fleet: FleetConfig
    common: CommonSettings
    running: dict[str, tuple[Running, asyncio.Event, asyncio.Task[None]]] = field(
        default_factory=dict
    )

    @property
    def url(self) -> str:
        return self.fleet.url(HUB)

    @property
    def token(self) -> str:
        return (self.common.data_dir / "admin_token").read_text().strip()

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def start(self, name: str, build: Callable[[], Any]) -> None:
        running, stop = Running(build), asyncio.Event()
        task = asyncio.create_task(running.keep_up(stop))
        await running.started()
        self.running[name] = (running, stop, task)

    async def start_spoke(self, spoke: Spoke) -> None:
        await self.start(spoke.name, lambda: spoke_service(spoke, self.common, self.fleet))

    async def stop(self, name: str) -> None:
        running, stop, task = self.running.pop(name)
        stop.set()
        await running.wind_down()
        await task

    async def ready(self, but_for: Sequence[str] = ()) -> None:
        """Return once the hub waits for nobody else."""
        waiting = f"waiting for {', '.join(but_for)}" if but_for else None

        async def is_ready() -> bool:
            return (await http.get(f"{self.url}/ready")).json().get("reason") == waiting

        async with httpx2.AsyncClient() as http:
            await until(is_ready)

    @asynccontextmanager
    async def client(
        self, path: str = "/mcp", mode: str = "auto", **more: Any
    ) -> AsyncGenerator[Client]:
        async with (
            httpx2.AsyncClient(headers=self.headers, timeout=30) as http,
            Client(
                streamable_http_client(f"{self.url}{path}", http_client=http), mode=mode, **more
            ) as client,
        ):
            yield client


async def until(holds: Callable[[], Any], within_s: float = 10.0) -> None:
    """Wait until `holds()` (or what it awaits to) is true; fail after `within_s`."""
    with anyio.fail_after(within_s):
        while True:
            held = holds()
            if asyncio.iscoroutine(held):
                held = await held
            if held:
                return
            await anyio.sleep(0.01)


StartFleet = Callable[..., AbstractAsyncContextManager[InProcessFleet]]


@pytest.fixture
def start_fleet(tmp_path: Path) -> StartFleet:
    @asynccontextmanager
    async def started(
        spokes: Sequence[Spoke] = (),
        *,
        absent: Sequence[Spoke] = (),
        approvals: str = "on",
        timeout_s: float = 30,
        **common: Any,
    ) -> AsyncGenerator[InProcessFleet]:
        entries = {
            HUB: ServiceEntry(number=0, port=free_port(), namespaces=("master",)),
            **{
                spoke.name: ServiceEntry(
                    number=number,
                    port=free_port(),
                    namespaces=spoke.namespaces,
                    timeout_s=timeout_s,
                )
                for number, spoke in enumerate([*spokes, *absent], start=1)
            },
        }
        fleet = InProcessFleet(
            FleetConfig(entries, {}),
            CommonSettings(data_dir=tmp_path / "data", shutdown_grace_s=5, **common),
        )
        hub_settings = HubSettings(approvals=approvals)  # pyright: ignore[reportArgumentType]
        await fleet.start(HUB, lambda: build_hub(hub_settings, fleet.common, fleet.fleet))
        try:
            for spoke in spokes:
                await fleet.start_spoke(spoke)
            await fleet.ready([spoke.name for spoke in absent])
            yield fleet
        finally:
            for name in reversed(list(fleet.running)):
                with contextlib.suppress(KeyError):
                    await fleet.stop(name)

    return started
