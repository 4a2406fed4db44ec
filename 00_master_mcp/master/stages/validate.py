"""What no person need be asked about: arguments that their tool refuses, handles out of place."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from flotilla import InvalidArgument
from flotilla.secret_text import HANDLE
from master.approvals.asking.fitting import Fits
from master.approvals.asking.need import need_of
from master.call import TOOLS_CALL, Call, Stage
from master.handles.resolving import SECRETS, may_hold_handle
from master.handles.spots import Path, secret_places
from master.result import Result


def validated(inner: Stage, fits: Fits, *, approvals_off: bool) -> Stage:
    """InvalidArgument for what does not fit the tool's schema, of calls that wait for a person.

    Others are judged by their service alone. A handle of a secret where the tool takes no secret is
    refused of every call: in any other place it would be written, sent or run as it stands. The
    service that gives them out may be told them.
    """

    async def stage(call: Call) -> Result:
        if call.method != TOOLS_CALL:
            return await inner(call)
        text = call.params.get("arguments", "")
        if may_hold_handle(text) and call.resolved().service != SECRETS:
            _check_handles(call)
        if not approvals_off and need_of(call) != "nobody":
            fit = await fits.of(call.resolved(), call.arguments, len(text))
            if fit.mistakes:
                raise InvalidArgument(
                    "; ".join(fit.mistakes), hint="Compare with the tool's input schema."
                )
        return await inner(call)

    return stage


def _check_handles(call: Call) -> None:
    found = [(path, text) for path, text in _texts(call.arguments) if HANDLE in text]
    if not found:
        return
    places = secret_places(call.resolved(), call.arguments)
    for path, text in found:
        if path not in places or not text.startswith(HANDLE):
            place = ".".join(map(str, path))[:100] or "arguments"
            raise InvalidArgument(
                f"{place}: the handle of a secret stands where the tool takes none",
                hint="A handle goes alone into an argument whose schema has x-flotilla-secret, "
                "or into a program's environment by security.secrets.runWithSecret.",
            )


def _texts(arguments: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Every string in the arguments with its place; the names of members have none."""
    layer: list[tuple[Path, Any]] = [((), arguments)]
    while layer:
        at, each = layer.pop()
        if isinstance(each, str):
            yield at, each
        elif isinstance(each, Mapping):
            for name, inner in cast("Mapping[str, Any]", each).items():
                yield (), name
                layer.append(((*at, name), inner))
        elif isinstance(each, list):
            layer += [((*at, i), inner) for i, inner in enumerate(cast("list[Any]", each))]
