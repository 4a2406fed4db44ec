"""Settings of the web_search spoke."""

from pathlib import Path

from pydantic import Field

from flotilla import ServiceSettings


class Settings(ServiceSettings, env_prefix="WEB_SEARCH_"):
    """Which engines there are, and how hard each may be worked."""

    config: Path | None = None
    """The file that says the engines; by default web_search.yaml in the fleet's configuration
    folder."""
    engine_timeout_s: float = Field(default=8, gt=0, le=60)
    """How long one engine may take before it counts as not answering."""
    threads: int = Field(default=8, ge=1, le=32)
    """Searches at the same time through the engines that only know how to block."""
    proxy: str | None = None
    """The URL of an HTTP proxy that searches go through; without it they go straight out."""
