"""`python3 -m flotilla` on a machine where nothing is installed: go on inside `.venv`.

The standard library alone: Python imports the package, and with it all that it needs, before it
comes to the command.
"""

import sys
from importlib import import_module
from pathlib import Path


def _entered() -> bool:
    """Whether the environment was looked at: only for `python -m flotilla` in a checkout."""
    root = Path(__file__).resolve().parents[1]
    is_command = sys.orig_argv[1:3] == ["-m", "flotilla"]
    if not is_command or not (root / "tools" / "environment.py").is_file():
        return False
    sys.path.insert(0, str(root))
    environment = import_module("tools.environment")
    try:
        environment.enter(environment.FLEET_LOCK)
    except environment.CannotInstall as error:
        sys.exit(f"flotilla: {error}")
    return True


IN_ENVIRONMENT = _entered()
