"""The hub's signing key while it serves: changed when it is due, or when the owner says so."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal

import structlog
from starlette.requests import Request
from starlette.routing import BaseRoute

from flotilla import Conflict, Misconfigured, Model, Unavailable
from flotilla.keyring import ANNOUNCED_S, KeyRing
from master.audit.seam import AuditBook, Row
from master.owner import owner_routes
from master.principals import OWNER

log = structlog.get_logger(__name__)

LOOK_S = 5.0
"""How often the hub looks whether a step is due."""


class Rotation(Model):
    """What the owner set going."""

    step: Literal["announced"]
    signs_after_s: float


class Keys:
    """Tends the ring, in every process of the hub alike: the ring knows whose turn it is."""

    def __init__(self, ring: KeyRing, audit: AuditBook, look_s: float = LOOK_S) -> None:
        self._ring = ring
        self._audit = audit
        self._look_s = look_s

    def routes(self) -> list[BaseRoute]:
        return owner_routes([("POST", "/keys/rotate", self._rotate)])

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        tending = asyncio.create_task(self._tend())
        try:
            yield
        finally:
            tending.cancel()
            await asyncio.wait({tending})

    async def _tend(self) -> None:
        told: str | None = None
        while True:
            await asyncio.sleep(self._look_s)
            try:
                step = await asyncio.to_thread(self._ring.tend)
            except (OSError, Misconfigured) as error:
                # A folder that is mounted read-only, say. The key that is there goes on signing.
                if told != str(error):
                    log.error("signing_key_not_changed", reason=str(error))
                told = str(error)
                continue
            told = None
            if step is not None:
                log.info("signing_key_step", step=step)

    async def _rotate(self, _: Request) -> Rotation:
        try:
            step = await asyncio.to_thread(self._ring.rotate)
        except (OSError, Misconfigured) as error:
            raise Unavailable(f"the signing key cannot be changed: {error}") from None
        if step != "announced":
            raise Conflict("the signing key is being changed just now", hint="Look again soon.")
        await self._audit.keep(Row(kind="token", principal=OWNER.name, tool="key.announced"))
        log.info("signing_key_step", step=step)
        return Rotation(step="announced", signs_after_s=ANNOUNCED_S)
