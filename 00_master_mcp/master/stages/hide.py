"""Values of stored secrets that have been released are shown to no client, whoever answers."""

from master.call import Call, Stage
from master.handles.hiding import Hiding, hidden_error, hidden_result
from master.handles.released import Released
from master.result import Result
from master.rpc import RpcError


def hidden(inner: Stage, released: Released) -> Stage:
    """It stands around the cache, so that what was kept before a value was known is hidden too.

    While nothing is released it costs an object. A call waits while that is not known yet.
    """

    async def stage(call: Call) -> Result:
        await released.whole.wait()
        hearer = call.hearer
        call.hearer = Hiding(hearer, released)
        try:
            result = await inner(call)
        except RpcError as error:
            if known := released.known:
                raise hidden_error(error, known) from None
            raise
        finally:
            call.hearer = hearer
        known = released.known
        return hidden_result(result, known) if known else result

    return stage
