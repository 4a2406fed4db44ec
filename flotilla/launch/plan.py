"""Which processes the chosen services make. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flotilla.fleet import HUB, FleetConfig

SHARED = "spokes"
"""The name of the process in which the spokes live together."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the fleet; `target` is a script, or `-m` and a module with its arguments."""

    name: str
    services: tuple[str, ...]
    target: tuple[str, ...]


def folder_of(name: str, fleet: FleetConfig) -> str:
    """The name of a service's folder: `linux_cli` -> `01_linux_cli_mcp`."""
    return fleet.folder(name)


def with_hub(chosen: Sequence[str]) -> list[str]:
    """The services to start; the hub is always among them, as it is the only door."""
    return [HUB, *(name for name in chosen if name != HUB)]


def processes(
    services: Sequence[str], fleet: FleetConfig, root: Path, *, isolate: bool
) -> list[Process]:
    """The hub alone, the isolated spokes alone, and the others together; all alone if `isolate`."""
    spokes = [name for name in services if name != HUB]
    alone = [name for name in spokes if isolate or fleet.service(name).isolated]
    together = [name for name in spokes if name not in alone]
    plan = [_alone(name, fleet, root) for name in (HUB, *alone)]
    if together:
        folders = [str(root / folder_of(name, fleet)) for name in together]
        plan.append(Process(SHARED, tuple(together), ("-m", "flotilla.host", *folders)))
    return plan


def _alone(name: str, fleet: FleetConfig, root: Path) -> Process:
    script = root / folder_of(name, fleet) / "mcp_server.py"
    return Process(name, (name,), (str(script),))
