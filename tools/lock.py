"""Compile the locks: one resolution for the fleet, cut into a lock for each service.

`python tools/lock.py` keeps the pinned versions that still fit; `--upgrade` takes the newest.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tools.environment import DEV_LOCK, FLEET_LOCK, enter  # noqa: E402  the path comes first

LIBRARY = "flotilla/requirements.in"
RUNNER = "00_master_mcp/runner-requirements.in"
DEV_IN = "requirements-dev.in"


def main() -> int:
    services = sorted(f"{path.parent.name}/{path.name}" for path in _service_inputs())
    everything = [LIBRARY, *services, RUNNER, DEV_IN]
    upgrade = ["--upgrade"] if "--upgrade" in sys.argv[1:] else []
    # Everything: the services and what the tests need. The other locks are cut from it.
    compile_lock(everything, DEV_LOCK, *upgrade)
    compile_lock([LIBRARY, *services], FLEET_LOCK, "--constraint", DEV_LOCK)
    # The library's own is what the images of all services share as a layer.
    for source in [LIBRARY, *services, RUNNER]:
        lock = source.removesuffix(".in") + ".txt"
        compile_lock([source], lock, "--constraint", DEV_LOCK)
    return 0


def compile_lock(inputs: list[str], lock: str, *options: str) -> None:
    """Write `lock` with hashes and without addresses; its present pins are kept where they fit."""
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "--no-config", "--quiet"),
        *("--universal", "--python-version", "3.11", "--generate-hashes"),
        *("--no-emit-index-url", "--no-emit-find-links", "--no-header", "--no-annotate"),
        *(*options, *inputs, "--output-file", lock),
    ]
    subprocess.run(command, cwd=ROOT, env=_environment(), check=True)
    file = ROOT / lock
    pins = "".join(
        line
        for line in file.read_text(encoding="utf-8").splitlines(keepends=True)
        if not line.startswith("#")
    )
    header = f"# Made by `python tools/lock.py` from {', '.join(inputs)}; edit those instead.\n"
    file.write_text(header + pins, encoding="utf-8")
    print(f"{lock}: {pins.count('==')} packages")


def _service_inputs() -> list[Path]:
    return list(ROOT.glob("[0-9][0-9]_*_mcp/requirements.in"))


def _environment() -> dict[str, str]:
    """Without the settings of this machine that would bring packages from elsewhere than PyPI."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("UV_", "PIP_"))}


if __name__ == "__main__":
    enter(DEV_LOCK)
    sys.exit(main())
