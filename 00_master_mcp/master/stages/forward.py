"""The last way of a call: to its spoke, or to the hub's own tools."""

from collections.abc import Mapping

from flotilla import Context
from flotilla.fleet import HUB
from flotilla.toolbox import Toolbox
from master.call import Call, Stage
from master.result import Result, of_json
from master.upstream.link import Link


def forwarded(links: Mapping[str, Link], own: Toolbox) -> Stage:
    async def stage(call: Call) -> Result:
        entry = call.resolved()
        if entry.service == HUB:
            return of_json(await own.call(entry.name, call.arguments, _context(call)))
        return await links[entry.service].call(call)

    return stage


def _context(call: Call) -> Context:
    return Context(
        principal=call.principal,
        correlation_id=call.correlation_id,
        deadline=call.due(),
        traceparent=call.traceparent,
        approved=call.approved,
        report=call.report,
    )
