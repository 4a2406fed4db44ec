"""Settings of the google_cloud spoke."""

from pathlib import Path

from flotilla import ServiceSettings


class Settings(ServiceSettings, env_prefix="GOOGLE_CLOUD_"):
    """Where its accounts are said."""

    config: Path | None = None
    """By default google_cloud.yaml in the fleet's configuration folder."""
