"""Isolated contexts of the browser, each with its own way out: a visitor of the proxy's."""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import structlog

from flotilla import Unavailable
from web_browsing.browser.engine import Engine, Equipment, Running
from web_browsing.browser.relay import FIRST_PORT
from web_browsing.gate.proxy import Proxy
from web_browsing.gate.visitor import Judge, Visitor

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext

CONTEXT_S = 30.0
"""In which Chromium makes or ends a context; one that takes longer is hung."""
ACTION_S = 10.0
NAVIGATION_S = 30.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wants:
    """How a session's browser shall look to pages."""

    width: int = 1280
    height: int = 800
    locale: str | None = None
    timezone: str | None = None
    color_scheme: Literal["light", "dark"] = "light"
    script: bool = True
    downloads: bool = True

    def options(self) -> dict[str, Any]:
        """As Playwright takes them."""
        return {
            "viewport": {"width": self.width, "height": self.height},
            "locale": self.locale,
            "timezone_id": self.timezone,
            "color_scheme": self.color_scheme,
            "java_script_enabled": self.script,
            "accept_downloads": self.downloads,
        }


class Contexts:
    """As many at the same time as the equipment has slots."""

    def __init__(self, engine: Engine, proxy: Proxy, equipment: Equipment) -> None:
        self._engine = engine
        self._proxy = proxy
        self._equipment = equipment
        self._slots = list(range(equipment.slots))

    @property
    def in_use(self) -> int:
        return self._equipment.slots - len(self._slots)

    @asynccontextmanager
    async def opened(
        self, name: str, judge: Judge, wants: Wants
    ) -> "AsyncGenerator[tuple[Running, Visitor, BrowserContext]]":
        """An isolated context whose every request goes through a visitor of its own."""
        if not self._slots:
            raise Unavailable("the browser has as many contexts as it may have")
        slot = self._slots.pop(0)
        try:
            running = await self._engine.browser()
            visitor = Visitor(name=name, judge=judge)
            listening, proxy = self._way_out(running, slot, visitor)
            async with self._proxy.serving(visitor, listening):
                async with asyncio.timeout(CONTEXT_S):
                    context = await running.browser.new_context(
                        **wants.options(),
                        proxy=proxy,
                        service_workers="block",
                    )
                try:
                    context.set_default_timeout(ACTION_S * 1000)
                    context.set_default_navigation_timeout(NAVIGATION_S * 1000)
                    # Given none, all that a page could ask for is denied without asking.
                    await context.grant_permissions([])
                    yield running, visitor, context
                finally:
                    await asyncio.shield(self._end(context))
        finally:
            self._slots.append(slot)

    def _way_out(self, running: Running, slot: int, visitor: Visitor) -> tuple[socket.socket, Any]:
        """The socket that the proxy shall listen on, and how Playwright names it."""
        if running.apart is None:
            path = running.sockets / f"{slot}.sock"
            path.unlink(missing_ok=True)
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listening.bind(str(path))
            path.chmod(0o600)
            if os.geteuid() == 0:
                os.chown(path, self._equipment.uid, self._equipment.gid)
            listening.listen(128)
            return listening, {"server": f"http://127.0.0.1:{FIRST_PORT + slot}"}
        # All of this machine reach loopback: who has not the password is not this session.
        listening = socket.create_server(("127.0.0.1", 0))
        visitor.token = secrets.token_urlsafe(32)
        port = listening.getsockname()[1]
        return listening, {
            "server": f"http://127.0.0.1:{port}",
            "username": "session",
            "password": visitor.token,
        }

    async def _end(self, context: "BrowserContext") -> None:
        from playwright.async_api import Error

        try:
            async with asyncio.timeout(CONTEXT_S):
                await context.close()
        except TimeoutError:
            _log.error("browser_hung")
            self._engine.kill()
        except Error:
            # The browser went before it.
            _log.info("context_was_gone")
