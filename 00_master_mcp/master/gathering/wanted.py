"""What a call wants gathered, read from the mark of its tool and from its arguments. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from flotilla import InvalidArgument, meta
from master import rpc
from master.call import Call
from master.entry import Entry

_MEMBERS = frozenset(("service", "within"))


@dataclass(frozen=True, slots=True)
class Wanted:
    """A source, how much of it, and the ways of the tool that takes it."""

    service: str
    within: Mapping[str, Any]
    into: str
    page: str
    """The operation of the tool's service that takes a page."""
    drop: str


def mark_of(entry: Entry) -> Mapping[str, Any] | None:
    """The mark of a tool that takes what a source sees; strangers' marks count for nothing."""
    if entry.origin.external or entry.kind != "tools":
        return None
    mark = meta.marks_of(entry.listed).get(meta.GATHERS)
    return cast("Mapping[str, Any]", mark) if isinstance(mark, Mapping) else None


def wanted_of(call: Call, mark: Mapping[str, Any]) -> Wanted | None:
    """What is to be gathered, None where the call names no source; InvalidArgument."""
    into, argument = str(mark["into"]), str(mark["argument"])
    if call.arguments.get(into) is not None:
        raise InvalidArgument(
            f"{into} is the hub's to fill in", hint=f"Name the source in {argument}."
        )
    given = call.arguments.get(argument)
    if given is None:
        return None
    named = meta.members(given)
    service, within = named.get("service"), named.get("within", {})
    if not isinstance(service, str) or not isinstance(within, Mapping) or named.keys() - _MEMBERS:
        raise InvalidArgument(
            f"{argument} takes service, a name, and within, an object with the scope",
            hint="Compare with the tool's input schema.",
        )
    return Wanted(
        service, cast("Mapping[str, Any]", within), into, str(mark["page"]), str(mark["drop"])
    )


def filled(call: Call, into: str, gathering: str) -> Call:
    """A copy of the call that names what was gathered; all else is as the client wrote it."""
    texts = {
        **rpc.members(call.params.get("arguments", "{}"))[1],
        into: rpc.text_of(gathering),
    }
    return replace(
        call,
        params={**call.params, "arguments": rpc.written(texts)},
        arguments={**call.arguments, into: gathering},
    )
