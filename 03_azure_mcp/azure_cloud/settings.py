"""Settings of the azure spoke."""

from pathlib import Path

from flotilla import ServiceSettings


class Settings(ServiceSettings, env_prefix="AZURE_"):
    """Where its accounts are said."""

    config: Path | None = None
    """By default azure.yaml in the fleet's configuration folder."""
