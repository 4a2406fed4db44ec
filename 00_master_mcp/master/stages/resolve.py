"""Whose a name or a URI is, and until when its caller waits.

A call of `master.tools.call` becomes the call of the tool that it names, before any other stage
looks at it: approval, limits, cache, metrics and audit know that tool alone.
"""

from collections.abc import Callable
from difflib import get_close_matches

from flotilla import InvalidArgument
from flotilla.serving.spokes import deadline_of
from master import rpc
from master.call import TOOLS_CALL, Call, Stage
from master.catalogue import Catalogue, Entry
from master.policy.seam import Policy
from master.profiles import CALL, DESCRIBE
from master.result import Result
from master.sight import EVERYTHING, Sight

Limits = Callable[[str], tuple[float, float]]
"""A service's time limits in seconds: of one call, and of one that may take long."""

_MEMBERS = ("name", "arguments")


def resolved(
    inner: Stage, catalogue: Catalogue, limits: Limits, policy: Policy | None = None
) -> Stage:
    """`policy` says of which names a caller may be told who meant another."""

    async def stage(call: Call) -> Result:
        sight = EVERYTHING if policy is None else policy.sight(call.principal)
        call.target = entry = _target(catalogue, call, sight)
        timeout_s, long_timeout_s = limits(entry.service)
        limit_s = long_timeout_s if entry.is_long else timeout_s
        call.deadline = deadline_of(call.meta, limit_s)
        return await inner(call)

    return stage


def _target(catalogue: Catalogue, call: Call, sight: Sight) -> Entry:
    if call.method == TOOLS_CALL:
        entry = catalogue.find(call.name, call.view, sight=sight)
        if entry.name != CALL:
            return entry
        unwrap(call)
        entry = catalogue.find(call.name, call.view, sight=sight)
        if entry.name == CALL:
            raise InvalidArgument(f"{CALL} cannot call itself", hint="Name the tool that you want.")
        return entry
    is_prompt = call.method == "prompts/get" or "ref/prompt" in call.params.get("ref", "")
    if is_prompt:
        return catalogue.find(call.name, call.view, "prompts", sight)
    return catalogue.find_uri(call.name, call.view)


def unwrap(call: Call) -> None:
    """Make of a call of `master.tools.call` the one that its arguments describe.

    The inner arguments stay as the client wrote them. InvalidArgument where they describe none.
    """
    given = call.arguments
    for member in given:
        if member not in _MEMBERS:
            near = get_close_matches(member[:100], _MEMBERS, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise InvalidArgument(
                f"{CALL} takes name and arguments, not {member[:100]!r}",
                hint=f"{meant}What the tool itself takes goes into arguments.",
            )
    name, arguments = given.get("name"), given.get("arguments")
    if not isinstance(name, str) or not name:
        raise InvalidArgument(
            f"{CALL} needs name, the tool to call, as a string",
            hint="master.tools.search finds the names of tools.",
        )
    if arguments is not None and not isinstance(arguments, dict):
        raise InvalidArgument(
            f"arguments of {name[:100]!r} must be an object, not {type(arguments).__name__}",
            hint=f"Write them as JSON itself, not as a string of it; {DESCRIBE} shows the schema.",
        )
    text = "{}"
    if arguments is not None:
        text = rpc.members(call.params["arguments"])[1]["arguments"]
    call.name = name
    call.arguments = arguments or {}
    call.params = {**call.params, "arguments": text}
