"""A place at the service, its circuit closed, and another try where that can do no harm."""

import asyncio
from collections.abc import Callable
from time import monotonic

import structlog

from flotilla import CircuitOpen, FlotillaError, RateLimited
from flotilla.backoff import delay_s
from flotilla.fleet import HUB
from master import rpc
from master.call import Call, Stage
from master.meters import Meters
from master.result import Result
from master.stages.resolve import Limits
from master.steadiness.keeper import Keeper, Keepers
from master.upstream.failure import Failure, judged

log = structlog.get_logger(__name__)

_PATIENT_S = 0.1
"""How much less than the service's own time limit is still all of it."""


def steady(
    inner: Stage,
    keepers: Keepers,
    limits: Limits,
    connected: Callable[[str], bool],
    meters: Meters,
) -> Stage:
    """The way to a service that may be slow, failing or away.

    Only what reads or is idempotent is ever tried again, never once its client has heard of it, and
    not while its server is known to be away: who waits for that is answered at once.
    """
    return _Steady(inner, keepers, limits, connected, meters).stage


class _Steady:
    def __init__(
        self,
        inner: Stage,
        keepers: Keepers,
        limits: Limits,
        connected: Callable[[str], bool],
        meters: Meters,
    ) -> None:
        self._inner = inner
        self._keepers = keepers
        self._limits = limits
        self._connected = connected
        self._meters = meters

    async def stage(self, call: Call) -> Result:
        entry = call.resolved()
        if entry.service == HUB:
            return await self._inner(call)
        keeper = self._keepers.of(entry.service)
        keeper.budget.called()
        failed: Exception | None = None
        retries = 0
        while True:
            try:
                return await self._once(call, keeper)
            except CircuitOpen:
                if failed is not None:
                    # It says more than that the circuit is open by now.
                    raise failed from None
                self._meters.turned_away(entry.service, "circuit")
                raise
            except (FlotillaError, rpc.RpcError) as error:
                failure = judged(error)
                pause_s = _pause_s(keeper, retries + 1, failure, call)
                if pause_s is None or not entry.may_be_repeated or call.hearer.told:
                    raise
                if failure.kind == "not_sent" and not self._connected(entry.service):
                    raise
                if not keeper.budget.spend():
                    self._meters.retry_withheld(entry.service)
                    raise
                failed = error
            retries += 1
            self._meters.retried(entry.service)
            log.info(
                "call_retried",
                upstream=entry.service,
                tool=entry.name,
                retry=retries,
                reason=failure.reason,
            )
            await asyncio.sleep(pause_s)

    async def _once(self, call: Call, keeper: Keeper) -> Result:
        circuit, places, who = keeper.circuit, keeper.places, call.principal.name
        ticket = await circuit.admit(call.due().remaining_s)
        if not places.take(who):
            # Nobody waits with a ticket: the circuit may open meanwhile, and a probe must not wait.
            await circuit.dropped(ticket)
            try:
                await places.wait(who, call.due())
            except RateLimited:
                self._meters.turned_away(call.resolved().service, "places")
                raise
            try:
                ticket = await circuit.admit(call.due().remaining_s)
            except BaseException:
                places.leave(who)
                raise
        started = monotonic()
        try:
            result = await self._inner(call)
        except (FlotillaError, rpc.RpcError) as error:
            failure = judged(error)
            if failure.kind == "answered":
                await circuit.succeeded(ticket)
            elif self._tells(failure, call, started):
                await circuit.failed(ticket, failure.reason)
            else:
                await circuit.dropped(ticket)
            raise
        except BaseException:
            await circuit.dropped(ticket)
            raise
        else:
            await circuit.succeeded(ticket)
            return result
        finally:
            places.leave(who)

    def _tells(self, failure: Failure, call: Call, started: float) -> bool:
        """Whether the failure tells something of the service.

        A deadline that the caller made short tells nothing; nor does a server that is known to be
        away: its link looks for it by itself, and for this hub alone.
        """
        if failure.kind in ("not_sent", "own"):
            return False
        if failure.kind != "timeout":
            return True
        entry = call.resolved()
        timeout_s, long_timeout_s = self._limits(entry.service)
        limit_s = long_timeout_s if entry.is_long else timeout_s
        return call.due().at - started >= limit_s - _PATIENT_S


def _pause_s(keeper: Keeper, retry: int, failure: Failure, call: Call) -> float | None:
    """How long to wait before this retry; None where there is to be none."""
    settings = keeper.resilience.retry
    if retry > settings.retries or failure.kind in ("answered", "timeout", "own"):
        return None
    if "requestState" in call.params:
        # The server's open question is used up.
        return None
    pause_s = delay_s(retry, settings.first_s, settings.most_s, factor=settings.factor)
    if failure.retry_after_s is not None:
        if failure.retry_after_s > settings.most_s:
            return None
        pause_s = max(pause_s, failure.retry_after_s)
    return pause_s if pause_s < call.due().remaining_s() else None
