"""Settings of the web_browsing spoke."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from flotilla import ServiceSettings


class Settings(ServiceSettings, env_prefix="WEB_BROWSING_"):
    """What may be reached, how much of it, and with which browser."""

    allow_hosts: tuple[str, ...] = ()
    """Exact exceptions from the rule that nothing inside is reached: `host:port` or
    `address:port` each (`wiki.internal:8443`, `127.0.0.1:9000`)."""
    ports: tuple[int, ...] = (80, 443, 8080, 8443)
    """Ports that may be reached at all; `allow_hosts` names its own."""
    authorities: Path | None = None
    """PEM file of authorities that are trusted beside the system's, for the inside's own sites."""
    send_hosts: tuple[str, ...] = ()
    """Hosts to which a page may send (POST and the like) without anybody being asked."""
    robots: Literal["obey", "ignore"] = "obey"
    """Whether fetchPage keeps to a site's robots.txt (RFC 9309)."""
    user_agent: str = "Flotilla/0.1 (+fetchPage)"
    """How fetchPage calls itself; the first word is what robots.txt knows it by."""
    max_fetch_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    """Of one page or file, decoded; what is larger is cut off and refused."""
    browser: Path | None = None
    """The browser's program; by default the system's chromium."""
    browser_sandbox: Literal["on", "off"] = "on"
    """Chromium's own sandbox; off is for a machine that cannot have it, and said loudly."""
    browser_user: str | None = None
    """Who the browser runs as where the service is root; by default the user of number 65534."""
    max_sessions: int = Field(default=10, ge=1, le=50)
    max_tabs: int = Field(default=8, ge=1, le=50)
    """Of one session."""
    idle_s: float = Field(default=600, gt=0, le=86_400)
    """A session that nobody uses for so long is closed."""
    session_s: float = Field(default=3600, gt=0, le=86_400)
    """However much it is used, a session is closed after so long."""
    max_memory_mb: int = Field(default=1536, ge=256)
    """Of all the browser's processes together; beyond it the largest session is closed."""
