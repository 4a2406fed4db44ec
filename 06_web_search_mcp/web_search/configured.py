"""The engines as web_search.yaml and the settings have them, in the order they should be asked."""

from pathlib import Path

from flotilla.credentials import Credentials
from web_search.engine import Engine
from web_search.settings import Settings

FILE_NAME = "web_search.yaml"


def engines_of(settings: Settings, config_dir: Path) -> tuple[list[Engine], Credentials]:
    """Every engine that is not switched off, the best first, and what the hub must bring for them.

    Raises Misconfigured with the key that is wrong.
    """
    raise NotImplementedError(settings, config_dir)


def secrets_of(settings: Settings, config_dir: Path) -> tuple[str, ...]:
    """What was read from files and URLs and must never leave: for `Spoke(secrets=...)`."""
    raise NotImplementedError(settings, config_dir)
