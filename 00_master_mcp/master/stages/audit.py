"""Writes who asked for what and how it ended, and before a call that writes, that it is to run."""

from collections.abc import Mapping
from time import monotonic
from typing import Any

from flotilla import FlotillaError, RateLimited
from master import rpc
from master.audit.seam import AuditBook, Row
from master.call import TOOLS_CALL, Call, Stage
from master.handles.spots import without_secrets
from master.result import Result, error_code
from master.stages.record import REFUSED

OK = "ok"
ASKED = "asked"
"""The outcome of a request that was answered by questions to the client."""
CANCELLED = "cancelled"
UNKNOWN = "unknown"
"""The tool of a call that names none: what strangers call things is no name."""
_MAX_SAID = 64


def audited(inner: Stage, book: AuditBook, *, approvals_off: bool) -> Stage:
    """One row for every request, whatever becomes of it; Unavailable while none can be written.

    Requests that are turned away before they reach anything are counted together, so that no
    client can fill the disk by asking.
    """
    always = {"approvals": "off"} if approvals_off else {}

    async def stage(call: Call) -> Result:
        book.check()
        try:
            result = await inner(call)
        except BaseException as error:
            outcome = _outcome(error)
            row = row_of(call, "call", outcome, always)
            if isinstance(error, RateLimited) or call.target is None:
                book.count(row)
            else:
                book.note(row)
            raise
        outcome = ASKED if result.asks else error_code(result) or OK
        book.note(row_of(call, "call", outcome, always))
        return result

    return stage


def intended(inner: Stage, book: AuditBook, *, approvals_off: bool) -> Stage:
    """A call that may write runs once its row is on the disk; Unavailable where it cannot be."""
    always = {"approvals": "off"} if approvals_off else {}

    async def stage(call: Call) -> Result:
        if not call.resolved().only_reads:
            await book.keep(row_of(call, "intent", "intended", always))
        return await inner(call)

    return stage


def row_of(call: Call, kind: Any, outcome: str, always: Mapping[str, str]) -> Row:
    entry, verdict = call.target, call.verdict
    details: dict[str, Any] = {**always, **_client(call)}
    if call.method != TOOLS_CALL:
        details["method"] = call.method
        # Whose it is is known by a template; this is what was asked for.
        details["named"] = call.name
    if call.view.service is not None:
        details["server"] = call.view.service
    else:
        details["profile"] = call.view.profile
    if entry is None:
        # Without its schema nobody knows which arguments are secrets.
        name, service, arguments = UNKNOWN, None, None
        details["named"] = call.name
    else:
        name, service = entry.name, entry.service
        arguments = without_secrets(entry, call.arguments)
    took_ms = (monotonic() - call.arrived) * 1000.0 if kind == "call" else None
    return Row(
        kind=kind,
        principal=call.principal.name,
        roles=call.principal.roles,
        tool=name,
        service=service,
        arguments=arguments,
        outcome=outcome,
        rules=() if verdict is None else verdict.rules,
        approval=call.approval,
        correlation_id=call.correlation_id,
        took_ms=took_ms,
        details=details,
    )


def _outcome(error: BaseException) -> str:
    if isinstance(error, FlotillaError):
        return error.code
    if isinstance(error, rpc.RpcError):
        return REFUSED
    return FlotillaError.code if isinstance(error, Exception) else CANCELLED


def _client(call: Call) -> Mapping[str, str]:
    """What the client says that it is, which is nothing to rely on."""
    info = call.client_info
    if info is None:
        return {}
    name, version = info.get("name"), info.get("version")
    return {"client": f"{name} {version}"[:_MAX_SAID]}
