"""The last way of a request: to its server, or to the hub's own tools."""

from collections.abc import Mapping

from flotilla.fleet import HUB
from flotilla.toolbox import Toolbox
from master.call import Call, Stage
from master.outside import FromOutside, untrusted
from master.result import Result, of_json
from master.search.tools import ClientContext
from master.upstream.link import Link
from master.upstream.transport.client import Unreachable


def forwarded(links: Mapping[str, Link], own: Toolbox) -> Stage:
    async def stage(call: Call) -> Result:
        entry = call.resolved()
        if entry.service == HUB:
            return of_json(await own.call(entry.name, call.arguments, _context(call)))
        link = links.get(entry.service)
        if link is None:
            raise Unreachable(f"{entry.service} has just been taken out of the fleet")
        if not entry.origin.external:
            return await link.send(call)
        if not isinstance(call.hearer, FromOutside):  # it is where the call is tried again
            call.hearer = FromOutside(call.hearer)
        return untrusted(await link.send(call))

    return stage


def _context(call: Call) -> ClientContext:
    return ClientContext(
        principal=call.principal,
        correlation_id=call.correlation_id,
        deadline=call.due(),
        traceparent=call.traceparent,
        approved=call.approved,
        report=call.hearer.report,
        view=call.view,
        interactive=call.interactive,
    )
