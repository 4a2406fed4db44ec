"""A hub with limits of its own, before a spoke and an external server of a test."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from flotilla import CommonSettings, Spoke
from flotilla.fleet import HUB, FleetConfig, HubLimits, ServiceEntry
from flotilla.resilience import Files, Resilience
from master import build as build_hub
from master.settings import Settings as HubSettings
from tests.conftest import InProcessFleet, find_free_port


@asynccontextmanager
async def limited_fleet(
    folder: Path,
    spokes: Sequence[Spoke] = (),
    *,
    hub: HubLimits | None = None,
    files: Files | None = None,
    external: Mapping[str, Mapping[str, Any]] | None = None,
) -> AsyncGenerator[InProcessFleet]:
    """`files` are those of every service and of every external server (entries of mcp.json)."""
    files = files or Files()
    entries = {
        name: ServiceEntry(number=number, port=find_free_port(), namespaces=namespaces, files=files)
        for number, (name, namespaces) in enumerate(
            [(HUB, ("master",)), *((spoke.name, spoke.namespaces) for spoke in spokes)]
        )
    }
    config = FleetConfig(
        entries,
        {},
        hub=hub,
        external={name: Resilience(files=files) for name in external or {}},
    )
    fleet = InProcessFleet(config, CommonSettings(data_dir=folder / "data", shutdown_grace_s=5))
    servers = folder / "mcp.json"
    servers.write_text(json.dumps({"mcpServers": external or {}}))
    settings = HubSettings(mcp_config=servers)
    await fleet.start(HUB, lambda: build_hub(settings, fleet.common, config))
    try:
        for spoke in spokes:
            await fleet.start_spoke(spoke)
        await fleet.ready()
        yield fleet
    finally:
        for name in reversed(list(fleet.running)):
            await fleet.stop(name)
