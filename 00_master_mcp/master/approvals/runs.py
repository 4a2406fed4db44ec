"""Stored calls that run because a person allowed them when their client was no longer there."""

from collections.abc import Awaitable, Callable
from time import monotonic

import structlog
from anyio.abc import TaskGroup

from flotilla import FlotillaError, NotAllowed, Principal, Unavailable, UpstreamError, meta
from flotilla.correlation import new_correlation_id
from flotilla.json_text import from_json
from flotilla.logs import bound
from flotilla.redaction import Redactor
from flotilla.serving.draining import Drain
from flotilla.toolbox import error_result
from master import rpc
from master.approvals.record import Record, StoredCall
from master.approvals.service import ApprovalService
from master.approvals.unheard import Unheard
from master.call import Call, Stage
from master.result import Result, of_json

log = structlog.get_logger(__name__)

Still = Callable[[Principal], Awaitable[Principal | None]]
"""Who a principal is by now, None where it has no live credential any more."""


class Runs:
    """Runs each call once, in the name of who asked for it, with what that principal may do now.

    Whoever puts the hub together sets `way`, that of a stored call.
    """

    def __init__(
        self,
        service: ApprovalService,
        still: Still,
        drain: Drain,
        redactor: Redactor,
    ) -> None:
        self._service = service
        self.way: Stage = _nowhere
        self._still = still
        self._drain = drain
        self._redactor = redactor

    def start(self, tasks: TaskGroup, record: Record) -> None:
        """Let the call of an approved record run in the group, beside the caller."""
        tasks.start_soon(self._run, record)

    async def _run(self, record: Record) -> None:
        held, run_id = record.held, new_correlation_id()
        with bound(correlation_id=run_id):
            try:
                with self._drain.call():
                    stored = self._service.stored(record)
                    if (
                        await self._service.running.begin(held.id, held.digest, run_id=run_id)
                        is None
                    ):
                        # The client that asked, or another hub, was first.
                        log.info("approved_call_begun_elsewhere", approval=held.id)
                        return
                    log.info(
                        "approved_call_begun",
                        approval=held.id,
                        tool=held.tool,
                        asked_under=held.correlation_id,
                    )
                    result = await self._result(record, stored, run_id)
                    await self._service.finish(held.id, result)
            except FlotillaError as error:
                # The hub looks at it once more, as long as it may be used.
                log.warning("approved_call_not_begun", approval=held.id, reason=error.message)
            except Exception:  # the top-level handler: internals stay in the log
                log.exception("approved_call_failed", approval=held.id)

    async def _result(self, record: Record, stored: StoredCall, run_id: str) -> Result:
        """How the call ended; never raises but for cancellation."""
        hearer = Unheard()
        try:
            principal = await self._still(record.held.principal)
            if principal is None:
                raise NotAllowed(
                    f"{record.held.principal.name} has no live credential any more",
                    hint="The call was approved, and did not run.",
                )
            call = called_again(record, stored, principal, run_id, hearer)
            result = hearer.result(await self.way(call))
            if result.asks:
                raise UpstreamError(
                    "the server asked its client a question, and nobody was there to answer it",
                    hint="Call the tool from a client that can be asked.",
                )
        except rpc.RpcError as error:
            refused = UpstreamError(f"the server refused: {error.message}")
            return of_json(error_result(refused, run_id, self._redactor))
        except FlotillaError as error:
            return of_json(error_result(error, run_id, self._redactor))
        except Exception:  # the top-level handler: internals stay in the log
            log.exception("approved_call_failed", approval=record.held.id)
            broke = FlotillaError("the hub failed to run the call", hint="Its log says more.")
            return of_json(error_result(broke, run_id, self._redactor))
        return result


async def _nowhere(call: Call) -> Result:
    raise Unavailable(f"this hub does not run {call.name} yet")


def called_again(
    record: Record, stored: StoredCall, principal: Principal, run_id: str, hearer: Unheard
) -> Call:
    """The stored call on its way: nobody can be asked, and its time begins now."""
    marks = meta.members(from_json(stored.params.get("_meta", "{}").encode()))
    return Call(
        method=stored.method,
        principal=principal,
        name=stored.name,
        params=stored.params,
        arguments=meta.members(from_json(stored.params["arguments"].encode())),
        meta=marks,
        correlation_id=run_id,
        traceparent=None,
        view=stored.view,
        capabilities={},
        party=stored.party,
        client_info=stored.client_info,
        arrived=monotonic(),
        hearer=hearer,
        interactive=record.interactive,
        approval=record.held.id,
    )
