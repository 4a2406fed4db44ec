"""Open questions of external servers, whose answers must come to the process that holds them.

A server that asks its client something may wait in one process (`upstream/handshake/suspended.py`).
Its `requestState` gets that process's tag in front here; a client of 2026-07-28 brings the answers
to whichever process its next request reaches, and that one passes the call on.
"""

from collections.abc import Container
from dataclasses import replace

from master.call import Call, Stage
from master.result import Result
from master.workers.borrowed import lender
from master.workers.colleagues import Colleagues

STATE = "requestState"


def answered_where_asked(inner: Stage, colleagues: Colleagues, here: Container[str]) -> Stage:
    """Around the stage that sends; `here` has the names of what this process itself speaks with."""
    if colleagues.place.alone:
        return inner
    mark = f'"{colleagues.tag}.'

    async def stage(call: Call) -> Result:
        entry = call.resolved()
        if entry.service not in here or not entry.origin.external:
            return await inner(call)
        state = call.params.get(STATE, "")
        if (owner := colleagues.owner_of(state[1:])) is not None:
            address = await colleagues.address_of(owner)
            if address is not None:
                return await lender(address, entry.service, colleagues).send(call)
        if owner is not None or state.startswith(mark):
            # Of a process that is gone it is tried here: the server may have made it for any.
            call = replace(call, params={**call.params, STATE: f'"{state.partition(".")[2]}'})
        result = await inner(call)
        asked = result.texts.get(STATE, "") if result.asks else ""
        if asked.startswith('"'):
            return Result({**result.texts, STATE: mark + asked[1:]})
        return result

    return stage
