"""What a source of another service sees is brought to the service that the call is for."""

from master.call import TOOLS_CALL, Call, Stage
from master.gathering.gatherer import Gatherer
from master.gathering.wanted import filled, mark_of, wanted_of
from master.result import Result


def gathered(inner: Stage, gatherer: Gatherer) -> Stage:
    """Further in, the call is a copy that names what was gathered; it is gone when that ends.

    Only what was authorised and approved comes here. The errors are those of `Gatherer.gathered`.
    """

    async def stage(call: Call) -> Result:
        mark = mark_of(call.resolved()) if call.method == TOOLS_CALL else None
        wanted = None if mark is None else wanted_of(call, mark)
        if wanted is None:
            return await inner(call)
        async with gatherer.gathered(call, wanted) as gathering:
            return await inner(filled(call, wanted.into, gathering))

    return stage
