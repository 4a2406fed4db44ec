"""Several spokes in one process, each still on its own port: `python -m flotilla.host FOLDER...`.

One process for all takes the memory of one: sixteen spokes 86 MB together instead of 83 MB each.
"""

import importlib
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

from flotilla.fleet import FleetConfig
from flotilla.serving import Service, serve_services, spoke_service
from flotilla.serving.run import exit_when_misconfigured
from flotilla.settings import CommonSettings, Misconfigured


def package_of(folder: Path) -> str:
    """The name of a service's one package; Misconfigured when there is none or several."""
    found = sorted(path.parent.name for path in folder.glob("*/__init__.py"))
    if len(found) != 1:
        raise Misconfigured(f"{folder} must hold one package; it has {', '.join(found) or 'none'}")
    return found[0]


def open_package(folder: Path) -> tuple[ModuleType, ModuleType]:
    """A service's package and its settings, imported as its own `mcp_server.py` would."""
    name = package_of(folder)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return importlib.import_module(name), importlib.import_module(f"{name}.settings")


def build_service(folder: Path) -> Service:
    """The spoke of a folder, wired to its port; Misconfigured when its settings are wrong."""
    package, settings = open_package(folder)
    common = CommonSettings.from_env()
    fleet = FleetConfig.load(common.config_dir / "services.yaml")
    return spoke_service(package.build(settings.Settings.from_env()), common, fleet)


def must_be_alone(folders: Sequence[Path], fleet: FleetConfig) -> list[str]:
    """Those of these services that may not be in one process with the others."""
    if len(folders) < 2:
        return []
    named = {folder.name for folder in folders}
    entries = fleet.services.items()
    return [name for name, entry in entries if entry.isolated and fleet.folder(name) in named]


def main(folders: Sequence[str]) -> None:
    with exit_when_misconfigured():
        if not folders:
            raise Misconfigured("name the folders of the spokes to host")
        at = [Path(folder).resolve() for folder in folders]
        fleet = FleetConfig.load(CommonSettings.from_env().config_dir / "services.yaml")
        if alone := must_be_alone(at, fleet):
            raise Misconfigured(
                f"{', '.join(alone)} must be a process of its own: services.yaml says `isolated`"
            )
        serve_services([partial(build_service, folder) for folder in at])


if __name__ == "__main__":
    main(sys.argv[1:])
