"""A call to somebody else's server gets its principal's own credentials, or asks for them.

Who has none is asked to sign in on a page of the hub's (MCP 2025-11-25, URL mode elicitation),
where a person sits at a client that can show one; the call goes on once the grant is there.
Everybody else is told what to do. What the person is asked is no secret and no authority: the page
itself looks who signs in, and a repeated call is only looked up again.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from flotilla import Deadline, meta
from flotilla.json_text import from_json
from master import rpc
from master.call import Call, Stage
from master.outbound.shown import Missing
from master.outbound.sources import Source
from master.result import INPUT_REQUIRED, Result

KEY = "flotilla.signIn"
STATE, ANSWERS = "requestState", "inputResponses"
OURS = '"flotilla.signIn"'
"""The JSON text of the state that comes back with the answer: it says what was asked, no more."""
WAIT_S = 45.0
"""How long a call waits for a person who is in the browser; clients wait for a minute."""


class Credentials(Protocol):
    def of(self, server: str) -> Source | None: ...

    async def link(self, server: str, principal: str, *, by: str) -> str: ...


def signed_in(inner: Stage, credentials: Credentials, wait_s: float = WAIT_S) -> Stage:
    """Missing, a NotConfigured, where nobody can be asked or the person has not signed in."""

    async def stage(call: Call) -> Result:
        entry = call.resolved()
        if not entry.origin.external:
            return await inner(call)
        source = credentials.of(entry.service)
        if source is None:
            return await inner(call)
        said = _taken_out(call)
        principal = call.principal.name
        try:
            call.credentials = await source.of(principal, call.subject)
        except Missing as missing:
            if not missing.by_page or call.approval is not None:
                raise
            if said is None:
                if not can_show_page(call):
                    raise
                url = await credentials.link(entry.service, principal, by=principal)
                return question(entry.service, principal, url)
            if said != "accept":
                raise _declined(entry.service) from None
            left_s = call.due().remaining_s()
            if not await source.arrives(principal, wait_s):
                raise _not_yet(entry.service) from None
            # Nobody's time runs while a person signs in.
            call.deadline = Deadline.after(left_s)
            call.credentials = await source.of(principal, call.subject)
        return await inner(call)

    return stage


def can_show_page(call: Call) -> bool:
    """Whether a person sits at a client that can show them a page."""
    if not call.interactive or "elicitation" not in call.capabilities:
        return False
    return "url" in meta.members(call.capabilities["elicitation"])


def question(server: str, principal: str, url: str) -> Result:
    params = {
        "mode": "url",
        "message": f"To use {server} the hub needs your leave. Open the page and sign in there "
        f"with your own account of {server}; it asks you as {principal}.",
        "url": url,
    }
    asked = {KEY: {"method": "elicitation/create", "params": params}}
    return Result({"resultType": INPUT_REQUIRED, "inputRequests": rpc.text_of(asked), STATE: OURS})


def _taken_out(call: Call) -> str | None:
    """What the client answered to our question, which goes no further; None: it was not asked."""
    if call.params.get(STATE) != OURS:
        return None
    answers = _members(call.params.get(ANSWERS))
    call.params = {name: text for name, text in call.params.items() if name not in (STATE, ANSWERS)}
    return str(meta.members(answers.get(KEY)).get("action", "cancel"))


def _members(text: str | None) -> Mapping[str, Any]:
    try:
        return meta.members(from_json((text or "{}").encode("utf-8", "surrogatepass")))
    except ValueError:
        return {}


def _declined(server: str) -> Missing:
    return Missing(
        f"the person did not sign in for {server}",
        hint="Do not ask again unless the person wants it.",
        reason="sign_in_declined",
    )


def _not_yet(server: str) -> Missing:
    return Missing(
        f"nobody has finished signing in for {server} yet",
        hint="Call again once the person says that it is done.",
        reason="sign_in_open",
    )
