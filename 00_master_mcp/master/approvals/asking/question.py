"""The question to the person at the client, and what came back of it. Pure.

It is an elicitation in form mode (MCP 2025-06-18 and later). Only an answer that names one of the
choices counts: nothing is preselected, and what is unclear is no.
"""

from dataclasses import dataclass
from typing import Any, Literal

from flotilla import meta
from flotilla.json_text import from_json
from master import rpc
from master.approvals.asking.tickets import STATE
from master.approvals.seam import Answer, Held
from master.call import Call
from master.result import INPUT_REQUIRED, Result

KEY = "flotilla.approval"
"""Under which the question stands in `inputRequests`, and its answer in `inputResponses`."""
ANSWERS = "inputResponses"
MAX_REASON_CHARS = 500

_CHOICES: dict[str, tuple[str, Answer, float | None]] = {
    "allow_once": ("Allow this call, once", "approve", None),
    "allow_15_minutes": ("Allow exactly this call for 15 minutes", "approve", 15.0),
    "allow_60_minutes": ("Allow exactly this call for 60 minutes", "approve", 60.0),
    "deny": ("Do not allow it", "deny", None),
}


@dataclass(frozen=True, slots=True)
class Said:
    """What the person decided."""

    answer: Answer
    for_minutes: float | None = None
    reason: str = ""


NotSaid = Literal["nothing", "nonsense"]
"""
nothing   no answer came, or the person put the question away
nonsense  what came is none of the choices
"""


def can_be_asked(call: Call) -> bool:
    """Whether a person sits at the client who can be shown a form there."""
    if not call.interactive or "elicitation" not in call.capabilities:
        return False
    # A client that names no mode knows forms, the only one there was before 2025-11-25.
    modes = meta.members(call.capabilities["elicitation"])
    return not modes or "form" in modes


def question(held: Held, state: str, most_minutes: float) -> Result:
    """The result that asks; `state` is the JSON text of its `requestState`.

    What may be allowed for a while is offered up to `most_minutes`.
    """
    until = held.expires_at.strftime("%H:%M:%S UTC")
    params = {
        "message": f"{held.shown}\n\nApproval {held.id}, open until {until}.",
        "requestedSchema": _schema(most_minutes),
    }
    asked = {KEY: {"method": "elicitation/create", "params": params}}
    return Result({"resultType": INPUT_REQUIRED, "inputRequests": rpc.text_of(asked), STATE: state})


def said_in(call: Call) -> Said | NotSaid:
    """What the answers of a call say to the question."""
    text = call.params.get(ANSWERS, "{}")
    try:
        answers = from_json(text.encode("utf-8", "surrogatepass"))
    except ValueError:
        return "nonsense"
    if KEY in call.refused or KEY not in meta.members(answers):
        return "nothing"
    answer = meta.members(answers[KEY])
    match answer.get("action"):
        case "cancel":
            return "nothing"
        case "decline":
            return Said("deny")
        case "accept":
            return _chosen(meta.members(answer.get("content")))
        case _:
            return "nonsense"


def _schema(most_minutes: float) -> dict[str, Any]:
    offered = {
        name: title
        for name, (title, _, minutes) in _CHOICES.items()
        if minutes is None or minutes <= most_minutes
    }
    return {
        "type": "object",
        "properties": {
            "decision": {
                "type": "string",
                "title": "Decision",
                "enum": list(offered),
                # What clients of 2025-06-18 show in place of the names; later ones know it too.
                "enumNames": list(offered.values()),
            },
            "reason": {
                "type": "string",
                "title": "Reason",
                "description": "Whoever asked is told it; you may leave it out.",
                "maxLength": MAX_REASON_CHARS,
            },
        },
        "required": ["decision"],
    }


def _chosen(content: Any) -> Said | NotSaid:
    decision, reason = content.get("decision"), content.get("reason", "")
    if not isinstance(decision, str) or decision not in _CHOICES:
        return "nonsense"
    _, answer, for_minutes = _CHOICES[decision]
    return Said(answer, for_minutes, str(reason)[:MAX_REASON_CHARS] if reason else "")
