"""Whose a name or a URI is, and until when its caller waits."""

from collections.abc import Callable

from flotilla.serving.spokes import deadline_of
from master.call import Call, Stage
from master.catalogue import Catalogue, Entry
from master.result import Result

Limits = Callable[[str], tuple[float, float]]
"""A service's time limits in seconds: of one call, and of one that may take long."""


def resolved(inner: Stage, catalogue: Catalogue, limits: Limits) -> Stage:
    async def stage(call: Call) -> Result:
        call.target = entry = _target(catalogue, call)
        timeout_s, long_timeout_s = limits(entry.service)
        limit_s = long_timeout_s if entry.is_long else timeout_s
        call.deadline = deadline_of(call.meta, limit_s)
        return await inner(call)

    return stage


def _target(catalogue: Catalogue, call: Call) -> Entry:
    if call.method == "tools/call":
        return catalogue.find(call.name, call.view)
    is_prompt = call.method == "prompts/get" or "ref/prompt" in call.params.get("ref", "")
    if is_prompt:
        return catalogue.find(call.name, call.view, "prompts")
    return catalogue.find_uri(call.name, call.view)
