"""Questions of a server to a client of the handshake revisions.

They are asked on its stream, and the request is sent again with its answers, until its server
answers it. The hub's own question, whether a call may run, is asked the same way.

Source: MCP 2026-07-28, multi-round-trip requests; 2025-11-25, elicitation, sampling and roots.
"""

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flotilla import TimedOut, UpstreamError, meta
from master import rpc
from master.approvals.asking.question import KEY
from master.call import Call, Refusal, Stage
from master.north.client import Client
from master.result import Result

MAX_ROUNDS = 50
QUESTION_S = 600.0
"""How long a client may think about a question."""
CONSENT_S = 45.0
"""How long whether a call may run is asked there; it waits elsewhere then. Clients themselves wait
for an answer for a minute."""
_PAUSE_S = 0.05
_PAUSE_CAP_S = 1.0


async def in_rounds(
    answer: Stage,
    call: Call,
    client: Client,
    question_s: float = QUESTION_S,
    consent_s: float = CONSENT_S,
) -> Result:
    """The answer to a call, its server's questions asked on the way."""
    result = await answer(call)
    pause_s = _PAUSE_S
    for _ in range(MAX_ROUNDS):
        if not result.asks:
            return result
        params = dict(call.params)
        asked = rpc.members(result.texts.get("inputRequests", "{}"))
        if asked[0]:
            limit_s = consent_s if KEY in asked[0] else question_s
            answers, refused = await _answers(client, limit_s, *asked[:2])
            params["inputResponses"] = rpc.written(answers)
            pause_s = _PAUSE_S
        else:
            # Only a state: the server wants to be asked again.
            params.pop("inputResponses", None)
            refused = {}
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _PAUSE_CAP_S)
        params.pop("requestState", None)
        if (state := result.texts.get("requestState")) is not None:
            params["requestState"] = state
        # What allowed it in this round is looked at anew in the next.
        result = await answer(
            replace(call, params=params, refused=refused, approval=None, approved=False)
        )
    raise UpstreamError(f"the server asked its client over {MAX_ROUNDS} times")


async def _answers(
    client: Client, limit_s: float, values: Mapping[str, Any], texts: rpc.Texts
) -> tuple[rpc.Texts, Mapping[str, Refusal]]:
    """The client's answers to all questions, asked together, and what it refused to answer.

    TimedOut when it thinks too long about a question of its server; one of the hub's has no answer
    then.
    """
    asking = {
        key: asyncio.create_task(_answer(client, meta.members(value), texts[key], limit_s))
        for key, value in values.items()
    }
    try:
        answered = {key: await task for key, task in asking.items()}
    finally:
        for task in asking.values():
            task.cancel()
    if any(each is None and key != KEY for key, each in answered.items()):
        raise TimedOut("the client did not answer the server's question in time")
    return (
        {key: each for key, each in answered.items() if isinstance(each, str)},
        {key: each for key, each in answered.items() if isinstance(each, Refusal)},
    )


def _asked_so(method: str, params: Mapping[str, Any], texts: rpc.Texts) -> str:
    """The JSON text of a question's params as the handshake revisions have them.

    There a page that is to be shown has an ID (2025-11-25, URL mode); 2026-07-28 left it out.
    """
    text = texts.get("params", "{}")
    if method == "elicitation/create" and params.get("mode") == "url":
        known = {"elicitationId": rpc.text_of(secrets.token_hex(8)), **rpc.members(text)[1]}
        return rpc.written(known)
    return text


async def _answer(
    client: Client, question: Mapping[str, Any], text: str, limit_s: float
) -> str | Refusal | None:
    """The answer; None where none came in time, and the client is told not to ask any more."""
    session = client.session
    assert session is not None, "a modern client answers by calling again"
    method = str(question.get("method", ""))
    params = _asked_so(method, meta.members(question.get("params")), rpc.members(text)[1])
    asked = session.ask()
    gone = None if client.gone is None else asyncio.ensure_future(client.gone())
    try:
        await client.teller.tell(rpc.request(asked.id, method, params))
        waiting = {asked.answer} if gone is None else {asked.answer, gone}
        done, _ = await asyncio.wait(waiting, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            late = {"requestId": asked.id, "reason": "nobody answered in time"}
            await client.teller.tell(rpc.notification("notifications/cancelled", late))
            return None
        if not asked.answer.done():
            return Refusal(method, rpc.RpcError(rpc.INTERNAL_ERROR, "the client has gone"))
        answered = asked.answer.result()
    finally:
        session.unask(asked)
        if gone is not None:
            gone.cancel()
    if answered.error is not None:
        code, said = answered.error.get("code"), answered.error.get("message")
        known = code if isinstance(code, int) else rpc.INTERNAL_ERROR
        return Refusal(method, rpc.RpcError(known, str(said or "the client refused")[:500]))
    return rpc.written(answered.texts)
