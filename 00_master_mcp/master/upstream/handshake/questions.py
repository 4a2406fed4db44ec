"""What a server of the handshake revisions asks a client, as the 2026-07-28 revision puts it."""

from collections.abc import Mapping
from typing import Any

from flotilla import meta
from flotilla.json_text import from_json
from master import rpc
from master.result import INPUT_REQUIRED, Result
from master.upstream.handshake.pending import Pending

_NEEDS = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}


def is_question(method: str) -> bool:
    return method in _NEEDS


def can_answer(capabilities: Mapping[str, Any], method: str, params: Mapping[str, Any]) -> bool:
    """Whether a client of these capabilities may be asked that."""
    needed = _NEEDS[method]
    if needed not in capabilities:
        return False
    if params.get("mode") != "url" or needed != "elicitation":
        return True
    return "url" in meta.members(capabilities[needed])


def lacking(method: str, params: Mapping[str, Any]) -> rpc.RpcError:
    """What a modern client is told whose request needs a capability that it did not declare."""
    needed = _NEEDS[method]
    detail: dict[str, Any] = (
        {"url": {}} if needed == "elicitation" and params.get("mode") == "url" else {}
    )
    return rpc.RpcError(
        rpc.MISSING_CAPABILITY,
        f"the server must ask {method}, and the client has not declared {needed}",
        {"requiredCapabilities": {needed: detail}},
    )


def input_required(pending: Pending, state: str) -> Result:
    """The result that asks a client everything that is open."""
    asked = {
        key: f'{{"method":{rpc.text_of(each.method)},"params":{each.params}}}'
        for key, each in pending.questions.items()
    }
    return Result(
        {
            "resultType": INPUT_REQUIRED,
            "inputRequests": rpc.written(asked),
            "requestState": rpc.text_of(state),
        }
    )


def state_of(params: Mapping[str, str]) -> object:
    text = params.get("requestState")
    return None if text is None else from_json(text.encode())


def answers_of(params: Mapping[str, str]) -> rpc.Texts:
    """The JSON texts of a client's answers by their keys; RpcError where they are no object."""
    text = params.get("inputResponses", "{}")
    try:
        return rpc.members(text)[1]
    except ValueError:
        raise rpc.RpcError(rpc.INVALID_PARAMS, "inputResponses must be an object") from None
