"""Serves spokes as a process of its own: `python spokes.py trial linux_cli ...`.

Configured by the environment and services.yaml, as the fleet's own processes.
"""

import sys
from functools import partial
from pathlib import Path

from flotilla.fleet import FleetConfig
from flotilla.host import build_service
from flotilla.serving import serve_services, spoke_service
from flotilla.serving.service import Service
from flotilla.settings import CommonSettings
from tests.chaos import trial

ROOT = Path(__file__).resolve().parents[2]


def _trial() -> Service:
    common = CommonSettings.from_env()
    fleet = FleetConfig.load(common.config_dir / "services.yaml")
    book = trial.Book()
    return trial.on_cue(spoke_service(trial.manifest(book), common, fleet), book)


def _folder(name: str) -> Path:
    (found,) = ROOT.glob(f"[0-9][0-9]_{name}_mcp")
    return found


if __name__ == "__main__":
    serve_services(
        [
            _trial if name == trial.NAME else partial(build_service, _folder(name))
            for name in sys.argv[1:]
        ]
    )
