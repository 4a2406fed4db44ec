"""Settings of the k8s spoke."""

from pathlib import Path

from flotilla import ServiceSettings


class Settings(ServiceSettings, env_prefix="K8S_"):
    """Where its clusters are said."""

    config: Path | None = None
    """By default k8s.yaml in the fleet's configuration folder."""
