"""A hub with limits of its own, before a spoke and an external server of a test."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from flotilla import Spoke
from flotilla.fleet import HubLimits
from tests.conftest import InProcessFleet, fleet_in


def limited_fleet(
    folder: Path,
    spokes: Sequence[Spoke] = (),
    *,
    hub: HubLimits | None = None,
    external: Mapping[str, Mapping[str, Any]] | None = None,
    **settings: Any,
) -> AbstractAsyncContextManager[InProcessFleet]:
    """`settings` are members of Resilience, the same for every service and external server.

    `external` are entries of mcp.json by their names.
    """
    return fleet_in(folder, spokes, hub=hub, external=external, resilience=settings)
