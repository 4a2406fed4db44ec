"""A hub with limits of its own, before a spoke and an external server of a test."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from flotilla import CommonSettings, Spoke
from flotilla.fleet import HUB, FleetConfig, HubLimits, ServiceEntry
from flotilla.resilience import Resilience
from master import build as build_hub
from master.settings import Settings as HubSettings
from tests.conftest import InProcessFleet, find_free_port


@asynccontextmanager
async def limited_fleet(
    folder: Path,
    spokes: Sequence[Spoke] = (),
    *,
    hub: HubLimits | None = None,
    external: Mapping[str, Mapping[str, Any]] | None = None,
    **settings: Any,
) -> AsyncGenerator[InProcessFleet]:
    """`settings` are members of Resilience, the same for every service and external server.

    `external` are entries of mcp.json by their names.
    """
    entries = {
        name: ServiceEntry(number=number, port=find_free_port(), namespaces=namespaces, **settings)
        for number, (name, namespaces) in enumerate(
            [(HUB, ("master",)), *((spoke.name, spoke.namespaces) for spoke in spokes)]
        )
    }
    config = FleetConfig(
        entries,
        {},
        hub=hub,
        external={name: Resilience(**settings) for name in external or {}},
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
