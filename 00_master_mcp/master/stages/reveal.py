"""Stored secrets take the place of their handles, on the last part of the way to the service."""

from master.call import TOOLS_CALL, Call, Stage
from master.handles.resolving import SECRETS, Handles, may_hold_handle
from master.result import Result


def revealed(inner: Stage, handles: Handles) -> Stage:
    """Further in, the call is a copy that holds values; further out, nobody ever has them.

    Whatever is tried again is tried with the same values. A call without a handle costs three looks
    at its text.
    """

    async def stage(call: Call) -> Result:
        if call.method != TOOLS_CALL:
            return await inner(call)
        if may_hold_handle(call.params.get("arguments", "")):
            call = await handles.revealed(call)
        entry = call.resolved()
        if entry.service != SECRETS or entry.only_reads:
            return await inner(call)
        try:
            return await inner(call)
        finally:
            handles.changed()

    return stage
