"""Turns calls away while the hub itself has more than it can do."""

from flotilla import RateLimited
from flotilla.fleet import HUB
from master.call import TOOLS_CALL, Call, Stage
from master.catalogue import Catalogue, Entry
from master.load import Load, Why
from master.meters import Meters
from master.profiles import CALL
from master.result import Result

_SAID: dict[Why, str] = {
    "calls": "the hub has as many calls as it takes at once",
    "bytes": "the hub holds as much of requests as it can",
    "lag": "the hub is behind with its work",
}
_HINT = "Call again after retryAfterMs; the hub's own tools (master.*) are answered meanwhile."
_UNKNOWN = "unknown"


def shed(inner: Stage, load: Load, meters: Meters, catalogue: Catalogue) -> Stage:
    """RateLimited for a call for which the hub has no room; its own tools are always answered.

    It stands first, before anything is looked up for the call: to refuse must cost less than to
    serve.
    """

    async def stage(call: Call) -> Result:
        size = 0
        for text in call.params.values():
            size += len(text)
        why = load.refuses(size)
        if why is not None:
            service = _service_of(call, catalogue)
            if service != HUB:
                meters.turned_away(service, "overload")
                raise RateLimited(_SAID[why], retry_after_ms=load.turn_away(why), hint=_HINT)
        load.calls += 1
        load.held_bytes += size
        try:
            return await inner(call)
        finally:
            load.calls -= 1
            load.held_bytes -= size

    return stage


def _service_of(call: Call, catalogue: Catalogue) -> str:
    """Whose it is as far as a look at a table tells; URIs would have to be searched for."""
    entry = None
    if call.method == TOOLS_CALL:
        entry = catalogue.known(call.name, call.view)
        if entry is not None and entry.name == CALL:
            entry = _called_by_name(call, catalogue)
    elif call.method == "prompts/get":
        entry = catalogue.known(call.name, call.view, "prompts")
    return (call.view.service or _UNKNOWN) if entry is None else entry.service


def _called_by_name(call: Call, catalogue: Catalogue) -> Entry | None:
    """The tool that the arguments name: it runs in the place of the hub's own."""
    name = call.arguments.get("name")
    entry = catalogue.known(name, call.view) if isinstance(name, str) else None
    return None if entry is None or entry.name == CALL else entry
