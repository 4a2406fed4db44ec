"""Brings the spokes the stored secrets that they need, and again after every change."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, cast

import structlog

from flotilla import FlotillaError, NotFound, meta
from flotilla.backoff import delay_s
from flotilla.credentials import GIVE, NEEDS
from master.audit.seam import AuditBook, Row
from master.handles.released import Released
from master.handles.resolving import SECRETS
from master.state.seam import News
from master.upstream.authority import HUB
from master.upstream.carrying import ended
from master.upstream.operations import TIMEOUT_S, Operations

log = structlog.get_logger(__name__)

EVERY_S = 60.0
"""A rotation of which nobody told is brought within this."""
CALM_S = 0.3
"""Changes within it are brought together: a lease is no change, but nobody here can tell."""
HOLD_S = TIMEOUT_S
"""How long calls wait at most to learn what was released before the hub's start: from that start,
and once more from when the secrets spoke is there for the first time."""
AGAIN_CAP_S = 5.0
"""A secrets spoke that is there and did not tell it is asked again within this."""
_TOPIC = "secrets"
_CHANGED, _RELEASED = "changed", "released"


class Courier:
    """Works in `running`; what it brings is known to the redactors before it goes on.

    Several hub processes each do the same: a spoke that has a value already is not changed by it.
    """

    def __init__(
        self,
        operations: Operations,
        released: Released,
        audit: AuditBook,
        news: News,
        spokes: Sequence[str],
        *,
        every_s: float = EVERY_S,
    ) -> None:
        self._operations = operations
        self._released = released
        self._audit = audit
        self._news = news
        self._spokes = tuple(name for name in spokes if name != SECRETS)
        self._has_store = SECRETS in spokes
        self._every_s = every_s
        self._wake = asyncio.Event()
        self._calm: asyncio.TimerHandle | None = None
        self._met = asyncio.Event()
        """Set once the secrets spoke has been there."""
        self._giving_up: asyncio.TimerHandle | None = None
        self._learnt = False
        """Whether the secrets spoke has told what was released before."""
        self._due: set[str] = set()
        self._needless: set[str] = set()
        """Spokes that need nothing, as long as they stay connected."""
        self._telling: set[asyncio.Task[None]] = set()
        self._told: dict[str, Mapping[str, str]] = {}
        """Why a spoke gets what it needs not, as the log said it last."""

    def connected(self, service: str) -> None:
        """A service is there, or there again: it may be another than before."""
        if service == SECRETS and self._has_store and not self._met.is_set():
            self._met.set()
            if not self._learnt:
                self._hold()
        self._needless.discard(service)
        self._due.update(self._spokes if service == SECRETS else (service,))
        self._wake.set()

    def changed(self) -> None:
        """What is stored, or who may have it, may be other than before; the other hubs hear too."""
        self._due.update(self._spokes)
        if self._calm is None:
            self._calm = asyncio.get_running_loop().call_later(CALM_S, self._now)

    def owner_did(self, service: str) -> None:
        """The owner had a service do something."""
        if service == SECRETS:
            self.changed()

    async def released(self) -> None:
        """A value leaves the store for a call: the other hubs are told to hide it too."""
        await self._news.tell(_TOPIC, _RELEASED)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        if not self._has_store:
            yield
            return
        self._news.on(_TOPIC, self._hear)
        self._news.on_return(self._all_due)
        self._hold()
        learning = asyncio.create_task(self._learn_first())
        working = asyncio.create_task(self._work())
        try:
            yield
        finally:
            for timer in (self._calm, self._giving_up):
                if timer is not None:
                    timer.cancel()
            await ended(working, learning, *self._telling)

    def _hear(self, what: str) -> None:
        """What another hub tells; every round learns what was released."""
        if what == _CHANGED:
            self._due.update(self._spokes)
        self._wake.set()

    def _now(self) -> None:
        self._calm = None
        self._wake.set()
        telling = asyncio.create_task(self._news.tell(_TOPIC, _CHANGED))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    def _all_due(self) -> None:
        self._due.update(self._spokes)
        self._wake.set()

    def _hold(self) -> None:
        """No call goes on before it is known what to hide, or the wait for that has been enough."""
        self._released.whole.clear()
        if self._giving_up is not None:
            self._giving_up.cancel()
        self._giving_up = asyncio.get_running_loop().call_later(HOLD_S, self._give_up)

    def _give_up(self) -> None:
        """The rest of the fleet does not stand still for as long as the secrets spoke is away."""
        log.warning(
            "released_secrets_not_hidden",
            waited_s=HOLD_S,
            meaning="until the secrets service tells which secrets were released before this "
            "start, results may show them",
        )
        self._released.whole.set()

    async def _learn_first(self) -> None:
        """Apart from the rounds, which may wait long for other spokes."""
        await self._met.wait()
        for attempt in count(1):
            await self._learn_released()
            if self._learnt:
                return
            await asyncio.sleep(delay_s(attempt, cap_s=AGAIN_CAP_S))

    async def _work(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._every_s):
                    await self._wake.wait()
            except TimeoutError:
                self._due.update(self._spokes)
            self._wake.clear()
            due, self._due = self._due, set()
            try:
                await self._round(due)
            except Exception:  # the top-level handler: the next round may go well
                log.exception("secrets_round_failed")

    async def _round(self, due: set[str]) -> None:
        await self._learn_released()
        for service in sorted(due - self._needless):
            try:
                await self._bring(service)
            except FlotillaError as error:
                # One of the two is away: its connection says when it is there again.
                log.info("credentials_not_brought", upstream=service, reason=error.message)

    async def _learn_released(self) -> None:
        """What other hub processes released, or this one in an earlier life."""
        try:
            told = await self._operations.run(SECRETS, "released", {})
        except FlotillaError as error:
            log.info("released_secrets_unknown", reason=error.message)
            return
        self._released.add(_texts(told.get("values")))
        if told.get("truncated"):
            log.warning("released_secrets_truncated", known=len(_texts(told.get("values"))))
        if not self._learnt:
            self._learnt = True
            if self._giving_up is not None:
                self._giving_up.cancel()
            if self._released.whole.is_set():
                log.info("released_secrets_hidden_again")
            self._released.whole.set()

    async def _bring(self, service: str) -> None:
        try:
            needs = await self._operations.run(service, NEEDS, {})
        except NotFound:
            self._needless.add(service)
            return
        names = _texts(needs.get("names"))
        if not names:
            self._needless.add(service)
            return
        asked = {"service": service, "names": names}
        found = await self._operations.run(SECRETS, "credentials", asked)
        values = {
            str(name): value
            for name, value in meta.members(found.get("values")).items()
            if isinstance(value, str)
        }
        refused = {str(k): str(v) for k, v in meta.members(found.get("refused")).items()}
        self._released.add(values.values())
        brought = {"values": values, "refused": refused}
        taken = await self._operations.run(service, GIVE, brought)
        if refused != self._told.get(service, {}):
            self._told[service] = refused
            if refused:
                log.warning("credentials_refused", upstream=service, refused=refused)
            else:
                log.info("credentials_whole", upstream=service)
        changed = _texts(taken.get("changed"))
        if changed:
            self._audit.note(_row(service, changed, meta.members(found.get("versions")), refused))


def _row(
    service: str, changed: Sequence[str], versions: Mapping[str, Any], refused: Mapping[str, str]
) -> Row:
    details = {
        "act": "credentials.brought",
        "paths": {name: versions.get(name) for name in changed},
        **({"refused": dict(refused)} if refused else {}),
    }
    return Row(kind="secret", principal=HUB.name, roles=HUB.roles, service=service, details=details)


def _texts(value: Any) -> list[str]:
    found = cast("list[Any]", value) if isinstance(value, list) else []
    return [each for each in found if isinstance(each, str)]
